//! Narrowing of sample values: the only place where a wider number becomes 16 bits, always by saturation.

/// Narrows an integer to 16 bits; what is too loud is clipped.
pub(crate) fn clip(wide: i32) -> i16 {
    i16::try_from(wide.clamp(i32::from(i16::MIN), i32::from(i16::MAX))).unwrap_or_default()
}

/// Rounds to 16 bits; what is too loud is clipped, what is not a number becomes silence.
#[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is what clipping means")]
pub(crate) fn round(wide: f32) -> i16 {
    (wide + 0.5).floor() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_loud_is_clipped_and_never_wraps() {
        assert_eq!((clip(40_000), clip(-40_000), clip(-7)), (i16::MAX, i16::MIN, -7));
        assert_eq!((round(1e9), round(-1e9), round(f32::NAN), round(-1.6)), (i16::MAX, i16::MIN, 0, -2));
    }
}
