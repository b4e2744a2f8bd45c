//! The lead-generation platform: its database, roles, tables and made-up rows.
//!
//! For: setting the scene on a fresh cluster. Not for: what happens on it later (`traffic`,
//! `fault`). The SQL is in `data/leadgen/`.
#![expect(
    clippy::disallowed_types,
    reason = "the demo drives the cluster that it made itself"
)]

use tokio_postgres::Client;

use super::cluster::{self, Cluster};
use super::{Error, Result, refused, session};

/// The platform's database, and the role that owns it.
pub const NAME: &str = "leadgen";

/// Scale of the demo when nobody asks for another: filled in a few seconds.
pub const SCALE_DEFAULT: f64 = 0.05;

/// Largest scale: 20 million leads, some 90 GB.
pub const SCALE_MAX: f64 = 100.0;

/// Rows of one batch, so that progress can be shown and no statement runs for minutes.
const BATCH: u32 = 5_000;

/// Connections that the platform cannot take, so that a monitor always gets in.
const CONNECTIONS_KEPT: i32 = 10;

const TABLES: &str =
    r#""Lead", "Agent", "LeadAssignment", "Event", "Carrier", "CarrierPerformanceMetric""#;

const SCHEMA: &str = include_str!("../../data/leadgen/schema.sql");
const INDEXES: &str = include_str!("../../data/leadgen/indexes.sql");
const MIGRATION: &str = include_str!("../../data/leadgen/migration.sql");
const GENERATE: &str = include_str!("../../data/leadgen/generate.sql");

/// The platform's five warmed reads, as `[[query]]` sections of a settings file.
pub const QUERIES: &str = include_str!("../../data/leadgen/queries.toml");

/// Server settings that suit a small machine and make the planted troubles show within minutes.
pub const SERVER_SETTINGS: [(&str, &str); 4] = [
    ("max_connections", "60"),
    ("shared_buffers", "64MB"),
    ("max_wal_size", "256MB"),
    ("autovacuum_naptime", "20s"),
];

/// Which secondary indexes the platform has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Indexes {
    /// Single columns only: composite ones are missing, which is to be found.
    #[default]
    Base,
    /// The fifteen composite ones as well: many are redundant or unused, which is to be found.
    Migrated,
}

/// The platform's addresses, passwords included.
#[derive(Debug, Clone)]
pub struct Platform {
    /// As the owner: what the platform's own services use.
    pub url: String,
    /// As a role with `pg_monitor` that may read the tables: what a monitor uses.
    pub monitor_url: String,
}

/// Forgets the statements that filled the platform: what is shown is what its users do.
///
/// Without `pg_stat_statements` there is nothing to forget.
///
/// # Errors
/// `Postgres` if the server cannot be asked.
pub async fn forget_setup(cluster: &Cluster) -> Result<()> {
    let admin = session::connect(&cluster.url_of(NAME), "plimsoll demo").await?;
    let known = "SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'";
    let found = admin
        .query_opt(known, &[])
        .await
        .map_err(refused("look for statistics"))?;
    if found.is_some() {
        let forget = "SELECT pg_stat_statements_reset()";
        admin
            .query(forget, &[])
            .await
            .map_err(refused("forget the setup"))?;
    }
    Ok(())
}

/// How many rows were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filled {
    /// Rows in `Lead`.
    pub leads: u32,
    /// Rows in `Agent`.
    pub agents: u32,
}

impl Filled {
    /// What a scale means; few agents would make every one of them hot.
    ///
    /// # Errors
    /// [`Error::Scale`] outside 0 (excluded) to [`SCALE_MAX`].
    pub fn at_scale(scale: f64) -> Result<Self> {
        if !(scale > 0.0 && scale <= SCALE_MAX) {
            return Err(Error::Scale {
                got: scale,
                max: SCALE_MAX,
            });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the scale is checked: positive, and far below the range of u32"
        )]
        let rows = |at_one: f64| (at_one * scale).round() as u32;
        Ok(Self {
            leads: rows(200_000.0).max(100),
            agents: rows(1_000.0).max(100),
        })
    }
}

