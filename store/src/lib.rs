//! The memory: what must outlive a process or be shared.
