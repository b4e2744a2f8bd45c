//! Habits of the application that its statements show: one by one, all at once, page by page; and
//! searches that read a whole table for a few rows.
//!
//! Evidence is counters and texts alone, so only what both agree on is told. What a plan would say
//! is for the analysis of a single statement and the index advisor.

use std::collections::BTreeMap;

use super::shape::{Compare, Shape, Verb};
use super::{Draft, Thresholds, count, plain, short, size};
use crate::advise::sql;
use crate::model::database::{Index, Snapshot, Statement, Table};
use crate::model::finding::Severity;

const BLOCK_BYTES: u64 = 8_192;
const INDEX_LOCK: &str = "ShareUpdateExclusiveLock on the table";

/// Blocks that a call touches, on average.
fn blocks(statement: &Statement) -> f64 {
    let all = statement
        .shared_blks_hit
        .saturating_add(statement.shared_blks_read);
    all as f64 / statement.calls.max(1) as f64
}

fn rows(statement: &Statement) -> f64 {
    statement.rows as f64 / statement.calls.max(1) as f64
}

/// The one table of this name; `None` where there are several.
fn table<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s Table> {
    let mut named = snapshot.tables.iter().filter(|t| t.name == name);
    let first = named.next()?;
    named.next().is_none().then_some(first)
}

/// A mean of few rows, with a digit where it matters.
fn few(rows: f64) -> String {
    if rows < 10.0 && rows.fract() > 0.05 {
        format!("{rows:.1}")
    } else {
        count(rows)
    }
}

fn times(each: f64) -> String {
    match each.round() {
        n if n <= 1.0 => "once".to_owned(),
        2.0 => "twice".to_owned(),
        n => format!("{n:.0} times"),
    }
}

fn named(severity: Severity, title: String, advice: &str, statement: &Statement) -> Draft {
    Draft::new(severity, title, advice)
        .about(short(&statement.query))
        .seen("queryid", statement.query_id)
        .seen("calls", count(statement.calls as f64))
}

fn worst_first(mut found: Vec<(f64, Draft)>) -> Vec<Draft> {
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, draft)| draft).collect()
}

pub(super) fn missing_index(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.missing_index;
    let mut found = Vec::new();
    for statement in snapshot
        .statements
        .iter()
        .filter(|s| s.calls >= set.calls_min)
    {
        let shape = Shape::read(&statement.query);
        let has_search = !shape.filters.is_empty() && !shape.is_folded && !shape.has_offset;
        if !shape.is_plain() || !has_search || shape.verb == Verb::Insert {
            continue;
        }
        let Some(table) = shape.tables.first().and_then(|name| table(snapshot, name)) else {
            continue;
        };
        let pages = (table.table_bytes / BLOCK_BYTES) as f64;
        let live = table
            .row_estimate
            .unwrap_or(0.0)
            .max(table.n_live_tup as f64);
        let reads_much = blocks(statement) >= set.read_ratio_min * pages;
        let gives_little = rows(statement) <= set.given_ratio_max * live;
        let is_scanned = table.seq_scan > 0;
        if table.table_bytes < set.table_bytes_min || !(reads_much && gives_little && is_scanned) {
            continue;
        }
        let bytes = blocks(statement) * BLOCK_BYTES as f64 * statement.calls as f64;
        found.push((bytes, missing(snapshot, statement, &shape, table)));
    }
    worst_first(found)
}

fn missing(snapshot: &Snapshot, statement: &Statement, shape: &Shape, table: &Table) -> Draft {
    let name = plain(&table.schema, &table.name);
    let title = format!(
        "a statement touches {} blocks of {name} a call and gives {} rows",
        count(blocks(statement)),
        few(rows(statement))
    );
    let draft = named(
        Severity::Warning,
        title,
        "Give it an index that leads to its rows; `plimsoll advise indexes` weighs it against all \
         other statements and what it costs to keep up",
        statement,
    )
    .seen("table", size(table.table_bytes))
    .seen("sequential scans of the table", table.seq_scan);
    match proposal(snapshot, shape, table) {
        Some(command) => draft.cured_by(command, INDEX_LOCK),
        None => draft,
    }
}

