//! A conversation with an emulated device: starts the processes, types the sentence, waits for the answer.

use crate::boards::Board;
use crate::compiler::{host_cargo, root, target_directory};
use crate::console::{Console, Step};
use crate::log;
use crate::process::{self, Line, Running, step};
use crate::restarts;
use anyhow::{Context, Result, bail};
use core::time::Duration;
use serde_json::{Map, Value};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

const BUILD_LIMIT: Duration = Duration::from_secs(600);
/// Loading the keys and the model takes longest.
const START_LIMIT: Duration = Duration::from_secs(300);
const ANSWER_LIMIT: Duration = Duration::from_secs(1200);
const REPORT_LIMIT: Duration = Duration::from_secs(20);

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Server,
    Authority,
    Line,
    Device,
}

/// What reaches the operator.
#[derive(Debug)]
enum Event {
    /// A line that a process printed.
    Said(Who, String),
    /// A line on the device's console.
    Console(Value),
    /// A process closed its output.
    Gone(Who),
}

/// A device and its links.
#[derive(Debug)]
pub(crate) struct Cast<'a> {
    /// The server: says on which port it listens.
    pub server: Command,
    /// The key authority, likewise.
    pub authority: Command,
    /// The host's end of the device's line to the server ([`bridge`]).
    pub bridge: &'a Path,
    /// What happens on that line: arguments of the bridge.
    pub accidents: &'a [&'a str],
    /// The device.
    pub board: &'static Board,
    /// Its images. The last one is the client, which logs.
    pub images: &'a [PathBuf],
    /// The file that plays its flash, made if it is not there.
    pub flash: &'a Path,
}

/// Builds the host's end of a device's line to its server.
///
/// # Errors
/// The compiler's output.
pub(crate) fn bridge(console: &Console) -> Result<PathBuf> {
    example(console, "he-transport", "bridge")
}

/// Builds an example of the boards' workspace for the host.
///
/// # Errors
/// The compiler's output.
pub(crate) fn example(console: &Console, package: &str, name: &str) -> Result<PathBuf> {
    let area = target_directory().join("firmware-host");
    let mut command = host_cargo(&root().join("targets/common"));
    command.args(["build", "--locked", "--package", package, "--example", name]);
    command.arg("--target-dir").arg(&area);
    step(console, &format!("build {name} of {package}"), &mut command, BUILD_LIMIT)?;
    Ok(area.join("debug/examples").join(name))
}

/// Runs one sentence through all processes. Returns what the device reported, all its reports merged, and
/// the server.
///
/// # Errors
/// What a process could not do, with the last lines it said.
pub(crate) fn run(
    console: &Console,
    cast: &mut Cast<'_>,
    sentence: &str,
) -> Result<(Map<String, Value>, Running)> {
    let (sender, events) = channel();
    let start = |label: &str, command: &mut Command, who| {
        let step = console.step(label);
        let started = listener(command, who, &sender, &events, &step)?;
        step.pass();
        Ok::<_, anyhow::Error>(started)
    };
    let (server, server_port) = start("server: get ready", &mut cast.server, Who::Server)?;
    let (authority, authority_port) =
        start("key authority: wait for the device", &mut cast.authority, Who::Authority)?;
    let mut bridge = Command::new(cast.bridge);
    bridge.args(["listen", &format!("127.0.0.1:{server_port}")]).args(cast.accidents);
    let (line, line_port) = start("line between device and server", &mut bridge, Who::Line)?;

    let step = console.step("device: sentence in, label out");
    let operator = TcpListener::bind("127.0.0.1:0").context("opening the console's port")?;
    let ports = [line_port, authority_port, operator.local_addr()?.port()];
    let device = device(cast, &ports, &sender)?;
    let keyboard = accept(&operator, &events)?;
    let reports = follow(keyboard, sentence, &sender, &events, &step)?;
    step.pass();
    drop((device, authority, line));
    Ok((reports, server))
}

/// Starts a process and waits until it says on which port it listens.
fn listener(
    command: &mut Command,
    who: Who,
    sender: &Sender<Event>,
    events: &Receiver<Event>,
    step: &Step,
) -> Result<(Running, u16)> {
    let mut child = process::spawn(command)?;
    let lines = process::listen(&mut child);
    let running = Running(child);
    let sender = sender.clone();
    thread::spawn(move || {
        for line in lines {
            if sender.send(Event::Said(who, line.text().to_owned())).is_err() {
                return;
            }
        }
        sender.send(Event::Gone(who)).ok();
    });
    let mut said = Vec::new();
    loop {
        match events.recv_timeout(START_LIMIT) {
            Ok(Event::Said(speaker, text)) if speaker == who => {
                let port = text.split("listening on ").nth(1).and_then(|address| {
                    address.trim().rsplit(':').next().and_then(|port| port.parse().ok())
                });
                if let Some(port) = port {
                    return Ok((running, port));
                }
                step.show(&text);
                said.push(text);
            }
            Ok(Event::Gone(gone)) => {
                bail!("{gone:?} ended before it was ready\n{}", said.join("\n"))
            }
            Ok(_) => {}
            Err(_) => bail!("{who:?} was not ready in {} s", START_LIMIT.as_secs()),
        }
    }
}

