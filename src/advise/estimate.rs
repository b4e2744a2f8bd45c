//! What indexes would save where nobody can plan with them: arithmetic over the plan as it is.
//!
//! For: servers without HypoPG. Not for: those that have it: its answers are the planner's own, and
//! these are not (`benches/README.md` has how far they are off).
//!
//! Each use of a table is looked at by itself: reading it through an index in the stead of its scan;
//! looking rows up for each row of the other side of its join; taking its order in the stead of a
//! sort. The best of what a set offers is taken for each use, and the savings of one statement are
//! added up. So what one index makes of another's use is not seen, nor are changed join orders,
//! bitmaps or parallel scans of indexes.
//!
//! Source of the charges: PostgreSQL 18, `costsize.c` (`cost_index`, `index_pages_fetched`) and
//! `selfuncs.c` (`btcostestimate`), with the default settings.

use super::candidates::{self, Candidate, Need};
use super::cost::{Ask, IndexSet, Planned, Planner, PlannerError};
use super::indexes::Case;
use super::relation::Relation;
use super::size;
use crate::model::plan::PlanNode;

const RANDOM_PAGE: f64 = 4.0;
const SEQ_PAGE: f64 = 1.0;
const TUPLE: f64 = 0.01;
const INDEX_TUPLE: f64 = 0.005;
const OPERATOR: f64 = 0.0025;
/// Bytes of a page.
const PAGE: f64 = 8_192.0;
/// `effective_cache_size` in pages: 4 GB.
const CACHE_PAGES: f64 = 524_288.0;

/// Answers from arithmetic.
pub struct Estimator<'c> {
    case: &'c Case,
    /// Bytes and rows of each candidate.
    sizes: Vec<(f64, f64)>,
    /// What each statement's uses of tables cost now.
    uses: Vec<Vec<Use<'c>>>,
}

/// One use of one table in one plan.
struct Use<'c> {
    need: &'c Need,
    relation: &'c Relation,
    /// What the scan costs, times its runs.
    scan: f64,
    /// Runs of the scan.
    runs: f64,
    /// Rows that one run gives on.
    rows: f64,
    /// What its join costs beside the other side, and the rows of that side.
    join: Option<(f64, f64)>,
    /// What a sort above it costs, and the share of rows that a limit lets through.
    sort: Option<(f64, f64)>,
}

impl<'c> Estimator<'c> {
    /// For one case.
    pub fn new(case: &'c Case) -> Self {
        let sizes = case.candidates.iter().map(|candidate| {
            let relation = case.relations.get(candidate.relation);
            relation.map_or((0.0, 1.0), |relation| {
                let size = size::of(candidate, relation);
                (size.bytes as f64, size.rows)
            })
        });
        let plans = case.plans.iter().enumerate();
        Self {
            case,
            sizes: sizes.collect(),
            uses: plans
                .map(|(number, plan)| uses(case, number, plan))
                .collect(),
        }
    }

    fn answer(&self, ask: &Ask) -> Option<Planned> {
        let plan = self.case.plans.get(ask.statement)?;
        let mut used = IndexSet::default();
        let mut saved = 0.0;
        for of in self.uses.get(ask.statement)? {
            let best = ask
                .indexes
                .iter()
                .filter_map(|number| Some((number, self.saving(of, number)?)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((number, saving)) = best.filter(|(_, saving)| *saving > 0.0) {
                used.insert(number);
                saved += saving;
            }
        }
        // Something is always left: what is above the scans.
        let least = plan.total_cost.min(1.0);
        Some(Planned {
            plan: PlanNode {
                total_cost: (plan.total_cost - saved).max(least),
                ..PlanNode::default()
            },
            used,
        })
    }

    /// What one candidate saves in one use; `None` where it serves nothing.
    fn saving(&self, of: &Use<'_>, number: usize) -> Option<f64> {
        let candidate = self.case.candidates.get(number)?;
        if !candidates::may_serve(candidate, of.need) {
            return None;
        }
        let (bytes, rows) = self.sizes.get(number).copied()?;
        let index = Index {
            candidate,
            relation: of.relation,
            need: of.need,
            bytes,
            rows,
        };
        let mut best = of.scan - of.runs * index.read(index.found(of.rows));
        if let Some((cost, outer)) = of.join
            && index.leads_join()
        {
            let each = (index.relation.rows / index.distinct_lead()).clamp(1.0, index.rows);
            best = best.max(cost - outer * (index.read(each) + TUPLE));
        }
        if let Some((cost, share)) = of.sort
            && index.is_in_order()
        {
            let read = index.read(index.found(of.rows));
            best = best.max(of.scan + cost - share * read);
        }
        Some(best)
    }
}

impl Planner for Estimator<'_> {
    fn plan(&self, asks: &[Ask]) -> Result<Vec<Option<Planned>>, PlannerError> {
        Ok(asks.iter().map(|ask| self.answer(ask)).collect())
    }
}

/// A candidate in one use.
struct Index<'i> {
    candidate: &'i Candidate,
    relation: &'i Relation,
    need: &'i Need,
    bytes: f64,
    rows: f64,
}

