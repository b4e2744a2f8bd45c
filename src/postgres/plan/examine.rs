//! One statement, looked into: checked by the server, planned, and run where that is harmless.
//!
//! For: the plan of a statement that a person sent, with parameters or without. Not for: what is wrong
//! with it (`advise::query`) nor what its parameters might be (`advise::parameters`).
//!
//! What happens on the server, each time in a read-only transaction that is rolled back:
//!
//! 1. `PREPARE`: the server's own parser says whether it is one statement that can be planned, and of
//!    which type each `$n` is. `DO`, `COPY`, `SELECT INTO` and a second statement fail here.
//! 2. `EXPLAIN`, which runs nothing but what planning itself evaluates: functions that are declared
//!    immutable or stable, where all their arguments are known. A function that lies about that can
//!    still not write.
//! 3. Only where the caller may and `safe` has no objection: `EXPLAIN (ANALYZE)`.

use std::fmt::Write as _;

use super::backend::Backend;
use super::tree::{self, Told};
use super::{WhatIf, safe};
use crate::advise::sql;
use crate::model::explain::{Jit, Node, Settings};
use crate::postgres::capability::V16;
use crate::postgres::read::Cells;
use crate::postgres::{Error, Result};

/// What our prepared statement is called; a session of ours holds one at a time.
const NAME: &str = "plimsoll_statement";
/// What errors of the caller's statement name, and no error of a query of ours.
pub const STATEMENT: &str = "the statement";
const PART: &str = STATEMENT;

/// What the server knows of a statement before it is planned for good.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checked {
    /// Type of each `$n`, as the server writes it.
    pub types: Vec<String>,
    /// The plan for any values; `None` without parameters.
    pub generic: Option<Node>,
    /// `Planning Time` of that plan, in ms.
    pub planning_ms: Option<f64>,
    /// What sorts and hashes may take, and how this server plans.
    pub settings: Settings,
}

/// What stands in for `$n`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Values<'v> {
    /// There are none.
    None,
    /// These, in order; `None` is null.
    These(&'v [Option<String>]),
}

/// Whether the statement is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is planned only.
    Never,
    /// It is run where that can change nothing.
    IfHarmless,
}

/// A statement's plan, with figures where it was run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examined {
    /// The plan.
    pub plan: Node,
    /// `Planning Time`, in ms.
    pub planning_ms: Option<f64>,
    /// `Execution Time`, in ms.
    pub execution_ms: Option<f64>,
    /// Just-in-time compilation.
    pub jit: Option<Jit>,
    /// Why it was not run although that was asked for.
    pub not_run: Option<NotRun>,
}

/// Why a statement was not run, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRun {
    /// It might do more than read.
    Harmful(String),
    /// It could have been, and something came between.
    Failed(String),
}

impl WhatIf {
    /// Has the server check that `statement` can be planned, and of which types its parameters are.
    ///
    /// # Errors
    /// Those of the server, such as a table that is not there; those of the line.
    pub async fn check(&self, statement: &str, parameters: usize) -> Result<Checked> {
        let mut backend = self.first().await?;
        let outcome = check(
            &mut backend,
            statement,
            parameters,
            self.ability.version_num,
        )
        .await;
        end(&mut backend, outcome).await
    }

    /// Plans a statement that was checked, and runs it if that is asked for and harmless.
    ///
    /// # Errors
    /// Those of the server, such as a value that its type does not have; those of the line.
    pub async fn examine(&self, statement: &str, values: Values<'_>, run: Run) -> Result<Examined> {
        let mut backend = self.first().await?;
        let outcome = examine(&mut backend, statement, values, run).await;
        let outcome = end(&mut backend, outcome).await;
        match outcome {
            // Its plan is known by then, and worth more than a refusal.
            Err(Failed {
                examined: Some(examined),
                error,
            }) if !error.is_fatal() => Ok(Examined {
                not_run: Some(NotRun::Failed(why(&error))),
                ..*examined
            }),
            Err(failed) => Err(failed.error),
            Ok(examined) => Ok(examined),
        }
    }

    /// Whether the server plans for any values of the parameters by itself (`GENERIC_PLAN`, 16).
    pub fn plans_generically(&self) -> bool {
        self.ability.version_num >= V16
    }

