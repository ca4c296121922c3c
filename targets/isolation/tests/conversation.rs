//! The whole client with its secrets on the other side of the wall, both sides on the host: what it
//! says and sends is what the client with secrets of its own says and sends.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt::Arguments;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use he_core::wire::Provision;
use he_firmware::buffers;
use he_firmware::client::{self, Secrets};
use he_firmware::machine::{Entropy, Exhausted, Machine};
use he_isolation::call::Status;
use he_isolation::gateway::{Gateway, Room};
use he_isolation::memory::{Access, Memory};
use he_isolation::tape::{self, Tape};
use he_isolation::vault::{Application, Vault};

const DOWNLOAD: &[u8] = include_bytes!("../../common/vectors/download.bin");
const UPLOAD: &[u8] = include_bytes!("../../common/vectors/upload.bin");
const MESSAGES: &[u8] = include_bytes!("../../common/vectors/messages.bin");
const IDS: [u16; 11] = [2, 5, 9, 1, 7, 7, 15, 4, 0, 11, 3];
const TEXT: &[u8] = b"a gripping, funny and deeply human film .\n\nanother film\n";

/// A link that gives what is on it and keeps what it gets.
#[derive(Default)]
struct Memo {
    gives: &'static [u8],
    got: Vec<u8>,
}

impl embedded_io::ErrorType for Memo {
    type Error = Infallible;
}

impl embedded_io::Read for Memo {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        embedded_io::Read::read(&mut self.gives, bytes)
    }
}

impl embedded_io::Write for Memo {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.got.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Host(tape::Board);

impl Machine for Host {
    fn instructions(&mut self) -> u64 {
        0
    }
    fn ram_high_water(&self) -> usize {
        0
    }
    fn print(&mut self, _: Arguments<'_>) {}
}

impl Entropy for Host {
    fn fresh(&mut self) -> Result<[u8; 32], Exhausted> {
        self.0.fresh()
    }
    fn sequence(&mut self) -> Result<u64, Exhausted> {
        self.0.sequence()
    }
}

/// The other thread, which may use all memory: what it may not use is tested elsewhere.
struct Thread {
    calls: Receiver<(u32, usize)>,
    statuses: Sender<u32>,
    has_called: bool,
}

// SAFETY: the application passes addresses of its own memory only, and waits for the answer.
unsafe impl Memory for Thread {
    fn allows(&self, _: usize, _: usize, _: Access) -> bool {
        true
    }
}

impl Application for Thread {
    fn resume(&mut self, status: u32) -> Option<(u32, usize)> {
        if self.has_called {
            self.statuses.send(status).ok()?;
        }
        self.has_called = true;
        self.calls.recv().ok()
    }

