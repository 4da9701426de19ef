//! A word as a chord: ten symbols of four bits, each one of sixteen tones of its own band. All tones are multiples of
//! 20 Hz, so that a window of 100 ms tells them apart exactly, and lie where telephones carry them.

/// Symbols in a chord: four for the session, four for the word, two for the check.
pub(super) const SYMBOLS: usize = 10;
/// Tones a symbol chooses from.
pub(super) const TONES: usize = 16;

/// The lowest tone and the distance between tones, in hertz; the highest is 3,460 Hz.
const LOWEST: u32 = 280;
const SPACING: u32 = 20;

/// What a chord says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) session: u16,
    pub(super) index: u16,
}

impl Code {
    /// Chooses a tone for every symbol.
    pub(super) fn symbols(self) -> [u8; SYMBOLS] {
        let ([a, b], [c, d]) = (self.session.to_be_bytes(), self.index.to_be_bytes());
        let bytes = [a, b, c, d, check([a, b, c, d])];
        std::array::from_fn(|symbol| if symbol % 2 == 0 { bytes[symbol / 2] >> 4 } else { bytes[symbol / 2] & 0x0f })
    }

    /// Reads the tones of a chord; nothing when the check fails.
    pub(super) fn read(symbols: [u8; SYMBOLS]) -> Option<Self> {
        let byte = |at: usize| (symbols[2 * at] << 4) | symbols[2 * at + 1];
        let [a, b, c, d] = [0, 1, 2, 3].map(byte);
        let code = Self { session: u16::from_be_bytes([a, b]), index: u16::from_be_bytes([c, d]) };
        (check([a, b, c, d]) == byte(4)).then_some(code)
    }
}

/// The frequency of a symbol's tone, in hertz.
pub(super) fn frequency(symbol: usize, tone: usize) -> u32 {
    let steps = u32::try_from(symbol * TONES + tone).unwrap_or_default();
    LOWEST + SPACING * steps
}

/// CRC-8 with polynomial 7: no single wrong symbol passes.
fn check(bytes: [u8; 4]) -> u8 {
    bytes
        .into_iter()
        .fold(0xff, |sum, byte| (0..8).fold(sum ^ byte, |sum, _| (sum << 1) ^ if sum < 0x80 { 0 } else { 7 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_back_and_one_wrong_symbol_is_noticed() {
        for code in [Code { session: 0, index: 0 }, Code { session: 0xfedc, index: 0x1234 }] {
            let symbols = code.symbols();
            assert_eq!(Code::read(symbols), Some(code));
            for (at, tone) in (0..SYMBOLS).flat_map(|at| (0..16).map(move |tone| (at, tone))) {
                let mut wrong = symbols;
                wrong[at] = tone;
                assert_eq!(Code::read(wrong).is_some(), wrong == symbols);
            }
        }
    }

    #[test]
    fn tones_stay_in_the_telephone_band() {
        assert_eq!((frequency(0, 0), frequency(SYMBOLS - 1, TONES - 1)), (280, 3_460));
    }
}
