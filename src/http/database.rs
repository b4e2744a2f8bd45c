//! `/database/…`: the last look at the catalogs, in the specification's shapes.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::{Path, State};

use super::Site;
use super::ask::{Ask, not_yet};
use super::body::Answer;
use super::error::Refusal;
use super::statements::{self, read};
use super::wire::{
    ApplicationConnections, ConnectionPoint, ConnectionPool, DatabaseRow, DatabaseSize, Growth,
    SizePoint, SlowQuery, TableStats,
};
use crate::model::database::{Database, Snapshot, Statement, Table};
use crate::model::identifier::{self, Found};
use crate::model::ranking::By;
use crate::model::series::Window;
use crate::model::units::{Bytes, Millis, Ratio, Timestamp};
use crate::store::{Fold, Selector};
use crate::work::board::TargetState;

/// Says when the catalogs were read, also where the body is a bare array.
const TAKEN_AT: &str = "plimsoll-taken-at";
/// Says why a list is empty that need not be.
const BLIND_SPOT: &str = "plimsoll-blind-spot";

fn snapshot(site: &Site, ask: &Ask) -> Result<Arc<Snapshot>, Refusal> {
    let (_, state) = ask.target(&site.board)?;
    let retry_after_s = site.catalog.0 / 1_000;
    state
        .snapshot
        .clone()
        .ok_or_else(|| not_yet("the database", &state, retry_after_s))
}

fn answer(snapshot: &Snapshot, value: &impl serde::Serialize) -> Result<Answer, Refusal> {
    Ok(Answer::json(value)?.with(TAKEN_AT, &snapshot.taken_at.to_string()))
}

/// `GET /database/size`.
pub(super) async fn size(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let snapshot = snapshot(&site, &ask)?;
    let connected = &snapshot.server.database;
    let rows: Vec<DatabaseRow> = snapshot.databases.iter().map(row).collect();
    let own = rows.iter().find(|row| row.datname == *connected);
    let of = Selector::metric("pg_database_size_bytes").with("datname", connected.as_str());
    let body = DatabaseSize {
        datname: connected.clone(),
        size: own.and_then(|row| row.size.clone()),
        size_bytes: own.and_then(|row| row.size_bytes),
        growth: growth(&site, &ask, of).await?,
        databases: rows,
        taken_at: snapshot.taken_at.to_string(),
    };
    answer(&snapshot, &body)
}

fn row(database: &Database) -> DatabaseRow {
    DatabaseRow {
        datname: database.name.clone(),
        size: database.size_bytes.map(|size| Bytes(size).to_string()),
        size_bytes: database.size_bytes,
    }
}

/// `GET /database/table-stats/{tableName}`.
pub(super) async fn table_stats(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let snapshot = snapshot(&site, &ask)?;
    let table = find_table(&snapshot, &name)?;
    let of = Selector::metric("pg_table_total_bytes")
        .with("datname", snapshot.server.database.as_str())
        .with("schemaname", table.schema.as_str())
        .with("relname", table.name.as_str());
    let growth = growth(&site, &ask, of).await?;
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let body = TableStats {
        schemaname: table.schema.clone(),
        tablename: table.name.clone(),
        total_size: Bytes(table.total_bytes).to_string(),
        table_size: Bytes(table.table_bytes).to_string(),
        indexes_size: Bytes(table.index_bytes).to_string(),
        inserts: table.n_tup_ins,
        updates: table.n_tup_upd,
        deletes: table.n_tup_del,
        live_rows: table.n_live_tup,
        dead_rows: table.n_dead_tup,
        last_vacuum: text(table.last_vacuum),
        last_autovacuum: text(table.last_autovacuum),
        last_analyze: text(table.last_analyze),
        last_autoanalyze: text(table.last_autoanalyze),
        total_bytes: table.total_bytes,
        table_bytes: table.table_bytes,
        indexes_bytes: table.index_bytes,
        row_estimate: table.row_estimate,
        hot_updates: table.n_tup_hot_upd,
        seq_scan: table.seq_scan,
        idx_scan: table.idx_scan,
        xid_age: table.xid_age,
        has_primary_key: table.has_primary_key,
        growth,
        taken_at: snapshot.taken_at.to_string(),
    };
    answer(&snapshot, &body)
}

