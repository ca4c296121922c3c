//! Serial ports with DMA, as `embedded-io` streams that sleep while they wait.
//!
//! Every transfer ends before the call that began it, so buffers may lie on the stack. Between calls the
//! receiver keeps up to four bytes, and then stops the sender if the port has wires for that.
//! Several ports may share one UARTE on other pins; whoever uses it takes it, which its registers tell.

use core::fmt;
use core::hint::spin_loop;
use core::sync::atomic::{Ordering, compiler_fence};
use cortex_m::asm;
use cortex_m::peripheral::NVIC;
use embedded_io::{Error, ErrorKind, ErrorType, Read, Write};
use nrf_pac::common::{RW, Reg};
use nrf_pac::gpio::vals::{Dir, Pull};
use nrf_pac::shared::regs::Psel;
use nrf_pac::uarte::regs::Config;
use nrf_pac::uarte::vals::{Baudrate, Enable};
use nrf_pac::{Interrupt, P0, P1, uarte};

/// Bytes sent at a time.
const PIECE: usize = 64;
/// Looks at a receiver that was told to stop. One that never ran does not say that it has.
const STOPPING: u32 = 1 << 14;

/// A pin of the chip, as in `P0.08`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Zero or one.
    pub port: u8,
    /// 0 to 31.
    pub pin: u8,
}

/// What a port is connected to. Without the two for flow control there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pins {
    /// Bytes in.
    pub receive: Pin,
    /// Bytes out.
    pub transmit: Option<Pin>,
    /// This side may send; this side may be sent to.
    pub flow: Option<[Pin; 2]>,
}

/// A serial port.
#[expect(missing_debug_implementations, reason = "the registers have none")]
pub struct Serial {
    registers: uarte::Uarte,
    interrupt: Interrupt,
    pins: Pins,
    speed: Baudrate,
}

/// What was received is not what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Bytes came faster than they were taken.
    Overrun,
    /// Something that is no byte: another speed, or a loose wire.
    Framing,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overrun => "bytes were lost",
            Self::Framing => "the line carries no bytes of this speed",
        })
    }
}

impl core::error::Error for Damage {}

impl Error for Damage {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidData
    }
}

impl Pin {
    fn select(self) -> Psel {
        let mut select = Psel(0);
        select.set_port(self.port != 0);
        select.set_pin(self.pin);
        select
    }

    /// As the UARTE wants it (table 113): outputs high, inputs pulled to where a line rests.
    fn configure(self, direction: Dir) {
        let port = if self.port == 0 { P0 } else { P1 };
        port.outset().write(|pins| pins.set_pin(self.pin.into(), true));
        port.pin_cnf(self.pin.into()).write(|pin| {
            pin.set_dir(direction);
            pin.set_pull(if direction == Dir::Input { Pull::Pullup } else { Pull::Disabled });
        });
    }
}

impl Serial {
    /// A port of a UARTE whose interrupt is `interrupt`. Nothing happens before it is used.
    ///
    /// # Safety
    /// Interrupts are masked for good, or none but this peripheral's wakes what must not be woken: its interrupt gets enabled while a call waits.
    #[must_use]
    pub const unsafe fn new(
        registers: uarte::Uarte,
        interrupt: Interrupt,
        pins: Pins,
        speed: Baudrate,
    ) -> Self {
        Self { registers, interrupt, pins, speed }
    }

    /// Takes the UARTE, unless its pins tell that it is this port's already.
    fn take(&self) {
        let (uarte, pins) = (self.registers, self.pins);
        let is_on = uarte.enable().read().enable() == Enable::Enabled;
        if is_on && uarte.psel().rxd().read() == pins.receive.select() {
            return;
        }
        if is_on {
            uarte.events_rxto().write_value(0);
            uarte.tasks_dma().rx().stop().write_value(1);
            uarte.tasks_dma().tx().stop().write_value(1);
            (0..STOPPING).take_while(|_| uarte.events_rxto().read() == 0).for_each(|_| spin_loop());
            uarte.enable().write(|enable| enable.set_enable(Enable::Disabled));
        }
        let nowhere = Psel(u32::MAX);
        let connect = |pin: Option<Pin>, direction| {
            pin.map_or(nowhere, |pin| {
                pin.configure(direction);
                pin.select()
            })
        };
        let [may_send, may_be_sent] = pins.flow.map_or([None; 2], |pins| pins.map(Some));
        uarte.psel().rxd().write_value(connect(Some(pins.receive), Dir::Input));
        uarte.psel().txd().write_value(connect(pins.transmit, Dir::Output));
        uarte.psel().cts().write_value(connect(may_send, Dir::Input));
        uarte.psel().rts().write_value(connect(may_be_sent, Dir::Output));
        let mut config = Config(0);
        config.set_hwfc(pins.flow.is_some());
        uarte.config().write_value(config);
        uarte.baudrate().write(|speed| speed.set_baudrate(self.speed));
        uarte.intenset().write(|events| {
            events.set_dmarxend(true);
            events.set_dmatxend(true);
        });
        uarte.enable().write(|enable| enable.set_enable(Enable::Enabled));
    }

    /// Sleeps until something has happened. Interrupts are masked: theirs only ends the sleep.
    fn wait_for(&self, event: Reg<u32, RW>) {
        // SAFETY: contract of `new`.
        unsafe { NVIC::unmask(self.interrupt) };
        while event.read() == 0 {
            NVIC::unpend(self.interrupt);
            if event.read() == 0 {
                asm::wfi();
            }
        }
        NVIC::mask(self.interrupt);
    }

    /// Whether what came is whole.
    fn check(&self) -> Result<(), Damage> {
        let errors = self.registers.errorsrc().read();
        if errors.0 == 0 {
            return Ok(());
        }
        // Ones erase.
        self.registers.errorsrc().write_value(errors);
        Err(if errors.overrun() { Damage::Overrun } else { Damage::Framing })
    }
}

/// Where DMA finds something. The chip's addresses have 32 bits.
fn address<T>(of: *const T) -> u32 {
    u32::try_from(of.expose_provenance()).unwrap_or(0)
}

impl ErrorType for Serial {
    type Error = Damage;
}

impl Read for Serial {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Damage> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        self.take();
        let (dma, done) = (self.registers.dma().rx(), self.registers.events_dma().rx().end());
        done.write_value(0);
        dma.ptr().write_value(address(first));
        dma.maxcnt().write(|count| count.set_maxcnt(1));
        compiler_fence(Ordering::SeqCst);
        self.registers.tasks_dma().rx().start().write_value(1);
        self.wait_for(done);
        compiler_fence(Ordering::SeqCst);
        self.check().map(|()| 1)
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Damage> {
        let count = bytes.len().min(PIECE);
        if count == 0 || self.pins.transmit.is_none() {
            return Ok(bytes.len());
        }
        self.take();
        // DMA does not reach flash, where constants are.
        let mut piece = [0; PIECE];
        piece[..count].copy_from_slice(&bytes[..count]);
        let (dma, done) = (self.registers.dma().tx(), self.registers.events_dma().tx().end());
        done.write_value(0);
        dma.ptr().write_value(address(&raw const piece));
        dma.maxcnt().write(|length| length.set_maxcnt(u16::try_from(count).unwrap_or(0)));
        compiler_fence(Ordering::SeqCst);
        self.registers.tasks_dma().tx().start().write_value(1);
        self.wait_for(done);
        compiler_fence(Ordering::SeqCst);
        Ok(count)
    }

    /// Nothing is left to send when [`Self::write`] has returned.
    fn flush(&mut self) -> Result<(), Damage> {
        Ok(())
    }
}
