//! The least that a relay can do: bytes from one socket to the other and back, one thread, one buffer, no protocol. What
//! a relay that understands its streams costs more than this, it costs for understanding them.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Bytes moved with one call.
const BUFFER: usize = 64 << 10;
/// Events taken with one call.
const EVENTS: usize = 1_024;
const LISTENER: Token = Token(usize::MAX);

/// Relays every connection that `listener` accepts to `to`, for ever.
///
/// # Errors
/// Fails when the kernel lends no poll.
pub fn relay(listener: std::net::TcpListener, to: SocketAddr) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut relay = Relay { poll: Poll::new()?, pairs: HashMap::new(), next: 0, buffer: vec![0; BUFFER] };
    relay.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(EVENTS);
    loop {
        match relay.poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for event in &events {
            match event.token() {
                LISTENER => relay.accept(&listener, to),
                Token(number) => relay.turn(number, event),
            }
        }
    }
}

struct Relay {
    poll: Poll,
    pairs: HashMap<usize, Pair>,
    next: usize,
    buffer: Vec<u8>,
}

/// Two connections that are one: the caller's has the even token, the other the odd one after it.
struct Pair([Side; 2]);

struct Side {
    stream: TcpStream,
    /// Bytes from the other side that this one has not taken; meanwhile the other side is not read.
    waiting: Vec<u8>,
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener, to: SocketAddr) {
        while let Ok((caller, _peer)) = listener.accept() {
            // A connection that cannot be opened is closed, which the caller sees.
            let _ = TcpStream::connect(to).and_then(|engine| self.add(caller, engine));
        }
    }

    fn add(&mut self, caller: TcpStream, engine: TcpStream) -> io::Result<()> {
        let mut pair = Pair([caller, engine].map(|stream| Side { stream, waiting: Vec::new() }));
        for (side, token) in pair.0.iter_mut().zip(self.next..) {
            side.stream.set_nodelay(true)?;
            self.poll.registry().register(&mut side.stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        }
        self.pairs.insert(self.next, pair);
        self.next += 2;
        Ok(())
    }

    fn turn(&mut self, number: usize, event: &Event) {
        let (key, side) = (number & !1, number & 1);
        let Some(pair) = self.pairs.get_mut(&key) else { return };
        let written = if event.is_writable() { pair.flush(side, &mut self.buffer) } else { Ok(()) };
        let moved =
            written.and_then(|()| if event.is_readable() { pair.carry(side, &mut self.buffer) } else { Ok(()) });
        if moved.is_err() {
            for side in &pair.0 {
                let _ = side.stream.shutdown(Shutdown::Both);
            }
            self.pairs.remove(&key);
        }
    }
}

impl Pair {
    /// Carries what one side says to the other, as far as that takes it.
    fn carry(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        let [first, second] = &mut self.0;
        let (from, to) = if from == 0 { (first, second) } else { (second, first) };
        while to.waiting.is_empty() {
            let read = match from.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let written = accepted(to.stream.write(&buffer[..read]))?;
            to.waiting.extend_from_slice(&buffer[written..read]);
            // Less than was asked for: there is no more, and the next byte is an event.
            if read < buffer.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes what waits for a side, then hears the other one again.
    fn flush(&mut self, side: usize, buffer: &mut [u8]) -> io::Result<()> {
        let to = &mut self.0[side];
        if to.waiting.is_empty() {
            return Ok(());
        }
        let written = accepted(to.stream.write(&to.waiting))?;
        to.waiting.drain(..written);
        if to.waiting.is_empty() { self.carry(1 - side, buffer) } else { Ok(()) }
    }
}

/// Nothing is accepted by a socket that is full or not yet open.
fn accepted(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn whatever_is_said_arrives_both_ways_however_slowly_it_is_read() {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let (front, back) = (std::net::TcpListener::bind(any).unwrap(), std::net::TcpListener::bind(any).unwrap());
        let (address, to) = (front.local_addr().unwrap(), back.local_addr().unwrap());
        std::thread::spawn(move || relay(front, to));
        let sound: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
        let mut caller = std::net::TcpStream::connect(address).unwrap();
        let spoken = sound.clone();
        let speaking = std::thread::spawn(move || {
            caller.write_all(&spoken).unwrap();
            let mut answer = [0; 4];
            caller.read_exact(&mut answer).unwrap();
            answer
        });
        let (mut engine, _peer) = back.accept().unwrap();
        let mut heard = vec![0; sound.len()];
        engine.read_exact(&mut heard).unwrap();
        engine.write_all(b"yes.").unwrap();
        assert_eq!(&speaking.join().unwrap(), b"yes.");
        assert!(heard == sound);
    }
}
