//! Joins and sub-selects that are run again for each row.

use super::figures::{self, is_hashed};
use super::{LITTLE, Subject, count, index, rows, say, share_below, text};
use crate::advise::clause::{self, Expression};
use crate::model::explain::{Node, Recommendation, RecommendationKind};

/// Rows of the outer side from which on a scan for each of them matters.
const OFTEN: f64 = 10.0;
/// Runs of a sub-select from which on it is called a loop.
const RUNS: f64 = 100.0;

pub(super) fn rules(subject: &Subject<'_>) -> Vec<Recommendation> {
    let mut found = Vec::new();
    for node in subject.nodes() {
        found.extend(inner_scan(subject, node));
        for child in &node.plans {
            if child.parent_relationship.as_deref() == Some("SubPlan") {
                found.extend(sub_select(subject, node, child));
            }
        }
    }
    found
}

/// A nested loop that reads a whole table for each row of the other.
fn inner_scan(subject: &Subject<'_>, node: &Node) -> Option<Recommendation> {
    if node.node_type != "Nested Loop" || subject.is_costed {
        return None;
    }
    let [outer, inner] = node.plans.as_slice() else {
        return None;
    };
    // What is kept in memory is still gone through for each row.
    let scan = match inner.node_type.as_str() {
        "Materialize" | "Memoize" => inner.plans.first()?,
        _ => inner,
    };
    let relation = subject.relation(scan)?;
    let is_heavy = scan.node_type == "Seq Scan" && rows(outer) >= OFTEN;
    if !is_heavy || !Subject::is_large(relation) || share_below(inner) < LITTLE {
        return None;
    }
    let (ddl, columns, _) = index::guess(subject, scan)?;
    let description = format!(
        "all {} rows of {} are gone through for each of {} rows of the other side",
        count(relation.rows),
        relation.name,
        count(rows(outer))
    );
    let mut one = say(
        RecommendationKind::Index,
        "join-without-index",
        share_below(inner),
        description,
        Some(ddl),
    );
    one.columns = columns;
    Some(one)
}

fn sub_select(subject: &Subject<'_>, owner: &Node, child: &Node) -> Option<Recommendation> {
    let is_not_in = text::has_words(&subject.analysis.query, &["not", "in"]);
    let hashed = is_hashed(owner, child);
    let name = child.subplan_name.as_deref().unwrap_or("SubPlan");
    let negated = owner.conditions.iter().any(|condition| {
        let text = &condition.text;
        text.contains(name) && text.contains("NOT ")
    });
    if is_not_in && negated {
        return Some(not_in(subject, owner, child, hashed));
    }
    let runs = child
        .actual_loops
        .unwrap_or_else(|| figures::runs(owner, child));
    let share = share_below(child);
    if hashed || runs < RUNS || share < 0.2 {
        return None;
    }
    let tables: Vec<&str> = child
        .nodes()
        .into_iter()
        .filter_map(|node| node.relation.as_deref())
        .collect();
    let description = format!(
        "the sub-select on {} is run {} times, once for each row of the statement around it",
        tables.join(", "),
        count(runs)
    );
    let rewrite = "compute it once: join a sub-select with GROUP BY over the compared columns, use a \
                   window function (OVER (PARTITION BY …)), or for the newest row of each LEFT JOIN \
                   LATERAL with an index on the compared columns and the order";
    Some(say(
        RecommendationKind::Rewrite,
        "correlated-subselect",
        share,
        description,
        Some(rewrite.to_owned()),
    ))
}

fn not_in(subject: &Subject<'_>, owner: &Node, child: &Node, hashed: bool) -> Recommendation {
    let column = child.output.first().map(|text| clause::read(text));
    let known = column.and_then(|expression| match expression {
        Expression::Column { column, .. } => {
            let relation = subject.aliased(&column.alias)?;
            let (_, found) = relation.column(&column.column)?;
            Some((super::shown(relation, found), found.is_not_null))
        }
        _ => None,
    });
    let nulls = match &known {
        Some((name, false)) => {
            format!("; {name} may be null, and a single null makes the condition true for no row")
        }
        Some((_, true)) => String::new(),
        None => "; should a null be among them, the condition is true for no row".to_owned(),
    };
    let how = if hashed {
        format!("keeps {} rows in memory", count(rows(child)))
    } else {
        format!(
            "goes through {} rows for each of {}",
            count(rows(child)),
            count(subject.rows_read(owner))
        )
    };
    let share = if hashed {
        share_below(child).min(0.4)
    } else {
        share_below(child).max(0.5)
    };
    let mut one = say(
        RecommendationKind::Rewrite,
        "not-in",
        share,
        format!("NOT IN (SELECT …) {how} and cannot be planned as a join{nulls}"),
        Some(
            "NOT EXISTS (SELECT 1 FROM … WHERE inner.column = outer.column), which is planned as an \
             anti-join and means what is mostly meant where there are nulls"
                .to_owned(),
        ),
    );
    one.columns = known.map(|(name, _)| name).into_iter().collect();
    one
}
