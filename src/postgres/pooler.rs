//! The admin console of a `PgBouncer`: its pools, who waits in them, what it handed out.
//!
//! For: readings where an operator configured it. Not for: judging them (`advise`). The console
//! speaks the simple protocol alone, so nothing is prepared; columns are found by their names, which
//! differ by version.
//!
//! Source: PgBouncer 1.25's documentation, "usage", `SHOW POOLS`, `SHOW DATABASES`, `SHOW STATS`.
#![expect(
    clippy::disallowed_types,
    reason = "the console takes the simple protocol, which a session does not speak"
)]

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::libpq::ConnInfo;
use super::observer::Options;
use super::{Error, Result, connect};
use crate::model::structure::{Pool, PoolTotals};

const PART: &str = "pooler";
/// Pools that are kept; a pooler may have one for each user and database.
const POOLS_CAP: usize = 500;

/// Reads one console; connects when it must.
#[derive(Default)]
pub(super) struct Pooler {
    client: Option<Client>,
}

impl Pooler {
    /// All pools, and what the pooler has handed out since it was started.
    ///
    /// # Errors
    /// Those of connecting, and of a console that is none.
    pub(super) async fn read(
        &mut self,
        conninfo: &ConnInfo,
        options: &Options,
    ) -> Result<(Vec<Pool>, PoolTotals)> {
        let outcome = self.ask(conninfo, options).await;
        if outcome.is_err() {
            self.client = None;
        }
        outcome
    }

    async fn ask(
        &mut self,
        conninfo: &ConnInfo,
        options: &Options,
    ) -> Result<(Vec<Pool>, PoolTotals)> {
        let open = self.client.take().filter(|client| !client.is_closed());
        let client = if let Some(client) = open {
            client
        } else {
            let options = Options {
                conninfo: conninfo.clone(),
                ..options.clone()
            };
            connect::open(&options).await?.client
        };
        let sizes = show(&client, "SHOW DATABASES", options).await?;
        let size_of = |database: &str| {
            let named = sizes.iter().find(|row| text(row, "name") == database)?;
            number(named, "pool_size")
        };
        let rows = show(&client, "SHOW POOLS", options).await?;
        // The console is a database of its own here.
        let own = rows
            .iter()
            .filter(|row| text(row, "database") != "pgbouncer");
        let mut pools: Vec<Pool> = own
            .map(|row| pool(row, size_of(&text(row, "database"))))
            .collect();
        pools.sort_by_key(|pool| std::cmp::Reverse((pool.max_wait_ms, pool.clients_waiting)));
        pools.truncate(POOLS_CAP);
        let stats = show(&client, "SHOW STATS", options).await?;
        let sum = |name: &str| -> Option<u64> {
            let own = stats
                .iter()
                .filter(|row| text(row, "database") != "pgbouncer");
            own.map(|row| number(row, name))
                .reduce(|a, b| Some(a? + b?))?
        };
        let totals = PoolTotals {
            // Older ones count transactions, each of which takes a connection once.
            acquired: sum("total_server_assignment_count").or_else(|| sum("total_xact_count")),
            wait_us: sum("total_wait_time"),
        };
        self.client = Some(client);
        Ok((pools, totals))
    }
}

async fn show(client: &Client, what: &str, options: &Options) -> Result<Vec<SimpleQueryRow>> {
    let limit = options.statement_timeout;
    let answered = timeout(limit.as_duration(), client.simple_query(what)).await;
    let address = options.conninfo.display();
    let messages = answered
        .map_err(|_| Error::Lost {
            address: address.clone(),
            detail: format!("no answer within {} ms", limit.0),
        })?
        .map_err(|error| Error::from_query(PART, (&address, limit), &error))?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.collect())
}

fn text(row: &SimpleQueryRow, name: &str) -> String {
    row.try_get(name).ok().flatten().unwrap_or("").to_owned()
}

fn number(row: &SimpleQueryRow, name: &str) -> Option<u64> {
    row.try_get(name).ok().flatten()?.parse().ok()
}

fn pool(row: &SimpleQueryRow, size: Option<u64>) -> Pool {
    let count = |name| number(row, name).unwrap_or(0);
    Pool {
        database: text(row, "database"),
        user: text(row, "user"),
        clients_active: count("cl_active"),
        clients_waiting: count("cl_waiting"),
        servers_active: count("sv_active"),
        servers_idle: count("sv_idle") + count("sv_used"),
        max_wait_ms: count("maxwait") * 1_000 + count("maxwait_us") / 1_000,
        mode: text(row, "pool_mode"),
        size,
    }
}
