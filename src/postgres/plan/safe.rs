//! Whether a statement may be run: only what reads, and calls nothing that might do more.
//!
//! For: an objection, or none, to running a statement whose plan is known. It errs on the side of an
//! objection. What is asked: the nodes of the plan, every function that is called in the statement, in
//! the plan and in the views that it reads, every operator, and what a type may run without being
//! named: casts, constraints of domains, support functions of operator classes.
//!
//! A function that is not the server's own and not written in C may call anything, whatever it is
//! declared as, so it is not run either.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use super::backend::Backend;
use crate::advise::query::text;
use crate::model::explain::Node;
use crate::postgres::Result;
use crate::postgres::read::Cells;

/// Views within views that are followed.
const DEPTH: usize = 32;

/// Nodes that change rows, lock them, or leave the server.
const NODES: [(&str, &str); 4] = [
    ("ModifyTable", "it changes rows"),
    ("LockRows", "it locks rows"),
    (
        "Foreign Scan",
        "it reads a foreign table, and another server may do anything",
    ),
    ("Custom Scan", "an extension reads for it"),
];

/// A function that may do more than compute: volatile, or of a language in which nothing can be known;
/// for an aggregate, one of those that it is made of.
const SUSPECT: &str = "\
    (p.provolatile = 'v' or p.oid >= 16384 and exists (select from pg_language l \
       where l.oid = p.prolang and l.lanname not in ('internal', 'c')))";

/// Why the statement must not be run; `None` where it may. To be asked within its transaction.
pub(super) async fn objection(
    backend: &mut Backend,
    statement: &str,
    plan: &Node,
) -> Result<Option<String>> {
    for node in plan.nodes() {
        if let Some((_, why)) = NODES.iter().find(|(kind, _)| *kind == node.node_type) {
            return Ok(Some((*why).to_owned()));
        }
    }
    if statement.to_ascii_lowercase().contains("u&\"") {
        return Ok(Some("it has names with escapes (U&\"…\")".to_owned()));
    }
    // Names of the catalog must mean the catalog's; the statement's own path comes back after.
    for sql in [
        "savepoint /* plimsoll */ plimsoll",
        "set /* plimsoll */ local search_path = pg_catalog",
    ] {
        backend.rows("what may run", sql, &[]).await?;
    }
    let found = suspects(backend, statement, plan).await?;
    let sql = "rollback /* plimsoll */ to savepoint plimsoll";
    backend.rows("what may run", sql, &[]).await?;
    Ok(found)
}

async fn suspects(backend: &mut Backend, statement: &str, plan: &Node) -> Result<Option<String>> {
    if let Some(why) = hidden(backend).await? {
        return Ok(Some(why));
    }
    let mut texts: Vec<String> = vec![statement.to_owned()];
    for node in plan.nodes() {
        texts.extend(node.conditions.iter().map(|c| c.text.clone()));
        texts.extend(node.output.iter().chain(&node.sort_key).cloned());
        texts.extend(node.group_key.iter().cloned());
        // A function that is scanned is named, not called, in old versions.
        texts.extend(node.relation.as_ref().map(|name| format!("{}(", sql(name))));
    }
    let views = views(backend, &texts).await?;
    texts.extend(views);
    // What a domain checks is called wherever a value becomes one, and named nowhere.
    let query = "select /* plimsoll */ pg_get_constraintdef(oid) from pg_constraint \
                 where contypid <> 0";
    for row in &backend.rows("what may run", query, &[]).await? {
        texts.push(Cells::new("what may run", row).text(0)?);
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut operators: BTreeSet<String> = BTreeSet::new();
    for text in &texts {
        names.extend(text::called(text));
        operators.extend(text::operators(text).into_iter().map(str::to_owned));
    }
    let names: Vec<String> = names.into_iter().collect();
    let operators: Vec<String> = operators.into_iter().collect();
    let query = format!(
        "select /* plimsoll */ p.proname::text, p.provolatile = 'v' from pg_proc p \
         where p.proname = any($1) and {SUSPECT} \
         union all select w.proname::text, p.provolatile = 'v' from pg_proc w \
         join pg_aggregate a on a.aggfnoid = w.oid \
         join pg_proc p on p.oid in (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, \
           a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) \
         where w.proname = any($1) and {SUSPECT} \
         union all select o.oprname::text, p.provolatile = 'v' from pg_operator o \
         join pg_proc p on p.oid = o.oprcode where o.oprname = any($2) and {SUSPECT} limit 1"
    );
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&names, Type::TEXT_ARRAY), (&operators, Type::TEXT_ARRAY)];
    let rows = backend.rows("what may run", &query, &params).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let cells = Cells::new("what may run", row);
    let (name, is_volatile) = (cells.text(0)?, cells.get::<bool>(1)?);
    Ok(Some(if is_volatile {
        format!("it calls {name}, which is volatile: it may do more than compute")
    } else {
        format!("it calls {name}, which is not the server's own and may call anything")
    }))
}

fn sql(name: &str) -> String {
    crate::advise::sql::name(name)
}

/// Definitions of the views whose names stand in the texts, and of those that they read.
async fn views(backend: &mut Backend, texts: &[String]) -> Result<Vec<String>> {
    let query = "select /* plimsoll */ c.relname::text, pg_get_viewdef(c.oid) from pg_class c \
                 where c.relname = any($1) and c.relkind = 'v'";
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut found: Vec<String> = Vec::new();
    let mut new: Vec<String> = texts.iter().flat_map(|text| text::names(text)).collect();
    for _ in 0..DEPTH {
        new.retain(|name| known.insert(name.clone()));
        if new.is_empty() {
            break;
        }
        let rows = backend
            .rows("what may run", query, &[(&new, Type::TEXT_ARRAY)])
            .await?;
        new.clear();
        for row in &rows {
            let cells = Cells::new("what may run", row);
            let definition = cells.text(1)?;
            new.extend(text::names(&definition));
            found.push(definition);
        }
    }
    Ok(found)
}

/// What may run without being named anywhere: the settings and the types of the database.
async fn hidden(backend: &mut Backend) -> Result<Option<String>> {
    let query = format!(
        "select /* plimsoll */ current_setting('standard_conforming_strings') = 'on', \
         (select format('a cast to %s', format_type(k.casttarget, null)) from pg_cast k \
          join pg_proc p on p.oid = k.castfunc where {SUSPECT} limit 1), \
         (select format('the operator class of %s', format_type(a.amproclefttype, null)) \
          from pg_amproc a join pg_proc p on p.oid = a.amproc where a.oid >= 16384 and {SUSPECT} \
          limit 1)"
    );
    let rows = backend.rows("what may run", &query, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(Some("the catalog said nothing of it".to_owned()));
    };
    let cells = Cells::new("what may run", row);
    if !cells.get::<bool>(0)? {
        return Ok(Some(
            "standard_conforming_strings is off, so where its strings end is not sure".to_owned(),
        ));
    }
    for column in 1..=2 {
        let what = cells.text(column)?;
        if !what.is_empty() {
            return Ok(Some(format!("{what} runs a function that may do anything")));
        }
    }
    Ok(None)
}
