//! Places for connections: a bounded number of seats, and an optional bound on how fast one address may take them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

const ACTIVE: &str = "crosspoint_proxy_connections_active";
const TOTAL: &str = "crosspoint_proxy_connections_total";
/// Addresses that are counted within one second; those beyond are let in uncounted, and fill seats like all others.
const ADDRESSES: usize = 65_536;

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Every seat is taken.
    Full,
    /// This address has had its share of the second.
    TooFast,
}

/// The right to keep one connection open.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        gauge!(ACTIVE).decrement(1.0);
    }
}

/// All seats of one accept loop.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    arrivals: Option<Arrivals>,
}

impl Seats {
    /// Sets out `count` seats, of which one address may take `per_second_and_address`.
    pub(super) fn new(count: usize, per_second_and_address: Option<NonZeroU32>) -> Self {
        let free = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { free, arrivals: per_second_and_address.map(Arrivals::new) }
    }

    /// Takes a seat for a connection from `address`, and counts the outcome.
    ///
    /// # Errors
    ///
    /// [`Refused`] where there is none for it.
    pub(super) fn take(&mut self, address: IpAddr, now: Instant) -> Result<Seat, Refused> {
        let seat = self.find(address, now);
        let outcome = if seat.is_ok() { "accepted" } else { "refused" };
        counter!(TOTAL, "outcome" => outcome).increment(1);
        seat
    }

    fn find(&mut self, address: IpAddr, now: Instant) -> Result<Seat, Refused> {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.count(address, now)?;
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| Refused::Full)?;
        gauge!(ACTIVE).increment(1.0);
        Ok(Seat { _permit: permit })
    }
}

/// Connections of each network in the current second.
#[derive(Debug)]
struct Arrivals {
    share: NonZeroU32,
    since: Option<Instant>,
    counts: HashMap<IpAddr, u32>,
}

impl Arrivals {
    fn new(share: NonZeroU32) -> Self {
        Self { share, since: None, counts: HashMap::new() }
    }

    fn count(&mut self, address: IpAddr, now: Instant) -> Result<(), Refused> {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.counts.clear();
        }
        let network = network(address);
        if self.counts.len() >= ADDRESSES && !self.counts.contains_key(&network) {
            return Ok(());
        }
        let count = self.counts.entry(network).or_insert(0);
        *count = count.saturating_add(1);
        if *count > self.share.get() { Err(Refused::TooFast) } else { Ok(()) }
    }
}

/// Returns what one caller holds: an IPv4 address, or the /64 network of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_seat_given_back_can_be_taken_again() {
        let (mut seats, now) = (Seats::new(1, None), Instant::now());
        let seat = seats.take(address("192.0.2.1"), now).unwrap();
        assert_eq!(seats.take(address("192.0.2.2"), now).unwrap_err(), Refused::Full);
        drop(seat);
        assert!(seats.take(address("192.0.2.2"), now).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_share_of_every_second() {
        let (mut seats, now) = (Seats::new(100, NonZeroU32::new(1)), Instant::now());
        assert!(seats.take(address("2001:db8::1"), now).is_ok());
        assert_eq!(seats.take(address("2001:db8::2"), now).unwrap_err(), Refused::TooFast);
        assert!(seats.take(address("2001:db8:0:1::1"), now).is_ok());
        assert!(seats.take(address("192.0.2.1"), now).is_ok());
        assert_eq!(seats.take(address("::ffff:192.0.2.1"), now).unwrap_err(), Refused::TooFast);
        assert!(seats.take(address("2001:db8::2"), now + Duration::from_secs(1)).is_ok());
    }
}
