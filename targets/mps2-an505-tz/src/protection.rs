//! What is whose: the attribution unit, the memories' controllers, the peripherals' controllers.

use core::ops::Range;

use cortex_m::peripheral::SAU;
use cortex_m::peripheral::sau::{SauRegion, SauRegionAttribute};

use crate::map::{APPLICATION_FLASH, APPLICATION_RAM, GATEWAY, PERIPHERALS};

/// A register of 32 bits.
const fn register(address: usize) -> *mut u32 {
    core::ptr::without_provenance_mut(address)
}

/// What a blocked access becomes: a bus fault, instead of zeros.
const BLOCKED_RESPONSE: *mut u32 = register(0x5008_0010);
/// Which halves of the memory map may have secure gateways: bit 0 code.
const GATEWAYS: *mut u32 = register(0x5008_0014);
/// Non-secure peripherals of the subsystem: bit 0 is `TIMER0`, bit 1 `TIMER1`.
const TIMERS: *mut u32 = register(0x5008_0070);
/// Non-secure peripherals of the second expansion: bit 5 is `UART0`, and so on.
const PORTS: *mut u32 = register(0x5008_0084);
/// Interrupts that go to the non-secure world: 0 to 31, of which 4 is that of `TIMER1`, then 32 to 63.
const INTERRUPTS: [*mut u32; 2] = [register(0xE000_E380), register(0xE000_E384)];
/// Which coprocessors the non-secure world may use: none, so no registers of theirs need erasing.
const COPROCESSORS: *mut u32 = register(0xE000_ED8C);
/// Which world's exceptions go first, and who may reset: the secure one. The upper half is a key.
const CONTROL: *mut u32 = register(0xE000_ED0C);
const SECURE_FIRST: u32 = 0x05FA_0000 | 1 << 14 | 1 << 3;
/// Enabled fault handlers: `SecureFault`, `UsageFault`, `BusFault`, `MemManage`.
const HANDLERS: *mut u32 = register(0xE000_ED24);

/// The memory protection controllers of the first and the third static RAM.
const CODE_MEMORY: usize = 0x5800_7000;
const DATA_MEMORY: usize = 0x5800_9000;
/// Where the application addresses these memories.
const CODE_START: usize = 0;
const DATA_START: usize = 0x2820_0000;

/// Gives the application its memory and its peripherals: the ports to the server and the operator and
/// two timers. To be called once, first.
///
/// # Panics
/// If the processor has fewer regions than are needed.
pub fn set_up(sau: &mut SAU) {
    let regions = [
        (&APPLICATION_FLASH, SauRegionAttribute::NonSecure),
        (&APPLICATION_RAM, SauRegionAttribute::NonSecure),
        (&PERIPHERALS, SauRegionAttribute::NonSecure),
        (&GATEWAY, SauRegionAttribute::NonSecureCallable),
    ];
    for (number, (range, attribute)) in (0..).zip(regions) {
        let (base_address, limit_address) = (address(range.start), address(range.end - 1));
        let region = SauRegion { base_address, limit_address, attribute };
        let outcome = sau.set_region(number, region);
        assert!(outcome.is_ok(), "a region that the processor does not have");
    }
    sau.enable();
    open(CODE_MEMORY, CODE_START, &APPLICATION_FLASH);
    open(DATA_MEMORY, DATA_START, &APPLICATION_RAM);
    // SAFETY: the registers named above, each with a value that takes nothing from the secure world that
    // it uses: it has the second serial port, and no interrupts.
    unsafe {
        BLOCKED_RESPONSE.write_volatile(1);
        GATEWAYS.write_volatile(1);
        TIMERS.write_volatile(0b11);
        PORTS.write_volatile(1 << 5 | 1 << 7);
        INTERRUPTS[0].write_volatile(1 << 4);
        INTERRUPTS[1].write_volatile(u32::MAX);
        COPROCESSORS.write_volatile(0);
        CONTROL.write_volatile(SECURE_FIRST);
        HANDLERS.write_volatile(0b1111 << 16);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

#[expect(clippy::cast_possible_truncation, reason = "addresses have 32 bits here")]
const fn address(address: usize) -> u32 {
    address as u32
}

/// Makes `range` non-secure in the memory that starts at `start`. A bit of the table stands for a block,
/// whose size the controller tells.
fn open(controller: usize, start: usize, range: &Range<usize>) {
    const SIZE: usize = 0x14;
    const INDEX: usize = 0x18;
    const TABLE: usize = 0x1C;
    // SAFETY: registers of a memory protection controller of this board.
    let block = unsafe { 32usize << (register(controller + SIZE).read_volatile() & 0xF) };
    let (first, end) = ((range.start - start) / block, (range.end - start) / block);
    for word in first / 32..end.div_ceil(32) {
        let bits = (0..32).filter(|bit| (first..end).contains(&(32 * word + bit)));
        let bits = bits.fold(0u32, |bits, bit| bits | 1 << bit);
        // SAFETY: as above; the memory that becomes non-secure has nothing of the secure world's.
        unsafe {
            register(controller + INDEX).write_volatile(address(word));
            register(controller + TABLE).write_volatile(bits);
        }
    }
}
