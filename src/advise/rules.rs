//! Indexes that might help and that nobody can plan hypothetically.
//!
//! For: GIN for arrays, documents and words, trigrams for patterns without a fixed beginning,
//! expressions, BRIN for large tables in the order of a column. Not for: anything that a what-if can
//! cost (`candidates`). Each is marked as not costed, and says what to look at before building it.
//!
//! Source: PostgreSQL 18 manual, sections 65.4 (GIN), 65.5 (BRIN), 11.7 (Indexes on Expressions) and
//! F.35 (`pg_trgm`).

use super::clause::{self, Comparison, Expression};
use super::relation::{Column, Relation};
use super::sql;
use super::workload::Statement;
use crate::model::advice::NotCosted;
use crate::model::plan::{PlanNode, Role};

/// Pages below which a table is read as fast as any index.
const SMALL: f64 = 100.0;
/// Pages from which the few pages of a BRIN index are worth having: 128 MB.
const LARGE: f64 = 16_384.0;
/// How closely rows must lie in the order of a column for BRIN.
const IN_ORDER: f64 = 0.95;
/// Share of a table above which reading it whole is right.
const FEW: f64 = 0.2;
/// Most proposals.
const MAX: usize = 50;

/// Proposals for statements that read tables whole, each index once.
pub fn propose(
    statements: &[Statement],
    plans: &[PlanNode],
    relations: &[Relation],
) -> Vec<NotCosted> {
    let mut found: Vec<NotCosted> = Vec::new();
    for (statement, plan) in statements.iter().zip(plans) {
        for node in plan.nodes() {
            let Some((schema, name)) = &node.relation else {
                continue;
            };
            let relation = relations
                .iter()
                .find(|r| r.schema == *schema && r.name == *name);
            let (Some(relation), Some(alias)) = (relation, &node.alias) else {
                continue;
            };
            let reads_much = relation.pages >= SMALL && node.rows <= FEW * relation.rows;
            if !reads_much || !node.kind.ends_with("Scan") {
                continue;
            }
            for (role, text) in &node.conditions {
                if *role != Role::Filter {
                    continue;
                }
                let on = On {
                    relation,
                    alias,
                    is_whole: node.kind == "Seq Scan",
                };
                for (ddl, reason) in on.proposals(text) {
                    if found.len() < MAX && !found.iter().any(|known| known.ddl == ddl) {
                        found.push(NotCosted {
                            ddl,
                            table: format!("{}.{}", relation.schema, relation.name),
                            statement: statement.name.clone(),
                            reason,
                        });
                    }
                }
            }
        }
    }
    found
}

/// A scan of a table.
struct On<'a> {
    relation: &'a Relation,
    alias: &'a str,
    is_whole: bool,
}

