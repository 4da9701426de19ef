//! The payload of a close: a code and a reason (RFC 6455, sections 5.5.1 and 7.4).

use crate::fault::Violation;

/// Bytes of a reason: what a control frame holds beside the code.
const REASON: usize = 123;

/// Why a peer closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code, from 1000 to 4999.
    pub code: u16,
    /// The reason, for people.
    pub reason: String,
}

impl Close {
    /// Closes with a code and a reason, which is cut after 123 bytes.
    #[must_use]
    pub fn new(code: u16, reason: &str) -> Self {
        let end = (0..=reason.len().min(REASON)).rev().find(|end| reason.is_char_boundary(*end));
        Self { code, reason: reason[..end.unwrap_or(0)].to_owned() }
    }

    /// Reads the payload of a close; none where it is empty.
    pub(crate) fn read(payload: &[u8]) -> Result<Option<Self>, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_half] => return Err(Violation::HalfCloseCode),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !may_be_sent(code) {
            return Err(Violation::CloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_error| Violation::Utf8)?;
        Ok(Some(Self { code, reason: reason.to_owned() }))
    }

    /// Writes the payload.
    pub(crate) fn payload(&self) -> Vec<u8> {
        [&self.code.to_be_bytes(), self.reason.as_bytes()].concat()
    }
}

/// Codes of RFC 6455 and of the registry up to 1014 that go over the wire, and those of libraries and applications.
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_taken() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
            let payload = Close { code, reason: String::new() }.payload();
            assert_eq!(Close::read(&payload), Err(Violation::CloseCode(code)));
        }
        for code in [1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
            let close = Close::new(code, "because");
            assert_eq!(Close::read(&close.payload()), Ok(Some(close)));
        }
    }

    #[test]
    fn a_close_without_a_code_or_with_half_of_one_or_without_sense() {
        assert_eq!(Close::read(&[]), Ok(None));
        assert_eq!(Close::read(&[3]), Err(Violation::HalfCloseCode));
        assert_eq!(Close::read(&[3, 0xe8, 0xff]), Err(Violation::Utf8));
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let close = Close::new(1011, &"ä".repeat(100));
        assert_eq!(close.reason, "ä".repeat(61));
        assert_eq!(close.payload().len(), 124);
    }
}
