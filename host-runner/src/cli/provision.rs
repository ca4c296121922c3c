//! `host-runner provision`: the key authority hands the edge secret to one device.

use core::time::Duration;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::authority;
use crate::connection::{self, Connection};
use crate::store::device;

const EXAMPLES: &str = "\
Examples:
  host-runner provision --keys keys/device --listen 127.0.0.1:7001

Prints `listening on ADDRESS`, waits for one connection, sends the secret in one frame
and exits. Use it on a link that nobody else can read, such as a cable to the device.";

/// Sends the edge secret to the device that connects, once
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Provision {
    /// The `device` folder that keygen wrote
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// The address to wait at; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
}

/// How long a device may take to read its secrets.
const TIME: Duration = Duration::from_mins(2);

/// How long it has to end the connection.
const PARTING: Duration = Duration::from_secs(10);

impl Provision {
    pub(super) fn run(&self) -> Result<()> {
        // Found out before a device waits for it.
        device::params(&self.keys)?;
        let (listener, address) = connection::listen(&self.listen)?;
        println!("listening on {address}");
        let (stream, peer) = listener.accept()?;
        let mut connection = Connection::new(stream, TIME)?;
        authority::provision(&self.keys, &mut connection)?;
        println!("provisioned {peer}");
        connection.hang_up(PARTING)?;
        Ok(())
    }
}