    /// Forgets the statement that was checked last.
    ///
    /// # Errors
    /// Those of the line.
    pub async fn forget(&self) -> Result<()> {
        let mut backend = self.first().await?;
        deallocate(&mut backend).await
    }

    async fn first(&self) -> Result<tokio::sync::MutexGuard<'_, Backend>> {
        let first = self.backends.first().ok_or(Error::NotConnected)?;
        Ok(first.lock().await)
    }
}

/// Ends the transaction whatever came of it.
async fn end<T, E: From<Error>>(
    backend: &mut Backend,
    outcome: std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let ended = backend
        .rows("transaction", "rollback /* plimsoll */", &[])
        .await;
    let value = outcome?;
    ended?;
    Ok(value)
}

pub(super) async fn begin(backend: &mut Backend) -> Result<()> {
    let sql = "begin /* plimsoll */ read only";
    backend.rows("transaction", sql, &[]).await.map(drop)
}

async fn deallocate(backend: &mut Backend) -> Result<()> {
    let sql = "deallocate /* plimsoll */ all";
    backend.rows(PART, sql, &[]).await.map(drop)
}

async fn check(
    backend: &mut Backend,
    statement: &str,
    parameters: usize,
    version: u32,
) -> Result<Checked> {
    deallocate(backend).await?;
    begin(backend).await?;
    let sql = format!("prepare /* plimsoll */ {NAME} as {statement}");
    backend.rows(PART, &sql, &[]).await?;
    let sql = format!(
        "select /* plimsoll */ p.parameter_types::pg_catalog.text[], \
         pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem')), \
         coalesce(pg_catalog.current_setting('hash_mem_multiplier', true)::pg_catalog.float8, 1), \
         pg_catalog.current_setting('block_size')::pg_catalog.int8 \
         from pg_catalog.pg_prepared_statements p where p.name = '{NAME}'"
    );
    let rows = backend.rows(PART, &sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Err(Error::Shape {
            part: PART,
            detail: "it was not prepared".to_owned(),
        });
    };
    let cells = Cells::new(PART, row);
    let work_mem = cells.number(1)?.unwrap_or(0.0);
    let mut checked = Checked {
        types: cells.get(0)?,
        generic: None,
        planning_ms: None,
        settings: Settings {
            work_mem_bytes: work_mem,
            hash_mem_bytes: work_mem * cells.number(2)?.unwrap_or(1.0),
            block_bytes: cells.number(3)?.unwrap_or(8_192.0),
            version_num: version,
        },
    };
    if parameters > 0 {
        let told = generic(backend, statement, checked.types.len(), version).await?;
        checked.planning_ms = told.planning_ms;
        checked.generic = Some(told.plan);
    }
    Ok(checked)
}

/// The plan for any values.
///
/// `GENERIC_PLAN` goes by the simple protocol: in the extended one its `$n` would be the message's own,
/// and be planned with what is bound to them. That protocol takes several statements; this one was
/// prepared before, so the server itself has said that it is one.
async fn generic(
    backend: &mut Backend,
    statement: &str,
    parameters: usize,
    version: u32,
) -> Result<Told> {
    if version >= V16 {
        let sql = format!(
            "explain /* plimsoll */ (format json, verbose, summary, generic_plan) {statement}"
        );
        return read(backend.text(PART, &sql).await?.as_deref());
    }
    set(backend, "plan_cache_mode", "force_generic_plan").await?;
    let nulls = vec![None; parameters];
    let sql = execute("format json, verbose, summary", &nulls);
    told(backend, &sql).await
}

/// `EXPLAIN (options) EXECUTE` with values as constants: the server casts them to their types.
fn execute(options: &str, values: &[Option<String>]) -> String {
    let mut sql = format!("explain /* plimsoll */ ({options}) execute {NAME}");
    for (place, value) in values.iter().enumerate() {
        sql.push_str(if place == 0 { "(" } else { ", " });
        match value {
            // Writing to a String cannot fail.
            Some(value) => _ = write!(sql, "{}", sql::literal(value)),
            None => sql.push_str("null"),
        }
    }
    if !values.is_empty() {
        sql.push(')');
    }
    sql
}