/// Starts the emulator, its log going to the events.
fn device(cast: &Cast<'_>, ports: &[u16], sender: &Sender<Event>) -> Result<Running> {
    restarts::provide_flash(cast.flash)?;
    let arguments = ["client", &*cast.flash.to_string_lossy()];
    let mut command = cast.board.emulate(cast.images, ports, &arguments);
    let mut child = process::spawn(&mut command)?;
    let output = child.stdout.take().context("the emulator has no output")?;
    let errors = process::listen(&mut child);
    let image = cast.images.last().context("a device without a program")?;
    let bytes = fs::read(image).with_context(|| format!("reading {}", image.display()))?;
    let (log_sender, error_sender) = (sender.clone(), sender.clone());
    thread::spawn(move || {
        let each = |text| drop(log_sender.send(Event::Said(Who::Device, text)));
        if let Err(error) = log::decode(&bytes, output, each) {
            log_sender.send(Event::Said(Who::Device, format!("{error:#}"))).ok();
        }
        log_sender.send(Event::Gone(Who::Device)).ok();
    });
    thread::spawn(move || {
        for line in errors {
            let Line::Err(text) = line else { continue };
            error_sender.send(Event::Said(Who::Device, text)).ok();
        }
    });
    Ok(Running(child))
}

/// The device's connection to its console, or what it said when it ended without one.
fn accept(operator: &TcpListener, events: &Receiver<Event>) -> Result<TcpStream> {
    operator.set_nonblocking(true)?;
    let deadline = Instant::now() + REPORT_LIMIT;
    let mut said = Vec::new();
    while Instant::now() < deadline {
        if let Ok((stream, _)) = operator.accept() {
            stream.set_nonblocking(false)?;
            return Ok(stream);
        }
        match events.recv_timeout(Duration::from_millis(20)) {
            Ok(Event::Said(Who::Device, text)) => said.push(text),
            Ok(Event::Gone(Who::Device)) => break,
            _ => {}
        }
    }
    bail!("the device did not start\n{}", said.join("\n"))
}

/// Types the sentence when the device is ready and collects its reports until the answer.
fn follow(
    mut keyboard: TcpStream,
    sentence: &str,
    sender: &Sender<Event>,
    events: &Receiver<Event>,
    step: &Step,
) -> Result<Map<String, Value>> {
    let screen = BufReader::new(keyboard.try_clone()?);
    let sender = sender.clone();
    thread::spawn(move || {
        for line in screen.lines().map_while(Result::ok) {
            if let Ok(value) = serde_json::from_str(&line) {
                sender.send(Event::Console(value)).ok();
            }
        }
    });
    let started = Instant::now();
    let (mut deadline, mut gone) = (started + ANSWER_LIMIT, Vec::new());
    let mut reports = Map::new();
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Console(value)) => {
                let name = value["event"].as_str().unwrap_or_default().to_owned();
                if name == "progress" {
                    step.show(&describe(&value));
                    continue;
                }
                step.say(&format!("  device: {}", describe(&value)));
                match name.as_str() {
                    "refused" => bail!("the server refused: {}", value["message"]),
                    "ready" => writeln!(keyboard, "{sentence}").context("typing the sentence")?,
                    "error" => {
                        bail!("the device says: {}", value["message"].as_str().unwrap_or("?"))
                    }
                    _ => {}
                }
                reports.extend(value.as_object().cloned().unwrap_or_default());
                if name == "answer" {
                    return Ok(reports);
                }
            }
            Ok(Event::Said(Who::Server, text)) => step.say(&format!("  server: {text}")),
            Ok(Event::Said(Who::Authority, text)) => step.say(&format!("  authority: {text}")),
            Ok(Event::Said(Who::Device, text)) => step.say(&format!("  device log: {text}")),
            Ok(Event::Said(Who::Line, text)) => step.say(&format!("  line: {text}")),
            Ok(Event::Gone(Who::Authority)) => {}
            Ok(Event::Gone(Who::Device)) => bail!("the device ended before there was an answer"),
            Ok(Event::Gone(who)) => {
                // Its answer may still be on the way.
                gone.push(format!("; {who:?} ended before there was one"));
                deadline = deadline.min(Instant::now() + REPORT_LIMIT);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                bail!("no answer in {} s{}", started.elapsed().as_secs(), gone.concat())
            }
        }
    }
}

/// A report of the device as `name: key value, …`.
fn describe(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten().filter(|(key, _)| *key != "event");
    let fields: Vec<_> = fields.map(|(key, value)| format!("{key} {value}")).collect();
    format!("{} {}", value["event"].as_str().unwrap_or("?"), fields.join(", "))
}
