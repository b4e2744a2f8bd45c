//! What each node of a plan takes by itself, how far off it was expected to be, and what all of them
//! read in vain.
//!
//! A plan tells costs and times with those of the nodes below in them, and per run of a node. Here
//! they become shares of the statement that add up.
//!
//! Of costs: a node's children count as often as the planner lets them run, and no more than the node
//! costs in all: below a `Limit` or a merge join that ends early, only what is expected to be read.
//! Of times: below a `Gather` several processes run side by side, so that a node's time there is the
//! mean over them. A materialised part of `WITH` runs while its scan waits for it, and is taken from
//! the scan's time, not from the node under which it is listed.

use std::collections::HashMap;

use super::text;
use crate::model::explain::{Analysis, Node};

/// Fills in exclusive costs and times, shares, misestimates and the sums of the analysis.
pub fn fill(analysis: &mut Analysis) {
    let root = &mut analysis.plan;
    costs(root, 1.0);
    let ran = root.actual_loops.is_some_and(|loops| loops > 0.0);
    if ran {
        let mut parts = HashMap::new();
        with_parts(root, 1.0, &mut parts);
        times(root, 1.0, &mut parts);
        misestimates(root, false);
    }
    let whole = if ran {
        root.nodes().iter().filter_map(|n| n.exclusive_time).sum()
    } else {
        root.total_cost
    };
    shares(root, ran, whole);
    let nodes = root.nodes();
    if ran {
        let removed = nodes.iter().filter_map(|node| node.rows_removed_by_filter);
        analysis.rows_removed_by_filter = Some(removed.sum());
        let factors = nodes.iter().filter_map(|node| node.misestimate_factor);
        analysis.misestimate_factor = factors.max_by(f64::total_cmp);
        analysis.buffers = root.buffers;
    }
    analysis.total_cost = root.total_cost;
    analysis.rows = match root.actual_rows {
        Some(rows) if ran => rows * root.actual_loops.unwrap_or(1.0),
        _ => root.plan_rows,
    };
}

/// `scale`: which part of the node's cost the statement pays.
fn costs(node: &mut Node, scale: f64) {
    let paid = children_cost(node);
    let sum: f64 = paid.iter().sum();
    // Never more than the node has: what a rescan saves is not told.
    let fits = if sum > node.total_cost && sum > 0.0 {
        node.total_cost / sum
    } else {
        1.0
    };
    node.exclusive_cost = scale * (node.total_cost - sum * fits).max(0.0);
    for (child, paid) in node.plans.iter_mut().zip(paid) {
        let part = if child.total_cost > 0.0 {
            paid * fits / child.total_cost
        } else {
            0.0
        };
        costs(child, scale * part);
    }
}

/// What each child costs within its parent.
fn children_cost(node: &Node) -> Vec<f64> {
    let is_loop = node.node_type == "Nested Loop";
    let is_outer = |child: &&Node| child.parent_relationship.as_deref() == Some("Outer");
    let outer = node.plans.iter().find(is_outer);
    let outer_rows = outer.map_or(1.0, |outer| outer.plan_rows);
    let mut left = node.total_cost;
    node.plans
        .iter()
        .map(|child| {
            let relationship = child.parent_relationship.as_deref().unwrap_or("");
            let times = match relationship {
                "Inner" if is_loop => outer_rows.max(1.0),
                "SubPlan" => runs(node, child),
                _ => 1.0,
            };
            let cost = (child.total_cost * times).min(left.max(0.0));
            left -= cost;
            cost
        })
        .collect()
}

/// How often a sub-select is expected to run: once where its rows are kept in a hash, else for each row
/// that its owner gives, times those that a condition on its answer throws away: the planner, which
/// knows nothing of the answer, takes it that 0.5 % are equal, a third greater, half true
/// (`DEFAULT_EQ_SEL`, `DEFAULT_INEQ_SEL` of PostgreSQL).
pub fn runs(owner: &Node, child: &Node) -> f64 {
    if is_hashed(owner, child) {
        return 1.0;
    }
    let name = child.subplan_name.as_deref().unwrap_or("SubPlan");
    let marked = format!("({name})");
    let mut conditions = owner.conditions.iter().map(|c| c.text.as_str());
    let thrown = conditions
        .find(|text| text.contains(&marked) || text.contains(&format!("({name}).")))
        .and_then(|text| {
            text::conjuncts(text)
                .into_iter()
                .find(|part| part.contains(name))
        })
        .map_or(1.0, |part| {
            match text::comparison(part).map(|c| c.operator) {
                Some("=") => 200.0,
                Some("<" | ">" | "<=" | ">=") => 3.0,
                _ => 2.0,
            }
        });
    owner.plan_rows.max(1.0) * thrown
}

