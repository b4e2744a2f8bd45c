//! What statements cost over any span of time, from the growth of their counters in the history.
//!
//! For: rankings, one statement's history, and which became slower. Not for: reading the server:
//! its counters are never reset, and a look at them costs nothing more. Read [`ranking`] first.
//!
//! Two things bound the cost: only what is ranked is read of all statements, the rest of those that
//! are shown; and long spans are read from rollups.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::Value;
use tokio::sync::watch::Receiver;

use crate::clock::Clock;
use crate::model::ranking::{
    By, Counted, Ranking, Slower, StatementHistory, StatementPoint, StatementUse,
};
use crate::model::series::{Labels, Window};
use crate::model::structure::Slowdown;
use crate::model::units::{Millis, Timestamp};
use crate::queue::Queues;
use crate::store::{Fold, History, Result, Selector, SeriesId, Store};
use crate::work::board::{Board, TargetState};
use crate::work::texts::{self, Texts};
use crate::work::{deploy, tasks};

/// The counters of a statement, in the order of [`Sums`]. Times are in seconds.
const METRICS: [&str; 8] = [
    "pg_statement_calls_total",
    "pg_statement_exec_seconds_total",
    "pg_statement_rows_total",
    "pg_statement_shared_blks_hit_total",
    "pg_statement_shared_blks_read_total",
    "pg_statement_temp_blks_written_total",
    "pg_statement_wal_bytes_total",
    "pg_statement_blk_read_seconds_total",
];
const CALLS: usize = 0;
const EXEC: usize = 1;

/// How often texts that are new are kept: the server may forget them at any time.
const KEEP_EVERY: Millis = Millis::MINUTE;
/// How often statements are compared with what they were.
const COMPARE_EVERY: Millis = Millis(10 * Millis::MINUTE.0);
/// Statements that are compared: those that took most of the last hour.
const COMPARED_MAX: usize = 40;
/// Fewer calls on either side say nothing.
const CALLS_MIN: f64 = 20.0;
/// How far back a deploy is compared with.
const DEPLOY_AGE: Millis = Millis(7 * Millis::DAY.0);
/// How long after a deploy it can be judged.
const DEPLOY_SETTLES: Millis = Millis(10 * Millis::MINUTE.0);

type Sums = [f64; METRICS.len()];

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The target's name.
    pub target: String,
    /// Start of the span.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// What is ranked.
    pub by: By,
    /// How many are given.
    pub limit: usize,
    /// Only of this database.
    pub database: Option<String>,
    /// Only of this role.
    pub role: Option<String>,
}

/// One entry of `pg_stat_statements`: its labels and its series, where there are any.
struct Entry {
    labels: Labels,
    ids: [Option<SeriesId>; METRICS.len()],
}

impl Entry {
    fn label(&self, name: &str) -> String {
        self.labels.get(name).unwrap_or_default().to_owned()
    }

    fn sums(&self, history: &History, span: (Timestamp, Timestamp)) -> Result<Sums> {
        let mut sums = [0.0; METRICS.len()];
        for (sum, id) in sums.iter_mut().zip(self.ids) {
            if let Some(id) = id {
                *sum = increase(history, id, span)?;
            }
        }
        Ok(sums)
    }
}

/// Entries of a target of which something was seen since `since`.
fn entries(history: &History, target: &str, since: Timestamp) -> Vec<Entry> {
    let mut all: BTreeMap<Labels, [Option<SeriesId>; METRICS.len()]> = BTreeMap::new();
    for (place, metric) in METRICS.iter().enumerate() {
        for (series, last) in history.find(&Selector::metric(*metric).of(target)) {
            if last.is_none_or(|(at, _)| at < since) {
                continue;
            }
            let ids = all.entry(series.key.labels).or_default();
            if let Some(id) = ids.get_mut(place) {
                *id = Some(series.id);
            }
        }
    }
    let entries = all.into_iter();
    entries.map(|(labels, ids)| Entry { labels, ids }).collect()
}

/// Steps that a span is read in: minutes, five minutes, hours.
fn step_of((from, until): (Timestamp, Timestamp)) -> Millis {
    let hours = until.since(from).as_secs_f64() / 3_600.0;
    if hours <= 2.0 {
        Millis::MINUTE
    } else if hours <= 72.0 {
        Millis(5 * Millis::MINUTE.0)
    } else {
        Millis::HOUR
    }
}