/// Refuses a name that no table of the last look has.
pub(super) fn is_known(snapshot: &Snapshot, asked: &str) -> Result<(), Refusal> {
    find_table(snapshot, asked).map(|_| ())
}

/// Finds a table among those of the last look.
fn find_table<'s>(snapshot: &'s Snapshot, asked: &str) -> Result<&'s Table, Refusal> {
    let of = |table: &'s Table| (table.schema.as_str(), table.name.as_str());
    match identifier::find(asked, &snapshot.tables, of) {
        Found::One(table) => Ok(table),
        Found::None => Err(Refusal::UnknownTable {
            name: asked.to_owned(),
            database: snapshot.server.database.clone(),
        }),
        Found::Several(all) => Err(Refusal::AmbiguousTable {
            name: asked.to_owned(),
            known: all
                .iter()
                .map(|t| format!("{}.{}", t.schema, t.name))
                .collect(),
        }),
    }
}

/// `GET /database/connection-pool`.
pub(super) async fn connection_pool(
    State(site): State<Arc<Site>>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let snapshot = snapshot(&site, &ask)?;
    let pool = &snapshot.pool;
    let of = Selector::metric("pg_connections_used");
    let used = past(&site, &ask, of, (Millis::HOUR, 24)).await?;
    let history: Vec<ConnectionPoint> = points(used.as_ref())
        .map(|(at, connections)| ConnectionPoint {
            at: at.to_string(),
            connections,
        })
        .collect();
    let usable = f64::from(pool.max.saturating_sub(pool.reserved));
    let (_, state) = ask.target(&site.board)?;
    let opened = sessions_opened(&state);
    let by_application = pool
        .by_application
        .iter()
        .map(|(application, connections)| ApplicationConnections {
            application: application.clone(),
            connections: *connections,
        });
    let body = ConnectionPool {
        total: pool.total,
        idle: pool.idle,
        active: pool.active,
        waiting: pool.waiting,
        acquire_count: snapshot.pool_totals.acquired,
        acquire_time: snapshot.pool_totals.wait_us.map(|us| us as f64 / 1e3),
        create_count: opened,
        // All that were opened and are not there any more.
        destroy_count: opened.map(|opened| opened.saturating_sub(u64::from(pool.total))),
        max: pool.max,
        reserved: pool.reserved,
        utilization_rate: Ratio::of(f64::from(pool.total), usable).map(Ratio::get),
        idle_in_transaction: pool.idle_in_transaction,
        oldest_xact_age_ms: pool.oldest_xact_age_ms,
        lock_waiting: pool.lock_waiting,
        by_application: by_application.collect(),
        peak: history.iter().map(|p| p.connections).reduce(f64::max),
        history,
        taken_at: snapshot.taken_at.to_string(),
    };
    answer(&snapshot, &body)
}

/// Sessions of all databases since their counters were reset; `None` before 14, which do not count them.
fn sessions_opened(state: &TargetState) -> Option<u64> {
    let samples = state.samples();
    let all = samples.filter(|sample| sample.series.metric == "pg_database_sessions_total");
    let sum = all.map(|sample| sample.value).reduce(|a, b| a + b)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is not negative, and a float cast saturates"
    )]
    Some(sum as u64)
}

/// Most of a gauge in each of the last steps; `None` where it has no series.
async fn past(
    site: &Site,
    ask: &Ask,
    of: Selector,
    (step, steps): (Millis, u64),
) -> Result<Option<Window>, Refusal> {
    let (target, _) = ask.target(&site.board)?;
    let until = site.clock.now();
    let from = until.minus(Millis(step.0.saturating_mul(steps)).as_duration());
    let found = read(site, move |store| {
        let history = store.history();
        let series = history.series(&of.of(target)).into_iter().next();
        let window = series.map(|s| history.window(s.id, from, until, step, Fold::Max));
        window.transpose()
    });
    Ok(found.await?.flatten())
}

