//! The command.
mod config;
fn main() {
    let _ = config::Config::load(None);
    let _ = config::colours_wanted();
}
