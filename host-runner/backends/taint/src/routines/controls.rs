//! Routines that leak, each in one way.

use core::hint::black_box;

use super::seed;

/// Jumps by secret bits; time depends on how many are set.
pub(crate) fn branch(secret: &[u8]) -> Box<dyn FnMut()> {
    let secret = secret.to_vec();
    Box::new(move || {
        for &byte in &secret {
            if byte & 1 == 1 {
                black_box(seed(&[black_box(byte); 32], 0));
            }
        }
    })
}

/// Reads at secret places of a table.
pub(crate) fn address(secret: &[u8]) -> Box<dyn FnMut()> {
    let secret = secret.to_vec();
    let table: Vec<u8> = (0..=255u8).rev().collect();
    Box::new(move || {
        black_box(secret.iter().fold(0u8, |sum, &byte| sum ^ table[usize::from(byte)]));
    })
}

/// Divides two words by one, which is a function with branches.
pub(crate) fn remainder(secret: &[u8]) -> Box<dyn FnMut()> {
    let secret = secret.to_vec();
    Box::new(move || {
        for words in secret.as_chunks().0 {
            let x = u128::from_le_bytes(*words);
            black_box(x % u128::from(black_box(0x1fff_ffff_ffff_fff1_u64)));
        }
    })
}
