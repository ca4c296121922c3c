//! The console, for records to the host: faster than a serial port, where each byte is an exit to the host.
//!
//! Source: Virtual I/O Device (VIRTIO) Version 1.2, sections 4.2 (registers in memory) and 5.3 (console).

use alloc::boxed::Box;
use alloc::vec;
use core::ptr::{NonNull, with_exposed_provenance_mut};

use key_authority::Error;
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Where the machine has places for devices, how many, and bytes of each.
const PLACES: usize = 0xfeb0_0000;
const COUNT: usize = 24;
const BYTES: usize = 0x200;

/// The machine's console.
#[expect(missing_debug_implementations, reason = "the driver has none")]
pub struct Console(VirtIOConsole<Open, MmioTransport<'static>>);

impl Console {
    /// The first console there is. To be called once, when there is a heap.
    #[must_use]
    pub fn open() -> Option<Self> {
        (0..COUNT).find_map(|place| {
            let header = NonNull::new(with_exposed_provenance_mut(PLACES + place * BYTES))?;
            // SAFETY: registers of the machine's, mapped, and the program's alone; where there is no device
            // they say so.
            let device = unsafe { MmioTransport::new(header, BYTES) }.ok()?;
            let is_console = device.device_type() == DeviceType::Console;
            is_console.then(|| VirtIOConsole::new(device).ok().map(Self))?
        })
    }

    /// Sends bytes, however long it takes.
    ///
    /// # Errors
    /// [`Error::Link`] if the device does not do what it must.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.0.send_bytes(bytes).map_err(|_| Error::Link)
    }
}

/// Memory that the host can use as it is: none is encrypted. A guest whose memory is must share pages for the
/// queues with the host, and copy to them what it sends.
struct Open;

/// A page of a queue.
#[derive(Clone)]
#[repr(align(4096))]
struct Page {
    _bytes: [u8; PAGE_SIZE],
}

// SAFETY: pages come from the heap, whole and zero, and addresses are the same for both sides.
unsafe impl Hal for Open {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let pages = Box::leak(vec![Page { _bytes: [0; PAGE_SIZE] }; pages].into_boxed_slice());
        let start = NonNull::from(pages).cast();
        (physical(start), start)
    }

    unsafe fn dma_dealloc(_: PhysAddr, start: NonNull<u8>, pages: usize) -> i32 {
        let pages = NonNull::slice_from_raw_parts(start.cast::<Page>(), pages);
        // SAFETY: the caller has them from `dma_alloc`.
        drop(unsafe { Box::from_raw(pages.as_ptr()) });
        0
    }

    /// Only for PCI, which this machine has not.
    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        physical(buffer.cast())
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

fn physical(start: NonNull<u8>) -> PhysAddr {
    start.as_ptr().expose_provenance() as PhysAddr
}
