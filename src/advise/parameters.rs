//! Values for the parameters of a normalised statement, such as `pg_stat_statements` keeps.
//!
//! For: a text that can be planned where only `$1` is known. Not for: what the parameters really were:
//! nobody kept that. So each gets a value that a row picked by chance would have: where it is compared
//! with a column, one from the middle of that column's statistics; else one of its type.
//!
//! Read [`values`] first.

use std::collections::BTreeMap;

use super::clause::{self, Expression};
use super::relation::{Column, Relation};
use super::{script, sql};
use crate::model::explain::Node;
use crate::model::plan::PlanNode;

/// Rows that a `LIMIT $1` is taken to ask for: a page of a list.
const PAGE: &str = "20";
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

/// What a plan in which `$n` stand says of them: its conditions, and the tables that its aliases name.
#[derive(Debug, Default)]
pub struct Seen<'s> {
    conditions: Vec<&'s str>,
    aliases: BTreeMap<&'s str, &'s Relation>,
}

impl<'s> Seen<'s> {
    /// What a plan as the planner gives it says.
    pub fn in_plan(plan: &'s PlanNode, relations: &'s [Relation]) -> Self {
        let mut seen = Self::default();
        for node in plan.nodes() {
            let relation = node.relation.as_ref();
            let relation = relation.map(|(schema, name)| (schema.as_str(), name.as_str()));
            seen.take(relation, node.alias.as_deref(), relations);
            let conditions = node.conditions.iter();
            seen.conditions
                .extend(conditions.map(|(_, text)| text.as_str()));
        }
        seen
    }

    /// What a plan that is shown says.
    pub fn in_shown(plan: &'s Node, relations: &'s [Relation]) -> Self {
        let mut seen = Self::default();
        for node in plan.nodes() {
            let relation = node.schema.as_deref().zip(node.relation.as_deref());
            seen.take(relation, node.alias.as_deref(), relations);
            let conditions = node.conditions.iter();
            seen.conditions
                .extend(conditions.map(|one| one.text.as_str()));
        }
        seen
    }

    fn take(
        &mut self,
        relation: Option<(&str, &str)>,
        alias: Option<&'s str>,
        relations: &'s [Relation],
    ) {
        if let (Some((schema, name)), Some(alias)) = (relation, alias) {
            let mut known = relations.iter();
            let found = known.find(|known| known.schema == schema && known.name == name);
            self.aliases.extend(found.map(|relation| (alias, relation)));
        }
    }

    /// What each parameter is compared with.
    fn uses(&self) -> BTreeMap<usize, Use<'s>> {
        let mut uses: BTreeMap<usize, Use<'s>> = BTreeMap::new();
        let arms = self.conditions.iter().flat_map(|text| clause::arms(text));
        for comparison in arms.flat_map(clause::comparisons) {
            let sides = [
                (comparison.left, comparison.right, false),
                (comparison.right, comparison.left, true),
            ];
            for (column, value, is_turned) in sides {
                let Expression::Column { column, .. } = clause::read(column) else {
                    continue;
                };
                let relation = self.aliases.get(column.alias.as_str()).copied();
                let column = relation.and_then(|r| Some(r.column(&column.column)?.1));
                let operator = operator(comparison.operator, is_turned);
                let (Some(column), Some(operator)) = (column, operator) else {
                    continue;
                };
                for (turn, number) in script::parameter_numbers(value).into_iter().enumerate() {
                    uses.entry(number).or_insert(Use {
                        column,
                        operator,
                        turn,
                    });
                }
            }
        }
        uses
    }
}

/// A value for each parameter, as text without quotes; `None` is null, where nothing is known.
/// `types` are theirs in order, as `format_type` writes them.
pub fn values(text: &str, types: &[String], seen: &Seen<'_>) -> Vec<Option<String>> {
    chosen(text, types, seen, of_its_type)
}

/// As [`values`], but null for each parameter that is compared with no column: it fits everywhere.
pub fn compared_only(text: &str, types: &[String], seen: &Seen<'_>) -> Vec<Option<String>> {
    chosen(text, types, seen, |_| None)
}

fn chosen(
    text: &str,
    types: &[String],
    seen: &Seen<'_>,
    otherwise: fn(&str) -> Option<&'static str>,
) -> Vec<Option<String>> {
    let uses = seen.uses();
    let pages = script::parameters_after(text, &["limit", "first", "next"]);
    let offsets = script::parameters_after(text, &["offset"]);
    let all = types.iter().zip(1..);
    all.map(|(of_type, number)| {
        if pages.contains(&number) {
            return Some(PAGE.to_owned());
        }
        if offsets.contains(&number) {
            return Some("0".to_owned());
        }
        let found = uses.get(&number).and_then(|found| typical(found, &uses));
        match found {
            Some(value) if of_type.ends_with("[]") => Some(array(&[Some(value)])),
            None => otherwise(of_type).map(str::to_owned),
            found => found,
        }
    })
    .collect()
}