impl On<'_> {
    fn proposals(&self, condition: &str) -> Vec<(String, String)> {
        let mut texts = vec![condition.to_owned()];
        // Each arm of an OR needs its index, and then all of them together answer it.
        if let Expression::Or(_) = clause::read(condition) {
            texts = clause::arms(condition)
                .into_iter()
                .map(str::to_owned)
                .collect();
        }
        texts
            .iter()
            .flat_map(|text| clause::comparisons(text))
            .filter_map(|comparison| self.of(&comparison))
            .filter(|(ddl, _)| !self.is_there(ddl))
            .collect()
    }

    fn of(&self, comparison: &Comparison<'_>) -> Option<(String, String)> {
        let left = clause::read(comparison.left);
        let right = clause::read(comparison.right);
        let is_ours = |e: &Expression| {
            let columns = e.columns();
            !columns.is_empty() && columns.iter().all(|c| c.alias == self.alias)
        };
        if !is_ours(&left) || !right.columns().is_empty() {
            return None;
        }
        let column = match &left {
            Expression::Column { column, .. } => Some(self.relation.column(&column.column)?.1),
            _ => None,
        };
        match (comparison.operator, column) {
            ("~~" | "~~*" | "~" | "~*", _) if is_open(comparison, &right) => {
                self.trigram(comparison, column)
            }
            ("@>" | "<@" | "&&" | "?" | "?|" | "?&" | "@@", Some(column)) if column.has_gin => {
                Some(self.gin(column, comparison.operator))
            }
            ("=" | "<" | ">" | "<=" | ">=", None) => self.expression(comparison.left),
            ("<" | ">" | "<=" | ">=", Some(column)) => self.brin(column),
            _ => None,
        }
    }

    fn trigram(
        &self,
        comparison: &Comparison<'_>,
        column: Option<&Column>,
    ) -> Option<(String, String)> {
        let key = match column {
            Some(column) => column.quoted.clone(),
            None => format!("({})", self.without_alias(comparison.left)?),
        };
        let ddl = format!(
            "CREATE INDEX CONCURRENTLY ON {} USING gin ({key} gin_trgm_ops)",
            self.relation.quoted
        );
        let reason = "a pattern without a fixed beginning is found by trigrams; needs the extension \
                      pg_trgm, and pays for words of three letters or more";
        Some((ddl, reason.to_owned()))
    }

    fn gin(&self, column: &Column, operator: &str) -> (String, String) {
        let ddl = format!(
            "CREATE INDEX CONCURRENTLY ON {} USING gin ({})",
            self.relation.quoted, column.quoted
        );
        let reason = format!(
            "{operator} is answered by GIN; it makes writes to {} dearer, so look at how often that \
             is written",
            column.name
        );
        (ddl, reason)
    }

    fn expression(&self, left: &str) -> Option<(String, String)> {
        // Only what is computed from a row alone, and not a part of the plan.
        if left.contains("SubPlan") || left.contains('$') {
            return None;
        }
        let bare = self.without_alias(left)?;
        let ddl = format!(
            "CREATE INDEX CONCURRENTLY ON {} (({bare}))",
            self.relation.quoted
        );
        let reason = "an index on the expression finds what an index on its column cannot; it is \
                      taken only if every function in it is immutable";
        Some((ddl, reason.to_owned()))
    }

    fn brin(&self, column: &Column) -> Option<(String, String)> {
        let relation = self.relation;
        let leads = relation.indexes.iter().any(|index| {
            let lead = index.keys.first().copied().flatten();
            lead.and_then(|lead| relation.columns.get(lead))
                .is_some_and(|lead| lead.name == column.name)
        });
        let fits = self.is_whole
            && !leads
            && relation.pages >= LARGE
            && column.correlation.abs() >= IN_ORDER;
        fits.then(|| {
            let ddl = format!(
                "CREATE INDEX CONCURRENTLY ON {} USING brin ({})",
                relation.quoted, column.quoted
            );
            let reason = format!(
                "rows lie in the order of {}, so a few kB say which pages a range can be on; a \
                 B-tree is faster and takes thousands of times more",
                column.name
            );
            (ddl, reason)
        })
    }

    /// The text with the alias taken off its columns; `None` where that cannot be done surely.
    fn without_alias(&self, text: &str) -> Option<String> {
        let mut bare = text.to_owned();
        for prefix in [
            format!("{}.", self.alias),
            format!("{}.", sql::name(self.alias)),
        ] {
            bare = clause::without_qualifier(&bare, &prefix);
        }
        (!bare.is_empty()).then_some(bare)
    }

    /// Whether an index of that method on that column or expression is there.
    fn is_there(&self, ddl: &str) -> bool {
        let Some((_, body)) = ddl.split_once(&format!(" ON {} ", self.relation.quoted)) else {
            return false;
        };
        let (method, keys) = match body.strip_prefix("USING ") {
            Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            None => ("btree", body),
        };
        let plain = |text: &str| -> String {
            text.chars()
                .filter(|c| !c.is_whitespace() && !"()".contains(*c))
                .collect()
        };
        self.relation.indexes.iter().any(|index| {
            let lead = index.key_texts.first().map(|key| plain(key));
            index.method == method && lead.is_some_and(|lead| plain(keys).starts_with(&lead))
        })
    }
}

