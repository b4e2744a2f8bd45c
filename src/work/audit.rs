//! What was written to targets: a record before, and what became of it after.
//!
//! A write whose record cannot be kept is not begun.

use crate::model::maintenance::{AuditEntry, AuditOutcome};
use crate::model::units::Timestamp;
use crate::store::{Result, Store};

const KIND: &str = "audit";
/// Records that are kept.
const KEPT: usize = 1_000;

/// A write that is under way.
#[derive(Debug)]
pub(crate) struct Open {
    id: String,
    entry: AuditEntry,
}

/// Keeps that a write begins, and forgets the oldest.
///
/// # Errors
/// When the record cannot be written; then the write must not begin.
pub(crate) fn begin(store: &Store, entry: AuditEntry) -> Result<Open> {
    begin_among(store, entry, KEPT)
}

fn begin_among(store: &Store, entry: AuditEntry, kept: usize) -> Result<Open> {
    let records = store.records();
    // Names sort by time; two writes of one millisecond are of different jobs or tables.
    let id = format!("{:015} {} {}", entry.at.as_millis(), entry.by, entry.table);
    records.put(KIND, &id, &entry)?;
    tracing::info!(
        target_name = entry.target,
        role = entry.role,
        by = entry.by,
        what = entry.what,
        "a write to a target begins"
    );
    let known = records.list::<AuditEntry>(KIND)?;
    let over = known.len().saturating_sub(kept);
    for (old, _) in known.into_iter().take(over) {
        records.delete(KIND, &old)?;
    }
    Ok(Open { id, entry })
}

/// Keeps what became of it.
///
/// # Errors
/// When the record cannot be written; the log has it in any case.
pub(crate) fn end(store: &Store, open: Open, outcome: AuditOutcome, at: Timestamp) -> Result<()> {
    let Open { id, mut entry } = open;
    entry.ended_at = Some(at);
    entry.outcome = outcome;
    tracing::info!(
        target_name = entry.target,
        by = entry.by,
        what = entry.what,
        outcome = ?entry.outcome,
        "a write to a target ended"
    );
    store.records().put(KIND, &id, &entry)
}

/// The newest records of a target, or of all, newest first.
///
/// # Errors
/// When the records cannot be read.
pub fn list(store: &Store, target: Option<&str>, most: usize) -> Result<Vec<AuditEntry>> {
    let known = store.records().list::<AuditEntry>(KIND)?;
    let wanted = |entry: &AuditEntry| target.is_none_or(|target| entry.target == target);
    Ok(known
        .into_iter()
        .rev()
        .map(|(_, entry)| entry)
        .filter(wanted)
        .take(most)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::maintenance::WriteClass;
    use crate::store::Options;

    fn entry(at: i64) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_millis(at),
            ended_at: None,
            by: format!("plimsoll/{at}"),
            target: "shop".to_owned(),
            role: "writer".to_owned(),
            class: WriteClass::Vacuum,
            table: "public.lead".to_owned(),
            what: "VACUUM (ANALYZE) public.lead".to_owned(),
            outcome: AuditOutcome::Started,
        }
    }

    #[test]
    fn a_write_is_told_before_and_after_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        for at in 0..4 {
            let open = begin_among(&store, entry(at), 3).unwrap();
            if at == 2 {
                let done = AuditOutcome::Done("5 dead rows gone".to_owned());
                end(&store, open, done, Timestamp::from_millis(at + 5)).unwrap();
            }
        }
        let told = list(&store, Some("shop"), 2).unwrap();
        assert_eq!(told[0].outcome, AuditOutcome::Started);
        assert_eq!(told[0].ended_at, None);
        assert_eq!(told[1].ended_at, Some(Timestamp::from_millis(7)));
        let all = list(&store, None, usize::MAX).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(list(&store, Some("other"), 9).unwrap(), []);
        assert_eq!(all.last().unwrap().at, Timestamp::from_millis(1));
    }
}
