//! Running other programs: with a time limit, their last line as progress, their output kept.

use crate::console::Console;
use anyhow::{Context, Result, bail};
use core::time::Duration;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

/// What a finished program left.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Whether it ended with status zero.
    pub success: bool,
    /// Its status, if it was not ended by a signal.
    pub code: Option<i32>,
    /// Its status in words, for messages.
    pub status: String,
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of both outputs in the order they came.
    pub both: Vec<String>,
}

impl Finished {
    /// The last lines of what it said.
    pub(crate) fn tail(&self, lines: usize) -> String {
        self.both[self.both.len().saturating_sub(lines)..].join("\n")
    }
}

/// A program that ends with whoever started it.
#[derive(Debug)]
pub(crate) struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A line of output.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// From standard output.
    Out(String),
    /// From standard error.
    Err(String),
}

impl Line {
    /// The line, without its end.
    pub(crate) fn text(&self) -> &str {
        let (Self::Out(text) | Self::Err(text)) = self;
        text
    }
}

/// Runs `command` to its end, calling `each` with every line as it comes.
pub(crate) fn run_with(
    command: &mut Command,
    limit: Duration,
    each: impl FnMut(&Line),
) -> Result<Finished> {
    follow(spawn(command)?, &describe(command), limit, each)
}

/// The same for a program called `name` that has been started; of its outputs, those that nobody has
/// taken.
pub(crate) fn follow(
    mut child: Child,
    name: &str,
    limit: Duration,
    mut each: impl FnMut(&Line),
) -> Result<Finished> {
    let lines = listen(&mut child);
    let deadline = Instant::now() + limit;
    let mut finished = Finished::default();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                each(&line);
                finished.both.push(line.text().to_owned());
                if let Line::Out(text) = line {
                    finished.stdout.push(text);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill().ok();
                child.wait().ok();
                bail!("{name} ran longer than {} s\n{}", limit.as_secs(), finished.tail(20));
            }
        }
    }
    let status = child.wait().with_context(|| format!("waiting for {name}"))?;
    finished.success = status.success();
    finished.code = status.code();
    finished.status = status.to_string();
    Ok(finished)
}

/// Runs `command` as a step of `console` and fails, with the end of its output, unless it succeeds.
pub(crate) fn step(
    console: &Console,
    label: &str,
    command: &mut Command,
    limit: Duration,
) -> Result<Finished> {
    let step = console.step(label);
    let finished = match run_with(command, limit, |line| step.show(line.text())) {
        Ok(finished) => finished,
        Err(error) => {
            step.fail();
            return Err(error);
        }
    };
    if !finished.success {
        step.fail();
        bail!("{}: {}\n{}", describe(command), finished.status, finished.tail(60));
    }
    step.pass();
    Ok(finished)
}

/// Standard output of a short program, trimmed; `None` if it cannot run or fails.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts `command` with both outputs piped and no input.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", describe(command)))
}

/// The lines of both outputs of `child`; disconnected when both are closed.
pub(crate) fn listen(child: &mut Child) -> Receiver<Line> {
    let (sender, receiver) = channel();
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, sender.clone(), Line::Out);
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, sender, Line::Err);
    }
    receiver
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<Line>, kind: fn(String) -> Line) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if sender.send(kind(text)).is_err() {
                break;
            }
            bytes.clear();
        }
    });
}

/// `command` as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_kept_by_stream_and_the_status_is_told() {
        let mut seen = 0;
        let finished =
            run_with(&mut shell("echo one; echo two >&2; exit 3"), Duration::from_secs(20), |_| {
                seen += 1;
            })
            .unwrap();
        assert!(!finished.success);
        assert!(finished.status.contains('3'));
        assert_eq!(finished.stdout, ["one"]);
        assert_eq!((finished.both.len(), seen), (2, 2));
    }

    #[test]
    fn a_program_over_its_time_is_ended_and_named() {
        let started = Instant::now();
        let error =
            run_with(&mut shell("exec sleep 60"), Duration::from_millis(100), |_| ()).unwrap_err();
        assert!(error.to_string().contains("sleep 60"));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = run_with(&mut Command::new("no-such-program"), Duration::from_secs(1), |_| ());
        assert!(format!("{:#}", error.unwrap_err()).contains("no-such-program"));
    }
}