/// An index for a plain search; `None` where the text does not say which, or it is there.
fn proposal(snapshot: &Snapshot, shape: &Shape, table: &Table) -> Option<String> {
    let relation = sql::qualified(&table.schema, &table.name);
    let of = |wanted: Compare| {
        let mut columns: Vec<&String> = Vec::new();
        for (column, compare) in &shape.filters {
            if *compare == wanted && !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    };
    let quoted = |columns: &[&String], class: &str| {
        let columns = columns.iter().map(|c| format!("{}{class}", sql::name(c)));
        columns.collect::<Vec<_>>().join(", ")
    };
    let like = of(Compare::Like);
    if !like.is_empty() && like.len() == shape.filters.len() {
        return Some(format!(
            "CREATE EXTENSION IF NOT EXISTS pg_trgm;\nCREATE INDEX CONCURRENTLY ON {relation} \
             USING gin ({});",
            quoted(&like, " gin_trgm_ops")
        ));
    }
    let contains = of(Compare::Contains);
    if !contains.is_empty() && !shape.has_or {
        return Some(format!(
            "CREATE INDEX CONCURRENTLY ON {relation} USING gin ({});",
            quoted(&contains, "")
        ));
    }
    // A key of a document is a parameter in the text, so the expression is not known.
    if shape.has_or || !of(Compare::Key).is_empty() {
        return None;
    }
    let mut columns = of(Compare::Equal);
    let ranges = of(Compare::Range);
    let sorted = shape.order.first().filter(|_| ranges.len() < 2);
    let last = match (ranges.first(), sorted) {
        (Some(range), _) => Some(*range),
        (None, Some((column, _))) => Some(column),
        (None, None) => None,
    };
    columns.extend(last.filter(|last| !columns.contains(last)));
    let leads = |index: &Index| {
        let keys = index.keys.iter().zip(&columns);
        let mut same = keys.take_while(|(key, column)| {
            key.split(' ').next() == Some(column.as_str()) || **key == sql::name(column)
        });
        index.keys.len() >= columns.len() && same.by_ref().count() == columns.len()
    };
    let mut own = snapshot.indexes.iter().filter(|i| i.table_oid == table.oid);
    let is_there = own.any(|i| i.is_valid && i.predicate.is_none() && leads(i));
    (!columns.is_empty() && !is_there).then(|| {
        format!(
            "CREATE INDEX CONCURRENTLY ON {relation} ({});",
            quoted(&columns, "")
        )
    })
}

pub(super) fn unbounded(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.unbounded_result;
    let mut found = Vec::new();
    for statement in snapshot
        .statements
        .iter()
        .filter(|s| s.calls >= set.calls_min)
    {
        let given = rows(statement);
        if given < set.rows_whole_min as f64 {
            continue;
        }
        let shape = Shape::read(&statement.query);
        if shape.verb != Verb::Select || shape.has_limit {
            continue;
        }
        // Fewer count only if they are most of a table.
        let of = shape.tables.first().and_then(|name| table(snapshot, name));
        let live = of.map_or(f64::INFINITY, |t| t.row_estimate.unwrap_or(f64::INFINITY));
        let is_most = given >= set.share_min * live;
        if given < set.rows_min as f64 && !is_most {
            continue;
        }
        let mut draft = named(
            Severity::Warning,
            format!(
                "a statement returns {} rows a call, without a limit",
                count(given)
            ),
            "Let the server count, sum or page: the rows cross the network and fill the \
             application's memory, and there are more of them each day",
            statement,
        )
        .seen("rows in all", count(statement.rows as f64));
        if let Some(table) = of {
            draft = draft.seen(
                &plain(&table.schema, &table.name),
                format!("{} rows", count(live)),
            );
        }
        found.push((statement.rows as f64, draft));
    }
    worst_first(found)
}

pub(super) fn deep_offset(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.deep_offset;
    let mut found = Vec::new();
    for statement in snapshot
        .statements
        .iter()
        .filter(|s| s.calls >= set.calls_min)
    {
        let touched = blocks(statement);
        let is_deep = touched >= set.blocks_per_call_min
            && touched >= set.blocks_per_row_min * rows(statement).max(1.0);
        if !is_deep {
            continue;
        }
        let shape = Shape::read(&statement.query);
        if !(shape.has_offset && shape.has_limit) {
            continue;
        }
        let advice = if shape.has_order {
            "Page by the last row seen instead: WHERE (sort column, id) < (last values) ORDER BY … \
             LIMIT n. OFFSET reads and throws away all rows before the page"
        } else {
            "Give it an order, and page by the last row seen (WHERE id > last ORDER BY id LIMIT \
             n): without an order pages repeat and miss rows, and OFFSET reads all before them"
        };
        let title = format!(
            "a page of {} rows touches {} blocks: rows before it are read and thrown away",
            count(rows(statement)),
            count(touched)
        );
        let draft = named(Severity::Warning, title, advice, statement)
            .seen("mean", format!("{:.1} ms", statement.mean_exec_time))
            .seen("largest", format!("{:.1} ms", statement.max_exec_time));
        let draft = match by_last_row(snapshot, &shape) {
            Some(rewrite) => draft.seen("instead of OFFSET", rewrite),
            None => draft,
        };
        found.push((touched * statement.calls as f64, draft));
    }
    worst_first(found)
}

pub(super) fn n_plus_one(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.n_plus_one;
    let texts: BTreeMap<i64, &Statement> = snapshot
        .statements
        .iter()
        .map(|s| (s.query_id, s))
        .collect();
    let mut found = Vec::new();
    for repeat in &snapshot.repeats {
        let pair = texts.get(&repeat.list_id).zip(texts.get(&repeat.each_id));
        let Some((list, each)) = pair else { continue };
        let is_told = repeat.bursts >= set.bursts_min && repeat.rows >= set.rows_min;
        let shape = Shape::read(&each.query);
        // What writes for each row of a list does its work; a search without a condition is no look-up.
        if !is_told || shape.verb != Verb::Select || shape.filters.is_empty() {
            continue;
        }
        let title = format!(
            "a statement runs {} for each row of another, which gives {} rows",
            times(repeat.calls_per_row),
            count(repeat.rows)
        );
        let draft = named(
            Severity::Warning,
            title,
            "Ask once for all rows: a join, or WHERE key = ANY($1) with the keys of the list. Each \
             call costs a round trip and a place in the pool",
            each,
        )
        .seen("runs for each row of", short(&list.query))
        .seen("bursts seen", repeat.bursts)
        .seen("mean of a call", format!("{:.2} ms", each.mean_exec_time));
        found.push((
            repeat.rows * repeat.calls_per_row * f64::from(repeat.bursts),
            draft,
        ));
    }
    worst_first(found)
}

/// Slower by its plan: each call touches more blocks and gives no more rows.
pub(super) fn plan_change(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    slower(snapshot, set, true)
}

/// Slower without touching more: the disk, locks, or the processor.
pub(super) fn statement_slower(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    slower(snapshot, set, false)
}

fn slower(snapshot: &Snapshot, set: &Thresholds, by_plan: bool) -> Vec<Draft> {
    let set = &set.plan_change;
    let texts: BTreeMap<i64, &Statement> = snapshot
        .statements
        .iter()
        .map(|s| (s.query_id, s))
        .collect();
    let grew = |(then, now): (f64, f64)| now / then.max(1e-9);
    let mut found = Vec::new();
    for slowdown in &snapshot.slowdowns {
        let Some(statement) = texts.get(&slowdown.query_id) else {
            continue;
        };
        let (ms, blocks) = (grew(slowdown.mean_ms), grew(slowdown.blocks_per_call));
        let is_enough = ms >= set.time_factor_min && slowdown.mean_ms.1 >= set.mean_ms_min;
        // More rows for more blocks is more work asked for, not another plan.
        let more_work = grew(slowdown.rows_per_call).max(1.0);
        let is_plan = blocks >= set.blocks_factor_min * more_work;
        if !is_enough || is_plan != by_plan || (!by_plan && ms < set.time_factor_min * more_work) {
            continue;
        }
        let (title, advice) = told_slower(&slowdown.against, (ms, blocks), by_plan);
        let draft = named(Severity::Warning, title, advice, statement)
            .seen(
                "mean",
                format!(
                    "{:.2} ms, now {:.2} ms",
                    slowdown.mean_ms.0, slowdown.mean_ms.1
                ),
            )
            .seen(
                "blocks a call",
                format!(
                    "{}, now {}",
                    count(slowdown.blocks_per_call.0),
                    count(slowdown.blocks_per_call.1)
                ),
            )
            .seen(
                "calls compared",
                format!(
                    "{} with {}",
                    count(slowdown.calls.1),
                    count(slowdown.calls.0)
                ),
            );
        let cost = (slowdown.mean_ms.1 - slowdown.mean_ms.0) * slowdown.calls.1;
        let analyse = by_plan.then(|| analyse(snapshot, &Shape::read(&statement.query)));
        found.push((
            cost,
            match analyse.flatten() {
                Some(command) => draft.cured_by(command, INDEX_LOCK),
                None => draft,
            },
        ));
    }
    worst_first(found)
}

/// What is said of one: by its plan or not, so many times as long, with so many times the blocks.
fn told_slower(against: &str, (ms, blocks): (f64, f64), by_plan: bool) -> (String, &'static str) {
    if by_plan {
        (
            format!(
                "a statement takes {ms:.1} times as long as {against} and touches {blocks:.1} \
                 times the blocks: its plan has changed"
            ),
            "Compare its plans; first ANALYZE its tables. Usual reasons: stale statistics, an \
             index that went or is invalid, values that were rare and are common now",
        )
    } else {
        (
            format!("a statement takes {ms:.1} times as long as {against} for the same blocks"),
            "Its plan is as it was: look at what it waits for (locks, disk, processor) and at \
             what was deployed",
        )
    }
}

/// ANALYZE of the tables that a statement names; `None` where none of them is known.
fn analyse(snapshot: &Snapshot, shape: &Shape) -> Option<String> {
    let known = shape.tables.iter().filter_map(|name| table(snapshot, name));
    let mut commands: Vec<String> = known
        .map(|t| format!("ANALYZE {};", sql::qualified(&t.schema, &t.name)))
        .collect();
    commands.sort();
    commands.dedup();
    (!commands.is_empty()).then(|| commands.join("\n"))
}

/// The page after a row, instead of the page after so many; `None` where the text does not say how.
fn by_last_row(snapshot: &Snapshot, shape: &Shape) -> Option<String> {
    let of = shape.tables.first().filter(|_| shape.is_plain())?;
    let of = table(snapshot, of)?;
    let mut indexes = snapshot.indexes.iter();
    let key = indexes.find(|i| i.table_oid == of.oid && i.is_primary)?;
    let mut columns: Vec<String> = shape.order.iter().map(|(c, _)| sql::name(c)).collect();
    let descends = shape.order.first().is_some_and(|(_, descends)| *descends);
    // A row comparison goes one way for all of its columns.
    if shape.order.iter().any(|(_, other)| *other != descends) {
        return None;
    }
    for column in &key.keys {
        let bare = column.trim_matches('"').replace("\"\"", "\"");
        let quoted = sql::name(&bare);
        if !columns.contains(&quoted) {
            columns.push(quoted);
        }
    }
    let (sign, way) = if descends { ("<", " DESC") } else { (">", "") };
    let last: Vec<String> = (1..=columns.len()).map(|n| format!("$last{n}")).collect();
    let order: Vec<String> = columns.iter().map(|c| format!("{c}{way}")).collect();
    Some(format!(
        "… AND ({}) {sign} ({}) ORDER BY {} LIMIT $n",
        columns.join(", "),
        last.join(", "),
        order.join(", ")
    ))
}

#[cfg(test)]
mod tests;
