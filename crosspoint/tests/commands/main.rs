//! The command as its users meet it: arguments in, text and exit codes out, against servers that say what they are told.

mod configuration;
mod fake;
mod listings;
mod operators;
mod simulate;
mod transcribe;
