//! Scans that read much and give little.

use super::{LITTLE, Subject, count, index, rows, say, share_below};
use crate::model::explain::{Node, Recommendation, RecommendationKind};

/// Rows read for each row given from which on a scan looks for a needle.
const NEEDLE: f64 = 10.0;

pub(super) fn rules(subject: &Subject<'_>) -> Vec<Recommendation> {
    let nodes = subject.nodes().into_iter();
    nodes.filter_map(|node| scan(subject, node)).collect()
}

/// A scan whose filter throws nearly everything away.
fn scan(subject: &Subject<'_>, node: &Node) -> Option<Recommendation> {
    let relation = subject.relation(node)?;
    let filter = node.condition("Filter")?;
    let (read, given) = (subject.rows_read(node), rows(node));
    let share = share_below(node);
    let is_needle = read >= NEEDLE * given.max(1.0) && share >= LITTLE;
    if !is_needle || !Subject::is_large(relation) {
        return None;
    }
    let (rule, what) = match node.node_type.as_str() {
        "Seq Scan" if !subject.is_costed => ("seq-scan-filter", "Seq Scan"),
        // What an index found and the filter then threw away is known only after a run.
        "Index Scan" | "Bitmap Heap Scan" if subject.analysis.analyzed && !subject.is_costed => {
            ("index-scan-filter", node.node_type.as_str())
        }
        _ => return None,
    };
    let guess = index::guess(subject, node);
    let by = match (&node.index_name, rule) {
        (Some(name), "index-scan-filter") => format!(" by {name}"),
        _ => String::new(),
    };
    let description = format!(
        "{what} reads {} rows of {}{by} and gives {}: {filter} throws the rest away",
        count(read),
        relation.name,
        count(given),
    );
    let (ddl, columns) = match guess {
        Some((ddl, columns, _)) => (Some(ddl), columns),
        // With nothing to propose it is an observation, not advice.
        None => return None,
    };
    let mut one = say(RecommendationKind::Index, rule, share, description, ddl);
    one.columns = columns;
    Some(one)
}
