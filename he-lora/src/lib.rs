//! Personal low-rank adapters whose weights stay encrypted.
#![no_std]
#![forbid(unsafe_code)]
