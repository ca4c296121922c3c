//! Where the secret is, and where it is no more.

use he_firmware::check;
use he_firmware::harness::{Bench, Failure};
use he_firmware::model::CIPHERTEXTS;

use super::{Wall, fresh, room};
use crate::scan::Form;
use crate::tape::SCANNED;
use crate::watch::{SCAN, SEEN};

/// Windows of a form in all RAM.
fn found<M: Wall>(form: Form) -> u32 {
    (M::GATE)(SCAN + form as u32, 0)
}

/// Provisions the vault with the secret that scans look for, and encrypts.
pub(super) fn fill<M: Wall>() -> Result<(), Failure> {
    let mut room = room()?;
    let mut gateway = fresh::<M>(&mut room, SCANNED)?;
    check!(gateway.provision().is_ok());
    check!(gateway.begin(&[1, 2, 3]).is_ok());
    for (index, _) in (0..).zip(0..CIPHERTEXTS) {
        check!(gateway.encrypt(index, |_| 1).is_ok());
    }
    check!(gateway.finish().is_ok());
    Ok(())
}

pub(super) fn expanded_only<M: Wall>(bench: &mut Bench<'_, M>) -> Result<(), Failure> {
    fill::<M>()?;
    // That scans find what is there: every window of both limbs, and the packed secret while it came.
    let expanded = found::<M>(Form::Expanded);
    bench.report("windows_of_the_expanded_secret", expanded.into());
    check!(expanded >= 2 * 4095);
    let seen = (M::GATE)(SEEN, 0);
    bench.report("windows_of_the_packed_secret_seen", seen.into());
    check!(seen >= 250);
    check!(found::<M>(Form::Messages) >= 1);
    check!(found::<M>(Form::Packed) == 0, "the packed secret is still there");
    Ok(())
}

pub(super) fn wiped<M: Wall>(_: &mut Bench<'_, M>) -> Result<(), Failure> {
    fill::<M>()?;
    check!(found::<M>(Form::Expanded) >= 2 * 4095);
    check!(fresh::<M>(&mut *room()?, 0).is_ok());
    check!(found::<M>(Form::Packed) == 0, "of the packed secret");
    check!(found::<M>(Form::Expanded) == 0, "of the expanded secret");
    check!(found::<M>(Form::Messages) == 0, "of the seed of message seeds");
    Ok(())
}
