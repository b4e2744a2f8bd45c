//! What the catalog says of the tables of an archive.

use tokio_postgres::types::Type;

use crate::model::identifier;
use crate::postgres::read::Cells;
use crate::postgres::writer::{Relation, Writer};
use crate::postgres::{Error, Result};

/// How a column tells an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// `timestamp with time zone`.
    Zoned,
    /// `timestamp`, read as UTC.
    Bare,
    /// `date`, days of UTC.
    Day,
}

impl Clock {
    pub(super) const fn type_name(self) -> &'static str {
        match self {
            Self::Zoned => "pg_catalog.timestamptz",
            Self::Bare => "pg_catalog.timestamp",
            Self::Day => "pg_catalog.date",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Zoned, Self::Bare, Self::Day]
            .into_iter()
            .find(|clock| clock.type_name() == name)
    }
}

/// The column that tells how old a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Age {
    pub(super) name: String,
    pub(super) quoted: String,
    pub(super) clock: Clock,
}

/// A table whose foreign key points to the archive's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// As SQL writes it.
    pub(super) quoted: String,
    /// The condition that its row `r` refers to the row `t`.
    condition: String,
    /// An index serves the key.
    pub(super) has_index: bool,
}

/// A column of a primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) quoted: String,
    /// What the key's index calls equal, as `operator(schema.name)`.
    equals: String,
}

/// What is to be known of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) age: Age,
    /// Columns that are stored, quoted.
    pub(super) columns: Vec<String>,
    /// Name and full type of each, for comparison.
    types: Vec<(String, String)>,
    /// The primary key; empty where there is none.
    pub(super) key: Vec<Key>,
    pub(super) references: Vec<Reference>,
    /// An index begins with the age.
    pub(super) has_index: bool,
}

impl Shape {
    /// Whether nothing is different that an archive rests on; indexes may come and go.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let references = |shape: &Self| -> Vec<(String, String)> {
            let all = shape.references.iter();
            all.map(|r| (r.quoted.clone(), r.condition.clone()))
                .collect()
        };
        self.age == other.age
            && self.types == other.types
            && self.key == other.key
            && references(self) == references(other)
    }

    /// The condition that nothing refers to the row `t`.
    pub(super) fn unreferenced(&self) -> String {
        let mut text = "true".to_owned();
        for Reference {
            quoted, condition, ..
        } in &self.references
        {
            text.push_str(" and not exists (select from ");
            // Also the partitions of a table that refers.
            text.push_str(quoted);
            text.push_str(" r where ");
            text.push_str(condition);
            text.push(')');
        }
        text
    }
}

/// What a destination is for, beyond taking rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Purpose {
    /// Rows stay where they were, so that nobody compares.
    pub(super) copies: bool,
    /// Its rows are deleted in their turn.
    pub(super) expires: bool,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    /// As SQL writes it.
    pub(super) quoted: String,
    /// It need not be made.
    pub(super) is_there: bool,
}

/// Columns with an alias before each.
pub(super) fn prefixed(alias: &str, columns: &[String]) -> String {
    let all: Vec<String> = columns.iter().map(|c| format!("{alias}.{c}")).collect();
    all.join(", ")
}

/// The condition that two rows have the same key.
pub(super) fn equal(one: &str, other: &str, key: &[Key]) -> String {
    let all: Vec<String> = key
        .iter()
        .map(|Key { quoted, equals }| format!("{one}.{quoted} {equals} {other}.{quoted}"))
        .collect();
    all.join(" and ")
}

fn not_archivable(table: &Relation, reason: impl Into<String>) -> Error {
    Error::NotArchivable {
        table: table.quoted.clone(),
        reason: reason.into(),
    }
}

struct Column {
    name: String,
    quoted: String,
    kind: String,
    full_type: String,
    is_generated: bool,
    leads_index: bool,
}