/// Whether a sub-select is run once and its rows are kept in a hash.
pub fn is_hashed(owner: &Node, child: &Node) -> bool {
    let Some(name) = &child.subplan_name else {
        return false;
    };
    let marked = format!("hashed {name}");
    let texts = owner.conditions.iter().map(|condition| &condition.text);
    texts.chain(&owner.output).any(|text| {
        let mut found = text.match_indices(&marked);
        // `SubPlan 1` is not `SubPlan 10`.
        found.any(|(at, _)| {
            let after = text.get(at + marked.len()..).unwrap_or("");
            !after.starts_with(|c: char| c.is_ascii_digit())
        })
    })
}

/// Wall time of all runs together; `processes` run side by side.
fn wall(node: &Node, processes: f64) -> f64 {
    let loops = node.actual_loops.unwrap_or(0.0);
    node.actual_time.unwrap_or(0.0) * loops / processes
}

/// Processes among which the nodes below share the work.
fn processes_below(node: &Node, processes: f64) -> f64 {
    match node.workers_launched {
        Some(workers) if node.node_type.starts_with("Gather") => 1.0 + f64::from(workers),
        _ => processes,
    }
}

/// A part of `WITH` that is kept, by its name.
fn part_name(node: &Node) -> Option<&str> {
    node.subplan_name.as_deref()?.strip_prefix("CTE ")
}

/// Wall time of the kept parts of `WITH`.
fn with_parts(node: &Node, processes: f64, into: &mut HashMap<String, f64>) {
    if let Some(name) = part_name(node) {
        into.insert(name.to_owned(), wall(node, processes));
    }
    for child in &node.plans {
        with_parts(child, processes_below(node, processes), into);
    }
}

fn times(node: &mut Node, processes: f64, parts: &mut HashMap<String, f64>) {
    let below = processes_below(node, processes);
    let mut own = wall(node, processes);
    for child in node.plans.iter().filter(|child| part_name(child).is_none()) {
        own -= wall(child, below);
    }
    if let Some(name) = &node.cte_name
        && let Some(time) = parts.get_mut(name)
    {
        let taken = time.min(own.max(0.0));
        own -= taken;
        *time -= taken;
    }
    node.exclusive_time = Some(own.max(0.0));
    for child in &mut node.plans {
        times(child, below, parts);
    }
}

/// `cut`: something above may stop reading before the end.
fn misestimates(node: &mut Node, cut: bool) {
    let loops = node.actual_loops.unwrap_or(0.0);
    if let (Some(came), true) = (node.actual_rows, loops > 0.0) {
        let expected = node.plan_rows.max(1.0);
        let came = came.max(1.0);
        node.misestimate_factor = if came < expected && cut {
            None
        } else {
            Some((came / expected).max(expected / came))
        };
    }
    let kind = node.node_type.as_str();
    let reads_all = ["Sort", "Aggregate", "Hash", "HashAggregate", "SetOp"].contains(&kind);
    let stops = kind == "Limit" || kind == "Merge Join";
    let semi = matches!(node.join_type.as_deref(), Some("Semi" | "Anti"));
    for child in &mut node.plans {
        let inner = child.parent_relationship.as_deref() == Some("Inner");
        let stops = stops || (semi && inner) || child.is_aside();
        misestimates(child, stops || (cut && !reads_all));
    }
}

