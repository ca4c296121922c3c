//! The owner's part while a job runs: sends it, looks at every state, lets the server go on, and says why it
//! cannot.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::exchange::{Ask, Iteration, Part, Permission, Status};
use super::job::Declared;
use super::numbers::State;
use super::owner::{Opened, Owner};
use super::rehearsal;
use super::remote::Remote;
use crate::dataset::Example;

/// A job as its owner follows it.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "holds secrets")]
pub struct Follower<'a> {
    /// With the owner's secrets.
    pub owner: &'a Owner<'a>,
    /// What was declared.
    pub declared: &'a Declared,
    /// What is learned from, in the order of the file.
    pub examples: &'a [Example],
    /// Iterations that the server may run before the owner has looked at them.
    pub ahead: u32,
    /// The last iteration to run.
    pub until: u32,
}

/// An iteration that its owner has looked at.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Seen {
    /// The mean loss of its examples before it, decrypted.
    pub loss: f64,
    /// What the server says it took.
    #[serde(flatten)]
    pub iteration: Iteration,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An example was sent, or was there: its number, from 1.
    Sent(usize),
    /// How far the job is.
    Status(&'a Status),
    /// A state is intact.
    Good(&'a Seen),
    /// What this iteration left is damaged, and computed again.
    Damaged(u32),
}

impl Follower<'_> {
    /// Declares the job and sends what the server does not have yet.
    ///
    /// # Errors
    /// If a sentence is empty or too long, or the server does not take something.
    pub fn upload(&self, remote: &mut Remote<'_>, notify: &mut dyn FnMut(Event<'_>)) -> Result<()> {
        remote.declare(&self.declared.to_text()?)?;
        let status = remote.status(None)?;
        if !status.has_first {
            remote.put(Part::First, &self.owner.first(self.declared)?)?;
        }
        for (place, example) in self.examples.iter().enumerate() {
            if place >= status.examples {
                let upload = self.owner.example(example);
                let upload = upload.with_context(|| format!("in sentence {}", place + 1))?;
                remote.put(Part::Example(place), &upload)?;
            }
            notify(Event::Sent(place + 1));
        }
        Ok(())
    }

    /// Follows the job until it is done or has come to `until`; returns the last iteration and what it left.
    /// `notify` hears of what happens.
    ///
    /// # Errors
    /// If the server cannot go on, or a state is destroyed, which is then taken back: the message says why.
    pub fn follow(
        &self,
        remote: &mut Remote<'_>,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(u32, State)> {
        let last = self.until.min(self.declared.iterations()?);
        let (mut good, mut state) = self.last_good(remote, notify)?;
        let mut status = remote.status(None)?;
        let (mut said, mut damaged) = (None, 0);
        loop {
            notify(Event::Status(&status));
            while good < status.done {
                let number = good + 1;
                let ran = status.ran.iter().find(|ran| ran.number == number).copied();
                let iteration = ran.unwrap_or(Iteration { number, ..Iteration::default() });
                let opened = match self.look(remote, number, &mut state)? {
                    Ok(opened) => opened,
                    Err(error) if damaged == number => return Err(error),
                    Err(_) => {
                        notify(Event::Damaged(number));
                        remote.ask(Ask::Discard(number), &[])?;
                        (said, damaged, status) = (None, number, remote.status(None)?);
                        continue;
                    }
                };
                let loss = self.owner.loss(self.declared, &opened.scores, &self.batch(number))?;
                (good, state) = (number, opened.state);
                notify(Event::Good(&Seen { loss, iteration }));
            }
            let permission = Permission { good, until: last.min(good.saturating_add(self.ahead)) };
            if said != Some(permission) {
                remote.ask(Ask::Allow(permission), &[])?;
                said = Some(permission);
                status.trouble = None;
            }
            if good >= last {
                return Ok((good, state));
            }
            if let Some(trouble) = status.trouble {
                bail!("the server cannot go on: {trouble}; the same command tries again");
            }
            status = remote.status(Some(status.version))?;
        }
    }

    /// The last iteration that was looked at, and what it left; those whose results are damaged are taken back.
    fn last_good(
        &self,
        remote: &mut Remote<'_>,
        notify: &mut dyn FnMut(Event<'_>),
    ) -> Result<(u32, State)> {
        let mut good = remote.status(None)?.permission.good;
        while good > 0 {
            let bytes = remote.fetch(Part::Result(good))?;
            if let Ok(opened) = self.owner.open_result(self.declared, good, &bytes) {
                ensure!(opened.is_intact, "the state that was intact before is not any more");
                return Ok((good, opened.state));
            }
            notify(Event::Damaged(good));
            remote.ask(Ask::Discard(good), &[])?;
            good -= 1;
        }
        Ok((0, self.owner.first_state(self.declared)?))
    }

    /// Looks at what an iteration left; takes it back if it is destroyed. The inner error is of a damaged result.
    fn look(
        &self,
        remote: &mut Remote<'_>,
        number: u32,
        before: &mut State,
    ) -> Result<Result<Opened>> {
        let bytes = remote.fetch(Part::Result(number))?;
        let opened = self.owner.open_result(self.declared, number, &bytes);
        if opened.as_ref().map_or(true, |opened| opened.is_intact) {
            return Ok(opened);
        }
        remote.ask(Ask::Discard(number), &[])?;
        let (folder, training) = (self.owner.folder(), self.owner.training(self.declared)?);
        let batch: Vec<Example> = self.batch(number).into_iter().cloned().collect();
        let batch = rehearsal::prepare(folder, &batch)?;
        let batch: Vec<_> = batch.iter().collect();
        let found = rehearsal::explain((folder, &training), number, before, &batch)?;
        ensure!(
            !found.is_empty(),
            "iteration {number} destroyed the state, but run again in the clear, from the last good state, nothing \
             leaves its range: the server's machine made an error, or something was changed there. Give the same \
             command again only if you trust this server: each attempt could tell a dishonest one something"
        );
        bail!(
            "iteration {number}: {} (run again in the clear from the last good state); a lower --rate or --alpha \
             keeps it",
            found.join("; ")
        )
    }

    fn batch(&self, number: u32) -> Vec<&Example> {
        let batch = self.declared.settings.batch(self.examples.len(), number);
        batch.into_iter().map(|place| &self.examples[place]).collect()
    }
}
