//! The wall between a device's secrets and its application.
//!
//! On one side runs the [`vault::Vault`], which holds the secrets, in memory that the application
//! cannot address; on the other the application, with [`gateway::Gateway`] as its keeper of secrets.
//! Between them is a table of seven calls ([`call`]), whose arguments are checked by
//! [`memory::admit`] before anything is done. What separates the memories (`TrustZone`, PMP) and how
//! control passes are a board's business, behind [`vault::Application`] and [`gateway::Gate`].
//!
//! Each module imports only the modules above it.
#![no_std]
#![warn(missing_docs)]

pub mod call;
pub mod memory;

pub mod vault;

pub mod gateway;

// For tests of the wall: what the vault's side has, then the application's.
pub mod tape;

pub mod scan;

pub mod watch;

pub mod suite;
