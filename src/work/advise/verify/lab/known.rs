//! What the runs have told, also where they ended early, and the proof made of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Lab;
use crate::advise::proof::{self, Run};
use crate::model::advice::{Advice, Kept, Proof, Skipped, Timed, Unkept};

/// What is known so far.
#[derive(Default)]
pub(super) struct Known {
    /// Indexes that are left.
    pub(super) set: BTreeSet<usize>,
    /// Those that are not, and why.
    pub(super) dropped: BTreeMap<usize, String>,
    /// What each that was judged saves.
    pub(super) saves: BTreeMap<usize, f64>,
    /// Runs without any, and with those that are left; the first of the statements while others were
    /// not yet run.
    pub(super) before: Vec<Run>,
    pub(super) after: Vec<Run>,
    /// Statements that fail when they are run, and how.
    pub(super) failed: BTreeMap<usize, String>,
}

/// Why nothing is said of an index or of a statement.
const TIME_UP: &str = "the time was up";

impl Lab<'_> {
    /// Takes away what could not be judged in time, and what a statement is known to suffer from.
    pub(super) fn settle(&self, known: &mut Known) {
        for (q, (old, new)) in known.before.iter().zip(&known.after).enumerate() {
            if !proof::is_slower(old, new) || !new.used.is_subset(&known.set) {
                continue;
            }
            let reason = format!(
                "{}, and {TIME_UP} before it was known which index is to blame",
                self.compared(q, old, new, " and others")
            );
            for index in &new.used {
                known.set.remove(index);
                known.dropped.insert(*index, reason.clone());
            }
        }
        known.set.retain(|index| known.saves.contains_key(index));
        for index in 0..self.built.len() {
            if !known.set.contains(&index) {
                let reason = || format!("not judged: {TIME_UP}");
                known.dropped.entry(index).or_insert_with(reason);
            }
        }
    }

    pub(super) fn proof(&self, advice: &Advice, known: &Known, is_complete: bool) -> Proof {
        let (mut statements, mut weights) = (Vec::new(), Vec::new());
        let mut skipped = Vec::new();
        for (q, statement) in self.statements.iter().enumerate() {
            let runs = known.before.get(q).zip(known.after.get(q));
            let reason = match (known.failed.get(&q), runs) {
                (Some(reason), _) => reason.clone(),
                (None, Some((old, new))) if new.used.is_subset(&known.set) => {
                    statements.push(Timed {
                        name: statement.name.clone(),
                        before_ms: old.ms,
                        after_ms: new.ms,
                        before_blocks: old.blocks,
                        after_blocks: new.blocks,
                        is_cut: old.is_cut,
                    });
                    weights.push(statement.calls);
                    continue;
                }
                (None, Some(_)) => format!("{TIME_UP} before it was run with what is kept"),
                (None, None) => format!("{TIME_UP} before it was run"),
            };
            skipped.push(Skipped {
                name: statement.name.clone(),
                reason,
            });
        }
        let sum = |of: fn(&Timed) -> f64| -> f64 {
            let each = statements.iter().zip(&weights);
            each.filter(|(timed, _)| !timed.is_cut)
                .map(|(timed, weight)| weight * of(timed))
                .sum()
        };
        let kept: Vec<Kept> = known
            .set
            .iter()
            .filter_map(|number| {
                let index = advice.indexes.get(*number)?;
                Some(Kept {
                    ddl: index.ddl.clone(),
                    size_bytes: index.size_bytes,
                    built_bytes: self.built.get(*number)?.bytes,
                    saves_ms: known.saves.get(number).copied().unwrap_or(0.0),
                })
            })
            .collect();
        let unkept = known.dropped.iter().filter_map(|(number, reason)| {
            Some(Unkept {
                ddl: advice.indexes.get(*number)?.ddl.clone(),
                reason: reason.clone(),
            })
        });
        let unbuilt = advice.indexes.iter().skip(self.built.len());
        let unbuilt = unbuilt.map(|index| Unkept {
            ddl: index.ddl.clone(),
            reason: format!("not built: {TIME_UP}"),
        });
        Proof {
            before_ms: sum(|timed| timed.before_ms),
            after_ms: sum(|timed| timed.after_ms),
            built_bytes: kept.iter().map(|kept| kept.built_bytes).sum(),
            runs: self.limits.runs,
            dropped: unkept.chain(unbuilt).collect(),
            notes: self.notes(advice, is_complete),
            skipped,
            statements,
            kept,
            ..Proof::default()
        }
    }

    /// What the reader should know before believing the times.
    fn notes(&self, advice: &Advice, is_complete: bool) -> Vec<String> {
        let mut notes = Vec::new();
        let built: u64 = self.built.iter().map(|built| built.bytes).sum();
        let promised: u64 = advice
            .indexes
            .iter()
            .take(self.built.len())
            .map(|index| index.size_bytes)
            .sum();
        if (built as f64) < 0.5 * promised as f64 {
            notes.push(format!(
                "what was built takes {} % of what was promised for the target: the scratch \
                 database seems to hold less, and its times say little of the target's",
                100 * built / promised.max(1)
            ));
        }
        if !is_complete || self.built.len() < advice.indexes.len() {
            notes.push(format!(
                "{TIME_UP} before every run was made: what is kept is what was known by then; a \
                 larger --total-limit tells more"
            ));
        }
        notes
    }
}
