//! Ratios written the way operators do: `80%`. Use as `#[serde(with = "percent")]`.

use serde::{Deserialize, Deserializer, Serializer};

use crate::units::Ratio;

/// Writes a ratio with its sign.
pub(super) fn serialize<S: Serializer>(ratio: &Ratio, serializer: S) -> Result<S::Ok, S::Error> {
    // A tenth of a per mille is finer than any threshold; more digits would only show that floats are binary.
    let percent = (f64::from(ratio.get()) * 1e6).round() / 1e4;
    serializer.collect_str(&format_args!("{percent}%"))
}

/// Reads `80%`, and nothing without the sign: 0.8 and 80 are too easily mixed up.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ratio, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f32>().ok());
    number
        .and_then(|percent| Ratio::try_from(percent / 100.0).ok())
        .ok_or_else(|| serde::de::Error::custom(format!("expected a share from 0% to 100%, got {text:?}")))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Share(#[serde(with = "super")] Ratio);

    #[test]
    fn a_share_reads_back_as_it_was_written() {
        for text in ["\"80%\"", "\"0%\"", "\"100%\"", "\"0.5%\"", "\"92%\""] {
            let share: Share = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&share).unwrap(), text);
        }
    }

    #[test]
    fn a_share_without_its_sign_is_refused_with_its_value() {
        for text in ["\"80\"", "\"101%\"", "\"-1%\"", "\"%\"", "\"NaN%\""] {
            let error = serde_json::from_str::<Share>(text).unwrap_err().to_string();
            assert!(error.contains("expected a share from 0% to 100%, got"), "{error}");
        }
    }
}
