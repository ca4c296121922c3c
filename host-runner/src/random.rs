//! Randomness from the operating system, expanded by `ChaCha20`.

use anyhow::{Result, anyhow};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use zeroize::Zeroize;

/// A generator with a fresh seed from the operating system.
///
/// # Errors
/// If the system has no randomness to give; nothing may then be encrypted or generated.
pub fn generator() -> Result<ChaCha20Rng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| anyhow!("the system gives no randomness: {e}"))?;
    let generator = ChaCha20Rng::from_seed(seed);
    seed.zeroize();
    Ok(generator)
}