/// Steps that were seen, with their starts.
fn points(window: Option<&Window>) -> impl Iterator<Item = (Timestamp, f64)> {
    window.into_iter().flat_map(|window| {
        let step = window.step;
        let times = (0_u64..).map(move |i| {
            let since = Millis(step.0.saturating_mul(i)).as_duration();
            window.start.plus(since)
        });
        let all = times.zip(window.values.iter().copied());
        all.filter(|(_, value)| value.is_finite())
    })
}

/// A size a day over the last month, and what it grew by a day.
async fn growth(site: &Site, ask: &Ask, of: Selector) -> Result<Option<Growth>, Refusal> {
    let window = past(site, ask, of, (Millis::DAY, 30)).await?;
    let seen: Vec<(Timestamp, f64)> = points(window.as_ref()).collect();
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else {
        return Ok(None);
    };
    let days = last.0.since(first.0).as_secs_f64() / 86_400.0;
    Ok(Some(Growth {
        bytes_per_day: (days >= 1.0).then(|| (last.1 - first.1) / days),
        history: seen
            .iter()
            .map(|(at, bytes)| SizePoint {
                at: at.to_string(),
                bytes: *bytes,
            })
            .collect(),
    }))
}

/// What a statement is ranked by.
type Rank = fn(&Statement) -> f64;

/// `GET /database/slow-queries`.
pub(super) async fn slow_queries(
    State(site): State<Arc<Site>>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    const ORDERS: [(&str, Rank); 8] = [
        ("mean", |statement| statement.mean_exec_time),
        ("total", |statement| statement.total_exec_time),
        ("max", |statement| statement.max_exec_time),
        ("calls", |statement| statement.calls as f64),
        ("io", |statement| statement.shared_blks_read as f64),
        ("temp", |statement| statement.temp_blks_written as f64),
        ("wal", |statement| statement.wal_bytes as f64),
        ("rows", |statement| statement.rows as f64),
    ];
    let limit = ask.number("limit", 10, (1, 1_000))?;
    if ask.text("window").is_some() {
        let by = ask.choice("order", &By::NAMES, By::Mean)?;
        return Answer::json(&statements::slow_queries(&site, &ask, (by, limit)).await?);
    }
    let rank = ask.choice("order", &ORDERS, ORDERS[0].1)?;
    let snapshot = snapshot(&site, &ask)?;
    let role = ask.text("role");
    let mut statements: Vec<&Statement> = snapshot
        .statements
        .iter()
        .filter(|s| role.is_none_or(|role| s.role.as_deref() == Some(role)))
        .collect();
    statements.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap_or(Ordering::Equal));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let rows: Vec<SlowQuery> = statements.into_iter().take(limit).map(slow_query).collect();
    let body = answer(&snapshot, &rows)?;
    let blind = snapshot
        .blind_spots
        .iter()
        .find(|spot| spot.what.contains("statements"));
    Ok(match blind {
        Some(spot) if rows.is_empty() => {
            body.with(BLIND_SPOT, &format!("{}; {}", spot.why, spot.cure))
        }
        _ => body,
    })
}

fn slow_query(statement: &Statement) -> SlowQuery {
    SlowQuery {
        query: statement.query.clone(),
        calls: statement.calls,
        total_exec_time: statement.total_exec_time,
        mean_exec_time: statement.mean_exec_time,
        max_exec_time: Some(statement.max_exec_time),
        stddev_exec_time: Some(statement.stddev_exec_time),
        queryid: statement.query_id.to_string(),
        role: statement.role.clone(),
        rows: statement.rows,
        shared_blks_hit: statement.shared_blks_hit,
        shared_blks_read: statement.shared_blks_read,
        temp_blks_written: statement.temp_blks_written,
        wal_bytes: statement.wal_bytes,
    }
}
