//! `ServeGen` traces: arrival rates of clients in windows of 10 minutes. Rates are steps; they are interpolated between the
//! windows' centres, or the load would jump every 600 s where nothing jumped.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{TraceError, field, read_text};

/// The length of a window.
pub const WINDOW: Duration = Duration::from_secs(600);
/// No trace is longer, so that a mistyped time cannot fill the memory: ten years.
const MOST_WINDOWS: usize = 525_600;

/// The law of the times between a client's arrivals in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Nothing is known: a Poisson process.
    Exponential,
    /// Gamma, by its coefficient of variation.
    Gamma {
        /// Standard deviation over mean.
        cv: f64,
    },
    /// Weibull, by its shape.
    Weibull {
        /// Below 1, arrivals come in bursts.
        shape: f64,
    },
}

/// What a client did in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Arrivals per second.
    pub rate: f64,
    /// How regular they were.
    pub law: Law,
}

impl Window {
    const SILENT: Self = Self { rate: 0.0, law: Law::Exponential };
}

/// One client of a trace.
pub type Client = u32;

/// One client's windows, without gaps, from the scenario's start on.
#[derive(Clone, Debug)]
pub struct ClientRates {
    /// The client.
    pub client: Client,
    /// Its windows.
    pub windows: Vec<Window>,
}

impl ClientRates {
    /// Returns the rate at the beginning of the scenario, at each window's centre, and at the end.
    pub fn knots(&self) -> impl Iterator<Item = (f64, Window)> {
        let width = WINDOW.as_secs_f64();
        let first = self.windows.first().map(|window| (0.0, *window));
        let last = self.windows.last().map(|window| (self.windows.len() as f64 * width, *window));
        let centres = self.windows.iter().enumerate().map(move |(at, window)| ((at as f64 + 0.5) * width, *window));
        first.into_iter().chain(centres).chain(last)
    }

    /// Returns the expected number of arrivals.
    #[must_use]
    pub fn arrivals(&self) -> f64 {
        // Half a window before the first centre and after the last, trapezoids between: exactly the windows' own sum.
        self.windows.iter().map(|window| window.rate).sum::<f64>() * WINDOW.as_secs_f64()
    }
}

/// A trace, cut to the scenario's days.
#[derive(Clone, Debug)]
pub struct RateTrace {
    /// Its clients, in the order of their numbers.
    pub clients: Vec<ClientRates>,
}

impl RateTrace {
    /// Reads `windows` windows from `first` on.
    ///
    /// # Errors
    /// Fails when the file cannot be read, is not in the format, or is too short.
    pub fn read(path: &Path, first: usize, windows: usize) -> Result<Self, TraceError> {
        let text = read_text(path)?;
        let mut clients: BTreeMap<Client, Vec<Window>> = BTreeMap::new();
        let mut end = 0;
        for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
            let (client, at, window) = parse(line, path, number + 1)?;
            end = end.max(at + 1);
            let own = clients.entry(client).or_insert_with(|| vec![Window::SILENT; windows]);
            if let Some(place) = at.checked_sub(first).and_then(|at| own.get_mut(at)) {
                *place = window;
            }
        }
        if end < first + windows {
            return Err(TraceError::Short { path: path.to_owned(), has: end, needs: first + windows });
        }
        let clients = clients.into_iter().map(|(client, windows)| ClientRates { client, windows });
        Ok(Self { clients: clients.collect() })
    }

    /// Returns all clients' rate together in each window, in arrivals per second.
    #[must_use]
    pub fn total(&self) -> Vec<f64> {
        let windows = self.clients.first().map_or(0, |client| client.windows.len());
        (0..windows).map(|at| self.clients.iter().map(|client| client.windows[at].rate).sum()).collect()
    }
}

fn parse(line: &str, path: &Path, number: usize) -> Result<(Client, usize, Window), TraceError> {
    let mut fields = line.split(',');
    let client = field(fields.next(), path, number, "a client's number")?;
    let seconds: usize = field(fields.next(), path, number, "whole seconds")?;
    let rate: f64 = field(fields.next(), path, number, "a rate per second")?;
    let cv: f64 = field(fields.next(), path, number, "a coefficient of variation")?;
    let law = match fields.next().unwrap_or_default().trim() {
        "Gamma" if cv > 0.0 => Law::Gamma { cv },
        "Weibull" => match field(fields.next(), path, number, "a shape")? {
            shape if shape > 0.0 => Law::Weibull { shape },
            _ => Law::Exponential,
        },
        _ => Law::Exponential,
    };
    let at = seconds / usize::try_from(WINDOW.as_secs()).unwrap_or(1);
    if !rate.is_finite() || rate < 0.0 || at >= MOST_WINDOWS {
        let expected = "a rate of 0 or more in the first ten years";
        return Err(TraceError::Line { path: path.to_owned(), line: number, expected, found: line.to_owned() });
    }
    Ok((client, at, Window { rate, law }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TRACE: &str = "client,t_s,rate_rps,cv,dist,p1,p2\n\
        0,0,1,2,Gamma,0.25,4\n0,600,3,1,Weibull,0.5,1\n7,600,0.5,0,,0,0\n";

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn clients_have_a_window_for_every_ten_minutes() {
        let trace = RateTrace::read(file(TRACE).path(), 0, 2).unwrap();
        let clients: Vec<_> = trace.clients.iter().map(|client| (client.client, client.windows.clone())).collect();
        let weibull = Window { rate: 3.0, law: Law::Weibull { shape: 0.5 } };
        let late = Window { rate: 0.5, law: Law::Exponential };
        assert_eq!(clients[0], (0, vec![Window { rate: 1.0, law: Law::Gamma { cv: 2.0 } }, weibull]));
        assert_eq!(clients[1], (7, vec![Window::SILENT, late]));
        assert_eq!(trace.total(), [1.0, 3.5]);
    }

    #[test]
    fn days_before_the_first_are_left_out() {
        let trace = RateTrace::read(file(TRACE).path(), 1, 1).unwrap();
        assert_eq!(trace.total(), [3.5]);
    }

    #[test]
    fn a_trace_that_is_too_short_says_how_long_it_is() {
        let error = RateTrace::read(file(TRACE).path(), 1, 2).unwrap_err().to_string();
        assert!(error.ends_with("ends after 2 windows of 10 minutes, the scenario needs 3"), "{error}");
    }

    #[test]
    fn a_bad_line_is_named_with_its_number() {
        let error = RateTrace::read(file("head\n0,0,fast,1,,0,0\n").path(), 0, 1).unwrap_err().to_string();
        assert!(error.ends_with("line 2: expected a rate per second, got \"fast\""), "{error}");
    }

    #[test]
    fn knots_lie_at_the_ends_and_between_them_at_the_centres() {
        let trace = RateTrace::read(file(TRACE).path(), 0, 2).unwrap();
        let knots: Vec<_> = trace.clients[0].knots().map(|(at, window)| (at, window.rate)).collect();
        assert_eq!(knots, [(0.0, 1.0), (300.0, 1.0), (900.0, 3.0), (1200.0, 3.0)]);
        assert_eq!(trace.clients[0].arrivals(), 2400.0);
    }
}
