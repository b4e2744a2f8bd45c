//! Adding jobs: one, or many with few batches.

use std::collections::HashSet;

use super::Ledger;
use super::plan::Plan;
use super::verbs::write_of;
use crate::model::job::{NewJob, QueueConfig, QueueName};
use crate::model::units::Timestamp;
use crate::queue::checks::{check_job, check_same};
use crate::queue::entry::Entry;
use crate::queue::shared::Transitions as _;
use crate::queue::{Added, Enqueued, Extra, Result};

/// Jobs of a bulk that one batch carries at most, each with up to two rows.
const JOBS: usize = 60;
/// Bytes of their payloads: a batch has room for half a megabyte.
const BYTES: usize = 192 << 10;

/// Jobs of a bulk that are planned and not yet written.
#[derive(Default)]
struct Bulk<'j> {
    plan: Plan,
    planned: Vec<(usize, &'j NewJob, Enqueued)>,
    ids: HashSet<&'j str>,
    bytes: usize,
}

impl Bulk<'_> {
    fn has_room(&self, job: &NewJob) -> bool {
        self.planned.len() < JOBS && self.bytes + job.data.size() <= BYTES
    }
}

impl Ledger {
    /// Adds jobs, many to a batch. A batch that cannot be written is tried again job by job, so that
    /// each job stands for itself.
    pub(super) fn add_many(
        &mut self,
        name: &QueueName,
        jobs: &[NewJob],
        now: Timestamp,
    ) -> Vec<Result<Enqueued>> {
        let mut answers: Vec<Option<Result<Enqueued>>> = Vec::new();
        answers.resize_with(jobs.len(), || None);
        let mut bulk = Bulk::default();
        for (at, job) in jobs.iter().enumerate() {
            // Who looks for its like must find those of this bulk, too.
            let id = job.opts.job_id.as_deref();
            let looks_back = job.opts.deduplication.is_some()
                || id.is_some_and(|id| bulk.ids.contains(id))
                || !self.lines.contains_key(name);
            if looks_back || !bulk.has_room(job) {
                self.write_bulk(name, std::mem::take(&mut bulk), &mut answers, now);
            }
            if looks_back || job.data.size() > BYTES {
                set(&mut answers, at, self.add(name, job, None, now));
                continue;
            }
            match self.plan_add(&mut bulk.plan, name, job, now) {
                Ok(Some(known)) => set(&mut answers, at, Ok(known)),
                Err(error) => set(&mut answers, at, Err(error)),
                Ok(None) => {
                    bulk.bytes += job.data.size();
                    bulk.ids.extend(id);
                    let enqueued = bulk.plan.enqueued.take();
                    bulk.planned.extend(enqueued.map(|one| (at, job, one)));
                }
            }
        }
        self.write_bulk(name, bulk, &mut answers, now);
        let missing = || Err(self.rows.damaged("a job that was not planned").into());
        let answers = answers.into_iter();
        answers.map(|one| one.unwrap_or_else(missing)).collect()
    }

    fn write_bulk(
        &mut self,
        name: &QueueName,
        bulk: Bulk<'_>,
        answers: &mut [Option<Result<Enqueued>>],
        now: Timestamp,
    ) {
        let is_written = self.apply(bulk.plan, now).is_ok();
        for (at, job, enqueued) in bulk.planned {
            let answer = if is_written {
                Ok(enqueued)
            } else {
                self.add(name, job, None, now)
            };
            set(answers, at, answer);
        }
    }

    pub(super) fn add(
        &mut self,
        name: &QueueName,
        job: &NewJob,
        extra: Option<Extra>,
        now: Timestamp,
    ) -> Result<Enqueued> {
        if !self.lines.contains_key(name) {
            // What is refused makes no queue.
            check_job(job, name, &QueueConfig::default())?;
            self.make_line(name)?;
        }
        let mut plan = Plan::default();
        if let Some(known) = self.plan_add(&mut plan, name, job, now)? {
            if let Some(extra) = extra {
                self.set_extra(extra)?;
            }
            return Ok(known);
        }
        let enqueued = plan.enqueued.take();
        plan.writes.extend(extra.map(write_of));
        self.apply(plan, now)?;
        enqueued.ok_or_else(|| self.rows.damaged("a job that was not planned").into())
    }

    /// Plans a new job; or answers with the one that stands for it.
    fn plan_add(
        &mut self,
        plan: &mut Plan,
        name: &QueueName,
        job: &NewJob,
        now: Timestamp,
    ) -> Result<Option<Enqueued>> {
        let line = self.line(name)?;
        let number = line.number;
        check_job(job, name, &line.config)?;
        if let Some(id) = &job.opts.job_id
            && let Some(entry) = self.find(name, id)?
        {
            check_same(&entry, &self.load_data(line, &entry)?, job, name)?;
            return Ok(Some(entry.enqueued(Added::Same)));
        }
        if let Some(same) = &job.opts.deduplication
            && let Some((seq, until)) = line.same.get(same.id.as_str())
            && until.is_none_or(|until| now < until)
        {
            let entry = self.load(line, *seq)?;
            return Ok(Some(Enqueued {
                id: entry.as_ref().map_or_else(|| seq.to_string(), Entry::id),
                state: entry.map(|entry| entry.state),
                added: Added::Deduplicated,
                due: None,
            }));
        }
        let entry = Entry::new(0, job, &line.config, now);
        let seq = self.take_number(&mut plan.writes);
        let entry = Entry { seq, ..entry };
        plan.enqueued = Some(entry.enqueued(Added::New));
        if let Some(same) = &job.opts.deduplication {
            let until = same.ttl.map(|ttl| now.plus(ttl.as_duration()));
            plan.same((name, number), &same.id, Some((seq, until)));
        }
        plan.add((name, number), entry, &job.data)?;
        Ok(None)
    }
}

fn set(answers: &mut [Option<Result<Enqueued>>], at: usize, answer: Result<Enqueued>) {
    if let Some(place) = answers.get_mut(at) {
        *place = Some(answer);
    }
}
