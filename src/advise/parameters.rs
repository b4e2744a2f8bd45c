//! Values for the parameters of a normalised statement, such as `pg_stat_statements` keeps.
//!
//! For: a text that can be planned where only `$1` is known. Not for: what the parameters really were:
//! nobody kept that. So each gets a value that a row picked by chance would have: where it is compared
//! with a column, one from the middle of that column's statistics; else one of its type.
//!
//! Read [`fill`] first.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::clause::{self, Expression};
use super::relation::{Column, Relation};
use super::{script, sql};
use crate::model::plan::PlanNode;

/// Rows that a `LIMIT $1` is taken to ask for: a page of a list.
const PAGE: u32 = 20;
/// Where in a column's order one-sided ranges end, and the two ends of a closed one.
const LATE: f64 = 0.8;
const EARLY: f64 = 0.2;
const CLOSED: (f64, f64) = (0.45, 0.55);

/// How a parameter is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Use<'r> {
    column: &'r Column,
    operator: Operator,
    /// Which of the parameters compared with that column it is.
    turn: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    Above,
    Below,
    Like,
}

/// The statement with values in its parameters' stead, and those values. `types` are theirs in order, as `format_type`
/// writes them; `plan` is one with the parameters left in it, where there is one.
pub fn fill(
    text: &str,
    types: &[String],
    plan: Option<&PlanNode>,
    relations: &[Relation],
) -> (String, Vec<String>) {
    let made_up = RefCell::new(Vec::new());
    let uses = plan.map_or_else(BTreeMap::new, |plan| uses(plan, relations));
    let pages = script::parameters_after(text, &["limit", "first", "next"]);
    let offsets = script::parameters_after(text, &["offset"]);
    let text = script::with_values(text, |number| {
        let of_type = types.get(number.checked_sub(1)?)?;
        let value = if pages.contains(&number) {
            PAGE.to_string()
        } else if offsets.contains(&number) {
            "0".to_owned()
        } else if let Some(value) = uses.get(&number).and_then(|found| typical(found, &uses)) {
            value
        } else {
            let (value, literal) = of_its_type(of_type);
            made_up.borrow_mut().extend(value.map(str::to_owned));
            return Some(literal);
        };
        let literal = format!("{}::{of_type}", sql::literal(&value).trim_start());
        made_up.borrow_mut().push(value);
        Some(literal)
    });
    (text, made_up.into_inner())
}

/// What each parameter is compared with.
fn uses<'r>(plan: &PlanNode, relations: &'r [Relation]) -> BTreeMap<usize, Use<'r>> {
    let mut aliases: BTreeMap<&str, &Relation> = BTreeMap::new();
    for node in plan.nodes() {
        if let (Some((schema, name)), Some(alias)) = (&node.relation, &node.alias) {
            let found = relations
                .iter()
                .find(|r| r.schema == *schema && r.name == *name);
            aliases.extend(found.map(|relation| (alias.as_str(), relation)));
        }
    }
    let mut uses: BTreeMap<usize, Use<'r>> = BTreeMap::new();
    for node in plan.nodes() {
        for (_, condition) in &node.conditions {
            for arm in clause::arms(condition) {
                for comparison in clause::comparisons(arm) {
                    let sides = [
                        (comparison.left, comparison.right, false),
                        (comparison.right, comparison.left, true),
                    ];
                    for (column, value, is_turned) in sides {
                        let Expression::Column { column, .. } = clause::read(column) else {
                            continue;
                        };
                        let relation = aliases.get(column.alias.as_str()).copied();
                        let column = relation.and_then(|r| Some(r.column(&column.column)?.1));
                        let operator = operator(comparison.operator, is_turned);
                        let (Some(column), Some(operator)) = (column, operator) else {
                            continue;
                        };
                        for (turn, number) in
                            script::parameter_numbers(value).into_iter().enumerate()
                        {
                            uses.entry(number).or_insert(Use {
                                column,
                                operator,
                                turn,
                            });
                        }
                    }
                }
            }
        }
    }
    uses
}

fn operator(text: &str, is_turned: bool) -> Option<Operator> {
    match (text, is_turned) {
        ("=", _) => Some(Operator::Equal),
        (">" | ">=", false) | ("<" | "<=", true) => Some(Operator::Above),
        ("<" | "<=", false) | (">" | ">=", true) => Some(Operator::Below),
        ("~~" | "~~*", false) => Some(Operator::Like),
        _ => None,
    }
}

