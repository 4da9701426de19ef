//! The trace that a session belongs to, as W3C's `traceparent` header carries it: taken from the caller where it makes
//! sense, begun here where not, and handed on to routers and nodes.

use std::fmt;

use axum::http::HeaderMap;

/// The header's name, here and in gRPC's metadata.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The bit of the flags that says that somebody upstream records the trace.
const SAMPLED: u8 = 1;

/// One session's place in a trace. It is written as the header that names this proxy as the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    id: u128,
    span: u64,
    flags: u8,
}

impl Trace {
    /// Goes on with the caller's trace, or begins a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let header = given.next().filter(|_| given.next().is_none());
        let caller = header.and_then(|value| Self::parse(value.as_bytes()));
        let Self { id, flags, span: _ } = caller.unwrap_or_else(Self::begin);
        Self { id, span: rand::random_range(1..=u64::MAX), flags: flags & SAMPLED }
    }

    /// Begins a trace of which nobody has said that it is recorded.
    pub(crate) fn begin() -> Self {
        Self { id: rand::random_range(1..=u128::MAX), span: rand::random_range(1..=u64::MAX), flags: 0 }
    }

    /// Reads `version-trace-parent-flags`, all in lower case. A later version may go on after another dash.
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(55)?;
        let [version, id, span, flags] = *known.split(|&byte| byte == b'-').collect::<Vec<_>>() else { return None };
        let version = hex(version, 2)?;
        let ends = if version == 0 { rest.is_empty() } else { rest.first().is_none_or(|&byte| byte == b'-') };
        let (id, span, flags) = (hex(id, 32)?, hex(span, 16)?, hex(flags, 2)?);
        let valid = version != 0xff && ends && id != 0 && span != 0;
        valid.then_some(Self { id, span: u64::try_from(span).ok()?, flags: u8::try_from(flags).ok()? })
    }

    /// Returns the trace's id as logs show it.
    pub(crate) fn id(self) -> impl fmt::Display {
        TraceId(self.id)
    }
}

/// Reads exactly `digits` hexadecimal digits.
fn hex(text: &[u8], digits: usize) -> Option<u128> {
    let plain = text.len() == digits && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok())?
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{:016x}-{:02x}", self.id(), self.span, self.flags)
    }
}

struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(values: &[&str]) -> Trace {
        let headers = values.iter().map(|value| (TRACEPARENT.parse().unwrap(), HeaderValue::from_str(value).unwrap()));
        Trace::of(&headers.collect())
    }

    #[test]
    fn a_callers_trace_goes_on_under_a_parent_of_its_own() {
        let text = of(&[GIVEN]).to_string();
        assert!(text.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && text.ends_with("-01"), "{text}");
        assert!(!text.contains("00f067aa0ba902b7"), "{text}");
    }

    #[test]
    fn a_later_version_may_say_more() {
        let id = of(&[GIVEN]).id;
        assert_eq!(of(&[&GIVEN.replacen("00", "cc", 1)]).id, id);
        assert_eq!(of(&[&(GIVEN.replacen("00", "cc", 1) + "-what-comes")]).id, id);
        assert_eq!(of(&[&GIVEN.replacen("-01", "-ff", 1)]).flags, SAMPLED);
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one() {
        let id = of(&[GIVEN]).id;
        let bad = [
            "",
            "00",
            &GIVEN.to_uppercase(),
            &GIVEN.replacen("00", "ff", 1),
            &format!("{GIVEN}-"),
            &(GIVEN.replacen("00", "cc", 1) + "x"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for text in bad {
            assert_eq!(Trace::parse(text.as_bytes()), None, "{text}");
            assert_ne!(of(&[text]).id, id, "{text}");
        }
        assert_ne!(of(&[GIVEN, GIVEN]).id, id, "two headers");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(id in 1..=u128::MAX, span in 1..=u64::MAX, flags: u8) {
            let trace = Trace { id, span, flags };
            prop_assert_eq!(Trace::parse(trace.to_string().as_bytes()), Some(trace));
        }

        #[test]
        fn whatever_comes_what_goes_on_is_valid(text in prop_oneof![
            "[ -~]{0,80}",
            "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,9})?",
        ]) {
            let headers = HeaderValue::from_str(&text).map(|value| (TRACEPARENT.parse().unwrap(), value));
            let trace = Trace::of(&headers.into_iter().collect());
            prop_assert_eq!(Trace::parse(trace.to_string().as_bytes()), Some(trace));
        }

        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(trace) = Trace::parse(&bytes) {
                prop_assert!(trace.id != 0 && trace.span != 0);
            }
        }
    }
}
