//! The runs of a verification, in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::Limits;
use crate::advise::proof::{self, Run, Without};
use crate::advise::workload::Statement;
use crate::clock::Stopwatch;
use crate::model::advice::{Advice, Kept, Proof, Timed, Unkept};
use crate::postgres::{Built, Scratch};
use crate::work::Result;

/// Statements, indexes, and a clock.
pub(super) struct Lab<'l> {
    pub(super) scratch: &'l Scratch,
    pub(super) statements: Vec<Statement>,
    pub(super) weights: Vec<f64>,
    pub(super) built: Vec<Built>,
    pub(super) limits: Limits,
    pub(super) watch: &'l Stopwatch,
}

impl Lab<'_> {
    /// Runs everything that judging takes.
    pub(super) async fn judge(&self, advice: &Advice) -> Result<Proof> {
        let mut set: BTreeSet<usize> = (0..self.built.len()).collect();
        let mut dropped: BTreeMap<usize, String> = BTreeMap::new();
        let (mut before, mut after) = self.in_turn(&set, None).await?;
        // One goes at a time, so this ends.
        while let Some((index, reason)) = self.to_blame(&set, &before, &after).await? {
            set.remove(&index);
            dropped.insert(index, reason);
            self.again(&set, index, &mut after).await?;
        }
        let mut saves: BTreeMap<usize, f64> = BTreeMap::new();
        for index in set.clone() {
            let without = self.without(&set, index, &after).await?;
            if let Some(reason) = proof::idle(&after, &self.weights, &without) {
                set.remove(&index);
                dropped.insert(index, reason);
                self.again(&set, index, &mut after).await?;
            } else {
                saves.insert(index, proof::saved(&after, &self.weights, &without).0);
            }
        }
        // Plans may have turned to others since; what got slower now goes, too.
        loop {
            (before, after) = self.in_turn(&set, Some((&before, &after))).await?;
            let Some((index, reason)) = self.to_blame(&set, &before, &after).await? else {
                break;
            };
            set.remove(&index);
            dropped.insert(index, reason);
        }
        Ok(self.proof(advice, &set, &saves, &dropped, (&before, &after)))
    }

    /// Each statement without any index and with the set, in turn. What is known of either side from
    /// before is one more run of it, as long as its plan uses the same.
    async fn in_turn(
        &self,
        set: &BTreeSet<usize>,
        known: Option<(&[Run], &[Run])>,
    ) -> Result<(Vec<Run>, Vec<Run>)> {
        let none = BTreeSet::new();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for q in 0..self.statements.len() {
            self.tell(q, "without and with the set");
            let mut old = known.and_then(|(before, _)| before.get(q).cloned());
            let last = known.and_then(|(_, after)| after.get(q).cloned());
            let mut new: Option<Run> = None;
            for turn in 0..self.limits.runs {
                if turn > 0 && self.is_over() {
                    break;
                }
                // What was cut once is cut again: it costs the limit each time.
                if old.as_ref().is_none_or(|run| !run.is_cut) {
                    old = Some(merged(old, self.run(q, &none).await?));
                }
                let run = self.run(q, set).await?;
                if run.used.is_empty() && !run.is_cut {
                    // The same plan as without: both sides are runs of one thing.
                    old = old.map(|old| {
                        if old.is_cut {
                            old
                        } else {
                            old.with(run.clone())
                        }
                    });
                    new = None;
                    break;
                }
                let is_cut = run.is_cut;
                new = Some(merged(new, run));
                if is_cut {
                    break;
                }
            }
            let old = old.unwrap_or_default();
            let new = match (new, last) {
                (Some(new), Some(last)) if last.used == new.used => new.with(last),
                (Some(new), _) => new,
                (None, _) => Run {
                    used: BTreeSet::new(),
                    ..old.clone()
                },
            };
            before.push(old);
            after.push(new);
        }
        Ok((before, after))
    }

    /// The index that is to blame for the statement that got slower most, with the reason.
    async fn to_blame(
        &self,
        set: &BTreeSet<usize>,
        before: &[Run],
        after: &[Run],
    ) -> Result<Option<(usize, String)>> {
        let pairs = before.iter().zip(after).enumerate();
        let slower = pairs
            .filter(|(_, (old, new))| proof::is_slower(old, new) && !new.used.is_empty())
            .max_by(|a, b| (a.1.1.ms - a.1.0.ms).total_cmp(&(b.1.1.ms - b.1.0.ms)));
        let Some((q, (old, new))) = slower else {
            return Ok(None);
        };
        let mut tried: BTreeMap<usize, Without> = BTreeMap::new();
        for index in &new.used {
            if self.is_over() && !tried.is_empty() {
                break;
            }
            tried.insert(*index, self.without(set, *index, after).await?);
        }
        let index = proof::blamed(q, old, after, &self.weights, &tried);
        Ok(index.map(|index| {
            let name = self.statements.get(q).map_or("", |s| s.name.as_str());
            let reason = format!(
                "{name} takes {:.0} ms with it and {:.0} ms without any",
                new.ms, old.ms
            );
            (index, reason)
        }))
    }

    /// Each statement that uses `index`, run without it.
    async fn without(&self, set: &BTreeSet<usize>, index: usize, after: &[Run]) -> Result<Without> {
        let mut rest = set.clone();
        rest.remove(&index);
        let mut found = Without::new();
        for (q, _) in after
            .iter()
            .enumerate()
            .filter(|(_, run)| run.used.contains(&index))
        {
            self.tell(q, "without one of the set");
            let first = self.run(q, &rest).await?;
            let run = if first.is_cut || self.is_over() {
                first
            } else {
                first.with(self.run(q, &rest).await?)
            };
            found.insert(q, run);
        }
        Ok(found)
    }

    /// Runs anew what used an index that is gone.
    async fn again(&self, set: &BTreeSet<usize>, gone: usize, after: &mut [Run]) -> Result<()> {
        for (q, run) in after.iter_mut().enumerate() {
            if run.used.contains(&gone) {
                self.tell(q, "with what is left");
                *run = self.run(q, set).await?.with(self.run(q, set).await?);
            }
        }
        Ok(())
    }

    async fn run(&self, q: usize, set: &BTreeSet<usize>) -> Result<Run> {
        let Some(statement) = self.statements.get(q) else {
            return Ok(Run::default());
        };
        let without: Vec<&str> = self
            .built
            .iter()
            .enumerate()
            .filter(|(number, _)| !set.contains(number))
            .map(|(_, built)| built.quoted.as_str())
            .collect();
        let limit = self.limits.statement;
        let measured = self.scratch.run(&statement.text, &without, limit).await?;
        let number = |name: &String| self.built.iter().position(|built| built.name == *name);
        Ok(Run {
            ms: measured.ms,
            blocks: measured.blocks,
            used: measured.indexes.iter().filter_map(number).collect(),
            is_cut: measured.is_cut,
        })
    }

    fn is_over(&self) -> bool {
        self.watch.elapsed() >= self.limits.total
    }

    fn tell(&self, q: usize, what: &str) {
        let name = self.statements.get(q).map_or("", |s| s.name.as_str());
        (self.limits.told)(&format!("running {name} {what}"));
    }

    fn proof(
        &self,
        advice: &Advice,
        set: &BTreeSet<usize>,
        saves: &BTreeMap<usize, f64>,
        dropped: &BTreeMap<usize, String>,
        (before, after): (&[Run], &[Run]),
    ) -> Proof {
        let timed = self.statements.iter().zip(before.iter().zip(after));
        let statements: Vec<Timed> = timed
            .map(|(statement, (old, new))| Timed {
                name: statement.name.clone(),
                before_ms: old.ms,
                after_ms: new.ms,
                before_blocks: old.blocks,
                after_blocks: new.blocks,
                is_cut: old.is_cut,
            })
            .collect();
        let sum = |of: fn(&Timed) -> f64| -> f64 {
            let each = statements.iter().zip(&self.weights);
            each.filter(|(timed, _)| !timed.is_cut)
                .map(|(timed, weight)| weight * of(timed))
                .sum()
        };
        let kept: Vec<Kept> = set
            .iter()
            .filter_map(|number| {
                let index = advice.indexes.get(*number)?;
                Some(Kept {
                    ddl: index.ddl.clone(),
                    size_bytes: index.size_bytes,
                    built_bytes: self.built.get(*number)?.bytes,
                    saves_ms: saves.get(number).copied().unwrap_or(0.0),
                })
            })
            .collect();
        let unkept = dropped.iter().filter_map(|(number, reason)| {
            Some(Unkept {
                ddl: advice.indexes.get(*number)?.ddl.clone(),
                reason: reason.clone(),
            })
        });
        Proof {
            before_ms: sum(|timed| timed.before_ms),
            after_ms: sum(|timed| timed.after_ms),
            built_bytes: kept.iter().map(|kept| kept.built_bytes).sum(),
            runs: self.limits.runs,
            dropped: unkept.collect(),
            notes: self.notes(advice),
            statements,
            kept,
            ..Proof::default()
        }
    }

    /// What the reader should know before believing the times.
    fn notes(&self, advice: &Advice) -> Vec<String> {
        let mut notes = Vec::new();
        let built: u64 = self.built.iter().map(|built| built.bytes).sum();
        let promised: u64 = advice.indexes.iter().map(|index| index.size_bytes).sum();
        if (built as f64) < 0.5 * promised as f64 {
            notes.push(format!(
                "what was built takes {} % of what was promised for the target: the scratch \
                 database seems to hold less, and its times say little of the target's",
                100 * built / promised.max(1)
            ));
        }
        if self.is_over() {
            notes.push("the time was up before every run was made".to_owned());
        }
        notes
    }
}

/// The better of two runs with the same plan; the later one where the plans differ.
fn merged(old: Option<Run>, new: Run) -> Run {
    match old {
        Some(old) if old.used == new.used => old.with(new),
        _ => new,
    }
}