fn shares(node: &mut Node, ran: bool, whole: f64) {
    let own = if ran {
        node.exclusive_time.unwrap_or(0.0)
    } else {
        node.exclusive_cost
    };
    node.share = if whole > 0.0 {
        (own / whole).clamp(0.0, 1.0)
    } else {
        0.0
    };
    for child in &mut node.plans {
        shares(child, ran, whole);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(kind: &str, cost: f64, rows: f64, plans: Vec<Node>) -> Node {
        Node {
            node_type: kind.to_owned(),
            total_cost: cost,
            plan_rows: rows,
            plans,
            ..Node::default()
        }
    }

    fn as_part(mut node: Node, relationship: &str) -> Node {
        node.parent_relationship = Some(relationship.to_owned());
        node
    }

    fn ran(mut node: Node, time: f64, rows: f64, loops: f64) -> Node {
        node.actual_time = Some(time);
        node.actual_rows = Some(rows);
        node.actual_loops = Some(loops);
        node
    }

    fn filled(plan: Node) -> Analysis {
        let mut analysis = Analysis {
            plan,
            ..Analysis::default()
        };
        fill(&mut analysis);
        analysis
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn below_a_limit_only_what_is_read_is_paid() {
        let scan = as_part(node("Index Scan", 1_000.0, 5_000.0, vec![]), "Outer");
        let plan = filled(node("Limit", 10.0, 50.0, vec![scan])).plan;
        assert!(near(plan.exclusive_cost, 0.0));
        assert!(near(plan.plans[0].exclusive_cost, 10.0));
        assert!(near(plan.plans[0].share, 1.0));
    }

    #[test]
    fn the_inner_side_of_a_loop_is_paid_for_each_row_of_the_outer() {
        let outer = as_part(node("Seq Scan", 100.0, 50.0, vec![]), "Outer");
        let inner = as_part(node("Index Scan", 8.0, 1.0, vec![]), "Inner");
        let plan = filled(node("Nested Loop", 520.0, 50.0, vec![outer, inner])).plan;
        assert!(near(plan.exclusive_cost, 20.0));
        assert!(near(plan.plans[1].exclusive_cost, 400.0));
    }

    #[test]
    fn a_hashed_sub_select_is_paid_once() {
        let mut sub = as_part(node("Seq Scan", 50.0, 10.0, vec![]), "SubPlan");
        sub.subplan_name = Some("SubPlan 1".to_owned());
        let mut scan = node("Seq Scan", 400.0, 100.0, vec![sub]);
        scan.output = vec!["(hashed SubPlan 1)".to_owned()];
        assert!(near(
            filled(scan.clone()).plan.plans[0].exclusive_cost,
            50.0
        ));
        scan.output.clear();
        assert!(near(filled(scan).plan.plans[0].exclusive_cost, 400.0));
    }

    #[test]
    fn time_below_a_gather_is_the_mean_over_its_processes() {
        let scan = ran(node("Seq Scan", 90.0, 10.0, vec![]), 30.0, 10.0, 3.0);
        let mut gather = ran(node("Gather", 100.0, 30.0, vec![scan]), 32.0, 30.0, 1.0);
        gather.workers_launched = Some(2);
        let plan = filled(gather).plan;
        assert!(near(plan.plans[0].exclusive_time.unwrap(), 30.0));
        assert!(near(plan.exclusive_time.unwrap(), 2.0));
    }

    #[test]
    fn a_kept_part_of_with_is_taken_from_its_scan() {
        let mut part = ran(node("Aggregate", 50.0, 1.0, vec![]), 40.0, 1.0, 1.0);
        part.parent_relationship = Some("InitPlan".to_owned());
        part.subplan_name = Some("CTE recent".to_owned());
        let mut scan = ran(node("CTE Scan", 5.0, 1.0, vec![]), 41.0, 1.0, 1.0);
        scan.cte_name = Some("recent".to_owned());
        let top = ran(node("Sort", 60.0, 1.0, vec![part, scan]), 43.0, 1.0, 1.0);
        let plan = filled(top).plan;
        let own: Vec<f64> = [&plan, &plan.plans[0], &plan.plans[1]]
            .iter()
            .map(|n| n.exclusive_time.unwrap())
            .collect();
        assert!(
            near(own[0], 2.0) && near(own[1], 40.0) && near(own[2], 1.0),
            "{own:?}"
        );
    }

    #[test]
    fn a_scan_that_a_limit_cut_short_was_not_misjudged() {
        let scan = ran(node("Seq Scan", 90.0, 1_000.0, vec![]), 1.0, 20.0, 1.0);
        let analysis = filled(ran(node("Limit", 10.0, 20.0, vec![scan]), 1.0, 20.0, 1.0));
        assert_eq!(analysis.plan.plans[0].misestimate_factor, None);
        assert_eq!(analysis.misestimate_factor, Some(1.0));
        let scan = ran(node("Seq Scan", 90.0, 1_000.0, vec![]), 1.0, 20.0, 1.0);
        let sort = ran(node("Sort", 95.0, 1_000.0, vec![scan]), 1.0, 20.0, 1.0);
        let analysis = filled(ran(node("Limit", 10.0, 20.0, vec![sort]), 1.0, 20.0, 1.0));
        assert_eq!(
            analysis.plan.plans[0].plans[0].misestimate_factor,
            Some(50.0)
        );
    }

    fn trees() -> impl Strategy<Value = Node> {
        let kinds = prop::sample::select(vec!["Nested Loop", "Limit", "Seq Scan", "Merge Join"]);
        let roles = prop::sample::select(vec!["Outer", "Inner", "SubPlan", "InitPlan"]);
        let leaf = (kinds, roles, 0.0..1e6_f64, 0.0..1e5_f64)
            .prop_map(|(kind, role, cost, rows)| as_part(node(kind, cost, rows, vec![]), role));
        leaf.prop_recursive(4, 24, 3, |inner| {
            (inner.clone(), prop::collection::vec(inner, 0..3)).prop_map(|(mut top, below)| {
                top.plans = below;
                top
            })
        })
    }

    proptest! {
        #[test]
        fn exclusive_costs_add_up_to_the_whole(plan in trees()) {
            let total = plan.total_cost;
            let analysis = filled(plan);
            let sum: f64 = analysis.plan.nodes().iter().map(|n| n.exclusive_cost).sum();
            prop_assert!(sum <= total * (1.0 + 1e-9) + 1e-6);
            // Where a child costs nothing there is nothing to hand on, and so nothing is lost.
            prop_assert!((sum - total).abs() <= total * 1e-6 + 1e-6, "{} {}", sum, total);
        }
    }
}
