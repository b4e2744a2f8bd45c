//! Conditions that keep an index from being used, by the way they are written.

use super::text::{self, Comparison};
use super::{LITTLE, Subject, count, leading, rows, say, share_below, shown};
use crate::advise::clause::{self, ColumnRef, Expression};
use crate::advise::relation::{Column, Relation};
use crate::model::explain::{Node, Recommendation, RecommendationKind};

/// Share of a table from which on it is read whole anyway.
const MOST: f64 = 0.3;

pub(super) fn rules(subject: &Subject<'_>) -> Vec<Recommendation> {
    let mut found = Vec::new();
    for node in subject.nodes() {
        let Some(relation) = subject.relation(node) else {
            continue;
        };
        let share = share_below(node);
        let is_selective = rows(node) <= MOST * subject.rows_read(node);
        if share < LITTLE || !Subject::is_large(relation) || !is_selective {
            continue;
        }
        let scan = Scan {
            subject,
            node,
            relation,
            share,
        };
        if let Some(filter) = node.condition("Filter") {
            found.extend(scan.filter(filter));
        }
    }
    found
}

/// A scan of a large table whose filter lets few rows through.
struct Scan<'s> {
    subject: &'s Subject<'s>,
    node: &'s Node,
    relation: &'s Relation,
    share: f64,
}

impl Scan<'_> {
    fn filter(&self, filter: &str) -> Vec<Recommendation> {
        let mut found = Vec::new();
        let mut patterns: Vec<String> = Vec::new();
        for conjunct in text::conjuncts(filter) {
            let arms = text::disjuncts(conjunct);
            if arms.len() > 1 {
                found.extend(self.arms(&arms, &mut patterns));
                continue;
            }
            if let Some(comparison) = text::comparison(conjunct) {
                self.pattern(&comparison, &mut patterns);
                found.extend(self.expression(&comparison));
            }
        }
        found.extend(self.wildcards(&patterns));
        found
    }

    /// The column, if it is one of this scan's table.
    fn own(&self, column: &ColumnRef) -> Option<&Column> {
        if self.node.alias.as_deref() != Some(column.alias.as_str()) {
            return None;
        }
        Some(self.relation.column(&column.column)?.1)
    }

    /// The only column of an expression.
    fn only(&self, expression: &Expression) -> Option<&Column> {
        let columns = expression.columns();
        let first = columns.first()?;
        let same = columns.iter().all(|column| *column == *first);
        if same { self.own(first) } else { None }
    }

    /// `OR` over several columns: one index cannot answer it.
    fn arms(&self, arms: &[&str], patterns: &mut Vec<String>) -> Option<Recommendation> {
        let mut columns: Vec<&Column> = Vec::new();
        let mut open = 0;
        for arm in arms {
            for part in text::conjuncts(arm) {
                let comparison = text::comparison(part)?;
                let before = patterns.len();
                self.pattern(&comparison, patterns);
                open += usize::from(patterns.len() > before);
            }
            let column = self.only(&clause::read(arm))?;
            if !columns.iter().any(|known| known.name == column.name) {
                columns.push(column);
            }
        }
        if columns.len() < 2 || open > 0 || self.node.node_type != "Seq Scan" {
            return None;
        }
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let missing: Vec<String> = columns
            .iter()
            .filter(|column| leading(self.relation, &column.name).is_none())
            .map(|column| {
                format!(
                    "CREATE INDEX CONCURRENTLY ON {} ({});",
                    self.relation.quoted, column.quoted
                )
            })
            .collect();
        let description = format!(
            "OR over {} of {}: no single index finds both, and all {} rows are read",
            names.join(" and "),
            self.relation.name,
            count(self.subject.rows_read(self.node))
        );
        let rewrite = if missing.is_empty() {
            "write one SELECT for each arm and join them by UNION; each can then use its index"
                .to_owned()
        } else {
            format!(
                "{} and the server reads both in one bitmap; or write one SELECT for each arm and \
                 join them by UNION",
                missing.join(" ")
            )
        };
        let mut one = say(
            RecommendationKind::Rewrite,
            "or-across-columns",
            self.share,
            description,
            Some(rewrite),
        );
        one.columns = columns.iter().map(|c| shown(self.relation, c)).collect();
        Some(one)
    }

    /// Notes a column, or an expression over one, that is searched for a part of it.
    fn pattern(&self, comparison: &Comparison<'_>, patterns: &mut Vec<String>) {
        let operator = comparison.operator.trim_start_matches('!');
        let open = match operator {
            "~~" => pattern_start(comparison.right).is_some_and(|c| c == '%' || c == '_'),
            "~~*" | "~*" => true,
            "~" => pattern_start(comparison.right).is_some_and(|c| c != '^'),
            _ => false,
        };
        let left = clause::read(comparison.left);
        let Some(column) = self.only(&left).filter(|_| open) else {
            return;
        };
        let key = match left {
            Expression::Column { .. } => column.quoted.clone(),
            _ => format!("({})", self.bare(comparison.left)),
        };
        if !patterns.contains(&key) {
            patterns.push(key);
        }
    }

    fn wildcards(&self, keys: &[String]) -> Option<Recommendation> {
        if keys.is_empty() || self.node.node_type != "Seq Scan" {
            return None;
        }
        let description = format!(
            "{} of {} {} searched by a pattern that no B-tree can follow, so all {} rows are read",
            keys.join(", "),
            self.relation.name,
            if keys.len() == 1 { "is" } else { "are" },
            count(self.subject.rows_read(self.node))
        );
        let classes: Vec<String> = keys.iter().map(|k| format!("{k} gin_trgm_ops")).collect();
        let ddl = format!(
            "CREATE EXTENSION IF NOT EXISTS pg_trgm; CREATE INDEX CONCURRENTLY ON {} USING gin ({});",
            self.relation.quoted,
            classes.join(", ")
        );
        let mut one = say(
            RecommendationKind::Index,
            "leading-wildcard",
            self.share,
            description,
            Some(ddl),
        );
        one.columns = keys
            .iter()
            .map(|key| format!("{}.{}", self.relation.name, key.trim_matches('"')))
            .collect();
        Some(one)
    }

    /// A function or a cast around a column that is compared with a value.
    fn expression(&self, comparison: &Comparison<'_>) -> Option<Recommendation> {
        const OPERATORS: [&str; 5] = ["=", "<", ">", "<=", ">="];
        if !OPERATORS.contains(&comparison.operator) {
            return None;
        }
        let (left, right) = (
            clause::read(comparison.left),
            clause::read(comparison.right),
        );
        if !right.columns().is_empty() || comparison.left.contains("SubPlan") {
            return None;
        }
        let column = self.only(&left)?;
        let index = leading(self.relation, &column.name);
        let blocked = match index {
            Some(index) => format!(", so {index} cannot be used"),
            None => ", so no index on the column can be used".to_owned(),
        };
        let (rule, kind, description, how) = match &left {
            Expression::Column { cast: None, .. } => return None,
            Expression::Column {
                cast: Some(cast), ..
            } => {
                if is_same(&column.type_name, cast) {
                    return None;
                }
                let description = format!(
                    "{}.{} is {} and is compared as {cast}{blocked}",
                    self.relation.name, column.name, column.type_name
                );
                let how = cast_cure(column, cast, comparison.operator);
                (
                    "cast-on-column",
                    RecommendationKind::Rewrite,
                    description,
                    how,
                )
            }
            _ => {
                let bare = self.bare(comparison.left);
                let description = format!(
                    "{bare} of {} is compared, not {} itself{blocked}",
                    self.relation.name, column.name
                );
                let ddl = format!(
                    "CREATE INDEX CONCURRENTLY ON {} (({bare}));",
                    self.relation.quoted
                );
                let how = match rewritten(&bare, column) {
                    Some(rewrite) => format!("{rewrite}; or {ddl}"),
                    None => ddl,
                };
                (
                    "function-on-column",
                    RecommendationKind::Index,
                    description,
                    how,
                )
            }
        };
        let mut one = say(kind, rule, self.share, description, Some(how));
        one.columns = vec![shown(self.relation, column)];
        Some(one)
    }

    fn bare(&self, text: &str) -> String {
        let alias = self.node.alias.as_deref().unwrap_or("");
        text::without_alias(text, alias)
    }
}

