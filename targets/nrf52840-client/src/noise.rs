//! The chip's random number generator as a source of raw noise.
//!
//! It gives bytes of a noisy analogue circuit, of which a digital corrector removes the bias. The
//! corrector is switched on because the makers specify no other mode's distribution; the health tests
//! see what is behind it.

use he_entropy::{Claim, Noise, Silent};
use nrf_pac::rng::Rng;

/// Cycles between two looks at the generator: some hundredths of what a byte takes.
const LOOK: u32 = 512;
/// Looks until it counts as silent: a tenth of a second, in which there should be hundreds of bytes.
const PATIENCE: u32 = 1 << 14;

/// The generator, which sleeps between samples.
#[expect(missing_debug_implementations, reason = "the registers have none")]
pub struct RandomBytes(Rng);

impl RandomBytes {
    /// Sets it up to stop behind every byte.
    #[must_use]
    pub fn new(generator: Rng) -> Self {
        generator.config().write(|config| config.set_dercen(true));
        generator.shorts().write(|shorts| shorts.set_valrdy_stop(true));
        Self(generator)
    }
}

impl Noise for RandomBytes {
    /// Half of what a byte has room for. The makers publish no assessment.
    const CLAIM: Claim = Claim::new(8, 64, 30);

    fn sample(&mut self) -> Result<u8, Silent> {
        self.0.events_valrdy().write_value(0);
        self.0.tasks_start().write_value(1);
        for _ in 0..PATIENCE {
            if self.0.events_valrdy().read() != 0 {
                return Ok(self.0.value().read().value());
            }
            cortex_m::asm::delay(LOOK);
        }
        Err(Silent)
    }
}