fn window(
    history: &History,
    id: SeriesId,
    (from, until): (Timestamp, Timestamp),
    step: Millis,
) -> Result<Window> {
    history.window(id, from, until, step, Fold::Increase)
}

/// What a counter grew by in a span.
fn increase(history: &History, id: SeriesId, span: (Timestamp, Timestamp)) -> Result<f64> {
    let window = window(history, id, span, step_of(span))?;
    Ok(window.values.iter().filter(|v| v.is_finite()).sum())
}

fn counted(sums: &Sums) -> Counted {
    let [calls, exec, rows, hit, read, temp, wal, blocks] = *sums;
    Counted {
        calls,
        total_ms: exec * 1e3,
        mean_ms: (calls > 0.0).then(|| exec * 1e3 / calls),
        rows,
        shared_blks_hit: hit,
        shared_blks_read: read,
        temp_blks_written: temp,
        wal_bytes: wal,
        blk_read_ms: blocks * 1e3,
    }
}

/// Which counters a ranking needs of every statement.
fn needed(by: By) -> &'static [usize] {
    match by {
        By::Total | By::Mean => &[CALLS, EXEC],
        By::Calls => &[CALLS],
        By::Rows => &[CALLS, 2],
        By::Io => &[CALLS, 4],
        By::Temp => &[CALLS, 5],
        By::Wal => &[CALLS, 6],
    }
}

/// What is known of a target's statements: as last looked at, and as kept.
struct Known {
    state: Option<TargetState>,
    kept: Texts,
}

impl Known {
    fn of(store: &Store, board: &Board, target: &str) -> Result<Self> {
        Ok(Self {
            state: board.target(target),
            kept: Texts::load(store, target)?,
        })
    }

    /// Whole as long as it runs; after that its beginning.
    fn text(&self, queryid: &str) -> Option<String> {
        let id: i64 = queryid.parse().ok()?;
        let snapshot = self.state.as_ref().and_then(|s| s.snapshot.as_deref());
        let mut now = snapshot.into_iter().flat_map(|s| &s.statements);
        let now = now.find(|s| s.query_id == id).map(|s| s.query.as_str());
        now.or_else(|| self.kept.of(id)).map(str::to_owned)
    }

    fn slower(&self) -> Vec<Slower> {
        let state = self.state.as_ref();
        let slowdowns = state.map(|state| Arc::clone(&state.slowdowns));
        let all = slowdowns.iter().flat_map(|all| all.iter());
        all.map(|one| Slower::new(one, self.text(&one.query_id.to_string())))
            .collect()
    }
}

/// Statements of a span, the most of what is asked first; our own are not among them.
///
/// # Errors
/// When the history cannot be read.
pub fn ranking(store: &Store, board: &Board, ask: &Ask) -> Result<Ranking> {
    let (history, span) = (store.history(), (ask.from, ask.until));
    let known = Known::of(store, board, &ask.target)?;
    let mut entries = entries(history, &ask.target, ask.from);
    let fits = |entry: &Entry, name: &str, wanted: &Option<String>| {
        wanted.as_ref().is_none_or(|w| entry.label(name) == *w)
    };
    entries.retain(|e| fits(e, "datname", &ask.database) && fits(e, "rolname", &ask.role));
    let ranked: Vec<Result<(Entry, Counted)>> = entries
        .into_par_iter()
        .map(|entry| {
            let mut sums = [0.0; METRICS.len()];
            for place in needed(ask.by) {
                let id = entry.ids.get(*place).copied().flatten();
                if let (Some(id), Some(sum)) = (id, sums.get_mut(*place)) {
                    *sum = increase(history, id, span)?;
                }
            }
            Ok((entry, counted(&sums)))
        })
        .collect();
    let mut ranked: Vec<(Entry, Counted)> = ranked.into_iter().collect::<Result<_>>()?;
    ranked.retain(|(_, counted)| counted.calls > 0.0);
    let all: f64 = ranked.iter().map(|(_, c)| c.of(ask.by)).sum();
    let ran = ranked.len();
    ranked.sort_by(|a, b| b.1.of(ask.by).total_cmp(&a.1.of(ask.by)));
    ranked.truncate(ask.limit);
    let statements: Vec<Result<StatementUse>> = ranked
        .into_par_iter()
        .map(|(entry, _)| {
            let counted = counted(&entry.sums(history, span)?);
            let queryid = entry.label("queryid");
            let has_share = ask.by != By::Mean && all > 0.0;
            Ok(StatementUse {
                query: known.text(&queryid),
                queryid,
                database: entry.label("datname"),
                role: entry.label("rolname"),
                share: has_share.then(|| counted.of(ask.by) / all),
                counted,
            })
        })
        .collect();
    Ok(Ranking {
        target: ask.target.clone(),
        from: ask.from.to_string(),
        until: ask.until.to_string(),
        by: ask.by,
        ran,
        statements: statements.into_iter().collect::<Result<_>>()?,
        slower: known.slower(),
    })
}

