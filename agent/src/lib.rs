//! The hands: one per GPU host, it reports what the host can do.
