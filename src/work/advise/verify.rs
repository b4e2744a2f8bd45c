//! A set of indexes, built and run: what pays in real time stays.
//!
//! Read [`verify`] first. Judgement is `advise::proof`'s; here is what is run, and in which order:
//! every statement without and with the set in turn; then, for each that got slower, without each of
//! the indexes that its plan uses, and the one to blame goes, or where none alone is to blame all of
//! them, and those that do no harm come back; then without each index that is left, and those that do
//! not pay go; then what is left once more, in turn.

mod lab;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use self::lab::Lab;
use super::workload;
use super::{Request, of_target};
use crate::advise::workload::Statement;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::model::advice::{self, Advice, Proof};
use crate::model::units::Millis;
use crate::postgres::{Identity, Options, Scratch, WhatIf};
use crate::work::targets::{options_for, watched_targets};
use crate::work::{Error, Result};

/// What is to be verified, and how far.
#[derive(Debug, Clone)]
pub struct Order {
    /// Connection string of the scratch database.
    pub scratch: String,
    /// Connection string of the target that advice is for; `None` advises on the scratch database.
    pub target: Option<String>,
    /// Advice that is there already; `None` asks for it first.
    pub advice: Option<Advice>,
    /// The workload, and how far advice may go.
    pub request: Request,
    /// Longest time of one run of a statement.
    pub statement: Duration,
    /// Longest time of everything; what is known by then is told.
    pub total: Duration,
    /// Runs of each statement on either side.
    pub runs: u32,
    /// Is told what is being done.
    pub told: fn(&str),
}

/// What has to be cleaned up when a run is broken off.
#[derive(Debug, Default)]
pub struct Footprint(Mutex<Option<(Options, i32)>>);

impl Footprint {
    fn set(&self, value: Option<(Options, i32)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// Ends what still runs and drops what was built. Does nothing where nothing was.
    ///
    /// # Errors
    /// When the scratch database does not answer; its indexes are then dropped by the next run.
    pub async fn sweep(&self) -> Result<usize> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match left {
            Some((options, pid)) => Ok(Scratch::sweep(&options, Some(pid)).await?),
            None => Ok(0),
        }
    }
}

/// Builds the advised set in the scratch database, keeps what pays, and drops all of it again.
///
/// # Errors
/// [`Error::ScratchIsTarget`], [`Error::ScratchLacks`], [`Error::ScratchFull`]; those of both servers.
pub async fn verify(config: &Config, order: Order, footprint: &Footprint) -> Result<Advice> {
    let watch = Stopwatch::start();
    let options = options_for(config, "scratch", &order.scratch)?;
    let target = match &order.target {
        Some(url) => Some(options_for(config, "target", url)?),
        None => None,
    };
    let session = WhatIf::open(&options, 1).await?;
    let identity = session.identity().await?;
    refuse_watched(config, target.as_ref(), &options, (&session, &identity)).await?;
    let source = target.as_ref().unwrap_or(&options);
    let mut advice = if let Some(advice) = order.advice {
        advice
    } else {
        (order.told)("choosing indexes");
        of_target(&source.name, source, order.request.clone()).await?
    };
    // Values for parameters come from where the statements do.
    let reader = WhatIf::open(source, 1).await?;
    let (statements, skipped, _) = workload::read(&reader, &order.request.workload).await?;
    reader.close().await;
    let scratch = Scratch::open(&options).await?;
    footprint.set(Some((options.clone(), scratch.pid())));
    let limits = Limits {
        statement: millis(order.statement),
        total: order.total,
        runs: order.runs.max(1),
        told: order.told,
    };
    let outcome = on_scratch((&scratch, &session), &advice, statements, limits, &watch).await;
    session.close().await;
    let dropped = scratch.drop_ours().await;
    if dropped.is_ok() {
        footprint.set(None);
    }
    let mut proof = outcome?;
    dropped?;
    proof.scratch = identity.database;
    let skipped = skipped.into_iter().map(|skipped| advice::Skipped {
        name: skipped.name,
        reason: skipped.reason,
    });
    proof.skipped.extend(skipped);
    proof.seconds = watch.elapsed().as_secs_f64();
    let kept: BTreeSet<&str> = proof.kept.iter().map(|kept| kept.ddl.as_str()).collect();
    advice
        .indexes
        .retain(|index| kept.contains(index.ddl.as_str()));
    advice.size_bytes = advice.indexes.iter().map(|index| index.size_bytes).sum();
    advice.proof = Some(proof);
    Ok(advice)
}

#[derive(Clone, Copy)]
struct Limits {
    statement: Millis,
    total: Duration,
    runs: u32,
    told: fn(&str),
}

fn millis(of: Duration) -> Millis {
    Millis(u64::try_from(of.as_millis()).unwrap_or(u64::MAX))
}

