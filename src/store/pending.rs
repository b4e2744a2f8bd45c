//! Rows that are not in their database yet, in memory; and as groups of bytes for the journal.
//!
//! For: reading what was written last. Not for: when it goes where (`rows`). Read [`Pending`] first.
//!
//! A group is what happens wholly or not at all: varint operations, then of each a byte (0 put,
//! 1 delete), the varint length and bytes of its key, and for a put those of its value.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::{Damaged, Reader, put_bytes, put_varint};
use super::op::Op;

const PUT: u8 = 0;
const DELETE: u8 = 1;

/// Values by key; `None` where there is nothing any more.
pub(super) type Values = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What was written and is not in the database.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Since the last turn of the journal.
    pub(super) newest: Values,
    /// Before it, while that is on its way into the database.
    pub(super) settling: Option<Settling>,
    /// Groups that are not in the journal yet.
    pub(super) unlogged: Vec<u8>,
    /// Bytes of groups that are just being written there.
    pub(super) taken: usize,
    /// Groups so far.
    pub(super) count: u64,
    /// Bytes of them since room was looked for on the disk, and for how many there was.
    pub(super) used: usize,
    pub(super) room: usize,
}

/// What is on its way into the database: it stands in the journal's other file, and what was written
/// last of it in this one.
#[derive(Debug, Clone)]
pub(super) struct Settling {
    pub(super) values: Arc<Values>,
    /// It may go into the database when so many groups are in the journal and on the disk.
    pub(super) count: u64,
}

impl Pending {
    /// Takes up a group.
    pub(super) fn add(&mut self, group: Vec<Op>) {
        self.count += 1;
        put_varint(&mut self.unlogged, group.len() as u64);
        for op in group {
            let (key, value) = op.into_parts();
            self.unlogged
                .push(if value.is_some() { PUT } else { DELETE });
            put_bytes(&mut self.unlogged, &key);
            if let Some(value) = &value {
                put_bytes(&mut self.unlogged, value);
            }
            self.newest.insert(key, value);
        }
    }

    /// Tells `then` what a key holds, if anything, unless that is for the database to say.
    pub(super) fn read<R>(&self, key: &[u8], then: impl FnOnce(Option<&[u8]>) -> R) -> Option<R> {
        let settling = || self.settling.as_ref()?.values.get(key);
        let value = self.newest.get(key).or_else(settling)?;
        Some(then(value.as_deref()))
    }

    /// What all keys under a prefix hold of which that is not for the database to say.
    pub(super) fn under(&self, prefix: &[u8]) -> Values {
        let mut all = Values::new();
        let settling = self.settling.as_ref().map(|settling| &*settling.values);
        for values in settling.into_iter().chain([&self.newest]) {
            let from = values.range(prefix.to_vec()..);
            let there = from.take_while(|(key, _)| key.starts_with(prefix));
            all.extend(there.map(|(key, value)| (key.clone(), value.clone())));
        }
        all
    }

    /// Takes the groups that are not in the journal yet, to write them there; and how many were ever.
    pub(super) fn take(&mut self) -> (Vec<u8>, u64) {
        self.taken = self.unlogged.len();
        (std::mem::take(&mut self.unlogged), self.count)
    }

    /// Groups that were taken are in the journal; what is left of their room serves those that come.
    pub(super) fn taken_over(&mut self, room: Vec<u8>) {
        self.taken = 0;
        if self.unlogged.is_empty() {
            self.unlogged = room;
        }
    }

    /// Gives back groups that did not get into the journal, before those that came meanwhile.
    pub(super) fn give_back(&mut self, mut groups: Vec<u8>) {
        self.taken = 0;
        groups.append(&mut self.unlogged);
        self.unlogged = groups;
    }

    /// Begins to bring everything into the database. Nothing else may be on its way.
    pub(super) fn begin(&mut self) {
        self.settling = Some(Settling {
            values: Arc::new(std::mem::take(&mut self.newest)),
            count: self.count,
        });
        (self.used, self.room) = (0, 0);
    }
}

/// What each key holds after groups in their order.
pub(super) fn last_values(groups: Vec<Vec<Op>>) -> Values {
    groups.into_iter().flatten().map(Op::into_parts).collect()
}

/// Reads what [`Pending::add`] wrote.
pub(super) fn read_groups(bytes: &[u8]) -> Result<Vec<Vec<Op>>, Damaged> {
    let mut from = Reader::new(bytes);
    let mut groups = Vec::new();
    while !from.is_done() {
        let count = from.length(bytes.len())?;
        let ops = (0..count).map(|_| match from.byte()? {
            PUT => Ok(Op::put(from.bytes()?, from.bytes()?)),
            DELETE => Ok(Op::Delete(from.bytes()?.to_vec())),
            _ => Err(Damaged("an operation of no known kind")),
        });
        groups.push(ops.collect::<Result<_, _>>()?);
    }
    Ok(groups)
}
