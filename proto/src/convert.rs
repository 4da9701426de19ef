//! Conversions between wire messages and the scheduler's types.

mod engine;
mod place;
mod report;

pub use place::{Refused, decision_from_reply, reply_from_decision, request_from_wire, request_to_wire};
pub use report::{report_from_wire, report_to_wire};

/// Says which field of a message cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad {field}: {problem}")]
pub struct BadMessage {
    field: &'static str,
    problem: String,
}

impl BadMessage {
    fn new(field: &'static str, problem: &dyn ToString) -> Self {
        Self { field, problem: problem.to_string() }
    }
}

impl From<BadMessage> for tonic::Status {
    fn from(bad: BadMessage) -> Self {
        Self::invalid_argument(bad.to_string())
    }
}

/// Parses a name, saying which field it came from.
fn name<T>(field: &'static str, text: &str) -> Result<T, BadMessage>
where
    T: std::str::FromStr,
    T::Err: ToString,
{
    text.parse().map_err(|error: T::Err| BadMessage::new(field, &error))
}
