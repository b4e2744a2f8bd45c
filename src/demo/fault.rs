//! Planted troubles with known names, so that what a monitor says can be held against the truth.
//!
//! For: the demo's drama, and tests of findings. Not for: servers of others: these lock, delete and
//! use up connections. What each is for, its times and its SQL are in `data/leadgen/faults.toml`.
#![expect(
    clippy::disallowed_types,
    reason = "the demo drives the cluster that it made itself"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{Error, Result, refused, session};

const FAULTS: &str = include_str!("../../data/leadgen/faults.toml");

/// `application_name` of the sessions that plant faults: the platform's scheduled jobs.
pub const APPLICATION: &str = "leadgen jobs";

/// Shortest pause between two rounds of one fault.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// How often a deadlock is tried before the attempt counts as failed.
const DEADLOCK_TRIES: usize = 3;

/// A planted trouble.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Fault {
    /// `N1`, `N2`, `L1`, `M1`, `M2`, `M3`, `C1` or `D1`.
    pub id: String,
    /// What it does, in one line.
    pub what: String,
    /// What a monitor should say of it.
    pub expect: String,
    /// Seconds from the start of the traffic to the first round.
    pub first_after_s: u64,
    /// Seconds between the end of one round and the next.
    pub every_s: u64,
    /// Seconds that it lasts; 0 where it is over at once.
    #[serde(default)]
    pub hold_s: u64,
    sql: BTreeMap<String, String>,
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Statements that were sent.
    pub statements: u64,
    /// Rows changed.
    pub rows: u64,
    /// Statements or connections that the server turned down, as was meant.
    pub refused: u64,
}

#[derive(Deserialize)]
struct File {
    fault: Vec<Fault>,
}

/// All planted faults, at the times of the demo.
///
/// # Errors
/// [`Error::BuiltIn`] if the list that is compiled in does not read.
pub fn built_in() -> Result<Vec<Fault>> {
    toml::from_str::<File>(FAULTS)
        .map(|file| file.fault)
        .map_err(|source| Error::BuiltIn {
            file: "leadgen/faults.toml",
            source,
        })
}

impl Fault {
    /// Time from the start of the traffic to the first round.
    pub fn first_after(&self) -> Duration {
        Duration::from_secs(self.first_after_s)
    }

    /// Time between rounds.
    pub fn every(&self) -> Duration {
        Duration::from_secs(self.every_s).max(EVERY_MIN)
    }

    fn hold(&self) -> Duration {
        Duration::from_secs(self.hold_s)
    }

    fn sql(&self, name: &str) -> &str {
        self.sql.get(name).map_or("", String::as_str)
    }
}

/// Plants one round of `fault` on the platform at `url`, and waits until it is over.
///
/// # Errors
/// `Postgres` if a statement fails that should not, [`Error::Fault`] for an id that is not one of
/// the eight.
pub async fn inject(fault: &Fault, url: &str) -> Result<Outcome> {
    match fault.id.as_str() {
        "N1" => one_by_one(fault, url, 1).await,
        "N2" => one_by_one(fault, url, 2).await,
        "L1" => idle_in_transaction(fault, url).await,
        "C1" => too_many_clients(fault, url).await,
        "D1" => deadlock(fault, url).await,
        "M1" => in_turn(fault, url, &["delete"]).await,
        "M2" => in_turn(fault, url, &["no_vacuum", "storm"]).await,
        "M3" => in_turn(fault, url, &["clear", "import", "query"]).await,
        _ => Err(Error::Fault {
            id: fault.id.clone(),
        }),
    }
}

/// A list, and then each of its rows by a statement of its own, `times` over.
async fn one_by_one(fault: &Fault, url: &str, times: usize) -> Result<Outcome> {
    let client = session::connect(url, APPLICATION).await?;
    let rows = client.query(fault.sql("list"), &[]).await;
    let rows = rows.map_err(refused("list rows"))?;
    let each = client.prepare(fault.sql("each")).await;
    let each = each.map_err(refused("prepare the statement of one row"))?;
    let mut outcome = Outcome {
        statements: 1,
        ..Outcome::default()
    };
    for row in &rows {
        let id: String = row.get(0);
        for _ in 0..times {
            let read = client.query(&each, &[&id]).await;
            read.map_err(refused("read one row"))?;
            outcome.statements += 1;
        }
    }
    Ok(outcome)
}

/// Statements without parameters, one after the other.
async fn in_turn(fault: &Fault, url: &str, names: &[&str]) -> Result<Outcome> {
    let client = session::connect(url, APPLICATION).await?;
    let mut outcome = Outcome::default();
    for name in names {
        let changed = client.execute(fault.sql(name), &[]).await;
        outcome.rows += changed.map_err(refused("run a planted statement"))?;
        outcome.statements += 1;
    }
    Ok(outcome)
}

