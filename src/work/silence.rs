//! Findings that somebody has silenced, with a reason and until a day; they are still counted.
//!
//! A silence names a check, and maybe one object of it, of one target or of all. It is a record, so
//! it outlives a restart; when its time is over the finding speaks again by itself.

use crate::model::finding::{Finding, Silence, Silenced};
use crate::model::units::Timestamp;
use crate::store::{Result, Store};
use crate::work::board::Board;

const KIND: &str = "silence";

/// Keeps a silence in place of one of the same name, and obeys it at once.
///
/// # Errors
/// When the record cannot be written.
pub fn add(store: &Store, board: &Board, silence: &Silence, now: Timestamp) -> Result<()> {
    store.records().put(KIND, &silence.id(), silence)?;
    obey(store, board, now)
}

/// Takes a silence back; `false` if there was none of this name.
///
/// # Errors
/// When the record cannot be removed.
pub fn remove(store: &Store, board: &Board, id: &str, now: Timestamp) -> Result<bool> {
    let was_there = store.records().delete(KIND, id)?;
    obey(store, board, now)?;
    Ok(was_there)
}

/// All silences that are not over; those that are over are forgotten.
///
/// # Errors
/// When the records cannot be read.
pub fn list(store: &Store, now: Timestamp) -> Result<Vec<Silence>> {
    let mut kept = Vec::new();
    for (id, silence) in store.records().list::<Silence>(KIND)? {
        if silence.until > now {
            kept.push(silence);
        } else {
            store.records().delete(KIND, &id)?;
        }
    }
    Ok(kept)
}

/// Sorts the findings of every target anew.
fn obey(store: &Store, board: &Board, now: Timestamp) -> Result<()> {
    let silences = list(store, now)?;
    for target in board.names() {
        board.update(&target, |state| {
            let mut all: Vec<Finding> = state.findings.to_vec();
            all.extend(state.silenced.iter().map(|s| s.finding.clone()));
            all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
            let (open, quiet) = part(all, &target, &silences);
            state.findings = open.into();
            state.silenced = quiet.into();
        });
    }
    Ok(())
}

/// Findings that speak, and those that are silenced, each in their order.
pub(crate) fn part(
    findings: Vec<Finding>,
    target: &str,
    silences: &[Silence],
) -> (Vec<Finding>, Vec<Silenced>) {
    let (mut open, mut quiet) = (Vec::new(), Vec::new());
    for finding in findings {
        match silences.iter().find(|s| s.covers(target, &finding)) {
            Some(silence) => quiet.push(Silenced {
                finding,
                by: silence.id(),
                reason: silence.reason.clone(),
                until: silence.until,
            }),
            None => open.push(finding),
        }
    }
    (open, quiet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Severity;
    use crate::store::Options;

    fn finding(id: &str, object: &str) -> Finding {
        Finding {
            id: id.to_owned(),
            severity: Severity::Warning,
            title: String::new(),
            object: Some(object.to_owned()),
            evidence: Vec::new(),
            advice: String::new(),
            cure: None,
        }
    }

    fn silence(object: Option<&str>, until: i64) -> Silence {
        Silence {
            finding: "unused-index".to_owned(),
            object: object.map(str::to_owned),
            target: None,
            reason: "month-end report".to_owned(),
            until: Timestamp::from_millis(until),
            made_at: Timestamp::from_millis(0),
        }
    }

    #[test]
    fn a_silence_is_obeyed_at_once_until_its_day_and_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        let board = Board::new(["t".to_owned()], Vec::new());
        board.update("t", |state| {
            state.findings = vec![
                finding("unused-index", "public.a"),
                finding("unused-index", "public.b"),
                finding("dead-rows", "public.a"),
            ]
            .into();
        });
        let counts = || {
            let state = board.target("t").unwrap();
            (state.findings.len(), state.silenced.len())
        };
        let now = Timestamp::from_millis(10);
        add(&store, &board, &silence(Some("public.a"), 20), now).unwrap();
        assert_eq!(counts(), (2, 1));
        add(&store, &board, &silence(None, 30), now).unwrap();
        assert_eq!(counts(), (1, 2));
        // The one of all objects is over later than the other.
        obey(&store, &board, Timestamp::from_millis(25)).unwrap();
        assert_eq!(counts(), (1, 2));
        assert_eq!(list(&store, Timestamp::from_millis(25)).unwrap().len(), 1);
        obey(&store, &board, Timestamp::from_millis(30)).unwrap();
        assert_eq!(counts(), (3, 0));
        add(&store, &board, &silence(None, 90), now).unwrap();
        assert!(remove(&store, &board, &silence(None, 0).id(), now).unwrap());
        assert!(!remove(&store, &board, "unused-index", now).unwrap());
        assert_eq!(counts(), (3, 0));
    }
}