/// One statement over a span, all databases and roles added up; `None` if it was never seen. What it
/// was called before an upgrade of the server is added, too.
///
/// # Errors
/// When the history cannot be read.
pub fn history(
    store: &Store,
    board: &Board,
    (target, queryid): (&str, &str),
    span: (Timestamp, Timestamp),
) -> Result<Option<StatementHistory>> {
    let log = store.history();
    let step = step_of(span);
    let known = Known::of(store, board, target)?;
    let mut own = entries(log, target, Timestamp::from_millis(0));
    let id = queryid.parse().unwrap_or_default();
    let mut before: Vec<String> = known.kept.others(id).iter().map(i64::to_string).collect();
    before.retain(|other| !runs(log, target, other, span.1));
    if !own.iter().any(|entry| entry.label("queryid") == queryid) {
        return Ok(None);
    }
    own.retain(|entry| {
        let label = entry.label("queryid");
        label == queryid || before.contains(&label)
    });
    let mut steps: BTreeMap<i64, Sums> = BTreeMap::new();
    for entry in &own {
        for (place, id) in entry.ids.iter().enumerate() {
            let Some(id) = id else { continue };
            let window = window(log, *id, span, step)?;
            let times = (0_i64..).map(|i| {
                let by = i.saturating_mul(i64::try_from(step.0).unwrap_or(i64::MAX));
                window.start.as_millis().saturating_add(by)
            });
            for (at, value) in times.zip(&window.values) {
                let sums = steps.entry(at).or_insert([0.0; METRICS.len()]);
                if let (Some(sum), true) = (sums.get_mut(place), value.is_finite()) {
                    *sum += value;
                }
            }
        }
    }
    let mut total = [0.0; METRICS.len()];
    for sums in steps.values() {
        for (all, one) in total.iter_mut().zip(sums) {
            *all += one;
        }
    }
    let mut slower = known.slower();
    slower.retain(|one| one.queryid == queryid);
    Ok(Some(StatementHistory {
        target: target.to_owned(),
        queryid: queryid.to_owned(),
        query: known.text(queryid),
        before,
        ran_by: own
            .iter()
            .map(|e| format!("{} in {}", e.label("rolname"), e.label("datname")))
            .collect(),
        step_ms: step.0,
        total: counted(&total),
        points: steps
            .into_iter()
            .map(|(at, sums)| StatementPoint {
                at: Timestamp::from_millis(at).to_string(),
                counted: counted(&sums),
            })
            .collect(),
        slower,
    }))
}

/// Whether an id was seen in the hour before `until`: then it is no former name of another.
fn runs(history: &History, target: &str, queryid: &str, until: Timestamp) -> bool {
    let of = Selector::metric(METRICS[CALLS])
        .of(target)
        .with("queryid", queryid);
    let since = until.minus(Millis::HOUR.as_duration());
    let found = history.find(&of);
    found
        .iter()
        .any(|(_, last)| last.is_some_and(|(at, _)| at >= since))
}

/// What former names of a statement, by the same role in the same database, counted in a span.
fn former(
    (history, all, kept): (&History, &[Entry], &Texts),
    entry: &Entry,
    span: (Timestamp, Timestamp),
) -> Result<Sums> {
    let mut sums = [0.0; METRICS.len()];
    let id = entry.label("queryid").parse().unwrap_or_default();
    for other in kept.others(id) {
        let other = other.to_string();
        let same = |e: &&Entry| {
            e.label("queryid") == other
                && ["datname", "rolname"]
                    .iter()
                    .all(|n| e.label(n) == entry.label(n))
        };
        if let Some(former) = all.iter().find(same) {
            for (sum, more) in sums.iter_mut().zip(former.sums(history, span)?) {
                *sum += more;
            }
        }
    }
    Ok(sums)
}

