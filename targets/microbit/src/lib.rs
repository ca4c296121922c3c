//! A model of the one peripheral that the micro:bit lacks.
#![no_std]
#![warn(missing_docs)]

pub mod uarte;
