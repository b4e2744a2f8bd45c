//! What the time does: attempts and jobs that are overdue fail, and what is too old goes.

use super::Model;
use crate::model::job::{JobState, QueueConfig, QueueName};
use crate::model::units::Timestamp;
use crate::queue::Change;
use crate::queue::entry::bound_of;

impl Model {
    /// Fails what is overdue in one queue.
    pub(super) fn expire_in(
        &mut self,
        name: &QueueName,
        limit: usize,
        now: Timestamp,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let Ok(queue) = self.queue(name) else {
            return changes;
        };
        queue.come_up(now);
        queue
            .same
            .retain(|_, (_, until)| until.is_none_or(|until| now < until));
        let config = queue.config.clone();
        let mut due: Vec<_> = queue
            .jobs
            .values()
            .filter(|held| held.entry.overdue(&config, now).is_some())
            .map(|held| {
                (
                    held.entry.state != JobState::Active,
                    held.due(),
                    held.entry.seq,
                )
            })
            .collect();
        due.sort_unstable();
        let of_kind = |active: bool| {
            due.iter()
                .filter(move |(idle, ..)| *idle != active)
                .take(limit)
        };
        let due: Vec<u64> = of_kind(true)
            .chain(of_kind(false))
            .map(|(.., seq)| *seq)
            .collect();
        for seq in due {
            let Ok(queue) = self.queue(name) else { break };
            let Some(held) = queue.jobs.get_mut(&seq) else {
                continue;
            };
            let Some(failure) = held.entry.overdue(&config, now) else {
                continue;
            };
            held.fail_for(&failure, &config, now);
            let is_final = held.entry.state.is_final();
            changes.push(held.entry.change(name, Some(&failure), now));
            if is_final {
                self.ended(name, seq, now, &mut changes);
            }
        }
        self.forget_old(name, &config, limit, now, &mut changes);
        if let Ok(queue) = self.queue(name) {
            queue.end_window(now);
        }
        changes
    }

    fn forget_old(
        &mut self,
        name: &QueueName,
        config: &QueueConfig,
        limit: usize,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        for state in JobState::VISIBLE
            .into_iter()
            .filter(|state| state.is_final())
        {
            let Some(age) = bound_of(config, state).age else {
                continue;
            };
            let end = now.minus(age.as_duration());
            let Ok(queue) = self.queue(name) else { return };
            let old: Vec<u64> = queue
                .in_order(state)
                .into_iter()
                .filter(|seq| {
                    let held = queue.jobs.get(seq);
                    let usual = held.filter(|held| held.entry.own_keep().is_none());
                    usual
                        .and_then(|held| held.entry.finished_at)
                        .is_some_and(|at| at <= end)
                })
                .take(limit)
                .collect();
            self.forget(name, &old, now, changes);
        }
        let Ok(queue) = self.queue(name) else { return };
        let going = queue.jobs.values().filter_map(|held| {
            let end = held.entry.goes_at()?;
            (end <= now).then_some((end, held.entry.seq))
        });
        let mut going: Vec<_> = going.collect();
        going.sort_unstable();
        let going: Vec<u64> = going.iter().take(limit).map(|(_, seq)| *seq).collect();
        self.forget(name, &going, now, changes);
    }

    /// Removes jobs for their age.
    fn forget(&mut self, name: &QueueName, old: &[u64], now: Timestamp, changes: &mut Vec<Change>) {
        for seq in old {
            let Ok(queue) = self.queue(name) else { return };
            if let Some(held) = queue.jobs.get(seq) {
                changes.push(Change::gone(name, held.entry.id()));
            }
            self.remove(name, *seq, now, changes);
        }
    }
}
