//! The verbs of the embedded keeper.

use super::keys;
use super::plan::Plan;
use super::transit::Told;
use super::{Ledger, Line};
use crate::model::job::{Job, JobState, LogLine, NewJob, QueueName};
use crate::model::units::{Millis, Timestamp};
use crate::queue::checks::check_progress;
use crate::queue::entry::bound_of;
use crate::queue::shared::Transitions;
use crate::queue::store::Row;
use crate::queue::{
    Change, Claim, Claimed, Clear, Counts, Ending, Enqueued, Error, Extended, Extra, Flow, Note,
    Outcome, Page, PageAsk, Result, Retry, Setting, Verb,
};
use crate::store::Write;

impl Ledger {
    fn expire_in(&mut self, name: &QueueName, limit: usize, now: Timestamp) -> Result<Vec<Change>> {
        self.come_up(name, now)?;
        self.end_windows(name, limit, now)?;
        let mut changes = Vec::new();
        for seq in self.line(name)?.overdue(limit, now) {
            changes.extend(self.fail_overdue(name, seq, now)?);
        }
        let ends = JobState::VISIBLE
            .into_iter()
            .filter(|state| state.is_final());
        for state in ends {
            let line = self.line(name)?;
            let Some(age) = bound_of(&line.config, state).age else {
                continue;
            };
            let end = now.minus(age.as_duration());
            for seq in line.ended_until(state, end, limit) {
                self.forget_one(name, seq, now, &mut changes)?;
            }
        }
        for seq in self.line(name)?.gone_until(now, limit) {
            self.forget_one(name, seq, now, &mut changes)?;
        }
        self.line_mut(name)?.end_window(now);
        Ok(changes)
    }

    /// Removes a job for its age.
    fn forget_one(
        &mut self,
        name: &QueueName,
        seq: u64,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let old = self.load_listed(self.line(name)?, seq)?;
        changes.push(Change::gone(name, old.id()));
        changes.extend(self.remove_one(name, seq, now)?);
        Ok(())
    }

    fn drop_line(&mut self, name: &QueueName) -> Result<()> {
        let line = self.line(name)?;
        let number = line.number;
        let same: Vec<Box<str>> = line.same.keys().cloned().collect();
        for some in same.chunks(100) {
            let writes = some.iter().map(|id| Write::Delete(keys::same(number, id)));
            self.rows.write(writes.collect())?;
        }
        self.rows.write(vec![
            Write::Delete(keys::queue(name)),
            Write::Delete(keys::totals(number)),
        ])?;
        self.lines.remove(name);
        Ok(())
    }
}

pub(super) fn write_of(extra: Extra) -> Write {
    let key = keys::extra(&extra.key);
    match extra.value {
        Some(value) => Write::Put(key, value),
        None => Write::Delete(key),
    }
}

impl Transitions for Ledger {
    fn enqueue(
        &mut self,
        queue: &QueueName,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> Result<Vec<Result<Enqueued>>> {
        Ok(self.add_many(queue, &jobs, now))
    }

    fn enqueue_with(
        &mut self,
        queue: &QueueName,
        job: &NewJob,
        extra: Extra,
        now: Timestamp,
    ) -> Result<Enqueued> {
        self.add(queue, job, Some(extra), now)
    }

    fn set_extra(&mut self, extra: Extra) -> Result<()> {
        Ok(self.rows.write(vec![write_of(extra)])?)
    }

    fn extras(&self, prefix: &[u8]) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        self.rows.scan(&keys::extra(prefix), |key, value| {
            let key = key.strip_prefix(keys::EXTRAS).unwrap_or(key);
            found.push((key.to_vec(), value.to_vec()));
            Ok(())
        })?;
        Ok(found)
    }

    fn enqueue_flow(&mut self, flow: &Flow, now: Timestamp) -> Result<Vec<(QueueName, Enqueued)>> {
        self.add_flow(flow, now)
    }

    fn claim(&mut self, name: &QueueName, claim: &Claim, now: Timestamp) -> Result<Vec<Claimed>> {
        self.give_out(name, claim, now)
    }

    fn settle(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        self.settle_one(name, by, &outcome, now)
    }

    fn settle_many(
        &mut self,
        name: &QueueName,
        endings: Vec<Ending>,
        now: Timestamp,
    ) -> Result<Vec<Result<Vec<Change>>>> {
        self.line(name)?;
        Ok(self.settle_each(name, &endings, now))
    }

    fn extend(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        lease: Option<Millis>,
        now: Timestamp,
    ) -> Result<Extended> {
        let before = self.leased(name, by)?;
        let line = self.line(name)?;
        let mut after = before.clone();
        after.extend(&line.config, lease, now);
        let extended = Extended {
            until: after.lease_until,
            cancelling: after.cancelling,
        };
        self.move_unwritten(name, &before, after)?;
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
        let before = self.leased(name, by)?;
        let line = self.line(name)?;
        let mut trail = self.load_trail(line.number, &before)?;
        match note {
            Note::Progress(progress) => {
                check_progress(&progress)?;
                trail.progress = Some(progress);
            }
            Note::Log(text) => trail.add_line(LogLine::new(now, text)),
        }
        let mut after = before.clone();
        let mut plan = Plan::default();
        plan.trail(line.number, &mut after, &trail)?;
        plan.put((name, line.number), Some(before), after)?;
        self.apply(plan, now).map(|_| ())
    }

