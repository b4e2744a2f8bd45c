//! One explained statement, in words and as a page that needs nothing else.
//!
//! For: what `plimsoll explain` shows: the words are the same on the terminal and on the page. Not for:
//! finding anything out (`work::explain`). Read [`page`] first.

mod below;
mod html;

pub use below::below;
pub use html::page;

use crate::model::explain::{Analysis, Node, PredictedTime};

/// Factor between expected and real rows from which on it is worth a word.
const MISJUDGED: f64 = 10.0;
/// Rows below which being wrong costs nothing.
const FEW: f64 = 100.0;
/// Rows thrown away from which on it is worth a word.
const REMOVED: f64 = 1_000.0;

/// What it takes, in one line.
pub fn headline(analysis: &Analysis) -> String {
    let rows = rows(analysis.rows);
    match (analysis.execution_time, &analysis.predicted_time) {
        (Some(took), _) => format!("took {} and gave {rows}", time(took)),
        (None, Some(predicted)) => format!(
            "is expected to take {} ({} to {} in {:.0} of 100 cases) and to give {rows}",
            time(predicted.ms),
            time(predicted.low_ms),
            time(predicted.high_ms),
            predicted.level * 100.0
        ),
        (None, None) => format!(
            "costs the planner {} and is expected to give {rows}",
            count(analysis.total_cost)
        ),
    }
}

/// What is known of the whole statement: a label and its value each.
pub fn facts(analysis: &Analysis) -> Vec<(&'static str, String)> {
    let mut facts = vec![(
        "cost",
        format!("{} planner units", count(analysis.total_cost)),
    )];
    if let Some(planning) = analysis.plan_time {
        facts.push(("planning", time(planning)));
    }
    match (&analysis.execution_time, &analysis.not_run) {
        (Some(took), _) => facts.push(("run", format!("{}, rolled back", time(*took)))),
        (None, Some(why)) => facts.push(("run", format!("no: {why}"))),
        (None, None) => {}
    }
    facts.push(("expected", expected(analysis)));
    if analysis.parameters.count > 0 {
        let basis = analysis.parameters.basis.words();
        facts.push((
            "values",
            match analysis.parameters.count {
                1 => format!("one parameter: {basis}"),
                several => format!("{several} parameters: {basis}"),
            },
        ));
    }
    if let Some(buffers) = analysis.buffers {
        facts.push((
            "blocks",
            format!(
                "{} from the cache, {} read, {} of temporary files written",
                count(buffers.shared_hit),
                count(buffers.shared_read),
                count(buffers.temp_written)
            ),
        ));
    }
    if let Some(removed) = analysis.rows_removed_by_filter.filter(|rows| *rows > 0.0) {
        facts.push((
            "in vain",
            format!("{} rows were read and thrown away", count(removed)),
        ));
    }
    if let Some(jit) = analysis.jit {
        let took = jit.total_ms.map(|ms| format!(", {}", time(ms)));
        let functions = count(jit.functions);
        facts.push((
            "jit",
            format!("{functions} functions{}", took.unwrap_or_default()),
        ));
    }
    facts
}

fn expected(analysis: &Analysis) -> String {
    let basis = &analysis.predicted_time_basis;
    match &analysis.predicted_time {
        None => format!("no time: {basis}"),
        Some(PredictedTime {
            ms,
            low_ms,
            high_ms,
            ..
        }) => format!(
            "{} ({} to {}), from {basis}",
            time(*ms),
            time(*low_ms),
            time(*high_ms)
        ),
    }
}

/// What a node does to what: `Index Scan using lead_pkey on lead l`.
pub fn title(node: &Node) -> String {
    let mut kind = node.node_type.clone();
    if let Some(join) = node.join_type.as_deref().filter(|join| *join != "Inner") {
        kind = match kind.strip_suffix(" Join") {
            Some(first) => format!("{first} {join} Join"),
            None => format!("{kind} {join} Join"),
        };
    }
    if node.is_parallel {
        kind = format!("Parallel {kind}");
    }
    let mut text = match (&node.strategy, node.node_type.as_str()) {
        (Some(how), "Aggregate") if how == "Hashed" => "HashAggregate".to_owned(),
        (Some(how), "Aggregate") if how == "Sorted" => "GroupAggregate".to_owned(),
        (Some(operation), "ModifyTable") => operation.clone(),
        _ => kind,
    };
    if let Some(index) = &node.index_name {
        text = format!("{text} using {index}");
    }
    if let Some(relation) = &node.relation {
        text = format!("{text} on {relation}");
    }
    if let Some(part) = &node.cte_name {
        text = format!("{text} on {part}");
    }
    if let Some(alias) = node.alias.as_ref().filter(|alias| {
        Some(*alias) != node.relation.as_ref() && Some(*alias) != node.cte_name.as_ref()
    }) {
        text = format!("{text} {alias}");
    }
    match &node.subplan_name {
        Some(name) => format!("{name}: {text}"),
        None => text,
    }
}

/// Rows, cost, time and blocks of a node.
pub fn figures(node: &Node) -> Vec<String> {
    let mut figures = Vec::new();
    match (node.actual_rows, node.actual_loops) {
        (Some(_), Some(loops)) if loops < 0.5 => figures.push("never run".to_owned()),
        (Some(rows), Some(loops)) => {
            let times = if loops > 1.5 {
                format!(" × {}", count(loops))
            } else {
                String::new()
            };
            figures.push(match times.as_str() {
                "" => self::rows(rows),
                times => format!("{}{times} rows", count(rows)),
            });
            figures.push(format!("{} expected", count(node.plan_rows)));
        }
        _ => figures.push(rows(node.plan_rows)),
    }
    figures.push(format!("cost {}", count(node.exclusive_cost)));
    if let Some(own) = node.exclusive_time {
        figures.push(time(own));
    }
    if let (Some(planned), launched) = (node.workers_planned, node.workers_launched) {
        figures.push(match launched {
            Some(launched) => format!("{launched} of {planned} workers"),
            None => format!("{planned} workers"),
        });
    }
    if let Some(buffers) = node.buffers.filter(|b| b.shared_hit + b.shared_read > 0.0) {
        let (hit, read) = (count(buffers.shared_hit), count(buffers.shared_read));
        figures.push(format!("{hit} + {read} blocks"));
    }
    figures
}