/// Takes the lock on the busiest agent and does nothing with it for a while.
async fn idle_in_transaction(fault: &Fault, url: &str) -> Result<Outcome> {
    let client = session::connect(url, APPLICATION).await?;
    let busiest = client.query_opt(fault.sql("busiest"), &[]).await;
    let busiest = busiest.map_err(refused("find the busiest agent"))?;
    let agent: String = busiest.ok_or(Error::Empty)?.get(0);
    command(&client, "BEGIN").await?;
    let locked = client.query(fault.sql("lock"), &[&agent]).await;
    locked.map_err(refused("lock an agent"))?;
    tokio::time::sleep(fault.hold()).await;
    command(&client, "COMMIT").await?;
    Ok(Outcome {
        statements: 4,
        ..Outcome::default()
    })
}

/// Opens a fifth more connections than the server has, and holds those that it gets.
///
/// The platform's role has a limit of its own below `max_connections`, so that a monitor still
/// gets in.
async fn too_many_clients(fault: &Fault, url: &str) -> Result<Outcome> {
    let mut held = vec![session::connect(url, APPLICATION).await?];
    let mut outcome = Outcome::default();
    if let Some(client) = held.first() {
        let limit = client.query_one(fault.sql("limit"), &[]).await;
        let limit: i32 = limit.map_err(refused("read max_connections"))?.get(0);
        outcome.statements = u64::try_from(i64::from(limit) * 6 / 5).unwrap_or(0);
    }
    for _ in 1..outcome.statements {
        match session::connect(url, APPLICATION).await {
            Ok(client) => held.push(client),
            Err(error) if is_full(&error) => outcome.refused += 1,
            Err(error) => return Err(error),
        }
    }
    tokio::time::sleep(fault.hold()).await;
    Ok(outcome)
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Postgres { source, .. }
        if source.code() == Some(&SqlState::TOO_MANY_CONNECTIONS))
}

/// Two sessions each hold the row that the other wants; the server ends one of them.
async fn deadlock(fault: &Fault, url: &str) -> Result<Outcome> {
    let one = session::connect(url, APPLICATION).await?;
    let two = session::connect(url, APPLICATION).await?;
    let rows = one.query(fault.sql("pair"), &[]).await;
    let rows = rows.map_err(refused("choose two agents"))?;
    let [a, b] = rows.as_slice() else {
        return Err(Error::Empty);
    };
    let (a, b): (String, String) = (a.get(0), b.get(0));
    let update = fault.sql("update");
    let mut outcome = Outcome::default();
    for _ in 0..DEADLOCK_TRIES {
        for client in [&one, &two] {
            command(client, "BEGIN").await?;
        }
        for (client, agent) in [(&one, &a), (&two, &b)] {
            let held = client.execute(update, &[agent]).await;
            held.map_err(refused("update an agent"))?;
        }
        let params_one: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&b];
        let params_two: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&a];
        let (first, second) = tokio::join!(
            one.execute(update, &params_one),
            two.execute(update, &params_two)
        );
        outcome.statements += 4;
        for client in [&one, &two] {
            command(client, "ROLLBACK").await?;
        }
        let ended = [first, second]
            .into_iter()
            .filter_map(std::result::Result::err);
        outcome.refused += ended
            .filter(|error| error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED))
            .count() as u64;
        if outcome.refused > 0 {
            break;
        }
    }
    Ok(outcome)
}

async fn command(client: &Client, sql: &str) -> Result<()> {
    client
        .batch_execute(sql)
        .await
        .map_err(refused("begin or end a transaction"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_the_statements_it_sends() {
        let faults = built_in().unwrap();
        let ids: Vec<&str> = faults.iter().map(|fault| fault.id.as_str()).collect();
        assert_eq!(ids, ["N1", "N2", "L1", "M1", "M2", "M3", "C1", "D1"]);
        let needs: [&[&str]; 8] = [
            &["list", "each"],
            &["list", "each"],
            &["busiest", "lock"],
            &["delete"],
            &["no_vacuum", "storm"],
            &["clear", "import", "query"],
            &["limit"],
            &["pair", "update"],
        ];
        for (fault, needs) in faults.iter().zip(needs) {
            for name in needs {
                assert!(!fault.sql(name).is_empty(), "{} lacks {name}", fault.id);
            }
            assert_eq!(fault.sql.len(), needs.len(), "{}", fault.id);
        }
    }
}
