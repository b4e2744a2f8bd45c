//! Advice as SQL: statements to run, one after the other, with their reasons as comments.

use std::fmt::Write as _;

use super::size;
use crate::cli::table::percent;
use crate::model::advice::Advice;

/// A script for `psql`; what nobody costed stands in comments.
pub(super) fn show(advice: &Advice) -> String {
    let mut text = String::new();
    let left = share(advice.cost_after, advice.cost_before);
    // Writing to a string cannot go wrong.
    let _ = writeln!(
        text,
        "-- {}: {} indexes, {}; the workload then costs {left} of what it does ({})\n\
         -- CONCURRENTLY blocks no writes; each statement must stand outside of a transaction.",
        comment(&advice.target),
        advice.indexes.len(),
        size::show(advice.size_bytes),
        advice.basis
    );
    for index in &advice.indexes {
        let names: Vec<&str> = index.statements.iter().map(|s| s.name.as_str()).collect();
        let _ = writeln!(
            text,
            "\n-- {}, saves {} of the cost, writes pay {}; for {}\n{};",
            size::show(index.size_bytes),
            share(index.gain, advice.cost_before),
            share(index.write_cost, advice.cost_before),
            comment(&names.join(", ")),
            index.ddl
        );
    }
    for drop in &advice.drop {
        let _ = writeln!(
            text,
            "\n-- frees {}: {}\n{};",
            size::show(drop.frees_bytes),
            comment(&drop.reason),
            drop.ddl
        );
    }
    for other in &advice.not_costed {
        let _ = writeln!(
            text,
            "\n-- not costed, for {}: {}\n-- {};",
            comment(&other.statement),
            comment(&other.reason),
            comment(&other.ddl)
        );
    }
    text
}

fn share(part: f64, whole: f64) -> String {
    percent((whole > 0.0).then_some(part / whole))
}

/// Text that stays within its comment.
pub(super) fn comment(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::advice::{NewIndex, NotCosted, StatementCost};

    #[test]
    fn a_name_with_a_line_end_stays_in_its_comment() {
        let advice = Advice {
            target: "shop".to_owned(),
            basis: "hypopg 1.3.1".to_owned(),
            cost_before: 100.0,
            cost_after: 40.0,
            size_bytes: 2_000_000,
            indexes: vec![NewIndex {
                ddl: "CREATE INDEX CONCURRENTLY ON t (a)".to_owned(),
                size_bytes: 2_000_000,
                gain: 60.0,
                statements: vec![StatementCost {
                    name: "x\n; drop table t".to_owned(),
                    ..StatementCost::default()
                }],
                ..NewIndex::default()
            }],
            not_costed: vec![NotCosted {
                ddl: "CREATE INDEX CONCURRENTLY ON t USING gin (b)".to_owned(),
                table: "public.t".to_owned(),
                statement: "y".to_owned(),
                reason: "words".to_owned(),
            }],
            ..Advice::default()
        };
        let text = show(&advice);
        let bare: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("--"))
            .collect();
        assert_eq!(bare, ["CREATE INDEX CONCURRENTLY ON t (a);"]);
        assert!(text.contains("-- CREATE INDEX CONCURRENTLY ON t USING gin (b);"));
    }
}
