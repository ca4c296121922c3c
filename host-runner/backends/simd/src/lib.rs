//! SIMD kernels, and the only host crate with `unsafe` code.