/// Refuses a scratch database that is watched, or that advice is asked for.
async fn refuse_watched(
    config: &Config,
    target: Option<&Options>,
    scratch: &Options,
    (ours, identity): (&WhatIf, &Identity),
) -> Result<()> {
    let watched = watched_targets(config)?;
    let watched = watched.iter().filter_map(|target| target.options.as_ref());
    for other in watched.chain(target) {
        let is_named_alike = other.conninfo.dbname == scratch.conninfo.dbname
            && other.conninfo.hosts == scratch.conninfo.hosts;
        let refused = Error::ScratchIsTarget {
            database: identity.database.clone(),
            target: other.name.clone(),
        };
        if is_named_alike {
            return Err(refused);
        }
        // One that does not answer cannot be compared further.
        let Ok(session) = WhatIf::open(other, 1).await else {
            continue;
        };
        let theirs = session.identity().await;
        // Where the cluster's number may not be seen, the database's own must differ.
        let is_alike = theirs.is_ok_and(|theirs| {
            theirs.database_oid == identity.database_oid
                && theirs.database == identity.database
                && (theirs.system == identity.system
                    || theirs.system.is_none()
                    || identity.system.is_none())
        });
        // A copy of the files is alike in all of that and still another server; not so a standby, which
        // gets whatever is built here.
        let is_copy = is_alike
            && !session.ability().in_recovery
            && ours.is_elsewhere(&session).await.unwrap_or(false);
        session.close().await;
        if is_alike && !is_copy {
            return Err(refused);
        }
    }
    Ok(())
}

/// Everything between opening and dropping.
async fn on_scratch(
    (scratch, planner): (&Scratch, &WhatIf),
    advice: &Advice,
    statements: Vec<Statement>,
    limits: Limits,
    watch: &Stopwatch,
) -> Result<Proof> {
    scratch.drop_ours().await?;
    let tables: BTreeSet<String> = advice.indexes.iter().map(table_of).collect();
    let tables: Vec<String> = tables.into_iter().collect();
    let empty = scratch.empty_tables(&tables).await?;
    if !empty.is_empty() {
        return Err(Error::ScratchLacks {
            tables: empty.join(", "),
        });
    }
    let (statements, skipped) = runnable(planner, statements).await?;
    if statements.is_empty() {
        return Err(Error::NothingToRun {
            reason: skipped
                .first()
                .map_or_else(String::new, |s| format!("{}: {}", s.name, s.reason)),
        });
    }
    let mut built = Vec::new();
    for (number, index) in advice.indexes.iter().enumerate() {
        (limits.told)(&format!(
            "building {} of {}",
            number + 1,
            advice.indexes.len()
        ));
        let left = millis(limits.total.saturating_sub(watch.elapsed()));
        // To the server a limit of 0 is none.
        if left.0 == 0 {
            break;
        }
        match scratch.build(&index.ddl, number, left).await {
            Err(crate::postgres::Error::StatementTimeout { .. }) => break,
            one => built.push(one.map_err(|error| full(error, advice.size_bytes))?),
        }
    }
    let lab = Lab {
        scratch,
        weights: statements.iter().map(|s| s.calls).collect(),
        statements,
        built,
        limits,
        watch,
    };
    let mut proof = lab.judge(advice).await?;
    proof.skipped.splice(..0, skipped);
    Ok(proof)
}

/// `schema.table` as SQL writes it: what follows ` ON ` in the statement.
fn table_of(index: &advice::NewIndex) -> String {
    let after = index.ddl.split_once(" ON ").map_or("", |(_, rest)| rest);
    after
        .split_once(" (")
        .map_or(after, |(table, _)| table)
        .to_owned()
}

/// `53100`: the disk is full.
fn full(error: crate::postgres::Error, promised_bytes: u64) -> Error {
    match &error {
        crate::postgres::Error::Query { code, detail, .. } if code == "53100" => {
            Error::ScratchFull {
                promised_mb: promised_bytes / 1_000_000,
                detail: detail.clone(),
            }
        }
        _ => error.into(),
    }
}

/// Statements that read and do nothing else, and why the others are not run: by the check that a
/// statement has to pass before it is explained with `ANALYZE`.
async fn runnable(
    planner: &WhatIf,
    statements: Vec<Statement>,
) -> Result<(Vec<Statement>, Vec<advice::Skipped>)> {
    let (mut kept, mut skipped) = (Vec::new(), Vec::new());
    for statement in statements {
        let reason = match planner.objection(&statement.text).await {
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => Some(error.to_string()),
            Ok(objection) => objection,
        };
        match reason {
            None => kept.push(statement),
            Some(reason) => skipped.push(advice::Skipped {
                name: statement.name,
                reason,
            }),
        }
    }
    Ok((kept, skipped))
}