/// Conditions and keys of a node, a line each.
pub fn details(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, keys) in [("Sort Key", &node.sort_key), ("Group Key", &node.group_key)] {
        if !keys.is_empty() {
            lines.push(format!("{name}: {}", keys.join(", ")));
        }
    }
    let conditions = node.conditions.iter();
    lines.extend(conditions.map(|condition| format!("{}: {}", condition.kind, condition.text)));
    lines
}

/// What is conspicuous about a node, a line each.
pub fn warnings(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(removed) = node.rows_removed_by_filter.filter(|rows| *rows >= REMOVED) {
        lines.push(format!("{} rows read and thrown away", count(removed)));
    }
    let came = node.actual_rows.unwrap_or(0.0);
    if let Some(factor) = node
        .misestimate_factor
        .filter(|factor| *factor >= MISJUDGED)
        && came.max(node.plan_rows) >= FEW
    {
        let direction = if came > node.plan_rows {
            "more"
        } else {
            "fewer"
        };
        lines.push(format!(
            "{} times {direction} rows than expected",
            count(factor)
        ));
    }
    if let Some(spill) = &node.spill {
        let batches = spill.batches.map(|n| format!(" in {} parts", count(n)));
        lines.push(format!(
            "{}: {} on disk{}",
            spill.method,
            bytes(spill.bytes),
            batches.unwrap_or_default()
        ));
    }
    if let Some(fetches) = node.heap_fetches.filter(|fetches| *fetches >= REMOVED) {
        lines.push(format!(
            "{} rows were looked up in the table after all; VACUUM it",
            count(fetches)
        ));
    }
    if let (Some(planned), Some(launched)) = (node.workers_planned, node.workers_launched)
        && launched < planned
    {
        lines.push(format!("{launched} of {planned} workers came"));
    }
    lines
}

/// `1 row`, `2,000 rows`.
fn rows(value: f64) -> String {
    match count(value).as_str() {
        "1" => "1 row".to_owned(),
        several => format!("{several} rows"),
    }
}

/// Digits in threes; what is small keeps what counts of its fraction.
pub fn count(value: f64) -> String {
    let value = value.max(0.0);
    if value > 0.0 && value < 9.95 && (value - value.round()).abs() > 0.05 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time from ms, with the unit that leaves few digits.
pub fn time(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{ms:.2} ms"),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 120_000.0 => format!("{:.1} s", ms / 1e3),
        ms => format!("{:.0} min", ms / 6e4),
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let mut value = value.max(0.0);
    for unit in UNITS {
        if value < 1_024.0 {
            return format!("{value:.0} {unit}");
        }
        value /= 1_024.0;
    }
    format!("{value:.0} TB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::explain::Spill;

    #[test]
    fn nodes_are_named_as_the_server_names_them() {
        let node = |kind: &str| Node {
            node_type: kind.to_owned(),
            relation: Some("lead".to_owned()),
            alias: Some("lead".to_owned()),
            ..Node::default()
        };
        let mut scan = node("Seq Scan");
        scan.is_parallel = true;
        assert_eq!(title(&scan), "Parallel Seq Scan on lead");
        let mut index = node("Index Scan");
        index.index_name = Some("lead_pkey".to_owned());
        index.alias = Some("l".to_owned());
        assert_eq!(title(&index), "Index Scan using lead_pkey on lead l");
        let mut join = node("Hash Join");
        (join.relation, join.alias) = (None, None);
        join.join_type = Some("Left".to_owned());
        assert_eq!(title(&join), "Hash Left Join");
        let mut group = node("Aggregate");
        (group.relation, group.alias) = (None, None);
        group.strategy = Some("Hashed".to_owned());
        group.subplan_name = Some("CTE x".to_owned());
        assert_eq!(title(&group), "CTE x: HashAggregate");
    }

    #[test]
    fn what_is_conspicuous_is_said() {
        let node = Node {
            plan_rows: 5.0,
            actual_rows: Some(5_000.0),
            misestimate_factor: Some(1_000.0),
            rows_removed_by_filter: Some(2_000.0),
            spill: Some(Spill {
                method: "external merge".to_owned(),
                bytes: 3.0 * 1_048_576.0,
                batches: None,
            }),
            workers_planned: Some(2),
            workers_launched: Some(0),
            ..Node::default()
        };
        let said = warnings(&node).join("; ");
        for part in [
            "2,000 rows read and thrown away",
            "1,000 times more rows than expected",
            "external merge: 3 MB on disk",
            "0 of 2 workers came",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(warnings(&Node::default()), [""; 0]);
    }

    #[test]
    fn figures_have_as_many_digits_as_they_need() {
        let shown = [0.04, 3.26, 12_345.6].map(time);
        assert_eq!(shown, ["0.04 ms", "3.3 ms", "12.3 s"]);
        let shown = [0.0, 0.4, 7.0, 999.0, 1_234_567.0].map(count);
        assert_eq!(shown, ["0", "0.4", "7", "999", "1,234,567"]);
    }
}
