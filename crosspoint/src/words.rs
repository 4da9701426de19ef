//! Numbers as people read them: money, times and shares.

/// Dollars, with as many digits as small amounts need: `$0.000031`, `$0.0123`, `$12.50`.
pub(crate) fn dollars(amount: f64) -> String {
    match amount.abs() {
        0.0 => "$0".to_owned(),
        size if size < 0.01 => format!("${amount:.6}"),
        size if size < 1.0 => format!("${amount:.4}"),
        _ => format!("${amount:.2}"),
    }
}

/// Cents, from dollars; nothing is a dash, so that the eye finds what counts.
pub(crate) fn cents(dollars: f64) -> String {
    let cents = dollars * 100.0;
    match cents.abs() {
        0.0 => "-".to_owned(),
        size if size < 0.005 => "<0.01".to_owned(),
        _ => format!("{cents:.2}"),
    }
}

/// A time: `40 ms`, `4.1 s`, `2 min 05 s`, `3 h 10 min`.
pub(crate) fn duration(milliseconds: f64) -> String {
    let seconds = milliseconds / 1e3;
    let part = |unit: f64, of: f64| (seconds / unit % of).floor();
    match seconds {
        _ if milliseconds < 100.0 => format!("{milliseconds:.0} ms"),
        _ if seconds < 60.0 => format!("{seconds:.1} s"),
        _ if seconds < 3_600.0 => format!("{} min {:02} s", part(60.0, 60.0), part(1.0, 60.0)),
        _ => format!("{} h {:02} min", part(3_600.0, f64::INFINITY), part(60.0, 60.0)),
    }
}

/// A share of one as a percentage; none is a dash.
pub(crate) fn share(share: f64) -> String {
    if share == 0.0 { "-".to_owned() } else { format!("{:.0} %", share * 100.0) }
}

/// A count with its noun: `1 file`, `3 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_money_keeps_its_digits() {
        assert_eq!([0.0, 0.000_031, 0.0123, 12.5].map(dollars), ["$0", "$0.000031", "$0.0123", "$12.50"]);
        assert_eq!([0.0, 0.000_01, 0.0167].map(cents), ["-", "<0.01", "1.67"]);
    }

    #[test]
    fn times_are_told_in_two_parts_at_most() {
        let told = [40.0, 4_140.0, 125_000.0, 11_400_000.0].map(duration);
        assert_eq!(told, ["40 ms", "4.1 s", "2 min 05 s", "3 h 10 min"]);
    }
}