/// Makes the database, its owner, a monitoring role and the empty tables.
///
/// # Errors
/// `Postgres` with the step that was refused.
pub async fn create(cluster: &Cluster) -> Result<Platform> {
    let admin = session::connect(&cluster.url(), "plimsoll demo").await?;
    let passwords = [cluster::random_hex()?, cluster::random_hex()?];
    let [owner, monitor] = &passwords;
    let connections: i32 = admin
        .query_one("SELECT current_setting('max_connections')::integer", &[])
        .await
        .map_err(refused("read max_connections"))?
        .get(0);
    let most = (connections - CONNECTIONS_KEPT).max(1);
    admin
        .batch_execute(&format!(
            "CREATE ROLE {NAME} LOGIN PASSWORD '{owner}' CONNECTION LIMIT {most}; \
             CREATE ROLE plimsoll LOGIN PASSWORD '{monitor}' IN ROLE pg_monitor"
        ))
        .await
        .map_err(refused("create the platform's roles"))?;
    admin
        .batch_execute(&format!("CREATE DATABASE {NAME} OWNER {NAME}"))
        .await
        .map_err(refused("create the platform's database"))?;
    let address = |role: &str, password: &str| {
        format!(
            "postgres://{role}:{password}@127.0.0.1:{}/{NAME}",
            cluster.port()
        )
    };
    let platform = Platform {
        url: address(NAME, owner),
        monitor_url: address("plimsoll", monitor),
    };
    let client = session::connect(&platform.url, "leadgen setup").await?;
    client
        .batch_execute(SCHEMA)
        .await
        .map_err(refused("create the platform's tables"))?;
    client
        .batch_execute(&format!("GRANT SELECT ON {TABLES} TO plimsoll"))
        .await
        .map_err(refused("let the monitor read"))?;
    Ok(platform)
}

/// Fills the tables and makes their indexes.
///
/// `progress` is told the share done, 0 to 1, and what comes next. At scale 1 there are 200,000
/// leads; the proportions are those of `data/leadgen/generate.sql`.
///
/// # Errors
/// [`Error::Scale`] for a scale that makes no platform, `Postgres` with the step that was refused.
pub async fn fill(
    platform: &Platform,
    scale: f64,
    indexes: Indexes,
    mut progress: impl FnMut(f64, &str),
) -> Result<Filled> {
    let filled = Filled::at_scale(scale)?;
    let client = session::connect(&platform.url, "leadgen setup").await?;
    progress(0.0, "agents and carriers");
    let Filled { leads, agents } = filled;
    // A crash in the middle of the demo's setup loses nothing worth a disk flush a batch.
    let settings = format!(
        "SET synchronous_commit = off; SET leadgen.leads = {leads}; SET leadgen.agents = {agents}; \
         SELECT setseed(0.14)"
    );
    run(&client, "set up a batch", &settings).await?;
    run(&client, "make agents and carriers", part("people")).await?;
    let mut first = 1;
    while first <= leads {
        let last = (first + BATCH - 1).min(leads);
        let done = f64::from(first - 1) / f64::from(leads);
        progress(0.02 + 0.68 * done, "leads, assignments and events");
        let range = format!("SET leadgen.first = {first}; SET leadgen.last = {last}");
        run(&client, "set up a batch", &range).await?;
        run(&client, "make leads", part("leads")).await?;
        first = last + 1;
    }
    progress(0.70, "indexes");
    run(&client, "make the indexes", INDEXES).await?;
    if indexes == Indexes::Migrated {
        run(&client, "make the composite indexes", MIGRATION).await?;
    }
    progress(0.92, "statistics");
    run(
        &client,
        "analyse the tables",
        &format!("VACUUM (ANALYZE) {TABLES}"),
    )
    .await?;
    progress(1.0, "filled");
    Ok(filled)
}

async fn run(client: &Client, doing: &'static str, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(refused(doing))
}

/// The statements between `-- part: name` and the next part.
fn part(name: &str) -> &'static str {
    GENERATE
        .split("-- part: ")
        .find_map(|text| text.strip_prefix(name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_the_generator_are_found() {
        assert!(part("people").contains(r#"INSERT INTO "Agent""#));
        assert!(part("leads").contains(r#"INSERT INTO "Event""#));
        assert!(!part("leads").contains(r#"INSERT INTO "Agent""#));
        assert_eq!(part("nothing"), "");
    }

    #[test]
    fn a_scale_gives_rows_and_a_bad_one_an_error() {
        let filled = Filled::at_scale(1.0).unwrap();
        assert_eq!((filled.leads, filled.agents), (200_000, 1_000));
        assert_eq!(Filled::at_scale(0.001).unwrap().agents, 100);
        for bad in [0.0, -1.0, 101.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Filled::at_scale(bad), Err(Error::Scale { .. })));
        }
    }
}
