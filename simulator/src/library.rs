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

/// Scenarios. `S` and the `W8` ones need no traces.
pub const SCENARIOS: &[BuiltIn] = built_in![
    "W1" at "W1.yaml",
    "W2" at "W2.yaml",
    "W3" at "W3.yaml",
    "W5a" at "W5a.yaml",
    "W8" at "W8.yaml",
    "S" at "S.yaml",
];

/// Fleets.
pub const FLEETS: &[BuiltIn] = built_in![
    "F-30" at "fleets/F-30.yaml",
    "F-20" at "fleets/F-20.yaml",
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
