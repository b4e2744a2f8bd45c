//! Old rows of a table moved, copied or deleted, in batches that are a transaction each.
//!
//! For: an archive that loses no row: what is moved is copied, compared and only then deleted, all in one
//! transaction; what others refer to stays; a run that is cut off goes on with what is left. Not for:
//! tables that others are partitions of or inherit from, whose old parts are detached whole.
//!
//! Read [`Archive::step`] first. Every name in a statement is one that the catalog gave, quoted by the
//! server, as is every operator that compares keys; values are bound. Each batch looks again whether the
//! tables are as they were planned with, under a lock that keeps them so.

mod schema;

use std::fmt::Write as _;

use tokio_postgres::types::Type;

use super::read::Cells;
use super::writer::{Relation, Writer};
use super::{Error, Result, vacuum};
use crate::model::maintenance::{ArchivalPolicy, ArchivalPreview, Strategy};
use crate::model::units::Timestamp;
use schema::{Age, Clock, Destination, Purpose, Shape};

/// What one batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Rows that the destination took.
    pub archived: u64,
    /// Rows that the table lost.
    pub deleted: u64,
    /// Nothing is left to do.
    pub is_last: bool,
}

/// A policy against the tables that are there.
pub struct Archive<'w> {
    writer: &'w Writer,
    table: Relation,
    shape: Shape,
    destination: Option<Destination>,
    strategy: Strategy,
    batch_rows: i64,
    /// Rows older than this are old.
    before: Timestamp,
    /// Rows of the destination older than this go.
    expired: Option<Timestamp>,
    /// Where copying goes on: the age of the newest row that was copied.
    copied_to: Option<String>,
}

const DAY_MS: i64 = 86_400_000;

fn days_before(now: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_millis(
        now.as_millis()
            .saturating_sub(i64::from(days).saturating_mul(DAY_MS)),
    )
}

