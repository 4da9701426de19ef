//! The engine as its callers meet it: a real port, real clients.

mod caller;
mod doors;
mod faults;
mod files;
mod speech;
mod streams;
