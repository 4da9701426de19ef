//! The two companded encodings of ITU-T G.711, exactly: decoding by table, encoding by arithmetic.

/// Linear values of the 256 mu-law codes.
pub(crate) const MULAW: [i16; 256] = table(Law::Mulaw);
/// Linear values of the 256 A-law codes.
pub(crate) const ALAW: [i16; 256] = table(Law::Alaw);

#[derive(Clone, Copy)]
enum Law {
    Mulaw,
    Alaw,
}

const fn table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code: u8 = 0;
    loop {
        table[code as usize] = match law {
            Law::Mulaw => decode_mulaw(code),
            Law::Alaw => decode_alaw(code),
        };
        if code == u8::MAX {
            return table;
        }
        code += 1;
    }
}

/// Mu-law adds this to every magnitude so that segments double exactly.
const BIAS: i16 = 0x84;

const fn decode_mulaw(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((((code & 0x0f) as i16) << 3) + BIAS) << ((code & 0x70) >> 4);
    if code & 0x80 == 0 { magnitude - BIAS } else { BIAS - magnitude }
}

const fn decode_alaw(code: u8) -> i16 {
    let code = code ^ 0x55;
    let step = ((code & 0x0f) as i16) << 4;
    let magnitude = match (code & 0x70) >> 4 {
        0 => step + 8,
        segment => (step + 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

/// Encodes one linear sample as mu-law.
pub(crate) fn encode_mulaw(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs().min(32_635) + BIAS.unsigned_abs();
    let segment = 8 - magnitude.leading_zeros();
    let code = low_byte((magnitude >> (segment + 3)) & 0x0f) | (low_byte_of(segment) << 4);
    !(code | if sample < 0 { 0x80 } else { 0 })
}

/// Encodes one linear sample as A-law.
pub(crate) fn encode_alaw(sample: i16) -> u8 {
    let (magnitude, mask) = if sample < 0 { (!sample, 0x55) } else { (sample, 0xd5) };
    let magnitude = magnitude.unsigned_abs();
    let segment = 8_u32.saturating_sub(magnitude.leading_zeros());
    let step = low_byte((magnitude >> segment.max(1).saturating_add(3)) & 0x0f);
    (step | (low_byte_of(segment) << 4)) ^ mask
}

fn low_byte(value: u16) -> u8 {
    value.to_le_bytes()[0]
}

fn low_byte_of(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corner_codes_decode_as_the_standard_says() {
        assert_eq!([MULAW[0x00], MULAW[0x80], MULAW[0x7f], MULAW[0xff]], [-32_124, 32_124, 0, 0]);
        assert_eq!([ALAW[0x2a], ALAW[0xaa], ALAW[0x55], ALAW[0xd5]], [-32_256, 32_256, -8, 8]);
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=u8::MAX {
            let value = MULAW[usize::from(code)];
            assert_eq!(MULAW[usize::from(encode_mulaw(value))], value, "mu-law {code:#x}");
            assert_eq!(encode_alaw(ALAW[usize::from(code)]), code, "A-law {code:#x}");
        }
    }

    #[test]
    fn encoding_is_as_close_as_the_steps_allow() {
        for sample in i16::MIN..=i16::MAX {
            let wide = i32::from(sample);
            let room = wide.abs() / 16 + 16;
            let mulaw = i32::from(MULAW[usize::from(encode_mulaw(sample))]);
            let alaw = i32::from(ALAW[usize::from(encode_alaw(sample))]);
            assert!((mulaw - wide).abs() <= room.max(650), "mu-law {sample} became {mulaw}");
            assert!((alaw - wide).abs() <= room.max(16), "A-law {sample} became {alaw}");
        }
    }
}
