//! SIMD kernels, and one of two host crates with `unsafe` code.
//!
//! A set of kernels is a *witness*: a value that only a successful look at the CPU can make. The
//! kernels are written once, over the registers of any set (`lanes`), and are safe functions; what
//! is left of `unsafe` is in the file of each set: loads, stores, and the step from a witness to
//! its instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod gemm;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pointwise;
mod set;
#[cfg(test)]
mod tests;
mod transform;

use he_core::ring::{Kernels, Portable};

/// The fastest kernels this machine can run; all sets agree bit for bit.
///
/// The environment variable `HE_KERNELS` forces one of them by its name: `portable`, `avx2`,
/// `avx512` or `neon`. A name that this machine cannot run, or that is none of these, is as good
/// as none.
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
    [avx512::kernels(), avx2::kernels()]
}

#[cfg(target_arch = "aarch64")]
fn detected() -> [Option<&'static dyn Kernels>; 1] {
    [Some(neon::kernels())]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> [Option<&'static dyn Kernels>; 0] {
    []
}
