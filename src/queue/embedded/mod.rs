//! Jobs on the disk, in the store's database of rows; lists and counts in memory.
//!
//! For: keeping jobs through crashes at one batch a transition. Not for: what a transition does to
//! a job (`entry`). Read [`Ledger::apply`] first, then `transit`; `keys` says what lies on the disk,
//! `line` what lies in memory, `recover` how the second is made of the first, `give` which moves are
//! written later than they are answered.
//!
//! Each transition is planned, written as one batch, and only then taken over into memory: whatever
//! crashes, and whenever, the rows tell one story. A bulk is atomic job by job.

mod add;
mod flow;
mod give;
mod keys;
mod line;
mod plan;
mod read;
mod recover;
mod settle;
mod transit;
mod verbs;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::Result;
use super::checks::check_room;
use super::commit::Commits;
use super::shared::Shared;
use crate::model::job::{Durability, QueueConfig, QueueName};
use crate::model::units::Timestamp;
use crate::store::{Rows, Store, Write};
use give::Unwritten;
use line::Line;

/// A keeper of jobs in a store.
pub type Embedded = Shared<Ledger>;

/// How jobs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// When a change counts as done.
    pub durability: Durability,
}

impl Embedded {
    /// Opens the jobs of a store, or makes a place for them there.
    ///
    /// # Errors
    /// What the store says; never an empty queue where there was one.
    pub fn open(store: &Store, options: Options) -> Result<Self> {
        let rows = store.jobs()?;
        let ledger = Ledger::open(Arc::clone(&rows))?;
        let commits = Commits::start(rows, options.durability);
        Ok(Self::new(ledger, Some(commits)))
    }
}

/// Numbers of jobs that are taken at once; so many are left out by a crash at most.
const TAKE: u64 = 10_000;
/// Payloads up to this size lie in the entry.
const INLINE_MAX: usize = 512;

/// All queues.
#[derive(Debug)]
pub struct Ledger {
    rows: Arc<Rows>,
    lines: BTreeMap<QueueName, Line>,
    /// What was answered and is not written: claims and heartbeats.
    unwritten: Unwritten,
    /// The next queue's number; numbers are not used twice while the process lives.
    next_line: u32,
    /// The next job's number, and the first that is not taken.
    next: u64,
    taken: u64,
    /// The latest instant that a lease began at.
    latest: Timestamp,
    /// Makes tokens of this process differ from those of another.
    nonce: u64,
}

impl Ledger {
    fn open(rows: Arc<Rows>) -> Result<Self> {
        let mut ledger = Self {
            rows,
            lines: BTreeMap::new(),
            unwritten: Unwritten::default(),
            next_line: 0,
            next: 1,
            taken: 1,
            // Until the first look nothing is known of the clock that leases were given by.
            latest: Timestamp::from_millis(i64::MAX),
            nonce: RandomState::new().hash_one("plimsoll"),
        };
        ledger.recover()?;
        Ok(ledger)
    }

    fn line(&self, name: &QueueName) -> Result<&Line> {
        let found = self.lines.get(name);
        found.ok_or_else(|| super::Error::UnknownQueue(name.to_string()))
    }

    fn line_mut(&mut self, name: &QueueName) -> Result<&mut Line> {
        let found = self.lines.get_mut(name);
        found.ok_or_else(|| super::Error::UnknownQueue(name.to_string()))
    }

    /// Makes a queue if it is not there.
    fn make_line(&mut self, name: &QueueName) -> Result<&Line> {
        if !self.lines.contains_key(name) {
            self.make_line_with(name, QueueConfig::default())?;
        }
        self.line(name)
    }

    fn make_line_with(&mut self, name: &QueueName, config: QueueConfig) -> Result<()> {
        check_room(self.lines.len())?;
        let line = Line::new(self.next_line, config, false);
        self.write_line(name, &line)?;
        self.next_line += 1;
        self.lines.insert(name.clone(), line);
        Ok(())
    }

    fn write_line(&self, name: &QueueName, line: &Line) -> Result<()> {
        let row = keys::QueueRow {
            number: line.number,
            paused: line.paused,
            config: line.config.clone(),
        };
        let write = keys::put(keys::queue(name), &row)?;
        Ok(self.rows.write(vec![write])?)
    }

    /// The number of a new job; what must be written with it goes into `writes`.
    fn take_number(&mut self, writes: &mut Vec<Write>) -> u64 {
        let seq = self.next;
        self.next += 1;
        if seq >= self.taken {
            let taken = seq + TAKE;
            writes.push(Write::Put(
                keys::TAKEN.to_vec(),
                taken.to_le_bytes().to_vec(),
            ));
            self.taken = taken;
        }
        seq
    }
}
