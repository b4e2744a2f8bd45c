//! Looking at jobs: one, a page of them, and how many there are.

use super::keys::{self, Part};
use super::{Ledger, Line};
use crate::model::job::{Job, JobRef, JobState, Payload, QueueName};
use crate::queue::checks::{LOOKS_MAX, PAGE_MAX, cursor, cursor_text};
use crate::queue::entry::Entry;
use crate::queue::{Counts, Filter, Page, PageAsk, Result};

impl Ledger {
    /// The payload of a job.
    pub(super) fn load_data(&self, line: &Line, entry: &Entry) -> Result<Payload> {
        if let Some(data) = &entry.data {
            return Ok(data.clone());
        }
        let found = self.load_text(line, entry, Part::Data)?;
        let damaged = || self.rows.damaged("a job whose payload is missing");
        Ok(found.ok_or_else(damaged)?)
    }

    fn load_text(&self, line: &Line, entry: &Entry, part: Part) -> Result<Option<Payload>> {
        let key = keys::job(line.number, entry.seq, part);
        let value = self.rows.get(&key)?;
        let read = |value: Vec<u8>| keys::read(&self.rows, &value);
        Ok(value.map(read).transpose()?)
    }

    /// All that is known of a job.
    pub(super) fn whole(&self, name: &QueueName, line: &Line, entry: &Entry) -> Result<Job> {
        let result = if entry.has_result {
            self.load_text(line, entry, Part::Result)?
        } else {
            None
        };
        let children: Vec<JobRef> = if entry.has_children {
            let key = keys::job(line.number, entry.seq, Part::Children);
            let value = self.rows.get(&key)?;
            let read = |value: Vec<u8>| keys::read(&self.rows, &value);
            value.map(read).transpose()?.unwrap_or_default()
        } else {
            Vec::new()
        };
        let data = self.load_data(line, entry)?;
        let trail = self.load_trail(line.number, entry)?;
        Ok(entry.job(name, data, trail, result, children))
    }

    /// Whether a filter means a job.
    pub(super) fn fits(&self, line: &Line, entry: &Entry, filter: &Filter) -> Result<bool> {
        if !filter.fits(entry) {
            return Ok(false);
        }
        if !filter.needs_trail() {
            return Ok(true);
        }
        Ok(filter.fits_trail(&self.load_trail(line.number, entry)?))
    }

    pub(super) fn read_page(&self, name: &QueueName, ask: &PageAsk) -> Result<Page> {
        let line = self.line(name)?;
        let mut page = Page {
            jobs: Vec::new(),
            next: None,
        };
        let mut last = cursor(ask)?;
        // One more than is looked at tells whether the list goes on.
        let places = line.list(ask.state, last, LOOKS_MAX + 1);
        for (looked, place) in places.into_iter().enumerate() {
            if page.jobs.len() == ask.limit.min(PAGE_MAX) || looked == LOOKS_MAX {
                page.next = last.map(cursor_text);
                break;
            }
            last = Some(place);
            let entry = self.load_listed(line, place.1)?;
            if self.fits(line, &entry, &ask.filter)? {
                page.jobs.push(self.whole(name, line, &entry)?);
            }
        }
        Ok(page)
    }

    pub(super) fn count_all(&self, name: &QueueName) -> Result<Counts> {
        let line = self.line(name)?;
        let first = line.list(JobState::Waiting, None, 1).into_iter().next();
        let first = match first {
            Some((_, seq)) => self.load(line, seq)?,
            None => None,
        };
        Ok(Counts {
            waiting: line.count(JobState::Waiting),
            delayed: line.count(JobState::Delayed),
            waiting_children: line.count(JobState::WaitingChildren),
            active: line.count(JobState::Active),
            completed: line.count(JobState::Completed),
            failed: line.count(JobState::Failed),
            dead: line.count(JobState::Dead),
            cancelled: line.count(JobState::Cancelled),
            completed_total: line.completed_total,
            failed_total: line.failed_total,
            paused: line.paused,
            oldest_waiting: first.map(|entry| entry.created_at),
            config: line.config.clone(),
        })
    }
}
