//! Key authority, encrypted-inference server and host client.

fn main() {}
