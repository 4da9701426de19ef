//! The frame: shutdown, logs, metrics and health of every process.
