//! What a device must remember when power fails at any moment, on any NOR flash.
//!
//! | type | remembers | flash |
//! |---|---|---|
//! | [`Monotonic`] | a number that only grows | two pages |
//! | [`Counter`] | which numbers were given out, so that none is given twice | two pages |
//! | [`DeviceKey`] | the key that secrets are sealed under, made by the device | one page |
//! | [`Vault`] | secrets, sealed, of which no older version is accepted | two pages, and two of a [`Monotonic`] |
//!
//! Each owns its pages, given as an `embedded_storage::nor_flash::NorFlash` of exactly that size. No
//! word is written twice between two erasures, so flash with error correction will do. [`simulated`]
//! is a flash that loses power where a test wants it to.
//!
//! Whoever can write the pages of the device key and of the numbers can undo everything; those
//! belong in flash that is locked against readers and writers from outside.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod flash;

pub mod simulated;

mod monotonic;

mod counter;
mod device_key;

mod vault;

pub use counter::Counter;
pub use device_key::DeviceKey;
pub use error::Error;
pub use monotonic::Monotonic;
pub use vault::Vault;