    fn observed(&self) -> (u32, u32) {
        (0, 0)
    }
}

/// Where calls go, and where their statuses come from.
type Ends = (Sender<(u32, usize)>, Receiver<u32>);

thread_local! {
    static VAULT: RefCell<Option<Ends>> = const { RefCell::new(None) };
}

fn gate(operation: u32, block: usize) -> u32 {
    VAULT.with_borrow(|vault| {
        let (calls, statuses) = vault.as_ref().unwrap();
        calls.send((operation, block)).unwrap();
        statuses.recv().unwrap()
    })
}

/// There is one set of buffers.
static ONE: Mutex<()> = Mutex::new(());

/// Runs `application` with a vault on another thread.
fn with_vault<T>(application: impl FnOnce(&mut Gateway<'_>) -> T) -> T {
    let _one = ONE.lock().unwrap();
    let ((calls, receiver), (sender, statuses)) = (channel(), channel());
    thread::scope(|scope| {
        let thread = Thread { calls: receiver, statuses: sender, has_called: false };
        scope.spawn(|| Vault::new(thread, Tape::new(|| ()), tape::Board::new()).run());
        VAULT.set(Some((calls, statuses)));
        let result = application(&mut Gateway::new(gate, &mut Room::new()));
        VAULT.set(None);
        result
    })
}

fn message(index: u32) -> impl Fn(usize) -> i32 {
    move |i| {
        let at = 4096 * usize::try_from(index).unwrap() + i;
        i32::from_le_bytes(*MESSAGES.as_chunks().0.get(at).unwrap())
    }
}

#[test]
fn the_client_says_and_sends_the_same_with_secrets_behind_the_wall() {
    let wall = with_vault(|gateway| {
        gateway.provision().unwrap();
        let mut server = Memo { gives: DOWNLOAD, ..Memo::default() };
        let mut operator = Memo { gives: TEXT, ..Memo::default() };
        let mut host = Host(tape::Board::new());
        let end = client::run_with(gateway, &mut server, &mut operator, &mut host);
        (server.got, operator.got, end)
    });
    let mut server = Memo { gives: DOWNLOAD, ..Memo::default() };
    let mut operator = Memo { gives: TEXT, ..Memo::default() };
    let mut authority = Tape::new(|| ());
    let _one = ONE.lock().unwrap();
    let mut host = Host(tape::Board::new());
    let Provision { transport, messages, secret } =
        client::obtain(&mut host.0, |bytes: &mut [u8]| {
            embedded_io::Read::read_exact(&mut authority, bytes).map_err(|_| client::Error::Closed)
        })
        .unwrap();
    let mut buffers = buffers::take().unwrap();
    let (key, workspace) = buffers.open(&secret).unwrap();
    let mut secrets = Secrets::new(&transport, messages, key, workspace);
    let end = client::run_with(&mut secrets, &mut server, &mut operator, &mut host);
    assert_eq!(String::from_utf8_lossy(&wall.1), String::from_utf8_lossy(&operator.got));
    assert!(wall.0 == server.got);
    assert_eq!((server.got.len(), wall.2), (2 * UPLOAD.len(), end));
    assert!(String::from_utf8_lossy(&operator.got).contains("\"label\": \"negative\""));
}

#[test]
fn an_upload_through_the_wall_is_the_one_of_the_vectors_byte_for_byte() {
    with_vault(|gateway| {
        gateway.provision().unwrap();
        let mut upload = gateway.begin(&IDS).unwrap().to_vec();
        upload.extend_from_slice(gateway.encrypt(0, message(0)).unwrap());
        upload.extend_from_slice(gateway.encrypt(1, message(1)).unwrap());
        upload.extend_from_slice(gateway.finish().unwrap());
        assert!(upload == UPLOAD);
    });
}

#[test]
fn calls_out_of_order_are_refused_and_change_nothing() {
    with_vault(|gateway| {
        assert_eq!(gateway.begin(&IDS).unwrap_err(), Status::State);
        assert_eq!(gateway.finish().unwrap_err(), Status::State);
        assert!(!gateway.report().unwrap().is_provisioned);
        gateway.provision().unwrap();
        assert!(gateway.report().unwrap().is_provisioned);
        assert!(gateway.provision().is_err());
        assert_eq!(gateway.encrypt(0, message(0)).unwrap_err(), Status::State);
        let head = gateway.begin(&IDS).unwrap().to_vec();
        assert!(head == UPLOAD[..head.len()]);
        assert_eq!(gateway.finish().unwrap_err(), Status::State);
        for index in [1, 2, u32::MAX] {
            assert_eq!(gateway.encrypt(index, message(0)).unwrap_err(), Status::Argument);
        }
        assert_eq!(gateway.encrypt(0, |_| i32::MIN).unwrap_err(), Status::Argument);
        let (first, second) = UPLOAD[head.len()..].split_at(25_600);
        assert!(gateway.encrypt(0, message(0)).unwrap() == first);
        assert_eq!(gateway.encrypt(0, message(0)).unwrap_err(), Status::Argument);
        assert_eq!(gateway.finish().unwrap_err(), Status::State);
        assert!(gateway.encrypt(1, message(1)).unwrap() == &second[..25_600]);
        assert_eq!(gateway.encrypt(2, message(1)).unwrap_err(), Status::Argument);
        assert!(gateway.finish().unwrap() == &second[25_600..]);
        gateway.wipe().unwrap();
        assert_eq!(gateway.begin(&IDS).unwrap_err(), Status::State);
        tape::choose(2);
        gateway.provision().unwrap();
        assert!(gateway.begin(&IDS).unwrap() != head, "another secret");
        tape::choose(0);
    });
}
