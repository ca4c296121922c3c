//! The conversation: starts the processes, types the sentence, waits for the device's answer.

use super::{Prepared, read_json};
use crate::console::{Console, Step};
use crate::log;
use crate::process::{self, Line, Running};
use crate::restarts;
use anyhow::{Context, Result, bail};
use core::time::Duration;
use serde_json::{Map, Value};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

/// Loading the keys and the model takes longest.
const START_LIMIT: Duration = Duration::from_secs(300);
const ANSWER_LIMIT: Duration = Duration::from_secs(1200);
const REPORT_LIMIT: Duration = Duration::from_secs(20);

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Server,
    Authority,
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

/// Runs one sentence through all processes. Returns what the device reported, all its reports
/// merged, and the server's own report.
///
/// # Errors
/// What a process could not do, with the last lines it said.
pub(super) fn run(
    console: &Console,
    prepared: &Prepared,
    sentence: &str,
) -> Result<(Value, Value)> {
    let (sender, events) = channel();
    let server_report = prepared.work.join("server.json");
    if server_report.exists() {
        fs::remove_file(&server_report)?;
    }
    let mut command = Command::new(&prepared.runner);
    command.args(["serve", "--once", "--listen", "127.0.0.1:0", "--model"]).arg(&prepared.model);
    command.arg("--keys").arg(prepared.keys.join("server")).arg("--json").arg(&server_report);
    let step = console.step("server: load evaluation keys");
    let (server, server_port) = listener(&mut command, Who::Server, &sender, &events, &step)?;
    step.pass();

    let mut command = Command::new(&prepared.runner);
    command
        .args(["provision", "--listen", "127.0.0.1:0", "--keys"])
        .arg(prepared.keys.join("device"));
    let step = console.step("key authority: wait for the device");
    let (authority, authority_port) =
        listener(&mut command, Who::Authority, &sender, &events, &step)?;
    step.pass();

    let step = console.step("device: sentence in, label out");
    let operator = TcpListener::bind("127.0.0.1:0").context("opening the console's port")?;
    let ports = [server_port, authority_port, operator.local_addr()?.port()];
    let device = device(prepared, &ports, &sender)?;
    let keyboard = accept(&operator, &events)?;
    let reports = follow(keyboard, sentence, &sender, &events, &step)?;
    step.pass();
    drop((device, authority));
    wait_for_report(server, &server_report)?;
    Ok((Value::Object(reports), read_json(&server_report)?))
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
fn device(prepared: &Prepared, ports: &[u16], sender: &Sender<Event>) -> Result<Running> {
    // With the keys: a device with other keys is another device.
    let flash = prepared.keys.join("device-flash.bin");
    restarts::provide_flash(&flash)?;
    let mut command =
        prepared.board.emulate(&prepared.images, ports, &["client", &flash.to_string_lossy()]);
    let mut child = process::spawn(&mut command)?;
    let output = child.stdout.take().context("the emulator has no output")?;
    let errors = process::listen(&mut child);
    let image = prepared.images.last().context("a device without a program")?;
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
    let deadline = Instant::now() + ANSWER_LIMIT;
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
            Ok(Event::Gone(Who::Authority)) => {}
            Ok(Event::Gone(who)) => bail!("{who:?} ended before there was an answer"),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                bail!("no answer in {} s", ANSWER_LIMIT.as_secs())
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

/// Lets the server write its report and end, which it does after one sentence.
fn wait_for_report(mut server: Running, file: &Path) -> Result<()> {
    let deadline = Instant::now() + REPORT_LIMIT;
    while Instant::now() < deadline {
        if server.0.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    if file.exists() { Ok(()) } else { bail!("the server wrote no report") }
}
