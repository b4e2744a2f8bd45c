//! Values for the parameters of a statement whose own values nobody gave.
//!
//! A parameter that is compared with a column takes one of the column's values: its most common one
//! for `=`, the middle of its histogram for `<` and the like, since that is what a statement mostly
//! meets. `LIMIT` takes a page, `OFFSET` nothing. What is left takes a plain value of its type.

use crate::advise::clause::{self, ColumnRef, Expression};
use crate::advise::relation::Relation;
use crate::advise::script;
use crate::advise::sql;
use crate::model::explain::Node;

/// What a statement says of its parameters.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// The statement.
    pub text: &'k str,
    /// Its plan for any values, in which `$n` stand.
    pub generic: &'k Node,
    /// Type of each parameter, as the server writes it.
    pub types: &'k [String],
    /// The tables in the plan.
    pub relations: &'k [Relation],
}

/// Rows of a page, where a parameter says how many.
const PAGE: &str = "20";

/// A value for each parameter, as text without quotes; `None` where none is known.
pub fn values(known: &Known<'_>) -> Vec<Option<String>> {
    let compared = compared(known.generic);
    let limits = script::parameters_after(known.text, &["limit", "first", "next"]);
    let offsets = script::parameters_after(known.text, &["offset"]);
    let all = known.types.iter().enumerate();
    all.map(|(place, type_name)| {
        let number = place + 1;
        if limits.contains(&number) {
            return Some(PAGE.to_owned());
        }
        if offsets.contains(&number) {
            return Some("0".to_owned());
        }
        let mut uses = compared.iter().filter(|(n, ..)| *n == number);
        uses.find_map(|(_, column, how)| of_column(known, column, *how, type_name))
            .or_else(|| plain(type_name))
    })
    .collect()
}

/// As [`values`], but null for each parameter that is compared with no column: it fits everywhere.
pub fn compared_only(known: &Known<'_>) -> Vec<Option<String>> {
    let compared = compared(known.generic);
    let paged = script::parameters_after(known.text, &["limit", "first", "next", "offset"]);
    let all = values(known).into_iter().enumerate();
    all.map(|(place, value)| {
        let number = place + 1;
        let is_used = paged.contains(&number) || compared.iter().any(|(n, ..)| *n == number);
        value.filter(|_| is_used)
    })
    .collect()
}

