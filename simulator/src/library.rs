//! What is built in: scenarios, fleets and spot sets that can be named instead of written.

/// A file that came with the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// What it is called.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! built_in {
    ($($name:literal at $path:literal),+ $(,)?) => {
        &[$(BuiltIn { name: $name, text: include_str!(concat!("../scenarios/", $path)) }),+]
    };
}

/// Scenarios. Those whose names begin with `W` need traces, but for `W8`.
pub const SCENARIOS: &[BuiltIn] = built_in![
    "W1" at "W1.yaml",
    "W2" at "W2.yaml",
    "W3" at "W3.yaml",
    "W5a" at "W5a.yaml",
    "W8" at "W8.yaml",
    "S" at "S.yaml",
    "W1-streams" at "W1-streams.yaml",
    "W2-streams" at "W2-streams.yaml",
    "W3-streams" at "W3-streams.yaml",
    "S-streams" at "S-streams.yaml",
    "X1" at "failures/X1.yaml",
    "X2" at "failures/X2.yaml",
    "X3" at "failures/X3.yaml",
    "X4" at "failures/X4.yaml",
    "X5" at "failures/X5.yaml",
    "X6" at "failures/X6.yaml",
    "X7" at "failures/X7.yaml",
    "X8" at "failures/X8.yaml",
    "storm" at "failures/storm.yaml",
];

/// Fleets.
pub const FLEETS: &[BuiltIn] = built_in![
    "F-30" at "fleets/F-30.yaml",
    "F-20" at "fleets/F-20.yaml",
    "storm" at "fleets/storm.yaml",
    "erlang-64" at "fleets/erlang-64.yaml",
    "erlang-512" at "fleets/erlang-512.yaml",
    "erlang-2048" at "fleets/erlang-2048.yaml",
];

/// Spot sets. `synthetic` needs no traces.
pub const SPOT_SETS: &[BuiltIn] = built_in![
    "A" at "spot/A.yaml",
    "B" at "spot/B.yaml",
    "synthetic" at "spot/synthetic.yaml",
];

/// Finds what is called `name`.
#[must_use]
pub fn find(name: &str, among: &'static [BuiltIn]) -> Option<BuiltIn> {
    among.iter().find(|built_in| built_in.name.eq_ignore_ascii_case(name)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{FleetFile, Scenario};
    use crate::traces::SpotFile;

    #[test]
    fn everything_that_is_built_in_is_understood_and_called_what_its_file_says() {
        for BuiltIn { name, text } in SCENARIOS {
            let scenario: Scenario = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, *name);
            assert!(find(&scenario.fleet, FLEETS).is_some(), "{name}");
            assert!(scenario.spot.is_none_or(|spot| find(&spot, SPOT_SETS).is_some()), "{name}");
        }
        for BuiltIn { name, text } in FLEETS {
            assert_eq!(serde_saphyr::from_str::<FleetFile>(text).unwrap().name, *name);
        }
        for BuiltIn { name, text } in SPOT_SETS {
            assert_eq!(serde_saphyr::from_str::<SpotFile>(text).unwrap().name, *name);
        }
    }
}
