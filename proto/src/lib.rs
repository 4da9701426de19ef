//! The wire: gRPC contracts between the processes, and their conversions to and from the scheduler's types.
//!
//! [`v1`] is generated. [`convert`] is the only place where a wire message becomes a typed value: what is missing or
//! malformed is a [`BadMessage`] that names the field and shows the value.

pub mod convert;

pub use convert::BadMessage;

/// The contracts of package `crosspoint.v1`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::pedantic,
    clippy::nursery,
    clippy::excessive_nesting,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("crosspoint.v1");
}
