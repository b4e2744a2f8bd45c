//! Old rows of a table moved, copied or deleted, in batches that are a transaction each.
//!
//! For: an archive that loses no row: what is moved is copied, compared and only then deleted, all in one
//! transaction; what others refer to stays; a run that is cut off goes on with what is left. Not for:
//! partitioned tables, whose old partitions are detached whole.
//!
//! Read [`Archive::step`] first. Every name in a statement is one that the catalog gave, quoted by the
//! server; values are bound.

mod schema;

use tokio_postgres::types::Type;

use super::read::Cells;
use super::writer::{Relation, Writer};
use super::{Error, Result, vacuum};
use crate::model::maintenance::{ArchivalPolicy, ArchivalPreview, Strategy};
use crate::model::units::Timestamp;
use schema::{Clock, Destination, Shape};

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
    /// Finds the tables, the column that tells an age, keys and references. Writes nothing.
    ///
    /// # Errors
    /// [`Error::NoTable`] and [`Error::NotArchivable`] with what to change; those of the server.
    pub async fn plan(
        writer: &'w Writer,
        policy: &ArchivalPolicy,
        now: Timestamp,
    ) -> Result<Archive<'w>> {
        let table = writer.relation(&policy.table).await?;
        let shape = schema::shape(writer, &table, policy.column.as_deref()).await?;
        let destination = match &policy.archive_destination {
            Some(name) => Some(schema::destination(writer, &table, &shape, name).await?),
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
            expired: policy.retention_days.map(|days| days_before(now, days)),
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
        notes
    }

    /// Counts what a run would do.
    ///
    /// # Errors
    /// Those of the server; counting may take too long.
    pub async fn preview(&self) -> Result<ArchivalPreview> {
        let sql = format!(
            "select /* plimsoll */ count(*), count(*) filter (where not ({free})) \
             from {table} t where {old}",
            free = self.shape.unreferenced(),
            table = self.table.quoted,
            old = self.old(),
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
        let sql = format!(
            "begin /* plimsoll */; \
             create table {place} (like {table}); \
             alter table {place} add primary key ({key}); \
             commit",
            place = destination.quoted,
            table = self.table.quoted,
            key = self.shape.key.join(", "),
        );
        let made = self.writer.simple(&sql).await;
        if made.is_err() {
            self.writer.simple("rollback /* plimsoll */").await?;
        }
        made?;
        destination.is_there = true;
        Ok(true)
    }

    /// Does one batch of at most `most` rows.
    ///
    /// # Errors
    /// Those of the server, and [`Error::NotArchivable`] where the destination has other rows under the
    /// same keys; the batch is then as if it had not been.
    pub async fn step(&mut self, most: Option<u64>) -> Result<Step> {
        let rows = most.map_or(self.batch_rows, |most| {
            i64::try_from(most).unwrap_or(i64::MAX).min(self.batch_rows)
        });
        if self.strategy == Strategy::Copy {
            return self.copy(rows).await;
        }
        self.writer.simple("begin /* plimsoll */").await?;
        let done = self.take(rows).await;
        let end = if done.is_ok() {
            "commit /* plimsoll */"
        } else {
            "rollback /* plimsoll */"
        };
        let ended = self.writer.simple(end).await;
        let step = done?;
        ended?;
        Ok(step)
    }

    /// Locks old rows, copies and compares them where they are moved, and deletes them. What others
    /// changed or refer to meanwhile makes the counts differ, and the batch is taken back.
    async fn take(&self, rows: i64) -> Result<Step> {
        let (table, free) = (&self.table.quoted, self.shape.unreferenced());
        let sql = format!(
            "select /* plimsoll */ t.ctid::text from {table} t where {old} and {free} \
             limit $2 for update of t skip locked",
            old = self.old(),
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
        let archived = match &self.destination {
            Some(destination) => self.put(destination, &places, &free).await?,
            None => 0,
        };
        let sql = format!(
            "delete /* plimsoll */ from {table} t where t.ctid = any($1::text[]::tid[]) and {free}"
        );
        let deleted = self
            .writer
            .execute("deleting old rows", &sql, &[(&places, Type::TEXT_ARRAY)])
            .await?;
        if self.destination.is_some() && archived != deleted {
            return Err(Error::NotArchivable {
                table: table.clone(),
                reason: format!(
                    "{deleted} rows would go and {archived} were kept, since references to them \
                     changed meanwhile; it can be tried again"
                ),
            });
        }
        Ok(Step {
            archived,
            deleted,
            is_last: deleted == 0,
        })
    }

    /// Copies rows and counts those that the destination then has, value by value.
    async fn put(&self, destination: &Destination, places: &[String], free: &str) -> Result<u64> {
        let (table, place) = (&self.table.quoted, &destination.quoted);
        let columns = self.shape.columns.join(", ");
        let of = |alias: &str| schema::prefixed(alias, &self.shape.columns);
        let sql = format!(
            "insert /* plimsoll */ into {place} ({columns}) overriding system value \
             select {values} from {table} t where t.ctid = any($1::text[]::tid[]) and {free} \
             on conflict ({key}) do nothing",
            values = of("t"),
            key = self.shape.key.join(", "),
        );
        let parameters = [(&places as _, Type::TEXT_ARRAY)];
        self.writer
            .execute("copying old rows", &sql, &parameters)
            .await?;
        let sql = format!(
            "select /* plimsoll */ count(*), \
             count(*) filter (where row({ours})::text is not distinct from row({theirs})::text) \
             from {table} t left join {place} d on {same} \
             where t.ctid = any($1::text[]::tid[]) and {free}",
            ours = of("t"),
            theirs = of("d"),
            same = schema::equal("t", "d", &self.shape.key),
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
                    "{place} has {} of its rows with other values under the same key; nothing of \
                     this batch was deleted; look at both, and take one away",
                    all - alike
                ),
            });
        }
        Ok(all)
    }

    /// Copies rows that the destination has not, oldest first.
    async fn copy(&mut self, rows: i64) -> Result<Step> {
        let Some(destination) = &self.destination else {
            return Ok(Step {
                is_last: true,
                ..Step::default()
            });
        };
        let age = &self.shape.age.quoted;
        let sql = format!(
            "with /* plimsoll */ copied as (\
                insert into {place} ({columns}) overriding system value \
                select {values} from {table} t where {old} \
                and ($3::text is null or t.{age} >= $3::text::{kind}) \
                and not exists (select from {place} d where {same}) \
                order by t.{age} limit $2 returning {age} as age) \
             select count(*), max(copied.age)::text from copied",
            place = destination.quoted,
            table = self.table.quoted,
            columns = self.shape.columns.join(", "),
            values = schema::prefixed("t", &self.shape.columns),
            old = self.old(),
            kind = self.shape.age.clock.type_name(),
            same = schema::equal("t", "d", &self.shape.key),
        );
        let before = self.before.to_string();
        let copied = self
            .writer
            .rows(
                "copying old rows",
                &sql,
                &[
                    (&before, Type::TEXT),
                    (&rows, Type::INT8),
                    (&self.copied_to, Type::TEXT),
                ],
            )
            .await?;
        let Some(row) = copied.first() else {
            return Ok(Step::default());
        };
        let cells = Cells::new("copying old rows", row);
        let archived = cells.count(0)?;
        if let Some(newest) = cells.get::<Option<String>>(1)? {
            self.copied_to = Some(newest);
        }
        Ok(Step {
            archived,
            deleted: 0,
            is_last: archived == 0,
        })
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
            "delete /* plimsoll */ from {place} d where d.ctid = any(array(\
                select t.ctid from {place} t where {old} limit $2 for update skip locked))",
            place = destination.quoted,
            old = self.old(),
        );
        let expired = expired.to_string();
        let parameters = [
            (&expired as _, Type::TEXT),
            (&self.batch_rows as _, Type::INT8),
        ];
        self.writer
            .execute("deleting what was kept long enough", &sql, &parameters)
            .await
    }

    /// The condition on `t` that a row is older than `$1`.
    fn old(&self) -> String {
        let age = &self.shape.age;
        let instant = match age.clock {
            Clock::Zoned => "$1::text::timestamptz",
            Clock::Bare => "($1::text::timestamptz at time zone 'UTC')",
            Clock::Day => "($1::text::timestamptz at time zone 'UTC')::date",
        };
        format!("t.{} < {instant}", age.quoted)
    }
}
