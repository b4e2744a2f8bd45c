//! What this server's own statements take, beside what the planner says they cost.
//!
//! For: pairs of cost and time that a prediction can be learnt from. Not for: learning
//! (`stats::robust`). The texts come from `pg_stat_statements` and do not leave this module.

use tokio_postgres::types::Type;

use super::WhatIf;
use super::backend::Backend;
use super::examine::{begin, told};
use crate::advise::query::text;
use crate::advise::script;
use crate::postgres::read::Cells;
use crate::postgres::{Error, Result};

/// Statements that are planned for it, those first that take most time; each plan takes a ms or two.
const STATEMENTS: i64 = 40;
/// Calls from which on a mean says something.
const LEAST_CALLS: i64 = 3;
/// The longest that planning one of them may take on the server.
const PLANNING: &str = "300ms";
const PART: &str = "what statements take";

/// One statement: what it costs, and what it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Total cost, in the planner's units.
    pub cost: f64,
    /// Mean time of a run, in ms.
    pub ms: f64,
}

/// Why there is nothing to learn from, in words, or what there is.
#[derive(Debug, Clone, PartialEq)]
pub enum Lesson {
    /// Pairs; may be few.
    Seen(Vec<Seen>),
    /// There can be none.
    Nothing(String),
}

impl WhatIf {
    /// Plans the statements that took most time and puts their costs beside their mean times.
    ///
    /// # Errors
    /// Those of the line. What cannot be planned is left out.
    pub async fn learn(&self) -> Result<Lesson> {
        let Some(backend) = self.backends.first() else {
            return Err(Error::NotConnected);
        };
        let mut backend = backend.lock().await;
        let schema = "select /* plimsoll */ pg_catalog.quote_ident(n.nspname) \
                      from pg_catalog.pg_extension e \
                      join pg_catalog.pg_namespace n on n.oid = e.extnamespace \
                      where e.extname = 'pg_stat_statements'";
        let rows = backend.rows(PART, schema, &[]).await?;
        let Some(row) = rows.first() else {
            let why = "pg_stat_statements is not installed in this database";
            return Ok(Lesson::Nothing(why.to_owned()));
        };
        let schema = Cells::new(PART, row).text(0)?;
        let statements = match texts(&mut backend, &schema).await {
            Ok(statements) => statements,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => return Ok(Lesson::Nothing(error.to_string())),
        };
        let mut seen = Vec::new();
        for (text, ms) in statements {
            match cost(&mut backend, &text).await {
                Ok(cost) if cost > 0.0 && ms > 0.0 => seen.push(Seen { cost, ms }),
                Err(error) if error.is_fatal() => return Err(error),
                // It may be of another schema, or the role may not read its tables.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(Lesson::Seen(seen))
    }
}

/// Texts of reading statements with their mean time.
async fn texts(backend: &mut Backend, schema: &str) -> Result<Vec<(String, f64)>> {
    let sql = format!(
        "select /* plimsoll */ s.query, s.mean_exec_time from {schema}.pg_stat_statements s \
         where s.dbid = (select d.oid from pg_catalog.pg_database d \
                         where d.datname = pg_catalog.current_database()) \
           and s.calls >= $1 and s.query !~ '/[*] plimsoll [*]/' and s.query ~* '^\\s*(select|with|table|values)\\y' \
         order by s.total_exec_time desc limit $2"
    );
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&LEAST_CALLS, Type::INT8), (&STATEMENTS, Type::INT8)];
    let rows = backend.rows(PART, &sql, &params).await?;
    let mut found = Vec::new();
    for row in &rows {
        let cells = Cells::new(PART, row);
        let (text, ms) = (cells.text(0)?, cells.number(1)?.unwrap_or(0.0));
        if let Ok(text) = script::single(&text) {
            found.push((text::with_casts(text), ms));
        }
    }
    Ok(found)
}

/// The cost of a statement for any values of its parameters.
async fn cost(backend: &mut Backend, text: &str) -> Result<f64> {
    begin(backend).await?;
    let outcome = planned(backend, text).await;
    let ended = backend
        .rows("transaction", "rollback /* plimsoll */", &[])
        .await;
    let cost = outcome?;
    ended?;
    Ok(cost)
}

async fn planned(backend: &mut Backend, text: &str) -> Result<f64> {
    let limit = format!("set /* plimsoll */ local statement_timeout = '{PLANNING}'");
    backend.rows(PART, &limit, &[]).await?;
    let parameters = script::parameters(text);
    if parameters == 0 {
        let sql = format!("explain /* plimsoll */ (format json) {text}");
        return Ok(told(backend, &sql).await?.plan.total_cost);
    }
    for sql in [
        "deallocate /* plimsoll */ all".to_owned(),
        "set /* plimsoll */ local plan_cache_mode = force_generic_plan".to_owned(),
        format!("prepare /* plimsoll */ plimsoll_learn as {text}"),
    ] {
        backend.rows(PART, &sql, &[]).await?;
    }
    let nulls = vec!["null"; parameters].join(", ");
    let sql = format!("explain /* plimsoll */ (format json) execute plimsoll_learn({nulls})");
    Ok(told(backend, &sql).await?.plan.total_cost)
}
