//! Caller APIs: what developers' SDKs speak. They know session events, never engine adapters.

pub(crate) mod listen;
