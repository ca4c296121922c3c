//! Serial ports with DMA, as `embedded-io` streams that sleep while they wait.
//!
//! A byte at a time is received, and the receiver keeps up to four more; then it stops the sender, if the
//! port has wires for that. Several ports may share one UARTE on other pins; whoever uses it takes it, which
//! its registers tell.

use core::fmt;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU8, Ordering, compiler_fence};
use cortex_m::asm;
use cortex_m::peripheral::NVIC;
use embedded_io::{Error, ErrorKind, ErrorType, Read, Write};
use nrf_pac::gpio::vals::{Dir, Pull};
use nrf_pac::shared::regs::Psel;
use nrf_pac::timer;
use nrf_pac::timer::vals::Bitmode;
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
    /// Where DMA puts the next byte, whenever it comes.
    byte: &'static AtomicU8,
    /// Whether the receiver was told to put it there.
    is_asked: bool,
}

/// A port that is waited for a limited time; then reading fails with [`ErrorKind::TimedOut`]. Damaged bytes
/// are read like others: for streams that see damage themselves.
#[expect(missing_debug_implementations, reason = "the registers have none")]
pub struct Limited {
    port: Serial,
    timer: timer::Timer,
    interrupt: Interrupt,
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
    /// Interrupts are masked for good, or this one's handler changes nothing: it is enabled while a call
    /// waits. `byte` is nobody else's.
    #[must_use]
    pub const unsafe fn new(
        registers: uarte::Uarte,
        interrupt: Interrupt,
        pins: Pins,
        speed: Baudrate,
        byte: &'static AtomicU8,
    ) -> Self {
        Self { registers, interrupt, pins, speed, byte, is_asked: false }
    }

    /// Takes the UARTE, unless its pins tell that it is this port's already.
    fn take(&mut self) {
        let (uarte, pins) = (self.registers, self.pins);
        let is_on = uarte.enable().read().enable() == Enable::Enabled;
        if is_on && uarte.psel().rxd().read() == pins.receive.select() {
            return;
        }
        self.is_asked = false;
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

    /// Has the next byte received, whenever it comes.
    fn ask(&mut self) {
        self.take();
        if self.is_asked {
            return;
        }
        let (dma, done) = (self.registers.dma().rx(), self.registers.events_dma().rx().end());
        done.write_value(0);
        dma.ptr().write_value(address(self.byte.as_ptr()));
        dma.maxcnt().write(|count| count.set_maxcnt(1));
        compiler_fence(Ordering::SeqCst);
        self.registers.tasks_dma().rx().start().write_value(1);
        self.is_asked = true;
    }

    fn has_byte(&self) -> bool {
        self.registers.events_dma().rx().end().read() != 0
    }

    /// Takes the byte that was received.
    fn byte(&mut self) -> u8 {
        compiler_fence(Ordering::SeqCst);
        self.is_asked = false;
        self.byte.load(Ordering::Relaxed)
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

impl Limited {
    /// A port whose waits end after so many ticks, 31,250 a second, by a timer that is nobody else's.
    ///
    /// # Safety
    /// As for [`Serial::new`], of the timer's interrupt.
    #[must_use]
    pub unsafe fn new(port: Serial, timer: timer::Timer, interrupt: Interrupt, ticks: u16) -> Self {
        timer.bitmode().write(|mode| mode.set_bitmode(Bitmode::_16bit));
        timer.prescaler().write(|prescaler| prescaler.set_prescaler(9));
        timer.cc(0).write_value(ticks.into());
        timer.shorts().write(|shorts| shorts.set_compare_stop(0, true));
        timer.intenset().write(|events| events.set_compare(0, true));
        Self { port, timer, interrupt }
    }
}

impl ErrorType for Limited {
    type Error = ErrorKind;
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        let Self { port, timer, interrupt } = self;
        port.ask();
        let end = timer.events_compare(0);
        end.write_value(0);
        timer.tasks_clear().write_value(1);
        timer.tasks_start().write_value(1);
        sleep_until(&[port.interrupt, *interrupt], || port.has_byte() || end.read() != 0);
        timer.tasks_stop().write_value(1);
        if !port.has_byte() {
            return Err(ErrorKind::TimedOut);
        }
        *first = port.byte();
        port.check().ok();
        Ok(1)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.port.write(bytes).map_err(|damage| damage.kind())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Sleeps until `is_over`, which one of these interrupts says. They are masked: they only end the sleep.
fn sleep_until(interrupts: &[Interrupt], is_over: impl Fn() -> bool) {
    while !is_over() {
        for &interrupt in interrupts {
            NVIC::unpend(interrupt);
            // SAFETY: contracts of `Serial::new` and `Limited::new`.
            unsafe { NVIC::unmask(interrupt) };
        }
        if !is_over() {
            asm::wfi();
        }
    }
    interrupts.iter().for_each(|&interrupt| NVIC::mask(interrupt));
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
        self.ask();
        sleep_until(&[self.interrupt], || self.has_byte());
        *first = self.byte();
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
        sleep_until(&[self.interrupt], || done.read() != 0);
        compiler_fence(Ordering::SeqCst);
        Ok(count)
    }

    /// Nothing is left to send when [`Self::write`] has returned.
    fn flush(&mut self) -> Result<(), Damage> {
        Ok(())
    }
}