impl Index<'_> {
    /// Rows that the comparisons find which the key's beginning serves.
    fn found(&self, wanted: f64) -> f64 {
        let mut share = 1.0;
        for key in self.candidate.key_columns() {
            if self.need.equal.contains(&key) {
                share *= self.share_of_equal(key);
            } else if self.need.ranged.contains(&key)
                || self.need.patterns.iter().any(|(column, _)| *column == key)
            {
                // What equality does not explain of the rows found, ranges do, each as much.
                let equals = self.need.equal.iter().map(|c| self.share_of_equal(*c));
                let rest = (wanted / self.relation.rows.max(1.0)) / equals.product::<f64>();
                let ranges = (self.need.ranged.len() + self.need.patterns.len()).max(1);
                share *= rest.clamp(0.0, 1.0).powf(1.0 / ranges as f64);
                break;
            } else {
                break;
            }
        }
        (self.rows * share).clamp(wanted.min(self.rows), self.rows)
    }

    fn share_of_equal(&self, column: usize) -> f64 {
        let column = self.relation.columns.get(column);
        let distinct = column.and_then(|column| column.distinct).unwrap_or(200.0);
        1.0 / distinct.max(1.0)
    }

    fn leads_join(&self) -> bool {
        let lead = self.candidate.key_columns().next();
        lead.is_some_and(|lead| self.need.joined.contains(&lead))
    }

    fn distinct_lead(&self) -> f64 {
        let lead = self.candidate.key_columns().next();
        let column = lead.and_then(|lead| self.relation.columns.get(lead));
        let distinct = column.and_then(|column| column.distinct);
        distinct.unwrap_or(200.0).max(1.0)
    }

    /// Whether rows come in an order that is asked for, behind columns that are compared for equality.
    fn is_in_order(&self) -> bool {
        let keys = &self.candidate.keys;
        let fixed = keys
            .iter()
            .take_while(|key| self.need.equal.contains(&key.column))
            .count();
        let rest = keys.get(fixed..).unwrap_or_default();
        self.need.orders.iter().any(|order| {
            let open: Vec<_> = order
                .iter()
                .filter(|key| !self.need.equal.contains(&key.column))
                .collect();
            !open.is_empty()
                && open.len() <= rest.len()
                && open.iter().zip(rest).all(|(wanted, key)| *wanted == key)
        })
    }

    /// Reading so many of its rows once.
    fn read(&self, rows: f64) -> f64 {
        let share = (rows / self.rows.max(1.0)).clamp(0.0, 1.0);
        let pages = (self.bytes / PAGE).max(1.0);
        let height = (pages.ln() / 200_f64.ln()).max(0.0).ceil() + 1.0;
        let leaves = (pages * share).ceil().max(1.0);
        let own = leaves * RANDOM_PAGE + rows * (INDEX_TUPLE + OPERATOR) + height * 50.0 * OPERATOR;
        let holds = |column: &usize| {
            self.candidate.include.contains(column)
                || self.candidate.key_columns().any(|key| key == *column)
        };
        let is_only = !self.need.uses_all && self.need.used.iter().all(holds);
        let heap = if is_only { 0.0 } else { self.heap(rows) };
        own + heap + rows * (TUPLE + OPERATOR)
    }

    /// Pages of the table, between rows that lie in the index's order and rows that lie anywhere.
    fn heap(&self, rows: f64) -> f64 {
        let table = self.relation.pages.max(1.0);
        let anywhere = fetched(rows, table) * RANDOM_PAGE;
        let together = (rows / self.relation.rows.max(1.0) * table).ceil().max(1.0);
        let in_order = RANDOM_PAGE + (together - 1.0) * SEQ_PAGE;
        let lead = self.candidate.key_columns().next();
        let column = lead.and_then(|lead| self.relation.columns.get(lead));
        let sorted = column.map_or(0.0, |column| column.correlation.powi(2));
        anywhere + sorted * (in_order - anywhere)
    }
}

/// Mackert and Lohman (1989), "Index scans using a finite LRU buffer", as the planner has it.
fn fetched(rows: f64, pages: f64) -> f64 {
    if pages <= CACHE_PAGES {
        (2.0 * pages * rows / (2.0 * pages + rows)).min(pages)
    } else {
        let limit = 2.0 * pages * CACHE_PAGES / (2.0 * pages - CACHE_PAGES);
        if rows <= limit {
            2.0 * pages * rows / (2.0 * pages + rows)
        } else {
            CACHE_PAGES + (rows - limit) * (pages - CACHE_PAGES) / pages
        }
    }
}

