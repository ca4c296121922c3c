//! Key authority, encrypted-inference server and host client: everything that needs an operating
//! system.
#![forbid(unsafe_code)]

extern crate alloc;

// The machine.
pub mod connection;
pub mod files;
pub mod memory;
pub mod progress;
pub mod random;
pub mod threads;
pub mod turn;

// What is read and written.
pub mod objective;
pub mod dataset;
pub mod evidence;
pub mod import;
pub mod precision;
pub mod preset;
pub mod report;
pub mod store;
pub mod trace;

// What is computed.
pub mod adapter;
pub mod clear;
pub mod engine;
pub mod noise;
pub mod plan;

// Who takes part.
pub mod authority;
pub mod client;
pub mod finetune;
pub mod personal;
pub mod server;

pub mod compare;

pub mod cli;