/// A pattern that no B-tree can serve: no fixed beginning, no case, or a regular expression.
fn is_open(comparison: &Comparison<'_>, right: &Expression) -> bool {
    let Expression::Constant(pattern) = right else {
        return false;
    };
    let inside = pattern.trim_start_matches(['E', '\'', '{', '"']);
    let letters = inside.chars().take_while(|c| *c != '\'');
    let has_word = letters.filter(|c| c.is_alphanumeric()).count() >= 3;
    has_word
        && match comparison.operator {
            "~~" => inside.starts_with(['%', '_']),
            "~" => !inside.starts_with('^'),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::relation::Existing;

    fn table() -> Relation {
        let column = |name: &str| Column {
            name: name.to_owned(),
            quoted: sql::name(name),
            ..Column::default()
        };
        let mut tags = column("tags");
        tags.has_gin = true;
        let mut at = column("at");
        at.correlation = 0.99;
        Relation {
            schema: "public".to_owned(),
            name: "lead".to_owned(),
            quoted: "public.lead".to_owned(),
            rows: 1e6,
            pages: 20_000.0,
            columns: vec![column("firstName"), column("data"), tags, at],
            ..Relation::default()
        }
    }

    fn proposed(filter: &str, relation: &Relation) -> Vec<String> {
        let plan = PlanNode {
            kind: "Seq Scan".to_owned(),
            relation: Some(("public".to_owned(), "lead".to_owned())),
            alias: Some("l".to_owned()),
            rows: 10.0,
            conditions: vec![(Role::Filter, filter.to_owned())],
            ..PlanNode::default()
        };
        let statement = Statement {
            name: "s".to_owned(),
            text: String::new(),
            calls: 1.0,
            mean_ms: None,
            made_up: Vec::new(),
        };
        let found = propose(&[statement], &[plan], std::slice::from_ref(relation));
        found
            .into_iter()
            .map(|proposal| {
                proposal
                    .ddl
                    .replace("CREATE INDEX CONCURRENTLY ON public.lead ", "")
            })
            .collect()
    }

    #[test]
    fn each_kind_of_search_gets_its_kind_of_index() {
        let table = table();
        for (filter, want) in [
            (
                "((l.\"firstName\" ~~* '%ann%'::text) OR (l.data ~~ '%bob%'::text))",
                vec![
                    "USING gin (\"firstName\" gin_trgm_ops)",
                    "USING gin (\"data\" gin_trgm_ops)",
                ],
            ),
            ("(l.\"firstName\" ~~ 'ann%'::text)", vec![]),
            ("(l.tags @> '{a}'::text[])", vec!["USING gin (\"tags\")"]),
            ("(l.data @> '{}'::jsonb)", vec![]),
            (
                "((l.data ->> 'k'::text) = 'v'::text)",
                vec!["((data ->> 'k'::text))"],
            ),
            (
                "(lower(l.\"firstName\") = 'ann'::text)",
                vec!["((lower(\"firstName\")))"],
            ),
            ("(l.at >= '2024-01-01'::date)", vec!["USING brin (\"at\")"]),
            ("(l.x = (SubPlan 1))", vec![]),
        ] {
            assert_eq!(proposed(filter, &table), want, "{filter}");
        }
    }

    #[test]
    fn small_tables_and_what_is_there_stay_silent() {
        let filter = "((l.tags @> '{a}'::text[]) AND ((l.data ->> 'k'::text) = 'v'::text))";
        let mut small = table();
        small.pages = 30.0;
        assert!(proposed(filter, &small).is_empty());
        let mut there = table();
        there.indexes = vec![
            Existing {
                method: "gin".to_owned(),
                key_texts: vec!["\"tags\"".to_owned()],
                ..Existing::default()
            },
            Existing {
                method: "btree".to_owned(),
                key_texts: vec!["(data ->> 'k'::text)".to_owned()],
                ..Existing::default()
            },
        ];
        assert!(proposed(filter, &there).is_empty());
    }
}