/// Every use of a table that the statement's needs speak of.
fn uses<'c>(case: &'c Case, statement: usize, plan: &PlanNode) -> Vec<Use<'c>> {
    let mut found = Vec::new();
    for need in case.needs.iter().filter(|need| need.statement == statement) {
        let Some(relation) = case.relations.get(need.relation) else {
            continue;
        };
        let mut path = Vec::new();
        if !find(plan, &need.alias, &mut path) {
            continue;
        }
        let Some((scan, above)) = path.split_first() else {
            continue;
        };
        let runs = runs(above, scan);
        let parent = above
            .iter()
            .find(|node| node.kind.contains("Join") || node.kind == "Nested Loop");
        let join = parent.and_then(|join| {
            let is_below =
                |child: &&PlanNode| child.nodes().iter().any(|n| std::ptr::eq(*n, *scan));
            let other = join.children.iter().find(|child| !is_below(child))?;
            Some((
                (join.total_cost - other.total_cost).max(0.0),
                other.rows.max(1.0),
            ))
        });
        let sort = above.iter().find(|node| node.kind.contains("Sort"));
        let sort = sort.map(|sort| {
            let below: f64 = sort.children.iter().map(|child| child.total_cost).sum();
            let limit = above.iter().find(|node| node.kind == "Limit");
            let share = limit.map_or(1.0, |limit| limit.rows / scan.rows.max(1.0));
            ((sort.total_cost - below).max(0.0), share.clamp(0.0, 1.0))
        });
        found.push(Use {
            need,
            relation,
            scan: scan.total_cost * runs,
            runs,
            rows: scan.rows.max(1.0),
            join,
            sort,
        });
    }
    found
}

/// The scan of an alias and what is above it, nearest first.
fn find<'p>(node: &'p PlanNode, alias: &str, path: &mut Vec<&'p PlanNode>) -> bool {
    let is_it = node.alias.as_deref() == Some(alias) && node.kind.ends_with("Scan");
    if is_it || node.children.iter().any(|child| find(child, alias, path)) {
        path.push(node);
        return true;
    }
    false
}

/// How often a scan runs: once a row of the outer side of each nested loop that it is inside of.
fn runs(above: &[&PlanNode], scan: &PlanNode) -> f64 {
    let mut below = scan;
    let mut runs = 1.0;
    for node in above {
        let outer = node.children.first();
        if node.kind == "Nested Loop" && !outer.is_some_and(|outer| std::ptr::eq(outer, below)) {
            runs *= outer.map_or(1.0, |outer| outer.rows.max(1.0));
        }
        below = node;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::relation::Column;
    use crate::advise::workload::Statement;
    use crate::model::plan::Role;

    fn lead() -> Relation {
        let column = |name: &str, distinct: f64| Column {
            name: name.to_owned(),
            quoted: name.to_owned(),
            is_orderable: true,
            is_deduplicable: true,
            fixed_width: Some(4),
            align: 4,
            width: 4.0,
            distinct: Some(distinct),
            ..Column::default()
        };
        Relation {
            schema: "public".to_owned(),
            name: "lead".to_owned(),
            quoted: "public.lead".to_owned(),
            rows: 200_000.0,
            pages: 8_000.0,
            columns: vec![
                column("zip", 30_000.0),
                column("kind", 5.0),
                column("at", 200_000.0),
            ],
            ..Relation::default()
        }
    }

    fn case(filter: &str) -> Case {
        let scan = PlanNode {
            kind: "Seq Scan".to_owned(),
            relation: Some(("public".to_owned(), "lead".to_owned())),
            alias: Some("l".to_owned()),
            rows: 7.0,
            total_cost: 10_500.0,
            output: vec!["l.zip".to_owned(), "l.kind".to_owned(), "l.at".to_owned()],
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
        Case::new(vec![statement], vec![scan], vec![lead()], 2)
    }

    fn with(case: &Case, keys: &[usize]) -> f64 {
        let wanted = |c: &Candidate| {
            c.key_columns().collect::<Vec<_>>() == keys
                && c.include.is_empty()
                && c.predicate.is_none()
        };
        let number = case.candidates.iter().position(wanted).unwrap();
        let ask = Ask {
            statement: 0,
            indexes: IndexSet::of([number]),
        };
        let answers = Estimator::new(case).plan(&[ask]).unwrap();
        answers[0].as_ref().unwrap().plan.total_cost
    }

    #[test]
    fn a_selective_column_saves_most_and_a_poor_one_nothing() {
        let case = case("((l.zip = 1) AND (l.kind = 2))");
        let (zip, kind) = (with(&case, &[0]), with(&case, &[1]));
        // PostgreSQL 15 answers 8.3 to 32 for such look-ups, by how many rows are found.
        assert!(zip < 60.0, "{zip}");
        assert!(
            (kind - 10_500.0).abs() < 1.0,
            "a fifth of all rows anywhere: {kind}"
        );
        assert!(with(&case, &[0, 1]) <= zip);
    }

    #[test]
    fn nothing_offered_saves_nothing() {
        let case = case("(l.zip = 1)");
        let ask = Ask {
            statement: 0,
            indexes: IndexSet::default(),
        };
        let answers = Estimator::new(&case).plan(&[ask]).unwrap();
        let answer = answers[0].as_ref().unwrap();
        assert!((answer.plan.total_cost - 10_500.0).abs() < 1e-9 && answer.used.is_empty());
    }
}