impl<'w> Archive<'w> {
    /// Finds the tables, the column that tells an age, keys and references. Writes nothing. Of `now` and
    /// the server's own clock the earlier counts: a clock that is wrong must not make young rows old.
    ///
    /// # Errors
    /// [`Error::NoTable`] and [`Error::NotArchivable`] with what to change; those of the server.
    pub async fn plan(
        writer: &'w Writer,
        policy: &ArchivalPolicy,
        now: Timestamp,
    ) -> Result<Archive<'w>> {
        let now = now.min(writer.now().await?);
        let table = writer.relation(&policy.table).await?;
        let shape = schema::shape(writer, &table, policy.column.as_deref()).await?;
        let expired = policy.retention_days.map(|days| days_before(now, days));
        let purpose = Purpose {
            copies: policy.archive_strategy == Strategy::Copy,
            expires: expired.is_some(),
        };
        let destination = match &policy.archive_destination {
            Some(name) => Some(schema::destination(writer, &table, &shape, name, purpose).await?),
            None => None,
        };
        Ok(Archive {
            writer,
            table,
            shape,
            destination,
            strategy: policy.archive_strategy,
            batch_rows: i64::from(policy.batch_rows),
            before: days_before(now, policy.archive_after_days),
            expired,
            copied_to: None,
        })
    }

    /// As SQL writes it.
    pub fn table(&self) -> &str {
        &self.table.quoted
    }

    /// Rows older than this are old.
    pub fn before(&self) -> Timestamp {
        self.before
    }

    /// Rows of the destination older than this are deleted.
    pub fn expired(&self) -> Option<Timestamp> {
        self.expired
    }

    /// As SQL writes it.
    pub fn destination(&self) -> Option<&str> {
        self.destination.as_ref().map(|d| d.quoted.as_str())
    }

    /// What to know before, and of the result.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.shape.has_index {
            notes.push(format!(
                "no index begins with {}, so each batch reads {} from its start; an index helps",
                self.shape.age.quoted, self.table.quoted
            ));
        }
        for reference in self.shape.references.iter().filter(|r| !r.has_index) {
            notes.push(format!(
                "no index of {} serves its foreign key, so each batch reads it whole",
                reference.quoted
            ));
        }
        if let (Some(expired), Some(place)) = (self.expired, self.destination()) {
            notes.push(format!("rows of {place} before {expired} are deleted"));
        }
        notes
    }

    /// Counts what a run would do.
    ///
    /// # Errors
    /// Those of the server; counting may take too long.
    pub async fn preview(&self) -> Result<ArchivalPreview> {
        let sql = format!(
            "select /* plimsoll */ count(*), count(*) filter (where not ({free})) \
             from only {table} t where {old}",
            free = self.shape.unreferenced(),
            table = self.table.quoted,
            old = old("t", &self.shape.age, 1),
        );
        let before = self.before.to_string();
        let rows = self
            .writer
            .rows("counting old rows", &sql, &[(&before, Type::TEXT)])
            .await?;
        let (mut old, mut referenced) = (0, 0);
        if let Some(row) = rows.first() {
            let cells = Cells::new("counting old rows", row);
            (old, referenced) = (cells.count(0)?, cells.count(1)?);
        }
        if self.strategy == Strategy::Copy {
            referenced = 0;
        }
        let state = vacuum::state(self.writer, &self.table).await?;
        let mean = state.table_bytes / state.live_rows.max(old).max(1);
        Ok(ArchivalPreview {
            table: self.table.quoted.clone(),
            column: self.shape.age.name.clone(),
            before: self.before,
            rows: old,
            referenced,
            bytes: mean.saturating_mul(old.saturating_sub(referenced)),
            destination: self.destination().map(str::to_owned),
            makes_destination: self.destination.as_ref().is_some_and(|d| !d.is_there),
            notes: self.notes(),
        })
    }

    /// Makes the destination, where it is not there; says whether it did.
    ///
    /// # Errors
    /// Those of the server; then there is none.
    pub async fn make_destination(&mut self) -> Result<bool> {
        let Some(destination) = self.destination.as_mut().filter(|d| !d.is_there) else {
            return Ok(false);
        };
        let key: Vec<&str> = self.shape.key.iter().map(|k| k.quoted.as_str()).collect();
        let sql = format!(
            "create table {place} (like {table} including generated); \
             alter table {place} add primary key ({key})",
            place = destination.quoted,
            table = self.table.quoted,
            key = key.join(", "),
        );
        self.writer.begin().await?;
        let made = self.writer.simple(&sql).await;
        self.writer.end(made).await?;
        destination.is_there = true;
        Ok(true)
    }

    /// Does one batch of at most `most` rows.
    ///
    /// # Errors
    /// Those of the server, and [`Error::NotArchivable`] where the destination has other rows under the
    /// same keys, or the tables have changed; the batch is then as if it had not been.
    pub async fn step(&mut self, most: Option<u64>) -> Result<Step> {
        let rows = most.map_or(self.batch_rows, |most| {
            i64::try_from(most).unwrap_or(i64::MAX).min(self.batch_rows)
        });
        self.writer.begin().await?;
        let done = async {
            self.hold().await?;
            self.writer.find_as_the_role().await?;
            match self.strategy {
                Strategy::Copy => self.copy(rows).await,
                Strategy::Move | Strategy::Delete => Ok((self.take(rows).await?, None)),
            }
        }
        .await;
        let (step, newest) = self.writer.end(done).await?;
        if newest.is_some() {
            self.copied_to = newest;
        }
        Ok(step)
    }

    /// Keeps the tables as they are until the transaction ends, and looks whether that is how they were
    /// planned with: a column, a key or a reference that came meanwhile must not be missed.
    async fn hold(&self) -> Result<()> {
        let mode = match self.strategy {
            Strategy::Copy => "access share",
            Strategy::Move | Strategy::Delete => "row exclusive",
        };
        let mut sql = format!("lock table only {} in {mode} mode", self.table.quoted);
        if let Some(destination) = &self.destination {
            // Writing to a string cannot go wrong.
            let _ = write!(
                sql,
                "; lock table only {} in row exclusive mode",
                destination.quoted
            );
        }
        self.writer.simple(&sql).await?;
        let changed = || Error::NotArchivable {
            table: self.table.quoted.clone(),
            reason:
                "it, or what refers to it, has changed meanwhile; what was done stays done, and \
                     another run takes up the change"
                    .to_owned(),
        };
        let table = self.writer.relation(&self.table.quoted).await?;
        let age = Some(self.shape.age.name.as_str());
        let shape = schema::shape(self.writer, &table, age).await?;
        if table.oid != self.table.oid || !shape.agrees(&self.shape) {
            return Err(changed());
        }
        if let Some(destination) = &self.destination {
            let purpose = Purpose {
                copies: self.strategy == Strategy::Copy,
                expires: self.expired.is_some(),
            };
            let name = &destination.quoted;
            let now = schema::destination(self.writer, &table, &shape, name, purpose).await?;
            if !now.is_there {
                return Err(changed());
            }
        }
        Ok(())
    }

    /// Locks old rows, copies and compares them where they are moved, and deletes them. What others
    /// changed or refer to meanwhile makes the counts differ, and the batch is taken back.
    async fn take(&self, rows: i64) -> Result<Step> {
        let (table, free) = (&self.table.quoted, self.shape.unreferenced());
        let sql = format!(
            "select /* plimsoll */ t.ctid::pg_catalog.text from only {table} t where {old} and {free} \
             limit $2 for update of t skip locked",
            old = old("t", &self.shape.age, 1),
        );
        let before = self.before.to_string();
        let chosen = self
            .writer
            .rows(
                "choosing old rows",
                &sql,
                &[(&before, Type::TEXT), (&rows, Type::INT8)],
            )
            .await?;
        let places = chosen
            .iter()
            .map(|row| Cells::new("choosing old rows", row).text(0))
            .collect::<Result<Vec<String>>>()?;
        if places.is_empty() {
            return Ok(Step {
                is_last: true,
                ..Step::default()
            });
        }
        let chosen = self.chosen();
        let archived = match &self.destination {
            Some(destination) => self.put(destination, &places, &chosen).await?,
            None => 0,
        };
        let sql = format!("delete /* plimsoll */ from only {table} t where {chosen}");
        let deleted = self
            .writer
            .execute(
                "deleting old rows",
                &sql,
                &[(&places, Type::TEXT_ARRAY), (&before, Type::TEXT)],
            )
            .await?;
        if self.destination.is_some() && archived != deleted {
            return Err(Error::NotArchivable {
                table: table.clone(),
                reason: format!(
                    "{deleted} rows went and {archived} were kept: a trigger, or references that changed \
                     meanwhile; nothing of this batch was done"
                ),
            });
        }
        Ok(Step {
            archived,
            deleted,
            is_last: deleted == 0,
        })
    }

    /// The condition that `t` is one of the rows at `$1` that are older than `$2` and free.
    fn chosen(&self) -> String {
        format!(
            "t.tableoid = '{}'::pg_catalog.oid \
             and t.ctid = any($1::pg_catalog.text[]::pg_catalog.tid[]) and {} and {}",
            self.table.oid,
            old("t", &self.shape.age, 2),
            self.shape.unreferenced(),
        )
    }

    /// Copies rows and counts those that the destination then has, value by value; what it has stays as it
    /// is until the transaction ends.
    async fn put(&self, destination: &Destination, places: &[String], chosen: &str) -> Result<u64> {
        let (table, place) = (&self.table.quoted, &destination.quoted);
        let columns = self.shape.columns.join(", ");
        let of = |alias: &str| schema::prefixed(alias, &self.shape.columns);
        let same = schema::equal("t", "d", &self.shape.key);
        let key: Vec<&str> = self.shape.key.iter().map(|k| k.quoted.as_str()).collect();
        let before = self.before.to_string();
        let parameters = [(&places as _, Type::TEXT_ARRAY), (&before as _, Type::TEXT)];
        let sql = format!(
            "insert /* plimsoll */ into {place} ({columns}) overriding system value \
             select {values} from only {table} t where {chosen} \
             on conflict ({key}) do nothing",
            values = of("t"),
            key = key.join(", "),
        );
        self.writer
            .execute("copying old rows", &sql, &parameters)
            .await?;
        let sql = format!(
            "select /* plimsoll */ from only {place} d join only {table} t on {same} where {chosen} \
             for share of d"
        );
        self.writer
            .rows("keeping what was copied", &sql, &parameters)
            .await?;
        let sql = format!(
            "select /* plimsoll */ count(*), count(*) filter (where \
             row({ours})::pg_catalog.text is not distinct from row({theirs})::pg_catalog.text) \
             from only {table} t left join only {place} d on {same} where {chosen}",
            ours = of("t"),
            theirs = of("d"),
        );
        let rows = self
            .writer
            .rows("comparing what was copied", &sql, &parameters)
            .await?;
        let Some(row) = rows.first() else {
            return Ok(0);
        };
        let cells = Cells::new("comparing what was copied", row);
        let (all, alike) = (cells.count(0)?, cells.count(1)?);
        if all != alike {
            return Err(Error::NotArchivable {
                table: table.clone(),
                reason: format!(
                    "{place} has {} of its rows with other values under the same key, or not at all; \
                     nothing of this batch was deleted; look at both, and at triggers",
                    all - alike
                ),
            });
        }
        Ok(all)
    }

    /// Copies rows that the destination has not, oldest first, but none that it would have to delete; gives
    /// the age of the newest, too.
    async fn copy(&self, rows: i64) -> Result<(Step, Option<String>)> {
        let Some(destination) = &self.destination else {
            let nothing = Step {
                is_last: true,
                ..Step::default()
            };
            return Ok((nothing, None));
        };
        let (age, kind) = (&self.shape.age.quoted, self.shape.age.clock.type_name());
        let sql = format!(
            "with copied as (\
                insert into {place} ({columns}) overriding system value \
                select {values} from only {table} t where {old} \
                and ($3::pg_catalog.text is null or t.{age} >= $3::pg_catalog.text::{kind}) \
                and ($4::pg_catalog.text is null or not ({expired})) \
                and not exists (select from only {place} d where {same}) \
                order by t.{age} limit $2 returning {age} as age) \
             select /* plimsoll */ count(*), max(copied.age)::pg_catalog.text from copied",
            place = destination.quoted,
            table = self.table.quoted,
            columns = self.shape.columns.join(", "),
            values = schema::prefixed("t", &self.shape.columns),
            old = old("t", &self.shape.age, 1),
            expired = old("t", &self.shape.age, 4),
            same = schema::equal("t", "d", &self.shape.key),
        );
        let before = self.before.to_string();
        let expired = self.expired.map(|at| at.to_string());
        let copied = self
            .writer
            .rows(
                "copying old rows",
                &sql,
                &[
                    (&before, Type::TEXT),
                    (&rows, Type::INT8),
                    (&self.copied_to, Type::TEXT),
                    (&expired, Type::TEXT),
                ],
            )
            .await?;
        let Some(row) = copied.first() else {
            return Ok((Step::default(), None));
        };
        let cells = Cells::new("copying old rows", row);
        let archived = cells.count(0)?;
        let step = Step {
            archived,
            deleted: 0,
            is_last: archived == 0,
        };
        Ok((step, cells.get(1)?))
    }

    /// Deletes one batch of what the destination has kept long enough; how many rows.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn expire(&self) -> Result<u64> {
        let (Some(destination), Some(expired)) = (&self.destination, self.expired) else {
            return Ok(0);
        };
        if !destination.is_there {
            return Ok(0);
        }
        let sql = format!(
            "delete /* plimsoll */ from only {place} d where {gone} and d.ctid = any(array(\
                select t.ctid from only {place} t where {old} limit $2 for update skip locked))",
            place = destination.quoted,
            gone = old("d", &self.shape.age, 1),
            old = old("t", &self.shape.age, 1),
        );
        let expired = expired.to_string();
        let parameters = [
            (&expired as _, Type::TEXT),
            (&self.batch_rows as _, Type::INT8),
        ];
        self.writer.begin().await?;
        let done = async {
            self.hold().await?;
            self.writer.find_as_the_role().await?;
            self.writer
                .execute("deleting what was kept long enough", &sql, &parameters)
                .await
        }
        .await;
        self.writer.end(done).await
    }
}

/// The condition that the row of this alias is older than a parameter. A row of no known age is not.
fn old(alias: &str, age: &Age, parameter: usize) -> String {
    let at = format!("${parameter}::pg_catalog.text::pg_catalog.timestamptz");
    let (column, kind) = (&age.quoted, age.clock.type_name());
    let instant = match age.clock {
        Clock::Zoned => at,
        Clock::Bare => format!("({at} at time zone 'UTC')"),
        Clock::Day => format!("({at} at time zone 'UTC')::{kind}"),
    };
    format!("({alias}.{column} < {instant} and {alias}.{column} > '-infinity'::{kind})")
}
