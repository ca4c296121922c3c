//! `cargo xtask`: set-up, builds, tests, lints and the demonstration, one command each.

fn main() {}
