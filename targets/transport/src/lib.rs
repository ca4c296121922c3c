//! A reliable stream of bytes over lines that lose, damage, repeat and delay.
//!
//! Two layers. [`Packets`] sends and receives short packets, each whole or not at all: [`Serial`] over a serial
//! port (`COBS` frames with a CRC-32), [`Datagrams`] over whatever has packets of its own (radio, SPI,
//! UDP; with a CRC-32). [`Stream`] makes of packets a stream that is read and written by the traits of
//! `embedded-io`: chunks are numbered, each is repeated until it is acknowledged, and a chunk that stays
//! without answer is an error. After it the same stream goes on at that chunk, however long the line was cut.
//!
//! This is against accidents. Against adversaries, what travels is authenticated by `he_core::wire`.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod packet;

mod datagrams;
mod serial;

mod stream;

pub use datagrams::{Datagram, Datagrams};
pub use packet::{LONGEST, Packets};
pub use serial::Serial;
pub use stream::{CHUNK, Error, Stream};
