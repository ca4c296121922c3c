//! The server: takes connections, answers one question at a time, and trains in between.
//!
//! Every connection has a thread that reads its questions; the forward pass itself uses all cores,
//! so questions wait for their turn. A question that does not arrive in time or is not what it
//! claims to be gets a refusal and ends its connection; so does a panic in the forward pass. Nothing
//! here has a type that can hold a secret of the encryption scheme.
//!
//! A server may have several [users](User). Whose a frame is, its tag says: it is good under one transport key.

mod limits;
mod session;
mod user;

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Result, anyhow};

pub use limits::Limits;
pub use session::Answered;
pub use user::{Answerer, User};

use crate::connection::{self, Connection};
use crate::finetune::jobs::Jobs;
use crate::turn::Turn;

/// How long to wait after a connection could not be taken.
const RETRY: Duration = Duration::from_millis(100);

/// So many failures in a row mean that the socket is gone.
const FAILURES: usize = 100;

/// A socket, and what every session needs.
pub struct Server<'a> {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    users: Vec<User<'a>>,
    turn: Turn,
    is_ended: AtomicBool,
}

impl core::fmt::Debug for Server<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Server {{ address: {} }}", self.address)
    }
}

/// How long to serve.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// Until a connection that got an answer ends; other connections wait meanwhile.
    Answered,
    /// Until [`Server::while_asked`] ends; one connection is served at a time.
    Ended,
    /// As long as the process lives.
    Stopped,
}

impl<'a> Server<'a> {
    /// A server at `address` for these users.
    ///
    /// # Errors
    /// If the address is taken or not one of this machine's.
    pub fn bind(address: &str, limits: Limits, users: Vec<User<'a>>) -> Result<Self> {
        let (listener, address) = connection::listen(address)?;
        Ok(Self {
            listener,
            address,
            limits,
            users,
            turn: Turn::default(),
            is_ended: AtomicBool::new(false),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves; `done` hears of every answer.
    ///
    /// # Errors
    /// If the socket fails for good.
    pub fn run(&self, until: Until, done: &(dyn Fn(&Answered) + Sync)) -> Result<()> {
        thread::scope(|scope| {
            let jobs = || self.users.iter().filter_map(|user| user.jobs);
            for jobs in jobs() {
                scope.spawn(|| jobs.run(&self.turn));
            }
            let served = match until {
                Until::Answered | Until::Ended => self.run_in_turn(until, done),
                Until::Stopped => self.run_for_good(done),
            };
            jobs().for_each(Jobs::stop);
            served
        })
    }

    /// Serves while `ask` asks at the address that it is given, one connection at a time.
    ///
    /// # Errors
    /// If the socket fails for good, or the server panics.
    pub fn while_asked<T>(&self, ask: impl FnOnce(&str) -> T) -> Result<T> {
        thread::scope(|scope| {
            let serving = scope.spawn(|| self.run(Until::Ended, &|_| {}));
            let ending = Ending(self);
            let result = ask(&self.address.to_string());
            drop(ending);
            serving.join().map_err(|_| anyhow!("the server panicked"))??;
            Ok(result)
        })
    }

    /// Serves one connection after the other.
    fn run_in_turn(&self, until: Until, done: &(dyn Fn(&Answered) + Sync)) -> Result<()> {
        while !self.is_ended.load(Ordering::SeqCst) {
            let (connection, peer) = self.next()?;
            if self.session(connection, peer, done) > 0 && until == Until::Answered {
                break;
            }
        }
        Ok(())
    }

    fn run_for_good(&self, done: &(dyn Fn(&Answered) + Sync)) -> Result<()> {
        // Every session holds one; how many there are is how many sessions there are.
        let seat = Arc::new(());
        thread::scope(|scope| {
            loop {
                let (connection, peer) = self.next()?;
                if Arc::strong_count(&seat) > self.limits.connections {
                    // Whoever it is could read no refusal: those answer what was asked.
                    eprintln!(
                        "{peer}: {} connections are held, so it is not served",
                        self.limits.connections
                    );
                    continue;
                }
                let taken = Arc::clone(&seat);
                scope.spawn(move || {
                    self.session(connection, peer, done);
                    drop(taken);
                });
            }
        })
    }

    /// The next connection. What goes wrong with one, or for want of descriptors, passes.
    fn next(&self) -> Result<(Connection, SocketAddr)> {
        let mut failures = 0;
        loop {
            let accepted = self.listener.accept().map_err(Into::into);
            let connected = accepted
                .and_then(|(stream, peer)| Ok((Connection::new(stream, self.limits.frame)?, peer)));
            failures += 1;
            match connected {
                Err(error) if failures < FAILURES => {
                    eprintln!("a connection failed: {error:#}");
                    thread::sleep(RETRY);
                }
                connected => return connected,
            }
        }
    }
}

/// Ends [`Until::Ended`] with the connection that is served, also if whoever asks panics.
struct Ending<'a>(&'a Server<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_ended.store(true, Ordering::SeqCst);
        // It may be waiting for the next connection; if this fails, there is none to wait for.
        let _ = TcpStream::connect(self.0.address);
    }
}
