//! SIMD kernels, and the only host crate with `unsafe` code.
//!
//! A set of kernels is a *witness*: a value that only a successful look at the CPU can make. So
//! the kernels themselves are safe functions, and what is left of `unsafe` is loads, stores and
//! the step from a witness to its functions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod roots;
#[cfg(test)]
mod tests;

use he_core::ring::{Kernels, Portable};

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;

/// The fastest kernels this machine can run; all sets agree bit for bit.
///
/// The environment variable `HE_KERNELS` forces one of them by its name: `portable`, `avx2` or
/// `avx512`. A name that this machine cannot run, or that is none of these, is as good as none.
///
/// Looks each time it is called: call it once and pass the value on.
#[must_use]
pub fn best() -> &'static dyn Kernels {
    choose(std::env::var("HE_KERNELS").ok().as_deref())
}

/// All kernels this machine can run, the fastest first and [`Portable`] last.
pub fn available() -> impl Iterator<Item = &'static dyn Kernels> {
    detected().into_iter().flatten().chain([&Portable as &dyn Kernels])
}

fn choose(wanted: Option<&str>) -> &'static dyn Kernels {
    available()
        .find(|kernels| wanted == Some(kernels.name()))
        .or_else(|| available().next())
        .unwrap_or(&Portable)
}

#[cfg(target_arch = "x86_64")]
fn detected() -> [Option<&'static dyn Kernels>; 2] {
    [
        Avx512::detect().map(|kernels| kernels as &dyn Kernels),
        Avx2::detect().map(|kernels| kernels as &dyn Kernels),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn detected() -> [Option<&'static dyn Kernels>; 0] {
    []
}