/// The statement with these values in place of its parameters, each cast to its type.
pub fn filled(text: &str, types: &[String], values: &[Option<String>]) -> String {
    script::with_values(text, |number| {
        let place = number.checked_sub(1)?;
        let type_name = types.get(place)?;
        let value = values.get(place)?;
        let shown = value.as_deref().map_or("NULL".to_owned(), sql::literal);
        Some(format!("({shown}::{type_name})"))
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Equal,
    /// One of an array.
    Any,
    Ordered,
    Pattern,
}

/// Which parameter is compared with which column, and how.
fn compared(plan: &Node) -> Vec<(usize, ColumnRef, How)> {
    let mut found = Vec::new();
    for node in plan.nodes() {
        for condition in &node.conditions {
            walk(&clause::read(&condition.text), &mut found);
        }
    }
    found
}

fn walk(expression: &Expression, found: &mut Vec<(usize, ColumnRef, How)>) {
    match expression {
        Expression::And(parts) | Expression::Or(parts) => {
            for part in parts {
                walk(part, found);
            }
        }
        Expression::Not(of) => walk(of, found),
        Expression::Compare {
            operator,
            left,
            right,
            any,
        } => {
            let how = match operator.as_str() {
                "=" | "<>" if *any => How::Any,
                "=" | "<>" => How::Equal,
                "~~" | "~~*" | "!~~" | "!~~*" => How::Pattern,
                _ => How::Ordered,
            };
            for (one, other) in [(left, right), (right, left)] {
                if let (Expression::Parameter(name), [column, ..]) =
                    (&**one, other.columns().as_slice())
                    && let Some(number) = name.strip_prefix('$').and_then(|n| n.parse().ok())
                {
                    found.push((number, (*column).clone(), how));
                }
            }
        }
        _ => {}
    }
}

fn of_column(known: &Known<'_>, column: &ColumnRef, how: How, type_name: &str) -> Option<String> {
    let nodes = known.generic.nodes();
    let of_alias = nodes
        .iter()
        .find(|node| node.relation.is_some() && node.alias.as_ref() == Some(&column.alias))?;
    let relation = known.relations.iter().find(|relation| {
        Some(&relation.name) == of_alias.relation.as_ref()
            && Some(&relation.schema) == of_alias.schema.as_ref()
    })?;
    let (_, column) = relation.column(&column.column)?;
    if how == How::Pattern {
        // Most programs search for a part; a fixed beginning would promise too much.
        return Some("%abc%".to_owned());
    }
    let common = || column.common.first().map(|(value, _)| value.clone());
    let middle = || column.bounds.get(column.bounds.len() / 2).cloned();
    let value = match how {
        How::Equal | How::Any => common().or_else(middle),
        How::Ordered | How::Pattern => middle().or_else(common),
    }?;
    match how {
        How::Any if type_name.ends_with("[]") => Some(array(&[Some(value)])),
        _ => Some(value),
    }
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

/// A value that a type has, where nothing is known but the type.
fn plain(type_name: &str) -> Option<String> {
    let value = match type_name {
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" | "oid" => "1",
        "boolean" => "true",
        "text" | "character varying" | "character" | "name" | "bpchar" => "a",
        "date" | "timestamp without time zone" | "timestamp with time zone" => "2020-01-01",
        "interval" => "1 day",
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "json" | "jsonb" => "{}",
        other if other.ends_with("[]") => "{}",
        _ => return None,
    };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::relation::Column;
    use crate::model::explain::Condition;

    fn plan(filter: &str) -> Node {
        Node {
            node_type: "Seq Scan".to_owned(),
            relation: Some("lead".to_owned()),
            schema: Some("public".to_owned()),
            alias: Some("l".to_owned()),
            conditions: vec![Condition {
                kind: "Filter".to_owned(),
                text: filter.to_owned(),
            }],
            ..Node::default()
        }
    }

    fn lead() -> Relation {
        let column = |name: &str, common: &[&str], bounds: &[&str]| Column {
            name: name.to_owned(),
            common: common.iter().map(|v| ((*v).to_owned(), 0.1)).collect(),
            bounds: bounds.iter().map(|v| (*v).to_owned()).collect(),
            ..Column::default()
        };
        Relation {
            schema: "public".to_owned(),
            name: "lead".to_owned(),
            columns: vec![
                column("status", &["NEW", "OLD"], &[]),
                column("score", &["7"], &["0", "40", "90"]),
                column("name", &[], &["Ann", "O'Neil\\x", "Zoe"]),
            ],
            ..Relation::default()
        }
    }

    fn sampled(text: &str, filter: &str, types: &[&str]) -> Vec<Option<String>> {
        let types: Vec<String> = types.iter().map(|t| (*t).to_owned()).collect();
        values(&Known {
            text,
            generic: &plan(filter),
            types: &types,
            relations: &[lead()],
        })
    }

    #[test]
    fn a_parameter_takes_a_value_of_the_column_it_is_compared_with() {
        let found = sampled(
            "select from lead l where status = $1 and score >= $2 and name like $3 limit $4 offset $5",
            "((l.status = $1) AND ($2 <= l.score) AND ((l.name)::text ~~ $3))",
            &["text", "integer", "text", "bigint", "bigint"],
        );
        let want = ["NEW", "40", "%abc%", "20", "0"].map(|v| Some(v.to_owned()));
        assert_eq!(found, want);
    }

    #[test]
    fn arrays_and_what_is_compared_with_nothing_have_values_of_their_types() {
        let found = sampled(
            "select $2, $3 from lead l where status = any($1)",
            "(l.status = ANY ($1))",
            &["text[]", "jsonb", "box"],
        );
        assert_eq!(
            found,
            [Some("{\"NEW\"}".to_owned()), Some("{}".to_owned()), None]
        );
    }

    #[test]
    fn values_are_quoted_and_cast() {
        let types = ["text".to_owned(), "integer".to_owned()];
        let values = [Some("it's".to_owned()), None];
        assert_eq!(
            filled("select $1, $2, '$1'", &types, &values),
            "select ('it''s'::text), (NULL::integer), '$1'"
        );
    }
}