/// Statements that took longer a call in the last hour than in the same hours of last week, or
/// since the last deploy than as long before it; those that took most time first.
///
/// # Errors
/// When the history cannot be read.
pub(crate) fn slowdowns(store: &Store, target: &str, now: Timestamp) -> Result<Vec<Slowdown>> {
    let history = store.history();
    let hour = Millis::HOUR.as_duration();
    let mut entries = entries(history, target, now.minus(hour));
    let recent = (now.minus(hour), now);
    let mut busy: Vec<(usize, f64)> = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        if let Some(id) = entry.ids.get(EXEC).copied().flatten() {
            busy.push((i, increase(history, id, recent)?));
        }
    }
    busy.sort_by(|a, b| b.1.total_cmp(&a.1));
    busy.truncate(COMPARED_MAX);
    let kept: Vec<usize> = busy.into_iter().map(|(i, _)| i).collect();
    let mut place = 0;
    entries.retain(|_| {
        place += 1;
        kept.contains(&(place - 1))
    });
    let week = now.minus(Millis(7 * Millis::DAY.0).as_duration());
    let mut spans = vec![(
        "last week".to_owned(),
        (week.minus(2 * hour), week.plus(hour)),
        recent,
    )];
    let last = deploy::list(store)?.into_iter().next_back();
    if let Some(deploy) = last {
        let age = now.since(deploy.at);
        if deploy.at < now && age >= DEPLOY_SETTLES.as_duration() && age <= DEPLOY_AGE.as_duration()
        {
            let length = age.min(Millis::DAY.as_duration());
            spans.push((
                format!("before deploy {}", deploy.name),
                (deploy.at.minus(length), deploy.at),
                (deploy.at, deploy.at.plus(length)),
            ));
        }
    }
    let kept = Texts::load(store, target)?;
    let mut all = Vec::new();
    for (against, then, now) in &spans {
        let seen = self::entries(history, target, then.0);
        for entry in &entries {
            let mut sums = (entry.sums(history, *then)?, entry.sums(history, *now)?);
            // It had another id then, before the server was upgraded.
            if sums.0.iter().all(|sum| *sum <= 0.0) {
                sums.0 = former((history, &seen, &kept), entry, *then)?;
            }
            all.extend(slowdown(entry, against, (&sums.0, &sums.1)));
        }
    }
    Ok(all)
}

fn slowdown(entry: &Entry, against: &str, (then, now): (&Sums, &Sums)) -> Option<Slowdown> {
    let (then, now) = (counted(then), counted(now));
    if then.calls < CALLS_MIN || now.calls < CALLS_MIN {
        return None;
    }
    let a_call = |value: f64, of: &Counted| value / of.calls;
    let (mean_then, mean_now) = (then.mean_ms?, now.mean_ms?);
    (mean_now > mean_then).then_some(())?;
    Some(Slowdown {
        query_id: entry.label("queryid").parse().ok()?,
        against: against.to_owned(),
        mean_ms: (mean_then, mean_now),
        blocks_per_call: (then.blocks_per_call()?, now.blocks_per_call()?),
        rows_per_call: (a_call(then.rows, &then), a_call(now.rows, &now)),
        calls: (then.calls, now.calls),
    })
}

/// Keeps texts, and compares again and again what statements take with what they took, until `stop`
/// turns true.
pub(crate) async fn keep(
    store: Arc<Store>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    queues: Arc<Queues>,
    mut stop: Receiver<bool>,
) {
    for round in 1_u64.. {
        tokio::select! {
            () = tokio::time::sleep(KEEP_EVERY.as_duration()) => {}
            _ = stop.changed() => return,
        }
        texts::keep_all(&store, &board, clock.now()).await;
        if !round.is_multiple_of(COMPARE_EVERY.0 / KEEP_EVERY.0) {
            continue;
        }
        if let Err(error) = tasks::ask(&queues, tasks::STATEMENTS, &Value::Null).await {
            tracing::warn!(%error, "no task can be queued; it is done at once");
            compare_all(&store, &board, clock.now()).await;
        }
    }
}

/// Compares the statements of every target, and puts what became slower on the board.
pub(crate) async fn compare_all(store: &Arc<Store>, board: &Board, now: Timestamp) {
    for target in board.names() {
        let (worker, name) = (Arc::clone(store), target.clone());
        let work = move || slowdowns(&worker, &name, now);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(found)) => board.update(&target, |state| state.slowdowns = found.into()),
            Ok(Err(error)) => {
                tracing::warn!(target, %error, "statements cannot be compared");
            }
            Err(panic) => tracing::error!(target, %panic, "statements cannot be compared"),
        }
    }
}

#[cfg(test)]
#[path = "statements_tests.rs"]
mod tests;