async fn columns(writer: &Writer, oid: u32) -> Result<Vec<Column>> {
    let sql = "select /* plimsoll */ a.attname::text, pg_catalog.quote_ident(a.attname), \
               case when t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace \
                   then 'pg_catalog.' || t.typname else '' end, \
               pg_catalog.format_type(a.atttypid, a.atttypmod), \
               a.attgenerated <> '', \
               exists (select from pg_catalog.pg_index i \
                       where i.indrelid = a.attrelid and i.indisvalid and i.indpred is null \
                       and i.indkey[0] = a.attnum) \
               from pg_catalog.pg_attribute a \
               join pg_catalog.pg_type t on t.oid = a.atttypid \
               where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum";
    let rows = writer
        .rows("the columns", sql, &[(&oid, Type::OID)])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let cells = Cells::new("the columns", row);
        Ok(Column {
            name: cells.text(0)?,
            quoted: cells.text(1)?,
            kind: cells.text(2)?,
            full_type: cells.text(3)?,
            is_generated: cells.get(4)?,
            leads_index: cells.get(5)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Reads the table's shape; `asked` names the column that tells an age.
pub(super) async fn shape(writer: &Writer, table: &Relation, asked: Option<&str>) -> Result<Shape> {
    if table.is_partitioned {
        let reason = "it is partitioned; detach its old partitions (ALTER TABLE … DETACH \
                      PARTITION … CONCURRENTLY), or name a partition";
        return Err(not_archivable(table, reason));
    }
    if table.has_children {
        let reason = "other tables inherit from it; name one that nothing inherits from";
        return Err(not_archivable(table, reason));
    }
    let all = columns(writer, table.oid).await?;
    let (age, has_index) = age_of(table, &all, asked)?;
    let stored = || all.iter().filter(|column| !column.is_generated);
    Ok(Shape {
        age,
        columns: stored().map(|column| column.quoted.clone()).collect(),
        types: stored()
            .map(|column| (column.name.clone(), column.full_type.clone()))
            .collect(),
        key: key(writer, table.oid).await?,
        references: references(writer, table.oid).await?,
        has_index,
    })
}

/// Columns that usually tell when a row came to be, of several.
const USUAL: [&str; 6] = [
    "timestamp",
    "createdAt",
    "created_at",
    "created",
    "occurred_at",
    "inserted_at",
];

fn age_of(table: &Relation, all: &[Column], asked: Option<&str>) -> Result<(Age, bool)> {
    let timed: Vec<(&Column, Clock)> = all
        .iter()
        .filter_map(|column| Some((column, Clock::named(&column.kind)?)))
        .collect();
    let known = || -> String {
        let names: Vec<&str> = timed.iter().map(|(c, _)| c.name.as_str()).collect();
        names.join(", ")
    };
    let named = |name: &str| timed.iter().find(|(column, _)| column.name == name);
    let found = match (asked, timed.as_slice()) {
        (_, []) => {
            let reason = "it has no column of type timestamp, timestamptz or date";
            return Err(not_archivable(table, reason));
        }
        (Some(name), _) => named(name).ok_or_else(|| {
            let reason = format!("it has no time column {name:?}; one of {}", known());
            not_archivable(table, reason)
        })?,
        // A date of a row may be anybody's birthday.
        (None, [only]) if only.1 != Clock::Day => only,
        (None, _) => USUAL.iter().find_map(|name| named(name)).ok_or_else(|| {
            let reason = format!("say in column how old a row is: one of {}", known());
            not_archivable(table, reason)
        })?,
    };
    let (column, clock) = *found;
    let age = Age {
        name: column.name.clone(),
        quoted: column.quoted.clone(),
        clock,
    };
    Ok((age, column.leads_index))
}

/// The primary key, with the operators of its index: strategy 3 of a B-tree is equality.
async fn key(writer: &Writer, oid: u32) -> Result<Vec<Key>> {
    let sql = "select /* plimsoll */ pg_catalog.quote_ident(a.attname), \
               'operator(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname::text || ')' \
               from pg_catalog.pg_index i \
               cross join lateral rows from (pg_catalog.unnest(i.indkey::int2[]), \
                   pg_catalog.unnest(i.indclass::oid[])) with ordinality k(attnum, class, place) \
               join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum \
               join pg_catalog.pg_opclass c on c.oid = k.class \
               join pg_catalog.pg_amop m on m.amopfamily = c.opcfamily and m.amopstrategy = 3 \
                   and m.amoplefttype = c.opcintype and m.amoprighttype = c.opcintype \
               join pg_catalog.pg_operator o on o.oid = m.amopopr \
               join pg_catalog.pg_namespace n on n.oid = o.oprnamespace \
               where i.indrelid = $1 and i.indisprimary and k.place <= i.indnkeyatts \
               order by k.place";
    let rows = writer.rows("the key", sql, &[(&oid, Type::OID)]).await?;
    let read = |row: &tokio_postgres::Row| {
        let cells = Cells::new("the key", row);
        Ok(Key {
            quoted: cells.text(0)?,
            equals: cells.text(1)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Foreign keys that point to the table.
async fn references(writer: &Writer, oid: u32) -> Result<Vec<Reference>> {
    let sql = "select /* plimsoll */ \
               pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
               pg_catalog.string_agg('t.' || pg_catalog.quote_ident(ours.attname) || \
                   case when lt.typtype = 'p' then '' else '::' || pg_catalog.quote_ident(ln.nspname) \
                       || '.' || pg_catalog.quote_ident(lt.typname) end \
                   || ' operator(' || pg_catalog.quote_ident(s.nspname) || '.' || o.oprname::text || ') r.' \
                   || pg_catalog.quote_ident(theirs.attname) || \
                   case when rt.typtype = 'p' then '' else '::' || pg_catalog.quote_ident(rn.nspname) \
                       || '.' || pg_catalog.quote_ident(rt.typname) end, ' and ' order by k.place), \
               exists (select from pg_catalog.pg_index i where i.indrelid = f.conrelid and i.indisvalid \
                       and i.indpred is null and i.indkey[0] = any(f.conkey)) \
               from pg_catalog.pg_constraint f \
               join pg_catalog.pg_class c on c.oid = f.conrelid \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
               cross join lateral rows from (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey), \
                   pg_catalog.unnest(f.conpfeqop)) with ordinality k(theirs, ours, equals, place) \
               join pg_catalog.pg_operator o on o.oid = k.equals \
               join pg_catalog.pg_namespace s on s.oid = o.oprnamespace \
               join pg_catalog.pg_type lt on lt.oid = o.oprleft \
               join pg_catalog.pg_namespace ln on ln.oid = lt.typnamespace \
               join pg_catalog.pg_type rt on rt.oid = o.oprright \
               join pg_catalog.pg_namespace rn on rn.oid = rt.typnamespace \
               join pg_catalog.pg_attribute theirs \
                   on theirs.attrelid = f.conrelid and theirs.attnum = k.theirs \
               join pg_catalog.pg_attribute ours \
                   on ours.attrelid = f.confrelid and ours.attnum = k.ours \
               where f.contype = 'f' and f.confrelid = $1 and not exists (\
                   select from pg_catalog.pg_constraint up \
                   where up.oid = f.conparentid and up.confrelid = f.confrelid) \
               group by f.oid, f.conrelid, f.conkey, n.nspname, c.relname order by f.oid";
    let rows = writer
        .rows("what refers to it", sql, &[(&oid, Type::OID)])
        .await?;
    let read = |row: &tokio_postgres::Row| {
        let cells = Cells::new("what refers to it", row);
        Ok(Reference {
            quoted: cells.text(0)?,
            condition: cells.text(1)?,
            has_index: cells.get(2)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The table that takes the rows: one that fits, or one that can be made.
pub(super) async fn destination(
    writer: &Writer,
    table: &Relation,
    shape: &Shape,
    name: &str,
    purpose: Purpose,
) -> Result<Destination> {
    if shape.key.is_empty() {
        let reason = "it has no primary key, so that nobody could tell what was copied already; \
                      add one, or delete without a destination";
        return Err(not_archivable(table, reason));
    }
    // A bare name is one beside the table, whether it is there or has to be made.
    let is_bare = identifier::parts(name, false).is_some_and(|parts| parts.len() == 1);
    let found = if is_bare {
        writer.find_in(&table.schema, name).await?
    } else {
        writer.find(name).await?
    };
    let Some(place) = found else {
        return new_place(writer, table, name).await;
    };
    if place.oid == table.oid {
        return Err(not_archivable(table, "it is its own destination"));
    }
    if place.is_partitioned || place.has_children {
        let reason = format!(
            "{} has partitions, or tables that inherit from it; name one that has none",
            place.quoted
        );
        return Err(not_archivable(table, reason));
    }
    if place.is_unlogged && !table.is_unlogged {
        let reason = format!(
            "{} is unlogged, so that a crash of the server would empty it; run ALTER TABLE {} SET LOGGED",
            place.quoted, place.quoted
        );
        return Err(not_archivable(table, reason));
    }
    if purpose.copies && has_changing_trigger(writer, place.oid).await? {
        let reason = format!(
            "{} has a trigger or rule that acts before or in place of an INSERT, so that nobody could tell \
             what was copied; disable it, or move rows, which compares",
            place.quoted
        );
        return Err(not_archivable(table, reason));
    }
    if purpose.expires && !references(writer, place.oid).await?.is_empty() {
        let reason = format!(
            "other tables refer to {}, so its rows cannot expire; leave retentionDays out",
            place.quoted
        );
        return Err(not_archivable(table, reason));
    }
    fits(writer, table, shape, &place).await?;
    Ok(Destination {
        quoted: place.quoted,
        is_there: true,
    })
}

/// Refuses a destination that lacks a column, or has another key.
async fn fits(writer: &Writer, table: &Relation, shape: &Shape, place: &Relation) -> Result<()> {
    let theirs = columns(writer, place.oid).await?;
    for (column, kind) in &shape.types {
        let found = theirs.iter().find(|theirs| theirs.name == *column);
        let has = found.map(|theirs| theirs.full_type.as_str());
        if has != Some(kind) {
            let reason = format!(
                "{} has {} where it has {column} {kind}; make them alike",
                place.quoted,
                has.map_or_else(|| "no column".to_owned(), |has| format!("{column} {has}"))
            );
            return Err(not_archivable(table, reason));
        }
    }
    if key(writer, place.oid).await? != shape.key {
        let reason = format!(
            "{} has another primary key; it needs ({})",
            place.quoted,
            shape
                .key
                .iter()
                .map(|key| key.quoted.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
        return Err(not_archivable(table, reason));
    }
    Ok(())
}

/// Whether what is inserted may be changed or left out. Bits of `tgtype`: 2 before, 4 insert.
async fn has_changing_trigger(writer: &Writer, oid: u32) -> Result<bool> {
    let sql = "select /* plimsoll */ exists (select from pg_catalog.pg_trigger g \
               where g.tgrelid = $1 and not g.tgisinternal and g.tgenabled <> 'D' \
               and (g.tgtype::pg_catalog.int4 & 6) = 6) \
               or exists (select from pg_catalog.pg_rewrite w \
               where w.ev_class = $1 and w.ev_type = '3' and w.ev_enabled <> 'D')";
    let rows = writer
        .rows("the triggers", sql, &[(&oid, Type::OID)])
        .await?;
    rows.first()
        .map_or(Ok(false), |row| Cells::new("the triggers", row).get(0))
}

/// Names a table that is not there yet, in a schema that is.
async fn new_place(writer: &Writer, table: &Relation, name: &str) -> Result<Destination> {
    let parts = identifier::parts(name, true).unwrap_or_default();
    let (schema, bare) = match parts.as_slice() {
        [bare] if !bare.is_empty() => (table.schema.as_str(), bare),
        [schema, bare] if !bare.is_empty() => (schema.as_str(), bare),
        _ => {
            let reason = format!("{name:?} is no name of a table; write one such as archive.event");
            return Err(not_archivable(table, reason));
        }
    };
    let sql = "select /* plimsoll */ pg_catalog.quote_ident(n.nspname) || '.' || \
               pg_catalog.quote_ident($2::text), exists (select from pg_catalog.pg_class c \
               where c.relnamespace = n.oid and c.relname = $2::text) \
               from pg_catalog.pg_namespace n where n.nspname = $1::text \
               and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";
    let rows = writer
        .rows(
            "the schema",
            sql,
            &[(&schema, Type::TEXT), (&bare, Type::TEXT)],
        )
        .await?;
    let Some(row) = rows.first() else {
        let reason = format!("there is no schema {schema:?} for {name:?}; create it");
        return Err(not_archivable(table, reason));
    };
    let cells = Cells::new("the schema", row);
    if cells.get::<bool>(1)? {
        let reason = format!("{name:?} is there, but is no table; name another");
        return Err(not_archivable(table, reason));
    }
    Ok(Destination {
        quoted: cells.text(0)?,
        is_there: false,
    })
}
