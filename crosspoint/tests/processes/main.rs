//! The real binary: its processes started, called, fed with nonsense and killed.

mod bad_input;
mod bad_start;
mod bad_streams;
mod engines;
mod keys;
mod limits;
mod main_job;
mod node_death;
mod redis_faults;
mod router_faults;
mod rules;
mod shared_state;
mod support;
mod two_routers;
mod usage;
