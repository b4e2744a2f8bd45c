//! Plans and tables for the rules' tests.

use super::{Subject, figures, recommend};
use crate::advise::relation::{Column, Existing, Relation};
use crate::model::explain::{
    Analysis, Condition, Jit, Node, Partition, Recommendation, Settings, Spill,
};

/// A column of a type.
pub(super) fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.to_owned(),
        quoted: name.to_owned(),
        type_name: type_name.to_owned(),
        is_orderable: true,
        is_deduplicable: true,
        is_not_null: true,
        align: 4,
        width: 8.0,
        distinct: Some(1_000.0),
        ..Column::default()
    }
}

/// A table of a million rows with an index on `email`.
pub(super) fn lead() -> Relation {
    let mut parent = column("parent", "integer");
    parent.is_not_null = false;
    Relation {
        oid: 7,
        schema: "public".to_owned(),
        name: "lead".to_owned(),
        quoted: "public.lead".to_owned(),
        rows: 1e6,
        pages: 20_000.0,
        kind: 'r',
        columns: vec![
            column("id", "integer"),
            column("email", "character varying(80)"),
            column("status", "text"),
            column("created", "timestamp without time zone"),
            parent,
        ],
        indexes: vec![Existing {
            name: "lead_email".to_owned(),
            method: "btree".to_owned(),
            keys: vec![Some(1)],
            ..Existing::default()
        }],
        ..Relation::default()
    }
}

/// A scan of `lead l`.
pub(super) fn scan(kind: &str, cost: f64, rows: f64, filter: &str) -> Node {
    Node {
        node_type: kind.to_owned(),
        schema: Some("public".to_owned()),
        relation: Some("lead".to_owned()),
        alias: Some("l".to_owned()),
        parent_relationship: Some("Outer".to_owned()),
        total_cost: cost,
        plan_rows: rows,
        plan_width: 100.0,
        conditions: vec![Condition {
            kind: "Filter".to_owned(),
            text: filter.to_owned(),
        }],
        ..Node::default()
    }
}

/// A node above others.
pub(super) fn above(kind: &str, cost: f64, rows: f64, plans: Vec<Node>) -> Node {
    Node {
        node_type: kind.to_owned(),
        parent_relationship: Some("Outer".to_owned()),
        total_cost: cost,
        plan_rows: rows,
        plan_width: 100.0,
        plans,
        ..Node::default()
    }
}

/// The same node after a run.
pub(super) fn ran(mut node: Node, time: f64, rows: f64, loops: f64) -> Node {
    node.actual_time = Some(time);
    node.actual_rows = Some(rows);
    node.actual_loops = Some(loops);
    node
}

/// What is known besides the plan.
#[derive(Default)]
pub(super) struct Case {
    pub(super) query: &'static str,
    pub(super) costed: bool,
    pub(super) partitions: Vec<Partition>,
    pub(super) jit: Option<Jit>,
}

/// What the rules say of a plan over `lead`.
pub(super) fn said(plan: Node, case: &Case) -> Vec<Recommendation> {
    said_of(plan, case, &[lead()])
}

/// What the rules say of a plan over these tables.
pub(super) fn said_of(plan: Node, case: &Case, relations: &[Relation]) -> Vec<Recommendation> {
    let took = plan.actual_time;
    let mut analysis = Analysis {
        query: case.query.to_owned(),
        analyzed: took.is_some(),
        execution_time: took,
        jit: case.jit,
        plan,
        ..Analysis::default()
    };
    figures::fill(&mut analysis);
    let settings = Settings {
        version_num: 150_000,
        work_mem_bytes: 4.0 * 1_048_576.0,
        hash_mem_bytes: 8.0 * 1_048_576.0,
        block_bytes: 8_192.0,
    };
    let tables = (relations, &case.partitions[..]);
    recommend(&Subject::new(&analysis, tables, settings, case.costed))
}

/// A sort that went to disk.
pub(super) fn spilled(megabytes: f64) -> Spill {
    Spill {
        method: "external merge".to_owned(),
        bytes: megabytes * 1_048_576.0,
        batches: None,
    }
}
