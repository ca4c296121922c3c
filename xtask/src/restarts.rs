//! What the emulated device remembers when it is switched off and on again, at any moment.

use crate::boards::{
    Board, CLIENT, CLIENT_ENCLAVE, CLIENT_TZ, Image, MPS2_AN386, MPS2_AN505_TZ, RISCV32_ENCLAVE,
};
use crate::build::Outcome;
use crate::compiler::{Compiler, root, target_directory};
use crate::console::Console;
use crate::process::{self, Running, run_with};
use anyhow::{Context, Result, bail, ensure};
use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// The image that is cut off at a step.
const IMAGE: Image = Image { package: "mps2-an386-client", binary: "restarts" };
const RUN_LIMIT: Duration = Duration::from_secs(60);
const POWER_FAILED: i32 = 3;
/// Bytes of the file that plays flash: seven pages.
const FLASH: usize = 7 * 4096;

/// Makes erased flash at `path`, unless there is some.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn provide_flash(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    fs::write(path, vec![0xff; FLASH]).with_context(|| format!("writing {}", path.display()))
}

/// Runs the tests.
///
/// # Errors
/// If an image cannot be built.
pub(crate) fn outcomes(console: &Console, compiler: &Compiler) -> Result<Vec<Outcome>> {
    let flash = target_directory().join("restarts-flash.bin");
    let tests: [(_, Test, _, &[Image]); 4] = [
        ("power_may_fail_at_any_step", power_fails, &MPS2_AN386, &[IMAGE]),
        ("the_client_is_provisioned_once", provisioned_once, &MPS2_AN386, &[CLIENT]),
        (
            "the_client_behind_trustzone_is_provisioned_once",
            provisioned_once,
            &MPS2_AN505_TZ,
            &CLIENT_TZ,
        ),
        (
            "the_client_of_the_enclave_is_provisioned_once",
            provisioned_once,
            &RISCV32_ENCLAVE,
            &CLIENT_ENCLAVE,
        ),
    ];
    let mut outcomes = Vec::new();
    for (name, test, board, images) in tests {
        let build = |&image: &Image| board.build(console, compiler, image);
        let images = images.iter().map(build).collect::<Result<_>>()?;
        let step = console.step(&format!("restarts: {name}"));
        if flash.exists() {
            fs::remove_file(&flash)?;
        }
        provide_flash(&flash)?;
        let result = test(&Device { board, images }, &flash);
        if result.is_ok() {
            step.pass();
        } else {
            step.fail();
        }
        outcomes.push((name.to_owned(), result.err().map(|error| format!("{error:#}"))));
    }
    Ok(outcomes)
}

/// A board with its images.
struct Device {
    board: &'static Board,
    images: Vec<PathBuf>,
}

/// A test of a device with this flash.
type Test = fn(&Device, &Path) -> Result<()>;

/// What a device has said so far, over all its restarts.
#[derive(Debug, Default)]
struct Said {
    announced: Option<String>,
    kept: Option<String>,
    number: u64,
}

impl Said {
    fn hear(&mut self, line: &str) -> Result<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "new" => {
                ensure!(self.kept.is_none(), "new secrets after others were kept");
                self.announced = Some(rest.to_owned());
            }
            "kept" => self.kept = self.announced.clone(),
            "recalled" => {
                let expected = self.kept.as_ref().or(self.announced.as_ref());
                ensure!(expected.is_some_and(|secret| secret == rest), "recalled others");
                self.kept = Some(rest.to_owned());
            }
            "number" => {
                let number = rest.parse()?;
                ensure!(number > self.number, "{number} after {}", self.number);
                self.number = number;
            }
            _ => bail!("the device says: {line}"),
        }
        Ok(())
    }
}

/// Power fails at steps from the first to the last: of the first start in strides, of later ones each.
fn power_fails(device: &Device, flash: &Path) -> Result<()> {
    let mut said = Said::default();
    for stride in [23, 1] {
        for step in (0..).step_by(stride) {
            let arguments = ["restarts", &flash.to_string_lossy(), &step.to_string()];
            let mut command = device.board.emulate(&device.images, &[], &arguments);
            let finished = run_with(&mut command, RUN_LIMIT, |_| ())?;
            let heard = finished.both.iter().try_for_each(|line| said.hear(line));
            heard.with_context(|| format!("power failed at step {step}"))?;
            match finished.code {
                Some(POWER_FAILED) => {}
                Some(0) => break,
                _ => bail!("{} at step {step}", finished.status),
            }
        }
    }
    ensure!(said.number > 0, "no run came to its end");
    Ok(())
}

/// The client itself: with an authority at its first start, without one at its second.
fn provisioned_once(device: &Device, flash: &Path) -> Result<()> {
    let secrets = fs::read(root().join("targets/common/vectors/provision.bin"))?;
    ready(device, flash, &secrets).context("at the first start")?;
    ready(device, flash, &[]).context("at the second start")
}

/// Starts the client, says `authority` to it, and waits until it is ready for a sentence.
fn ready(device: &Device, flash: &Path, authority: &[u8]) -> Result<()> {
    let listener = || TcpListener::bind("127.0.0.1:0").context("opening a port");
    let listeners = [listener()?, listener()?, listener()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    let arguments = ["client", &*flash.to_string_lossy()];
    let mut command = device.board.emulate(&device.images, &ports, &arguments);
    let _device = Running(process::spawn(&mut command)?);
    let [_server, mut link, operator] =
        [accept(&listeners[0])?, accept(&listeners[1])?, accept(&listeners[2])?];
    link.write_all(authority)?;
    operator.set_read_timeout(Some(RUN_LIMIT))?;
    let mut line = String::new();
    BufReader::new(operator).read_line(&mut line).context("waiting for the device")?;
    ensure!(line.contains("\"ready\""), "the device says: {line}");
    Ok(())
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + RUN_LIMIT;
    while Instant::now() < deadline {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false)?;
            return Ok(stream);
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("the device did not start")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(lines: &[&str]) -> Result<()> {
        let mut said = Said::default();
        lines.iter().try_for_each(|line| said.hear(line))
    }

    #[test]
    fn repeated_numbers_and_changed_secrets_are_noticed() {
        assert!(hear(&["new a", "new b", "kept", "recalled b", "number 5", "number 6"]).is_ok());
        assert!(hear(&["new a", "recalled a", "number 5"]).is_ok());
        assert!(hear(&["new a", "kept", "number 5", "recalled a", "number 5"]).is_err());
        assert!(hear(&["new a", "kept", "recalled b"]).is_err());
        assert!(hear(&["new a", "kept", "new b"]).is_err());
        assert!(hear(&["failed: Memory"]).is_err());
    }
}
