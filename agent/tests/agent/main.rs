//! An agent between engines, clouds and routers: what a router hears from it, and when.

mod hosts;
mod reports;
mod support;