/// The statement with these values in place of its parameters, each cast to its type.
pub fn filled(text: &str, types: &[String], values: &[Option<String>]) -> String {
    script::with_values(text, |number| {
        let place = number.checked_sub(1)?;
        let (of_type, value) = (types.get(place)?, values.get(place)?);
        let shown = value.as_deref().map_or("NULL".to_owned(), sql::literal);
        Some(format!("({}::{of_type})", shown.trim_start()))
    })
}

/// An array's text form.
pub fn array(members: &[Option<String>]) -> String {
    let quoted = members.iter().map(|member| match member {
        Some(member) => {
            let escaped = member.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"")
        }
        None => "NULL".to_owned(),
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

fn operator(text: &str, is_turned: bool) -> Option<Operator> {
    match (text, is_turned) {
        ("=" | "<>", _) => Some(Operator::Equal),
        (">" | ">=", false) | ("<" | "<=", true) => Some(Operator::Above),
        ("<" | "<=", false) | (">" | ">=", true) => Some(Operator::Below),
        ("~~" | "~~*" | "!~~" | "!~~*", false) => Some(Operator::Like),
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

/// Something of a type about whose use nothing is known.
fn of_its_type(of_type: &str) -> Option<&'static str> {
    let bare = of_type.split('(').next().unwrap_or(of_type).trim();
    Some(match bare {
        _ if bare.ends_with("[]") => "{}",
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" | "oid" => "1",
        "boolean" => "true",
        _ if bare.starts_with("timestamp") => "now",
        "date" => "now",
        "json" | "jsonb" => "{}",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        "interval" => "1 day",
        "text" | "character varying" | "character" | "bpchar" | "name" => "abc",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::explain::Condition;
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
        let relations = [relation()];
        let values = values(text, &types, &Seen::in_plan(&plan, &relations));
        super::filled(text, &types, &values)
    }

    #[test]
    fn a_parameter_gets_a_value_of_the_column_that_it_is_compared_with() {
        let text = filled(
            "select * from lead l where status <> $1 and at >= $2 and id like $3 limit $4 offset $5",
            &["text", "date", "text", "bigint", "bigint"],
            "((l.status <> $1) AND ($2 <= l.at) AND (l.id ~~ $3))",
        );
        assert_eq!(
            text,
            "select * from lead l where status <> ('new'::text) and at >= ('2024-01-09'::date) and \
             id like ('%abc%'::text) limit ('20'::bigint) offset ('0'::bigint)"
        );
    }

    #[test]
    fn a_plan_that_is_shown_says_the_same() {
        let condition = |text: &str| Condition {
            kind: "Filter".to_owned(),
            text: text.to_owned(),
        };
        let plan = Node {
            relation: Some("lead".to_owned()),
            schema: Some("public".to_owned()),
            alias: Some("l".to_owned()),
            conditions: vec![condition("((l.status = ANY ($1)) AND (l.at < $2))")],
            ..Node::default()
        };
        let types = ["text[]", "date", "jsonb", "box"].map(str::to_owned);
        let relations = [relation()];
        let seen = Seen::in_shown(&plan, &relations);
        let some = |text: &str| Some(text.to_owned());
        let (status, at) = (some("{\"new\"}"), some("2024-01-03"));
        let text = "select $3, $4 from lead l where status = any($1) and at < $2";
        assert_eq!(
            values(text, &types, &seen),
            [status.clone(), at.clone(), some("{}"), None]
        );
        assert_eq!(compared_only(text, &types, &seen), [status, at, None, None]);
    }

    #[test]
    fn both_ends_of_a_range_lie_in_its_middle_and_lists_differ() {
        let text = filled(
            "… at between $1 and $2 and status in ($3, $4)",
            &["date", "date", "text", "text"],
            "((l.at >= $1) AND (l.at <= $2) AND (l.status = ANY (ARRAY[$3, $4])))",
        );
        let want = "… at between ('2024-01-06'::date) and ('2024-01-07'::date) and status in \
                    (('new'::text), ('old'::text))";
        assert_eq!(text, want);
    }

    #[test]
    fn what_nothing_is_known_of_gets_a_value_of_its_type() {
        let types = ["integer", "text[]", "box", "timestamp(3) without time zone"];
        let text = filled("$1 $2 $3 $4", &types, "true");
        assert_eq!(
            text,
            "('1'::integer) ('{}'::text[]) (NULL::box) ('now'::timestamp(3) without time zone)"
        );
    }

    #[test]
    fn values_are_quoted_and_cast() {
        let types = ["text".to_owned(), "integer".to_owned()];
        let values = [Some("it's".to_owned()), None];
        assert_eq!(
            super::filled("select $1, $2, '$1'", &types, &values),
            "select ('it''s'::text), (NULL::integer), '$1'"
        );
        let members = [Some("a\"b\\".to_owned()), None];
        assert_eq!(array(&members), r#"{"a\"b\\",NULL}"#);
    }
}
