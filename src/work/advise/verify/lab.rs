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
        // Each cure takes at least one away, so this ends.
        while let Some(q) = proof::slowest(&before, &after) {
            let cured = self.cure(q, &mut set, &before, &mut after).await?;
            dropped.extend(cured);
        }
        let mut saves: BTreeMap<usize, f64> = BTreeMap::new();
        for index in set.clone() {
            let without = self.without(&set, index, &after).await?;
            if let Some(reason) = proof::idle(&after, &self.weights, &without) {
                set.remove(&index);
                dropped.insert(index, reason);
                self.again(&set, &BTreeSet::from([index]), &mut after)
                    .await?;
            } else {
                saves.insert(index, proof::saved(&after, &self.weights, &without).0);
            }
        }
        // Plans may have turned to others since; what got slower now goes, too.
        loop {
            (before, after) = self.in_turn(&set, Some((&before, &after))).await?;
            let Some(q) = proof::slowest(&before, &after) else {
                break;
            };
            let cured = self.cure(q, &mut set, &before, &mut after).await?;
            dropped.extend(cured);
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

    /// Takes away what makes a statement slower, and says what went and why.
    ///
    /// One index, where without it the statement is as fast as it must be: of several such the one
    /// that the others miss least. Else all that its plan uses, again and again until it is cured;
    /// then they come back one by one, what the others miss most first, while it stays so.
    async fn cure(
        &self,
        q: usize,
        set: &mut BTreeSet<usize>,
        before: &[Run],
        after: &mut [Run],
    ) -> Result<BTreeMap<usize, String>> {
        let (Some(old), Some(new)) = (before.get(q), after.get(q).cloned()) else {
            return Ok(BTreeMap::new());
        };
        let mut alone = BTreeSet::new();
        for index in &new.used {
            let run = self.twice(q, &less(set, &BTreeSet::from([*index]))).await?;
            if !proof::is_slower(old, &run) {
                alone.insert(*index);
            }
            if self.is_over() {
                break;
            }
        }
        let mut gone = if alone.is_empty() {
            self.all_of(q, set, old, &new).await?
        } else {
            let mut tried: BTreeMap<usize, Without> = BTreeMap::new();
            for index in alone {
                tried.insert(index, self.without(set, index, after).await?);
            }
            BTreeSet::from_iter(proof::least_missed(after, &self.weights, &tried))
        };
        let with = after.to_vec();
        *set = less(set, &gone);
        self.again(set, &gone, after).await?;
        if gone.len() > 1 {
            for index in proof::by_worth(&gone, &with, after, &self.weights) {
                if self.is_over() {
                    break;
                }
                if self.put_back(index, set, before, after, &with).await? {
                    gone.remove(&index);
                }
            }
        }
        let name = self.statements.get(q).map_or("", |s| s.name.as_str());
        let reason = |beside: &str| {
            format!(
                "{name} takes {:.0} ms with it{beside} and {:.0} ms without any",
                new.ms, old.ms
            )
        };
        let beside = if gone.len() > 1 { " and others" } else { "" };
        Ok(gone.into_iter().map(|i| (i, reason(beside))).collect())
    }

    /// Indexes without which a statement is as fast as it must be: those of its plan, then those of
    /// the plan that it has without them, and so on.
    async fn all_of(
        &self,
        q: usize,
        set: &BTreeSet<usize>,
        old: &Run,
        new: &Run,
    ) -> Result<BTreeSet<usize>> {
        let mut gone = new.used.clone();
        loop {
            let run = self.twice(q, &less(set, &gone)).await?;
            if run.used.is_empty() || !proof::is_slower(old, &run) {
                return Ok(gone);
            }
            gone.extend(run.used);
        }
    }

    /// Takes an index in again if those that used it gain by it and nothing gets slower than it may.
    async fn put_back(
        &self,
        index: usize,
        set: &mut BTreeSet<usize>,
        before: &[Run],
        after: &mut [Run],
        with: &[Run],
    ) -> Result<bool> {
        let mut wider = set.clone();
        wider.insert(index);
        let mut runs: Vec<(usize, Run)> = Vec::new();
        let mut gained = 0.0;
        for (q, (old, was)) in before.iter().zip(with).enumerate() {
            if !was.used.contains(&index) {
                continue;
            }
            let run = self.twice(q, &wider).await?;
            if proof::is_slower(old, &run) {
                return Ok(false);
            }
            let weight = self.weights.get(q).copied().unwrap_or(1.0);
            gained += after.get(q).map_or(0.0, |now| weight * (now.ms - run.ms));
            runs.push((q, run));
        }
        if gained <= proof::NOISE_MS {
            return Ok(false);
        }
        for (q, run) in runs {
            if let Some(place) = after.get_mut(q) {
                *place = run;
            }
        }
        set.insert(index);
        Ok(true)
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
            found.insert(q, self.twice(q, &rest).await?);
        }
        Ok(found)
    }

    /// Runs anew what used an index that is gone.
    async fn again(
        &self,
        set: &BTreeSet<usize>,
        gone: &BTreeSet<usize>,
        after: &mut [Run],
    ) -> Result<()> {
        for (q, run) in after.iter_mut().enumerate() {
            if !run.used.is_disjoint(gone) {
                *run = self.twice(q, set).await?;
            }
        }
        Ok(())
    }

    /// The better of two runs, or the first where a second tells nothing.
    async fn twice(&self, q: usize, set: &BTreeSet<usize>) -> Result<Run> {
        self.tell(q, "with a part of the set");
        let first = self.run(q, set).await?;
        if first.is_cut || self.is_over() {
            return Ok(first);
        }
        Ok(first.with(self.run(q, set).await?))
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

/// What is left of a set.
fn less(set: &BTreeSet<usize>, gone: &BTreeSet<usize>) -> BTreeSet<usize> {
    set.difference(gone).copied().collect()
}

/// The better of two runs with the same plan; the later one where the plans differ.
fn merged(old: Option<Run>, new: Run) -> Run {
    match old {
        Some(old) if old.used == new.used => old.with(new),
        _ => new,
    }
}
