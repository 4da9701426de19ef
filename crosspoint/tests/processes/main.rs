//! The real binary: its processes started, called, fed with nonsense and killed.

mod bad_input;
mod bad_start;
mod bad_streams;
mod bad_uploads;
mod benches;
mod chaos;
mod compose;
mod dashboards;
mod decisions;
mod engines;
mod hosts;
mod keys;
mod limits;
mod long_files;
mod main_job;
mod node_death;
mod operators;
mod redis_faults;
mod resume;
mod router_faults;
mod rules;
mod shared_state;
mod support;
mod survival;
mod two_routers;
mod usage;
