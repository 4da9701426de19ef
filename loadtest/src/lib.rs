//! The proof: virtual callers and benchmarks.
