//! Coded test audio: speech that counts itself. Every word is a chord of ten tones that tells the session and the
//! word's number, between real pauses; so a test knows exactly which words were lost or doubled on the way, without a
//! model. It survives G.711, resampling, noise and changes of loudness, and can be joined anywhere.
//!
//! A [`Script`] lists the words of a session; a [`Voice`] speaks it, and [`record`] makes a stream of Opus of that; an
//! [`Ear`] hears which words were spoken; a [`Checker`] compares the words that a caller received with the script.
//! Everything follows from the session's number: whoever hears a word knows its text.

mod alignment;
mod checker;
mod chord;
mod ear;
mod recorder;
mod script;
mod spectrum;
mod tracker;
mod vocabulary;
mod voice;

pub use checker::{Checker, Tally};
pub use ear::{Ear, HeardWord};
pub use recorder::{Recorder, record};
pub use script::{CodedWord, Script, Words, text};
pub use voice::Voice;

#[cfg(test)]
mod tests;
