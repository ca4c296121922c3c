//! One order, answered on the console and the device's serial port.

use alloc::format;
use alloc::string::ToString;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use he_core::params::Params;
use key_authority::Error;
use key_authority::attest::SoftwareRoot;
use key_authority::file::File;
use key_authority::order::{LONGEST, Order};
use key_authority::record::Tag;
use key_authority::session::{Outlet, Session};
use zeroize::Zeroize;

use crate::console::Console;
use crate::memory;
use crate::ports::Port;

/// The status that says all is well; the emulator makes 33 of it.
pub const GOOD: u32 = 0x10;
/// The status that says it is not.
pub const BAD: u32 = 0x11;

/// Bytes that are collected for one record.
const RECORD: usize = 1 << 16;

/// What an image decides: where its seed comes from and which parameters there are.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// 32 bytes of full entropy.
    pub seed: fn() -> Result<[u8; 32], Error>,
    /// The parameter set with a digest, if keys are made for it.
    pub params: fn(u64) -> Option<Params>,
}

/// Answers the order that the host left with the start-up record at `record`; then erases all.
pub fn run(world: World, record: u64) -> ! {
    memory::take_heap();
    let Some(mut host) = Console::open() else { memory::erase_and_exit(BAD) };
    let finished = answer(world, record, &mut host).and_then(|()| {
        let figures = format!("{{\"ram_bytes\": {}}}", memory::high_water());
        send(&mut host, Tag::Done, figures.as_bytes())
    });
    if let Err(error) = &finished {
        // The status says it as well.
        send(&mut host, Tag::Fail, error.to_string().as_bytes()).ok();
    }
    memory::erase_and_exit(if finished.is_ok() { GOOD } else { BAD })
}

fn answer(world: World, record: u64, host: &mut Console) -> Result<(), Error> {
    let order = memory::order(record, LONGEST)?;
    let order = Order::parse(&order, world.params)?;
    let mut device = Port::device().ok_or(Error::Link)?;
    let mut seed = (world.seed)()?;
    let rng = ChaCha20Rng::from_seed(seed);
    seed.zeroize();
    let mut session = Session::new(order, rng)?;
    send(host, Tag::Plan, &session.order().public_bytes().to_le_bytes())?;
    session.provision(|bytes| {
        device.send(bytes);
        Ok(())
    })?;
    let mut records = Records { host, bytes: alloc::vec::Vec::with_capacity(RECORD) };
    session.publish(&mut records, &SoftwareRoot, memory::measurement())?;
    records.flush()
}

fn send(host: &mut Console, tag: Tag, body: &[u8]) -> Result<(), Error> {
    // No body is longer than a record.
    host.send(&tag.head(u32::try_from(body.len()).unwrap_or(0)))?;
    host.send(body)
}

/// Public objects as records.
struct Records<'a> {
    host: &'a mut Console,
    bytes: alloc::vec::Vec<u8>,
}

impl Records<'_> {
    fn flush(&mut self) -> Result<(), Error> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let sent = send(self.host, Tag::Data, &self.bytes);
        self.bytes.clear();
        sent
    }
}

impl Outlet for Records<'_> {
    fn begin(&mut self, file: File, _: u64) -> Result<(), Error> {
        self.flush()?;
        send(self.host, Tag::File, file.to_string().as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.bytes.len() + bytes.len() > RECORD {
            self.flush()?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}
