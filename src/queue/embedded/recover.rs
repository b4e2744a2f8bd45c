//! Opening: from rows to lists.
//!
//! Everything follows from one pass over the rows. Flows that were not whole are dropped, those that
//! were are finished; a parent waits for as many children as say that they have not ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::keys::{self, Part};
use super::{Ledger, Line};
use crate::model::job::{JobRef, JobState, QueueName};
use crate::queue::Result;
use crate::queue::entry::Entry;
use crate::store::Write;

/// Children that have not ended, by their parents: by number, and by name of those whose rows are
/// older than that.
#[derive(Default)]
struct OpenChildren {
    numbered: HashMap<u64, u32>,
    named: HashMap<JobRef, u32>,
}

impl OpenChildren {
    fn count(&mut self, child: &Entry) {
        if child.counted {
            return;
        }
        match (child.parent_seq, &child.parent) {
            (Some(seq), _) => *self.numbered.entry(seq).or_default() += 1,
            (None, Some(parent)) => *self.named.entry(parent.clone()).or_default() += 1,
            (None, None) => {}
        }
    }

    fn of(&self, seq: u64, parent: &JobRef) -> u32 {
        let numbered = self.numbered.get(&seq).copied().unwrap_or(0);
        numbered + self.named.get(parent).copied().unwrap_or(0)
    }
}

impl Ledger {
    /// Reads all rows into memory.
    pub(super) fn recover(&mut self) -> Result<()> {
        self.recover_lines()?;
        let whole = self.flows()?;
        let names: BTreeMap<u32, QueueName> = self
            .lines
            .iter()
            .map(|(name, line)| (line.number, name.clone()))
            .collect();
        let mut orphans = Vec::new();
        let mut unfinished = Vec::new();
        let mut open_children = OpenChildren::default();
        let mut parents = Vec::new();
        let mut last = 0;
        let rows = std::sync::Arc::clone(&self.rows);
        rows.scan(keys::JOBS, |key, value| {
            let Some((number, seq, part)) = keys::read_job(key) else {
                return Err(rows.damaged("a key of jobs"));
            };
            let line = names.get(&number).and_then(|name| self.lines.get_mut(name));
            let Some(line) = line else {
                orphans.push((number, seq));
                return Ok(());
            };
            if part != Part::Entry as u8 {
                return Ok(());
            }
            let mut entry: Entry = keys::read(&rows, value)?;
            entry.seq = seq;
            last = last.max(seq);
            if entry.state == JobState::Preparing {
                unfinished.push((number, entry));
                return Ok(());
            }
            open_children.count(&entry);
            if entry.has_children {
                parents.push((number, seq));
            }
            line.know(&entry);
            line.put(&entry);
            Ok(())
        })?;
        self.next = self.taken.max(last + 1);
        self.taken = self.next;
        self.recover_flows(&names, &whole, unfinished, &mut open_children, &mut parents)?;
        self.recover_parents(&names, &open_children, &parents)?;
        let orphans: BTreeSet<(u32, u64)> = orphans.into_iter().collect();
        for (number, seq) in orphans {
            self.drop_rows(number, seq)?;
        }
        Ok(())
    }