/// A value from the middle of what is known of the column.
fn typical(of: &Use<'_>, all: &BTreeMap<usize, Use<'_>>) -> Option<String> {
    let other_end = |wanted: Operator| {
        let mut others = all.values();
        others.any(|other| other.operator == wanted && other.column.name == of.column.name)
    };
    match of.operator {
        Operator::Equal => common(of.column, of.turn),
        Operator::Above if other_end(Operator::Below) => at(of.column, CLOSED.0),
        Operator::Above => at(of.column, LATE),
        Operator::Below if other_end(Operator::Above) => at(of.column, CLOSED.1),
        Operator::Below => at(of.column, EARLY),
        // Most programs search for a part; a fixed beginning would promise too much.
        Operator::Like => Some("%abc%".to_owned()),
    }
}

/// The value of a row picked by chance: a common one where most rows have one, else one in between.
fn common(column: &Column, turn: usize) -> Option<String> {
    let shares: f64 = column.common.iter().map(|(_, share)| share).sum();
    let is_common = shares >= 0.5 * (1.0 - column.null_share) || column.bounds.is_empty();
    if is_common && !column.common.is_empty() {
        let mut so_far = 0.0;
        let middle = column.common.iter().position(|(_, share)| {
            so_far += share;
            so_far >= shares / 2.0
        });
        let place = (middle.unwrap_or(0) + turn) % column.common.len();
        return column.common.get(place).map(|(value, _)| value.clone());
    }
    let places = column.bounds.len();
    let place = (places / 2 + turn).checked_rem(places)?;
    column.bounds.get(place).cloned()
}

/// The value at a share of the column's order.
fn at(column: &Column, share: f64) -> Option<String> {
    let Some(last) = column.bounds.len().checked_sub(1) else {
        return common(column, 0);
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    let place = (last as f64 * share).round() as usize;
    column.bounds.get(place).cloned()
}

/// Something of a type about whose use nothing is known, bare and as a literal.
fn of_its_type(of_type: &str) -> (Option<&'static str>, String) {
    let bare = of_type.split('(').next().unwrap_or(of_type).trim();
    let value = match bare {
        _ if bare.ends_with("[]") => "{}",
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => "1",
        "boolean" => "true",
        _ if bare.starts_with("timestamp") => "now",
        "date" => "now",
        "json" | "jsonb" => "{}",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        "interval" => "1 day",
        "text" | "character varying" | "character" | "name" => "abc",
        _ => return (None, format!("NULL::{of_type}")),
    };
    (Some(value), format!("'{value}'::{of_type}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::plan::Role;

    fn relation() -> Relation {
        let column = |name: &str| Column {
            name: name.to_owned(),
            ..Column::default()
        };
        let mut status = column("status");
        status.common = vec![("new".to_owned(), 0.6), ("old".to_owned(), 0.4)];
        let mut at = column("at");
        at.bounds = (0..=10).map(|n| format!("2024-01-{:02}", n + 1)).collect();
        Relation {
            schema: "public".to_owned(),
            name: "lead".to_owned(),
            columns: vec![status, at, column("id")],
            ..Relation::default()
        }
    }

    fn filled(text: &str, types: &[&str], filter: &str) -> String {
        let plan = PlanNode {
            relation: Some(("public".to_owned(), "lead".to_owned())),
            alias: Some("l".to_owned()),
            conditions: vec![(Role::Filter, filter.to_owned())],
            ..PlanNode::default()
        };
        let types: Vec<String> = types.iter().map(|t| (*t).to_owned()).collect();
        fill(text, &types, Some(&plan), &[relation()]).0
    }

    #[test]
    fn a_parameter_gets_a_value_of_the_column_that_it_is_compared_with() {
        let text = filled(
            "select * from lead l where status = $1 and at >= $2 limit $3 offset $4",
            &["text", "date", "bigint", "bigint"],
            "((l.status = $1) AND (l.at >= $2))",
        );
        assert_eq!(
            text,
            "select * from lead l where status = 'new'::text and at >= '2024-01-09'::date limit \
             '20'::bigint offset '0'::bigint"
        );
    }

    #[test]
    fn both_ends_of_a_range_lie_in_its_middle_and_lists_differ() {
        let text = filled(
            "… at between $1 and $2 and status in ($3, $4)",
            &["date", "date", "text", "text"],
            "((l.at >= $1) AND (l.at <= $2) AND (l.status = ANY (ARRAY[$3, $4])))",
        );
        let want = "… at between '2024-01-06'::date and '2024-01-07'::date and status in \
                    ('new'::text, 'old'::text)";
        assert_eq!(text, want);
    }

    #[test]
    fn what_nothing_is_known_of_gets_a_value_of_its_type() {
        let types = ["integer", "text[]", "box", "timestamp(3) without time zone"];
        let text = filled("$1 $2 $3 $4", &types, "true");
        assert_eq!(
            text,
            "'1'::integer '{}'::text[] NULL::box 'now'::timestamp(3) without time zone"
        );
    }
}
