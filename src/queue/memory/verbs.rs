//! The verbs of the keeper in memory.

use super::{Held, Model, Queue};
use crate::model::job::{Job, JobState, LogLine, NewJob, QueueConfig, QueueName};
use crate::model::units::{Millis, Timestamp};
use crate::queue::checks::{
    LOOKS_MAX, PAGE_MAX, check_flow, check_job, check_progress, check_size, cursor, cursor_text,
    is_newest_first, same_flow,
};
use crate::queue::shared::Transitions;
use crate::queue::store::Row;
use crate::queue::trail::error_of;
use crate::queue::transition::{
    Change, Claim, Claimed, Clear, Counts, Ending, Enqueued, Extended, Extra, Flow, Note, Outcome,
    Page, PageAsk, Retry, Setting, Verb,
};
use crate::queue::{Error, Result};

impl Transitions for Model {
    fn enqueue(
        &mut self,
        queue: &QueueName,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> Result<Vec<Result<Enqueued>>> {
        Ok(jobs.iter().map(|job| self.add(queue, job, now)).collect())
    }

    fn enqueue_with(
        &mut self,
        queue: &QueueName,
        job: &NewJob,
        extra: Extra,
        now: Timestamp,
    ) -> Result<Enqueued> {
        let added = self.add(queue, job, now)?;
        self.set_extra(extra)?;
        Ok(added)
    }

    fn set_extra(&mut self, extra: Extra) -> Result<()> {
        match extra.value {
            Some(value) => self.extras.insert(extra.key, value),
            None => self.extras.remove(&extra.key),
        };
        Ok(())
    }

    fn extras(&self, prefix: &[u8]) -> Result<Vec<Row>> {
        let under = self
            .extras
            .iter()
            .filter(|(key, _)| key.starts_with(prefix));
        Ok(under
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn enqueue_flow(&mut self, flow: &Flow, now: Timestamp) -> Result<Vec<(QueueName, Enqueued)>> {
        check_flow(flow)?;
        if let Some(known) = same_flow(self, flow)? {
            return Ok(known);
        }
        let usual = QueueConfig::default();
        let mut open = vec![flow];
        while let Some(one) = open.pop() {
            let queue = self.queues.get(&one.queue);
            let config = queue.map_or(&usual, |queue| &queue.config);
            check_job(&one.job, &one.queue, config)?;
            if let (Some(queue), Some(id)) = (queue, &one.job.opts.job_id)
                && queue.find(&one.queue, id).is_ok()
            {
                return Err(Error::Conflict {
                    queue: one.queue.to_string(),
                    id: id.clone(),
                });
            }
            open.extend(&one.children);
        }
        let mut added = Vec::new();
        self.add_flow(flow, None, now, &mut added);
        Ok(added)
    }

    fn claim(&mut self, name: &QueueName, claim: &Claim, now: Timestamp) -> Result<Vec<Claimed>> {
        let crashes = self.crashes;
        let queue = self.queue(name)?;
        queue.come_up(now);
        let (mut claimed, mut passed) = (Vec::new(), Vec::new());
        while !queue.paused && claimed.len() < claim.max && queue.room(now) > 0 {
            let Some(seq) = queue.next(&passed) else {
                break;
            };
            let config = queue.config.clone();
            let Some(held) = queue.jobs.get_mut(&seq) else {
                break;
            };
            if held.entry.overdue(&config, now).is_some() {
                // `expire` fails it; those behind it need not wait for that.
                passed.push(seq);
                continue;
            }
            held.lag();
            let lease = held
                .entry
                .claim(&config, &claim.worker, claim.lease, crashes, now);
            let job = held.job(name);
            claimed.push(Claimed { job, lease });
            if config.limiter.is_some() {
                let (_, begun) = queue.window.get_or_insert((now, 0));
                *begun += 1;
            }
        }
        if !claimed.is_empty() {
            self.latest = self.latest.max(now);
        }
        Ok(claimed)
    }

    fn settle(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let (config, held) = self.lease(name, by)?;
        let mut failure = None;
        match outcome {
            Outcome::Complete(result) => {
                check_size(&result, name, config.max_payload)?;
                held.result = Some(result).filter(|result| !result.is_null());
                held.entry.complete(now);
            }
            Outcome::Fail(told) => {
                held.trail.add_error(error_of(&held.entry, &told, now));
                held.entry.fail(&config, &told, now);
                failure = Some(told);
            }
            Outcome::Release => held.entry.release(now),
        }
        held.on_disk = None;
        let (seq, is_final) = (held.entry.seq, held.entry.state.is_final());
        let mut changes = vec![held.entry.change(name, failure.as_ref(), now)];
        if is_final {
            self.ended(name, seq, now, &mut changes);
        }
        Ok(changes)
    }

    fn settle_many(
        &mut self,
        name: &QueueName,
        endings: Vec<Ending>,
        now: Timestamp,
    ) -> Result<Vec<Result<Vec<Change>>>> {
        self.look(name)?;
        let endings = endings.into_iter();
        let each = endings.map(|one| self.settle(name, (&one.id, &one.token), one.outcome, now));
        Ok(each.collect())
    }

    fn extend(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        lease: Option<Millis>,
        now: Timestamp,
    ) -> Result<Extended> {
        let (config, held) = self.lease(name, by)?;
        held.lag();
        held.entry.extend(&config, lease, now);
        let extended = Extended {
            until: held.entry.lease_until,
            cancelling: held.entry.cancelling,
        };
        self.latest = self.latest.max(now);
        Ok(extended)
    }

    fn note(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        note: Note,
        now: Timestamp,
    ) -> Result<()> {
        let (_, held) = self.lease(name, by)?;
        match note {
            Note::Progress(progress) => {
                check_progress(&progress)?;
                held.trail.progress = Some(progress);
            }
            Note::Log(text) => held.trail.add_line(LogLine::new(now, text)),
        }
        held.on_disk = None;
        Ok(())
    }

    fn act(
        &mut self,
        name: &QueueName,
        id: &str,
        verb: Verb,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let queue = self.queue(name)?;
        let seq = queue.find(name, id)?;
        let config = queue.config.clone();
        let Some(held) = queue.jobs.get_mut(&seq) else {
            return Ok(Vec::new());
        };
        match verb {
            Verb::Retry => held.entry.retry(&config, now, now)?,
            Verb::Promote => held.entry.promote(now)?,
            Verb::Cancel => held.entry.cancel(now)?,
            Verb::Remove => held.entry.check_removable()?,
        }
        (held.came_up, held.on_disk) = (None, None);
        let mut changes = vec![held.entry.change(name, None, now)];
        let is_final = held.entry.state.is_final();
        if verb == Verb::Remove {
            for change in &mut changes {
                change.state = None;
            }
            self.remove(name, seq, now, &mut changes);
        } else if is_final {
            self.ended(name, seq, now, &mut changes);
        }
        Ok(changes)
    }

    fn expire(&mut self, limit: usize, now: Timestamp) -> Result<Vec<Change>> {
        self.set_back(now);
        self.write_claims();
        let mut changes = Vec::new();
        for name in self.queues() {
            changes.extend(self.expire_in(&name, limit, now));
        }
        Ok(changes)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let jobs = self.queues.values().flat_map(|queue| queue.jobs.values());
        let due = jobs.filter_map(|held| match held.entry.state {
            JobState::Delayed => {
                let ends = held.entry.deadline.into_iter();
                ends.chain([held.entry.run_at]).min()
            }
            state if state.is_final() => None,
            JobState::Active => Some(held.entry.lease_until),
            _ => held.entry.deadline,
        });
        let windows = self.queues.values().filter_map(Queue::window_end);
        due.chain(windows).min()
    }

    fn configure(&mut self, name: &QueueName, setting: Setting) -> Result<()> {
        match setting {
            Setting::Config(config) => {
                config.check()?;
                self.queues.entry(name.clone()).or_default().config = *config;
            }
            Setting::Pause => self.queue(name)?.paused = true,
            Setting::Resume => self.queue(name)?.paused = false,
        }
        Ok(())
    }

    fn clear(
        &mut self,
        name: &QueueName,
        clear: Clear,
        limit: usize,
        now: Timestamp,
    ) -> Result<u64> {
        let queue = self.queue(name)?;
        let doomed: Vec<u64> = match clear {
            Clear::Waiting => queue.in_order(JobState::Waiting),
            Clear::Pending => [JobState::Waiting, JobState::Delayed]
                .into_iter()
                .flat_map(|state| queue.in_order(state))
                .collect(),
            Clear::Ended(state) => queue.in_order(state),
            Clear::Everything { force } => {
                let active = queue.count(JobState::Active);
                if active > 0 && !force {
                    let queue = name.to_string();
                    return Err(Error::Busy { queue, active });
                }
                queue.paused = true;
                let states = JobState::VISIBLE.into_iter();
                states.flat_map(|state| queue.in_order(state)).collect()
            }
        };
        let doomed: Vec<u64> = doomed.into_iter().take(limit).collect();
        for seq in &doomed {
            self.remove(name, *seq, now, &mut Vec::new());
        }
        if doomed.is_empty() && matches!(clear, Clear::Everything { .. }) {
            self.queues.remove(name);
        }
        Ok(doomed.len() as u64)
    }

    fn retry(&mut self, name: &QueueName, retry: &Retry, now: Timestamp) -> Result<u64> {
        let queue = self.queue(name)?;
        let config = queue.config.clone();
        let mut count = 0;
        for seq in queue.in_order(retry.state) {
            let Some(held) = queue.jobs.get_mut(&seq).filter(|_| count < retry.limit) else {
                break;
            };
            let fits = retry.filter.fits(&held.entry) && retry.filter.fits_trail(&held.trail);
            if fits && !held.entry.archived {
                held.came_up = None;
                held.entry.retry(&config, retry.run_at(count), now)?;
                count += 1;
            }
        }
        Ok(count as u64)
    }

    fn get(&self, name: &QueueName, id: &str) -> Result<Job> {
        let queue = self.look(name)?;
        let seq = queue.find(name, id)?;
        let held = queue.jobs.get(&seq).map(|held| held.job(name));
        held.ok_or_else(|| Error::UnknownJob {
            queue: name.to_string(),
            id: id.to_owned(),
        })
    }

    fn page(&self, name: &QueueName, ask: &PageAsk) -> Result<Page> {
        let queue = self.look(name)?;
        let after = cursor(ask)?;
        let mut all: Vec<&Held> = queue
            .in_order(ask.state)
            .iter()
            .filter_map(|seq| queue.jobs.get(seq))
            .collect();
        if is_newest_first(ask.state) {
            all.reverse();
            all.retain(|held| after.is_none_or(|after| held.entry.order() < after));
        } else {
            all.retain(|held| after.is_none_or(|after| held.entry.order() > after));
        }
        let mut page = Page {
            jobs: Vec::new(),
            next: None,
        };
        let mut last = None;
        for (looked, held) in all.into_iter().enumerate() {
            if page.jobs.len() == ask.limit.min(PAGE_MAX) || looked == LOOKS_MAX {
                page.next = last.map(cursor_text);
                break;
            }
            last = Some(held.entry.order());
            if ask.filter.fits(&held.entry) && ask.filter.fits_trail(&held.trail) {
                page.jobs.push(held.job(name));
            }
        }
        Ok(page)
    }

    fn counts(&self, name: &QueueName) -> Result<Counts> {
        let queue = self.look(name)?;
        let first = queue.in_order(JobState::Waiting).into_iter().next();
        let first = first.and_then(|seq| queue.jobs.get(&seq));
        Ok(Counts {
            waiting: queue.count(JobState::Waiting),
            delayed: queue.count(JobState::Delayed),
            waiting_children: queue.count(JobState::WaitingChildren),
            active: queue.count(JobState::Active),
            completed: queue.count(JobState::Completed),
            failed: queue.count(JobState::Failed),
            dead: queue.count(JobState::Dead),
            cancelled: queue.count(JobState::Cancelled),
            completed_total: queue.completed_total,
            failed_total: queue.failed_total,
            paused: queue.paused,
            oldest_waiting: first.map(|held| held.entry.created_at),
            config: queue.config.clone(),
        })
    }

    fn queues(&self) -> Vec<QueueName> {
        self.queues.keys().cloned().collect()
    }
}