async fn set(backend: &mut Backend, name: &str, value: &str) -> Result<()> {
    let sql = format!("set /* plimsoll */ local {name} = {value}");
    backend.rows(PART, &sql, &[]).await.map(drop)
}

/// What went wrong, and the plan where it was known by then.
struct Failed {
    examined: Option<Box<Examined>>,
    error: Error,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            examined: None,
            error,
        }
    }
}

async fn examine(
    backend: &mut Backend,
    statement: &str,
    values: Values<'_>,
    run: Run,
) -> std::result::Result<Examined, Failed> {
    begin(backend).await?;
    if let Values::These(_) = values {
        // Planned for these values, however often.
        set(backend, "plan_cache_mode", "force_custom_plan").await?;
    }
    let sql = |options: &str| match values {
        Values::These(values) => execute(options, values),
        Values::None => format!("explain /* plimsoll */ ({options}) {statement}"),
    };
    let planned = told(backend, &sql("format json, verbose, summary")).await?;
    let mut examined = Examined {
        plan: planned.plan,
        planning_ms: planned.planning_ms,
        execution_ms: None,
        jit: planned.jit,
        not_run: None,
    };
    if run == Run::Never {
        return Ok(examined);
    }
    let kept = |error: Error| Failed {
        examined: Some(Box::new(examined.clone())),
        error,
    };
    if let Some(objection) = safe::objection(backend, statement, &examined.plan)
        .await
        .map_err(kept)?
    {
        examined.not_run = Some(NotRun::Harmful(objection));
        return Ok(examined);
    }
    let options = "format json, verbose, summary, analyze, buffers";
    let ran = told(backend, &sql(options)).await.map_err(kept)?;
    Ok(Examined {
        plan: ran.plan,
        planning_ms: ran.planning_ms,
        execution_ms: ran.execution_ms,
        jit: ran.jit,
        not_run: None,
    })
}

/// Why a statement must not be run, if anything; it is planned and no more.
pub(super) async fn objection(backend: &mut Backend, statement: &str) -> Result<Option<String>> {
    backend.begin().await?;
    let sql = format!("explain /* plimsoll */ (format json, verbose) {statement}");
    let found = match told(backend, &sql).await {
        Ok(told) => safe::objection(backend, statement, &told.plan).await,
        Err(error) => Err(error),
    };
    match found {
        Err(error) if error.is_fatal() => Err(error),
        found => {
            backend.end().await?;
            found
        }
    }
}

/// Why a run did not come to its end.
fn why(error: &Error) -> String {
    match error {
        Error::StatementTimeout { after, .. } => format!(
            "it was stopped after {} ms; raise explain.timeout to let it run longer",
            after.0
        ),
        Error::Query { detail, .. } | Error::Denied { detail, .. } => {
            format!("it failed: {detail}")
        }
        other => other.to_string(),
    }
}

/// The answer to one `EXPLAIN`.
pub(super) async fn told(backend: &mut Backend, sql: &str) -> Result<Told> {
    let rows = backend.rows(PART, sql, &[]).await?;
    let row = rows.first().ok_or_else(|| shape("no row"))?;
    let answer: serde_json::Value = Cells::new(PART, row).get(0)?;
    tree::read(&answer).ok_or_else(|| shape("no plan in it"))
}

/// The same, from text.
fn read(answer: Option<&str>) -> Result<Told> {
    let answer = answer.ok_or_else(|| shape("no row"))?;
    let answer = serde_json::from_str(answer).map_err(|_| shape("no JSON"))?;
    tree::read(&answer).ok_or_else(|| shape("no plan in it"))
}

fn shape(detail: &str) -> Error {
    Error::Shape {
        part: PART,
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_as_constants_that_hold_what_they_may() {
        let values = [Some("a'); drop table t; --".to_owned()), None];
        let sql = execute("format json", &values);
        assert!(
            sql.ends_with("plimsoll_statement('a''); drop table t; --', null)"),
            "{sql}"
        );
        assert!(execute("x", &[]).ends_with("execute plimsoll_statement"));
    }
}