/// The first sign of a pattern that is written out.
fn pattern_start(right: &str) -> Option<char> {
    right
        .trim_start_matches(['E', 'e'])
        .strip_prefix('\'')?
        .chars()
        .next()
}

/// A type without its length: `character varying(25)` is `character varying`.
fn plain_type(name: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    for c in name.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Types that an index does not tell apart.
fn is_same(of_column: &str, cast: &str) -> bool {
    let (column, cast) = (plain_type(of_column), plain_type(cast));
    let family = |name: &str| match name {
        "text" | "character varying" | "varchar" => "text".to_owned(),
        "character" | "bpchar" => "bpchar".to_owned(),
        "cidr" | "inet" => "inet".to_owned(),
        other => other.to_owned(),
    };
    family(&column) == family(&cast)
}

fn cast_cure(column: &Column, cast: &str, operator: &str) -> String {
    let is_time = column.type_name.starts_with("timestamp");
    if is_time && cast == "date" && operator == "=" {
        return format!(
            "write a range: {0} >= day AND {0} < day + interval '1 day'",
            column.quoted
        );
    }
    format!(
        "cast the value, not the column: {} {operator} value::{}",
        column.quoted, column.type_name
    )
}

/// How the comparison could be written with the column alone on its side.
fn rewritten(expression: &str, column: &Column) -> Option<String> {
    let name = &column.quoted;
    if expression.starts_with("date_trunc(") {
        return Some(format!(
            "write a range: {name} >= start AND {name} < start + interval '1 day' (or the unit \
             that is cut to)"
        ));
    }
    if expression.starts_with("EXTRACT(") || expression.starts_with("date_part(") {
        return Some(format!("write a range of {name} instead of a part of it"));
    }
    if expression.starts_with("COALESCE(") {
        return Some(format!("write ({name} = value OR {name} IS NULL)"));
    }
    let outer = text::comparison(expression)?;
    let is_sum = ["+", "-", "*", "/"].contains(&outer.operator) && outer.left == name.as_str();
    is_sum.then(|| format!("put the arithmetic on the value's side, {name} alone on its own"))
}