    fn act(
        &mut self,
        name: &QueueName,
        id: &str,
        verb: Verb,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let before = self.known(name, id)?;
        let mut after = before.clone();
        let config = &self.line(name)?.config;
        match verb {
            Verb::Retry => after.retry(config, now, now)?,
            Verb::Promote => after.promote(now)?,
            Verb::Cancel => after.cancel(now)?,
            Verb::Remove => {
                after.check_removable()?;
                let mut change = after.change(name, None, now);
                change.state = None;
                let mut changes = vec![change];
                changes.extend(self.remove_one(name, before.seq, now)?);
                return Ok(changes);
            }
        }
        let mut plan = Plan::default();
        self.plan_move(&mut plan, name, (before, after), &Told::default(), now)?;
        self.apply(plan, now)
    }

    fn expire(&mut self, limit: usize, now: Timestamp) -> Result<Vec<Change>> {
        self.set_back(now)?;
        self.write_claims()?;
        let mut changes = Vec::new();
        for name in self.queues() {
            changes.extend(self.expire_in(&name, limit, now)?);
        }
        Ok(changes)
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.lines.values().filter_map(Line::next_due).min()
    }

    fn configure(&mut self, name: &QueueName, setting: Setting) -> Result<()> {
        if let Setting::Config(config) = &setting {
            config.check()?;
            if !self.lines.contains_key(name) {
                // One row, written once: a crash leaves no queue with other settings.
                return self.make_line_with(name, (**config).clone());
            }
        }
        let line = self.line(name)?;
        let (mut config, mut paused) = (line.config.clone(), line.paused);
        match setting {
            Setting::Config(new) => config = *new,
            Setting::Pause => paused = true,
            Setting::Resume => paused = false,
        }
        let row = keys::QueueRow {
            number: line.number,
            paused,
            config: config.clone(),
        };
        let write = keys::put(keys::queue(name), &row)?;
        self.rows.write(vec![write])?;
        let line = self.line_mut(name)?;
        line.paused = paused;
        line.configure(config);
        Ok(())
    }

    fn clear(
        &mut self,
        name: &QueueName,
        clear: Clear,
        limit: usize,
        now: Timestamp,
    ) -> Result<u64> {
        let line = self.line(name)?;
        let list = |states: &[JobState]| {
            let places = states.iter().flat_map(|state| {
                if state.is_final() {
                    line.oldest(*state, None, limit)
                } else {
                    line.list(*state, None, limit)
                }
            });
            places.take(limit).map(|(_, seq)| seq).collect::<Vec<u64>>()
        };
        let doomed = match clear {
            Clear::Waiting => list(&[JobState::Waiting]),
            Clear::Pending => list(&[JobState::Waiting, JobState::Delayed]),
            Clear::Ended(state) => list(&[state]),
            Clear::Everything { force } => {
                let active = line.count(JobState::Active);
                if active > 0 && !force {
                    let queue = name.to_string();
                    return Err(Error::Busy { queue, active });
                }
                let doomed = list(&JobState::VISIBLE);
                self.configure(name, Setting::Pause)?;
                doomed
            }
        };
        for seq in &doomed {
            self.remove_one(name, *seq, now)?;
        }
        if doomed.is_empty() && matches!(clear, Clear::Everything { .. }) {
            self.drop_line(name)?;
        }
        Ok(doomed.len() as u64)
    }

    fn retry(&mut self, name: &QueueName, retry: &Retry, now: Timestamp) -> Result<u64> {
        const LOOK: usize = 256;
        let (mut count, mut after) = (0, None);
        loop {
            let places = self.line(name)?.oldest(retry.state, after, LOOK);
            let Some(last) = places.last() else {
                return Ok(count as u64);
            };
            after = Some(*last);
            for (_, seq) in places {
                if count == retry.limit {
                    return Ok(count as u64);
                }
                let line = self.line(name)?;
                let before = self.load_listed(line, seq)?;
                if before.archived || !self.fits(line, &before, &retry.filter)? {
                    continue;
                }
                let mut entry = before.clone();
                entry.retry(&line.config, retry.run_at(count), now)?;
                let mut plan = Plan::default();
                plan.put((name, line.number), Some(before), entry)?;
                self.apply(plan, now)?;
                count += 1;
            }
        }
    }

    fn get(&self, name: &QueueName, id: &str) -> Result<Job> {
        let entry = self.known(name, id)?;
        self.whole(name, self.line(name)?, &entry)
    }

    fn page(&self, name: &QueueName, ask: &PageAsk) -> Result<Page> {
        self.read_page(name, ask)
    }

    fn counts(&self, name: &QueueName) -> Result<Counts> {
        self.count_all(name)
    }

    fn queues(&self) -> Vec<QueueName> {
        self.lines.keys().cloned().collect()
    }
}