    fn recover_lines(&mut self) -> Result<()> {
        let rows = std::sync::Arc::clone(&self.rows);
        let mut names = BTreeMap::new();
        rows.scan(keys::QUEUES, |key, value| {
            let name = key.strip_prefix(keys::QUEUES).unwrap_or_default();
            let name = std::str::from_utf8(name).ok();
            let name: Option<QueueName> = name.and_then(|name| name.parse().ok());
            let name = name.ok_or_else(|| rows.damaged("a name of a queue"))?;
            let row: keys::QueueRow = keys::read(&rows, value)?;
            self.next_line = self.next_line.max(row.number + 1);
            names.insert(row.number, name.clone());
            let line = Line::new(row.number, row.config, row.paused);
            self.lines.insert(name, line);
            Ok(())
        })?;
        rows.scan(keys::TOTALS, |key, value| {
            let number = key
                .strip_prefix(keys::TOTALS)
                .and_then(|n| n.try_into().ok());
            let line = number.and_then(|number| names.get(&u32::from_be_bytes(number)));
            if let Some(line) = line.and_then(|name| self.lines.get_mut(name))
                && let Some((done, given_up)) = keys::read_pair(value)
            {
                (line.completed_total, line.failed_total) = (done, given_up);
            }
            Ok(())
        })?;
        rows.scan(keys::SAME, |key, value| {
            if let Some((number, id)) = keys::read_same(key)
                && let Some(line) = names.get(&number).and_then(|name| self.lines.get_mut(name))
                && let Some(to) = keys::read_same_value(value)
            {
                line.set_same(id, Some(to));
            }
            Ok(())
        })?;
        if let Some(taken) = rows.get(keys::TAKEN)? {
            let taken = taken.try_into().map(u64::from_le_bytes);
            self.taken = taken.map_err(|_| rows.damaged("the mark of the numbers taken"))?;
        }
        Ok(())
    }

    /// First jobs of flows that are whole.
    fn flows(&self) -> Result<BTreeSet<u64>> {
        let mut whole = BTreeSet::new();
        self.rows.scan(keys::FLOWS, |key, _| {
            let first = key
                .strip_prefix(keys::FLOWS)
                .and_then(|n| n.try_into().ok());
            whole.extend(first.map(u64::from_be_bytes));
            Ok(())
        })?;
        Ok(whole)
    }

    fn recover_flows(
        &mut self,
        names: &BTreeMap<u32, QueueName>,
        whole: &BTreeSet<u64>,
        unfinished: Vec<(u32, Entry)>,
        open_children: &mut OpenChildren,
        parents: &mut Vec<(u32, u64)>,
    ) -> Result<()> {
        for (number, mut entry) in unfinished {
            if !entry.flow.is_some_and(|first| whole.contains(&first)) {
                self.drop_rows(number, entry.seq)?;
                continue;
            }
            entry.flow = None;
            entry.finish_preparing();
            let key = keys::job(number, entry.seq, Part::Entry);
            self.rows.write(vec![keys::put(key, &entry)?])?;
            open_children.count(&entry);
            if entry.has_children {
                parents.push((number, entry.seq));
            }
            if let Some(line) = names.get(&number).and_then(|name| self.lines.get_mut(name)) {
                line.know(&entry);
                line.put(&entry);
            }
        }
        for first in whole {
            self.rows.write(vec![Write::Delete(keys::flow(*first))])?;
        }
        Ok(())
    }

    /// Lets parents wait for the children that are there, and for no others.
    fn recover_parents(
        &mut self,
        names: &BTreeMap<u32, QueueName>,
        open_children: &OpenChildren,
        parents: &[(u32, u64)],
    ) -> Result<()> {
        for (number, seq) in parents {
            let Some(name) = names.get(number) else {
                continue;
            };
            let Some(before) = self.load_written(*number, *seq)? else {
                continue;
            };
            let me = JobRef {
                queue: name.clone(),
                id: before.id(),
            };
            let pending = open_children.of(*seq, &me);
            if before.pending == pending {
                continue;
            }
            tracing::warn!(queue = %name, id = me.id, "a parent waits for other children than it said");
            let mut after = before.clone();
            after.pending = pending.max(1);
            if pending == 0 {
                after.child_settled(after.run_at);
            }
            let key = keys::job(*number, *seq, Part::Entry);
            self.rows.write(vec![keys::put(key, &after)?])?;
            let line = self.line_mut(name)?;
            line.take(&before);
            line.put(&after);
        }
        Ok(())
    }

    fn drop_rows(&self, number: u32, seq: u64) -> Result<()> {
        let keys = Part::ALL.map(|part| Write::Delete(keys::job(number, seq, part)));
        Ok(self.rows.write(keys.to_vec())?)
    }
}
