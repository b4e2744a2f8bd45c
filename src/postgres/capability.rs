//! What can be asked of this server: version, extensions, rights.
//!
//! For: choosing queries by fact. Every difference between versions that the collectors rest on
//! has its name here. Not for: the queries themselves.

use std::collections::BTreeMap;

use super::collect::BlindSpots;
use super::read::Cells;
use super::session::Session;
use super::{Error, MARKER, Result};

/// The oldest server that is read.
pub(super) const OLDEST: u32 = 13_00_00;
/// `pg_stat_wal`, and session times in `pg_stat_database`.
pub(super) const V14: u32 = 14_00_00;
/// `pg_stat_io`, `last_idx_scan`, `reserved_connections`.
pub(super) const V16: u32 = 16_00_00;
/// `pg_stat_checkpointer` takes over from `pg_stat_bgwriter`.
pub(super) const V17: u32 = 17_00_00;
/// Write and sync figures of `pg_stat_wal` move to `pg_stat_io`, which counts in bytes.
pub(super) const V18: u32 = 18_00_00;

/// `pg_stat_statements` that splits planning from execution (ships with 13).
const STATEMENTS_EXEC_TIME: (u32, u32) = (1, 8);
/// `pg_stat_statements` that names block times after their cache (ships with 17).
const STATEMENTS_SHARED_BLK_TIME: (u32, u32) = (1, 11);

/// `pg_stat_statements` as this database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatementsExtension {
    /// The schema it lives in, unquoted.
    pub(super) schema: String,
    /// Major and minor of the extension, which may lag behind the server's.
    pub(super) version: (u32, u32),
}

impl StatementsExtension {
    /// Whether times are called `total_exec_time` and so on.
    pub(super) fn has_exec_time(&self) -> bool {
        self.version >= STATEMENTS_EXEC_TIME
    }

    /// Whether block times are called `shared_blk_read_time` and so on.
    pub(super) fn has_shared_blk_time(&self) -> bool {
        self.version >= STATEMENTS_SHARED_BLK_TIME
    }
}

/// What is known of the server and of our rights on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// As `SHOW server_version`.
    pub version: String,
    /// As `SHOW server_version_num`: 150018 is 15.18.
    pub version_num: u32,
    /// The database connected to.
    pub database: String,
    /// The role connected as.
    pub role: String,
    /// Member of `pg_read_all_stats`, which `pg_monitor` brings: sees other roles' sessions.
    pub reads_all_stats: bool,
    /// Extensions of this database, name to version.
    pub extensions: BTreeMap<String, String>,
    /// A pooler stands between: sessions are shared, so nothing is kept in them.
    pub is_pooled: bool,
    /// The database's oid.
    pub(super) database_oid: u32,
    /// Bytes of one page.
    pub(super) block_size: u64,
    pub(super) statements: Option<StatementsExtension>,
    /// `shared_preload_libraries`; `None` without the right to read it.
    preloaded: Option<String>,
}

impl Capability {
    /// Asks the server.
    ///
    /// # Errors
    /// [`Error::TooOld`] for servers before 13, and those of the session.
    pub(super) async fn read(session: &mut Session) -> Result<Self> {
        const PART: &str = "capability";
        let sql = format!(
            "select {MARKER} current_setting('server_version'), \
             current_setting('server_version_num')::int8, current_database()::text, \
             current_user::text, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), \
             current_setting('block_size')::int8, \
             (select oid from pg_database where datname = current_database()), \
             case when pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') \
             then current_setting('shared_preload_libraries', true) end"
        );
        let rows = session.rows(PART, &sql, &[]).await?;
        let row = rows.first().ok_or(Error::Shape {
            part: PART,
            detail: "no row".to_owned(),
        })?;
        let cells = Cells::new(PART, row);
        let mut capability = Self {
            version: cells.text(0)?,
            version_num: u32::try_from(cells.count(1)?).unwrap_or(0),
            database: cells.text(2)?,
            role: cells.text(3)?,
            reads_all_stats: cells.get(4)?,
            block_size: cells.count(5)?,
            database_oid: cells.get(6)?,
            preloaded: cells.get(7)?,
            extensions: BTreeMap::new(),
            statements: None,
            is_pooled: session.is_pooled(),
        };
        if capability.version_num < OLDEST {
            return Err(Error::TooOld {
                address: capability.database,
                version: capability.version,
            });
        }
        let sql = format!(
            "select {MARKER} e.extname::text, e.extversion, n.nspname::text \
             from pg_extension e join pg_namespace n on n.oid = e.extnamespace"
        );
        for row in session.rows(PART, &sql, &[]).await? {
            let cells = Cells::new(PART, &row);
            let (name, version) = (cells.text(0)?, cells.text(1)?);
            if name == "pg_stat_statements" {
                capability.statements = Some(StatementsExtension {
                    schema: cells.text(2)?,
                    version: parse_version(&version),
                });
            }
            capability.extensions.insert(name, version);
        }
        Ok(capability)
    }

    /// Whether the server is of `version` (such as [`V16`]) or later.
    pub(super) fn is_at_least(&self, version: u32) -> bool {
        self.version_num >= version
    }

    /// Says what the rights and extensions leave out, with the cure.
    pub(super) fn note(&self, blind: &mut BlindSpots) {
        let role = quote(&self.role);
        if self.reads_all_stats {
            blind.clear("rights");
        } else {
            blind.note(
                "rights",
                "the role is no member of pg_monitor: other roles' sessions, statements and \
                 standbys are hidden",
                format!("GRANT pg_monitor TO {role};"),
            );
        }
        if self.statements.is_none() {
            blind.note(
                "statements",
                format!(
                    "pg_stat_statements is not installed in database {}",
                    self.database
                ),
                self.statements_cure(),
            );
        }
        if self.is_pooled {
            blind.note(
                "session",
                "a pooler stands between: sessions are shared, statements are not prepared",
                "give the server's own address, which costs it less".to_owned(),
            );
        } else {
            blind.clear("session");
        }
    }

    /// The exact lines that make statements visible on this server.
    pub(super) fn statements_cure(&self) -> String {
        let create = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;";
        let list = self.preloaded.as_deref().unwrap_or("");
        if list.contains("pg_stat_statements") {
            return format!("in database {}: {create}", quote(&self.database));
        }
        let list = match (&self.preloaded, list) {
            (None, _) => "…,pg_stat_statements".to_owned(),
            (Some(_), "") => "pg_stat_statements".to_owned(),
            (Some(_), list) => format!("{list},pg_stat_statements"),
        };
        format!(
            "in postgresql.conf: shared_preload_libraries = '{list}'; restart the server; then in \
             database {}: {create}",
            quote(&self.database)
        )
    }
}

/// An identifier as SQL writes it.
pub(super) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn parse_version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_not_as_text() {
        assert!(parse_version("1.10") > parse_version("1.9"));
        assert_eq!(parse_version("odd"), (0, 0));
    }

    #[test]
    fn identifiers_with_quotes_stay_one_identifier() {
        assert_eq!(quote("Robert\"); DROP"), "\"Robert\"\"); DROP\"");
    }
}
