//! The tests that every board and the host run.

use crate::check;
use crate::harness::Case;
use crate::machine::Machine;

/// All of them, in the order they run.
#[must_use]
pub fn cases<M: Machine>() -> [Case<M>; 1] {
    [Case {
        name: "the_instruction_counter_counts_a_loop",
        run: |bench| {
            let total = bench.measure("loop_instructions", || {
                (0..1000u32).map(core::hint::black_box).sum::<u32>()
            });
            check!(total == 499_500);
            Ok(())
        },
    }]
}
