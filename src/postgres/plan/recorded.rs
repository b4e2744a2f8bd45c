//! The server's own record of statements, and plans of texts that have parameters.

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::Type;

use super::backend::Backend;
use super::{Ability, explain};
use crate::model::plan::PlanNode;
use crate::postgres::capability::quote;
use crate::postgres::read::Cells;
use crate::postgres::{Error, Result};

/// A statement that the server has counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// `queryid`.
    pub id: i64,
    /// Its normalised text.
    pub text: String,
    /// How often it ran.
    pub calls: f64,
    /// Mean time of one run in ms.
    pub mean_ms: f64,
}

/// What the server has counted since when.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Those of this database that took longest in sum, first; ours left out.
    pub statements: Vec<Recorded>,
    /// Statements whose texts the role may not see.
    pub hidden: u64,
    /// Seconds since counting began, where the server says so (from version 14).
    pub age_s: Option<f64>,
}

const PART: &str = "pg_stat_statements";

/// Reads at most `limit` statements.
pub(super) async fn read(backend: &mut Backend, limit: u32) -> Result<Record> {
    let sql = "select /* plimsoll */ n.nspname::text, \
         exists (select from pg_catalog.pg_proc p where p.pronamespace = n.oid \
                 and p.proname = 'pg_stat_statements_info') \
         from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace \
         where e.extname = 'pg_stat_statements'";
    let rows = backend.rows(PART, sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::Query {
            part: PART,
            code: "42P01".to_owned(),
            detail: "the extension is not in this database; CREATE EXTENSION pg_stat_statements, \
                     or give --workload a file of statements"
                .to_owned(),
        });
    };
    let cells = Cells::new(PART, row);
    let schema = quote(&cells.text(0)?);
    let has_info: bool = cells.get(1)?;
    let total = if backend.version().await? >= 130_000 {
        "total_exec_time"
    } else {
        "total_time"
    };
    let sql = format!(
        "select /* plimsoll */ s.queryid, min(s.query), sum(s.calls)::float8, \
           sum(s.{total})::float8 / greatest(sum(s.calls), 1)::float8, \
           bool_or(s.query = '<insufficient privilege>') \
         from {schema}.pg_stat_statements(true) s \
         where s.dbid = (select oid from pg_catalog.pg_database where datname = current_database()) \
           and s.queryid is not null and s.calls > 0 and position('/* plimsoll */' in s.query) = 0 \
           and s.query !~* '^\\s*(begin|commit|rollback|set|show|start|end|savepoint|release|discard|\
explain|vacuum|analyze|create|alter|drop|truncate|copy|grant|revoke|lock|listen|notify|fetch|\
declare|close|prepare|execute|deallocate|reindex|cluster|checkpoint|comment|refresh|do|call|reset)\\M' \
         group by 1 order by sum(s.{total}) desc limit {limit}"
    );
    let mut record = Record::default();
    for row in &backend.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, row);
        if cells.get::<bool>(4)? {
            record.hidden += 1;
            continue;
        }
        record.statements.push(Recorded {
            id: cells.get(0)?,
            text: cells.text(1)?,
            calls: cells.number(2)?.unwrap_or(0.0),
            mean_ms: cells.number(3)?.unwrap_or(0.0),
        });
    }
    if has_info {
        let sql = format!(
            "select /* plimsoll */ extract(epoch from pg_catalog.clock_timestamp() - stats_reset)\
             ::pg_catalog.float8 from {schema}.pg_stat_statements_info()"
        );
        let rows = backend.rows(PART, &sql, &[]).await?;
        if let Some(row) = rows.first() {
            record.age_s = Cells::new(PART, row).number(0)?;
        }
    }
    Ok(record)
}

/// The types of a text's parameters, as `format_type` writes them; the server says them without
/// planning or running anything.
pub(super) async fn parameter_types(backend: &mut Backend, text: &str) -> Result<Vec<String>> {
    let oids = backend.parameter_oids(text).await?;
    let sql = "select /* plimsoll */ pg_catalog.format_type(t.o, null) \
               from pg_catalog.unnest($1) with ordinality t(o, n) order by t.n";
    let rows = backend
        .rows("types of parameters", sql, &[(&oids, Type::OID_ARRAY)])
        .await?;
    rows.iter()
        .map(|row| Cells::new("types of parameters", row).text(0))
        .collect()
}

/// The plan of a text with its parameters left in it. The text must have been taken by
/// [`parameter_types`], which lets only one statement pass.
pub(super) async fn generic_plan(
    backend: &mut Backend,
    ability: &Ability,
    text: &str,
    parameters: usize,
) -> Result<PlanNode> {
    backend.begin().await?;
    let plan = if ability.version_num >= 160_000 {
        let sql = format!("explain /* plimsoll */ (generic_plan, verbose, format json) {text}");
        backend.messages(&sql).await
    } else {
        prepared_plan(backend, text, parameters).await
    };
    backend.end().await?;
    let messages = plan?;
    let json = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let value = json.and_then(|text| serde_json::from_str(text).ok());
    value
        .as_ref()
        .and_then(explain::read)
        .ok_or_else(|| Error::Shape {
            part: "a plan",
            detail: "no plan in it".to_owned(),
        })
}

/// Before version 16: the plan of a prepared statement that must not look at values.
async fn prepared_plan(
    backend: &mut Backend,
    text: &str,
    parameters: usize,
) -> Result<Vec<SimpleQueryMessage>> {
    backend
        .messages("set local plan_cache_mode = force_generic_plan")
        .await?;
    let prepared = format!("prepare plimsoll_generic as /* plimsoll */ {text}");
    backend.messages(&prepared).await?;
    let nulls = vec!["null"; parameters].join(", ");
    let sql =
        format!("explain /* plimsoll */ (verbose, format json) execute plimsoll_generic({nulls})");
    let plan = backend.messages(&sql).await;
    // A failed transaction takes no command; then the session forgets it at its end.
    if plan.is_ok() {
        backend.messages("deallocate plimsoll_generic").await?;
    } else {
        backend.end().await?;
        backend.messages("deallocate plimsoll_generic").await?;
    }
    plan
}
