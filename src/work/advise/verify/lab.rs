//! The runs of a verification, in their order.
//!
//! The time may be up at any of them, and any statement may fail at any of them. What is known by then
//! stands: an index that nobody could judge does not count as one that pays, and a statement whose
//! times are not those of the set that is left is not told with times.

mod known;

use std::collections::{BTreeMap, BTreeSet};

use self::known::Known;
use super::{Limits, millis};
use crate::advise::proof::{self, Run, Without};
use crate::advise::workload::Statement;
use crate::clock::Stopwatch;
use crate::model::advice::{Advice, Proof};
use crate::postgres::{Built, Error as Refusal, Scratch, is_of_a_run};
use crate::work::Error;

/// Why the runs do not go on.
enum Stop {
    /// The time for everything is up.
    TimeUp,
    /// A statement fails when it is run.
    Fails { q: usize, reason: String },
    /// All else.
    Error(Error),
}

type Result<T> = std::result::Result<T, Stop>;

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
    /// Runs everything that judging takes, as far as the time goes.
    pub(super) async fn judge(&self, advice: &Advice) -> std::result::Result<Proof, Error> {
        let mut known = Known::default();
        let is_complete = loop {
            // A statement that fails later than at its first run has been counted with: all is judged
            // anew without it.
            known = Known {
                set: (0..self.built.len()).collect(),
                failed: known.failed,
                ..Known::default()
            };
            match self.stages(&mut known).await {
                Ok(()) => break true,
                Err(Stop::TimeUp) => break false,
                Err(Stop::Fails { q, reason }) => {
                    known.failed.insert(q, reason);
                }
                Err(Stop::Error(error)) => return Err(error),
            }
        };
        if !is_complete {
            self.settle(&mut known);
        }
        Ok(self.proof(advice, &known, is_complete))
    }

    async fn stages(&self, known: &mut Known) -> Result<()> {
        let all = known.set.clone();
        let (before, after) = (&mut known.before, &mut known.after);
        self.in_turn(&all, None, (before, after), &mut known.failed)
            .await?;
        // Each cure takes at least one away, so this ends.
        while let Some(q) = proof::slowest(&known.before, &known.after) {
            self.cure(q, known).await?;
        }
        for index in known.set.clone() {
            let without = self.without(&known.set, index, &known.after).await?;
            if let Some(reason) = proof::idle(&known.after, &self.weights, &without) {
                known.set.remove(&index);
                known.dropped.insert(index, reason);
                self.again(&known.set, &BTreeSet::from([index]), &mut known.after)
                    .await?;
            } else {
                let saved = proof::saved(&known.after, &self.weights, &without).0;
                known.saves.insert(index, saved);
            }
        }
        // Plans may have turned to others since; what got slower now goes, too.
        loop {
            let (mut before, mut after) = (Vec::new(), Vec::new());
            let last = (known.before.as_slice(), known.after.as_slice());
            let (set, failed) = (&known.set, &mut known.failed);
            self.in_turn(set, Some(last), (&mut before, &mut after), failed)
                .await?;
            (known.before, known.after) = (before, after);
            let Some(q) = proof::slowest(&known.before, &known.after) else {
                return Ok(());
            };
            self.cure(q, known).await?;
        }
    }

    /// Each statement without any index and with the set, in turn, one after the other into `runs`.
    /// What is known of either side from before is one more run of it, as long as its plan uses the
    /// same. One that fails is told in `failed`, and has no runs.
    async fn in_turn(
        &self,
        set: &BTreeSet<usize>,
        known: Option<(&[Run], &[Run])>,
        (before, after): (&mut Vec<Run>, &mut Vec<Run>),
        failed: &mut BTreeMap<usize, String>,
    ) -> Result<()> {
        for q in 0..self.statements.len() {
            let mut pair = (Run::default(), Run::default());
            let is_out = failed.contains_key(&q);
            if !is_out {
                match self.pair(q, set, known).await {
                    Ok(runs) => pair = runs,
                    // Nothing was counted with it yet.
                    Err(Stop::Fails { reason, .. }) if known.is_none() => {
                        failed.insert(q, reason);
                    }
                    Err(stop) => return Err(stop),
                }
            }
            before.push(pair.0);
            after.push(pair.1);
        }
        Ok(())
    }

    /// One statement without any index and with the set, in turn.
    async fn pair(
        &self,
        q: usize,
        set: &BTreeSet<usize>,
        known: Option<(&[Run], &[Run])>,
    ) -> Result<(Run, Run)> {
        let none = BTreeSet::new();
        self.tell(q, "without and with the set");
        let mut old = known.and_then(|(before, _)| before.get(q).cloned());
        let last = known.and_then(|(_, after)| after.get(q).cloned());
        let mut new: Option<Run> = None;
        for turn in 0..self.limits.runs {
            // What was cut once is cut again: it costs the limit each time.
            if old.as_ref().is_none_or(|run| !run.is_cut) {
                match self.run(q, &none).await {
                    Err(Stop::TimeUp) if turn > 0 => break,
                    run => old = Some(merged(old, run?)),
                }
            }
            let run = match self.run(q, set).await {
                Err(Stop::TimeUp) if turn > 0 => break,
                run => run?,
            };
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
        Ok((old, new))
    }

    /// Takes away what makes a statement slower, and says what went and why.
    ///
    /// One index, where without it the statement is as fast as it must be: of several such the one
    /// that the others miss least. Else all that its plan uses, again and again until it is cured;
    /// then they come back one by one, what the others miss most first, while it stays so.
    async fn cure(&self, q: usize, known: &mut Known) -> Result<()> {
        let Known {
            set, before, after, ..
        } = known;
        let (Some(old), Some(new)) = (before.get(q), after.get(q).cloned()) else {
            return Ok(());
        };
        let mut alone = BTreeSet::new();
        for index in &new.used {
            let run = self.twice(q, &less(set, &BTreeSet::from([*index]))).await?;
            if !proof::is_slower(old, &run) {
                alone.insert(*index);
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
        let with = after.clone();
        *set = less(set, &gone);
        self.again(set, &gone, after).await?;
        if gone.len() > 1 {
            for index in proof::by_worth(&gone, &with, after, &self.weights) {
                if self.put_back(index, set, before, after, &with).await? {
                    gone.remove(&index);
                }
            }
        }
        let beside = if gone.len() > 1 { " and others" } else { "" };
        let reason = self.compared(q, old, &new, beside);
        known
            .dropped
            .extend(gone.into_iter().map(|index| (index, reason.clone())));
        Ok(())
    }

    fn compared(&self, q: usize, old: &Run, new: &Run, beside: &str) -> String {
        let name = self.statements.get(q).map_or("", |s| s.name.as_str());
        format!(
            "{name} takes {:.0} ms with it{beside} and {:.0} ms without any",
            new.ms, old.ms
        )
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
        if first.is_cut {
            return Ok(first);
        }
        match self.run(q, set).await {
            Err(Stop::TimeUp) => Ok(first),
            second => Ok(first.with(second?)),
        }
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
        let left = millis(self.limits.total.saturating_sub(self.watch.elapsed()));
        if left.0 == 0 {
            return Err(Stop::TimeUp);
        }
        let limit = self.limits.statement.min(left);
        let measured = match self.scratch.run(&statement.text, &without, limit).await {
            Ok(measured) => measured,
            Err(error) if is_of_a_run(&error) => {
                let reason = match error {
                    Refusal::Query { detail, .. } | Refusal::Denied { detail, .. } => {
                        format!("it fails when it is run: {detail}")
                    }
                    other => other.to_string(),
                };
                return Err(Stop::Fails { q, reason });
            }
            Err(error) => return Err(Stop::Error(error.into())),
        };
        // Cut by the end of all, not by its own limit: that tells nothing of it.
        if measured.is_cut && limit < self.limits.statement {
            return Err(Stop::TimeUp);
        }
        let number = |name: &String| self.built.iter().position(|built| built.name == *name);
        Ok(Run {
            ms: measured.ms,
            blocks: measured.blocks,
            used: measured.indexes.iter().filter_map(number).collect(),
            is_cut: measured.is_cut,
        })
    }

    fn tell(&self, q: usize, what: &str) {
        let name = self.statements.get(q).map_or("", |s| s.name.as_str());
        (self.limits.told)(&format!("running {name} {what}"));
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
