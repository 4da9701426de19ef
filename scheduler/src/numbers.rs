//! Conversions from floats, in one place: casts saturate, and what is not a number becomes zero.

/// Rounds to the nearest whole number. On processors before SSE 4.1, which programs are made for, `f64::round` is a call.
#[expect(clippy::cast_possible_truncation, reason = "casts from float saturate")]
pub(crate) fn whole(number: f64) -> i64 {
    (number + 0.5_f64.copysign(number)) as i64
}

/// Rounds down to a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts from float saturate")]
pub(crate) fn count(number: f32) -> u32 {
    number as u32
}

/// Keeps the precision that a comparison needs.
#[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is meant")]
pub(crate) fn short(number: f64) -> f32 {
    number as f32
}
