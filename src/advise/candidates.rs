//! Plans of a workload → indexes that might serve it.
//!
//! For: turning what statements need of a table into candidate indexes, with columns in the order in
//! which a B-tree can use them. Not for: judging them (`select`) or reading plans (`needs`).
//!
//! Read [`propose`] first.

pub mod needs;
pub mod predicate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::relation::Relation;
pub use needs::Need;

/// A B-tree index that might be built.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Candidate {
    /// Place of its table among the relations.
    pub relation: usize,
    /// Key columns in order, each by its place in the relation.
    pub keys: Vec<Key>,
    /// `INCLUDE` columns, in order of their number.
    pub include: Vec<usize>,
    /// `WHERE`, as SQL over the table's quoted column names.
    pub predicate: Option<String>,
}

/// One key column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Place in the relation.
    pub column: usize,
    /// Direction and nulls where they are not the default, such as ` DESC`.
    pub order: String,
    /// Class of operators where it is not the default.
    pub class: Option<String>,
}

impl Key {
    /// Ascending, by the default class.
    pub fn plain(column: usize) -> Self {
        Self {
            column,
            order: String::new(),
            class: None,
        }
    }
}

impl Candidate {
    /// Key columns by place.
    pub fn key_columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.keys.iter().map(|key| key.column)
    }

    /// The statement that builds it, for a person to run.
    pub fn ddl(&self, relation: &Relation) -> String {
        format!("CREATE INDEX CONCURRENTLY ON {}", self.body(relation))
    }

    /// The statement for what-if, which builds nothing.
    pub fn what_if(&self, relation: &Relation) -> String {
        format!("CREATE INDEX ON {}", self.body(relation))
    }

    fn body(&self, relation: &Relation) -> String {
        let name = |place: usize| {
            let column = relation.columns.get(place);
            column.map_or("?", |column| column.quoted.as_str())
        };
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|key| {
                let class = key.class.as_ref().map(|class| format!(" {class}"));
                format!(
                    "{}{}{}",
                    name(key.column),
                    class.unwrap_or_default(),
                    key.order
                )
            })
            .collect();
        let mut text = format!("{} ({})", relation.quoted, keys.join(", "));
        if !self.include.is_empty() {
            let names: Vec<&str> = self.include.iter().map(|place| name(*place)).collect();
            let _ = write!(text, " INCLUDE ({})", names.join(", "));
        }
        if let Some(predicate) = &self.predicate {
            let _ = write!(text, " WHERE {predicate}");
        }
        text
    }
}

/// How far candidates may go.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most key columns.
    pub width: usize,
    /// Most `INCLUDE` columns.
    pub include: usize,
    /// Most candidates in all.
    pub total: usize,
}

/// Every candidate that the needs suggest and that is not there yet, each once, and for each the
/// statements (by number) that it may serve.
pub fn propose(
    needs: &[Need],
    relations: &[Relation],
    limits: Limits,
) -> Vec<(Candidate, BTreeSet<usize>)> {
    let mut found: BTreeMap<Candidate, BTreeSet<usize>> = BTreeMap::new();
    for need in needs {
        let Some(relation) = relations.get(need.relation) else {
            continue;
        };
        for candidate in of_need(need, relation, limits) {
            found.entry(candidate).or_default().insert(need.statement);
        }
    }
    union_of_includes(&mut found, limits);
    let mut all: Vec<(Candidate, BTreeSet<usize>)> = found
        .into_iter()
        .filter(|(candidate, _)| {
            let relation = relations.get(candidate.relation);
            relation.is_some_and(|relation| is_new(candidate, relation))
        })
        .collect();
    // Where there are too many, those that few statements ask for and that are wide go first.
    all.sort_by_key(|(candidate, statements)| {
        let width = candidate.keys.len() + candidate.include.len();
        (width.saturating_sub(statements.len()), width)
    });
    all.truncate(limits.total);
    all.sort();
    all
}

/// Whether a plan of the statement that has this need might use the candidate.
pub fn may_serve(candidate: &Candidate, need: &Need) -> bool {
    if candidate.relation != need.relation {
        return false;
    }
    if let Some(predicate) = &candidate.predicate
        && !need.predicates.iter().any(|known| known.sql == *predicate)
    {
        return false;
    }
    let Some(lead) = candidate.keys.first() else {
        return false;
    };
    let orders = need.orders.iter().filter_map(|order| order.first());
    let is_lead = need.equal.contains(&lead.column)
        || need.joined.contains(&lead.column)
        || need.ranged.contains(&lead.column)
        || need
            .patterns
            .iter()
            .any(|(column, _)| *column == lead.column)
        || orders.into_iter().any(|key| key.column == lead.column);
    let holds = |column: &usize| {
        candidate.include.contains(column) || candidate.key_columns().any(|key| key == *column)
    };
    is_lead
        || candidate.predicate.is_some()
        || (!need.uses_all && !need.used.is_empty() && need.used.iter().all(holds))
}

/// Not already answered by an index that is there: same key columns first, nothing more asked.
fn is_new(candidate: &Candidate, relation: &Relation) -> bool {
    !relation.indexes.iter().any(|index| {
        index.method == "btree"
            && index.predicate.is_none()
            && index.keys.len() >= candidate.keys.len()
            && candidate.keys.iter().zip(&index.keys).all(|(key, there)| {
                key.order.is_empty() && key.class.is_none() && Some(key.column) == *there
            })
            && candidate
                .include
                .iter()
                .all(|column| index.include.contains(column) || index.keys.contains(&Some(*column)))
    })
}

/// What one statement's use of one table suggests.
fn of_need(need: &Need, relation: &Relation, limits: Limits) -> BTreeSet<Candidate> {
    let mut key_lists: BTreeSet<Vec<Key>> = BTreeSet::new();
    let orderable = |column: &usize| {
        relation
            .columns
            .get(*column)
            .is_some_and(|column| column.is_orderable)
    };
    let equal: Vec<usize> = need.equal.iter().copied().filter(orderable).collect();
    let joined: Vec<usize> = need.joined.iter().copied().filter(orderable).collect();
    let ranged: Vec<usize> = need.ranged.iter().copied().filter(orderable).collect();
    // One column each.
    let mut leads: Vec<usize> = equal.clone();
    for column in joined.iter().chain(&ranged) {
        if !leads.contains(column) {
            leads.push(*column);
        }
    }
    for column in &leads {
        key_lists.insert(vec![Key::plain(*column)]);
    }
    for order in &need.orders {
        let order: Vec<Key> = order.iter().take(limits.width).cloned().collect();
        if order.iter().all(|key| orderable(&key.column)) && !order.is_empty() {
            key_lists.insert(order.clone());
            key_lists.insert(order.iter().take(1).cloned().collect());
            after_equal(&mut key_lists, &equal, &order, limits.width);
        }
    }
    // Equality first, then one range; joins before or after.
    for first in &leads {
        for second in leads.iter().filter(|second| *second != first) {
            let pair = [*first, *second];
            if limits.width >= 2 {
                key_lists.insert(pair.map(Key::plain).to_vec());
            }
            if ranged.contains(first) && !equal.contains(first) && !joined.contains(first) {
                continue;
            }
            for third in leads.iter().filter(|third| !pair.contains(third)) {
                let first_two_are_equal = !ranged.contains(second) || equal.contains(second);
                if limits.width >= 3 && first_two_are_equal && first < second {
                    let triple = [*first, *second, *third];
                    key_lists.insert(triple.map(Key::plain).to_vec());
                }
            }
        }
    }
    for (column, class) in &need.patterns {
        let mut key = Key::plain(*column);
        key.class = Some(class.clone());
        key_lists.insert(vec![key]);
    }
    let mut candidates = BTreeSet::new();
    for keys in key_lists {
        variants(&mut candidates, need, relation, keys, limits);
    }
    candidates
}

/// Orders behind the columns that are compared for equality, all of them or each alone.
fn after_equal(into: &mut BTreeSet<Vec<Key>>, equal: &[usize], order: &[Key], width: usize) {
    let mut fronts: Vec<Vec<usize>> = equal.iter().map(|column| vec![*column]).collect();
    for first in equal {
        for second in equal.iter().filter(|second| *second != first) {
            fronts.push(vec![*first, *second]);
        }
    }
    for front in fronts {
        let rest: Vec<&Key> = order
            .iter()
            .filter(|key| !front.contains(&key.column))
            .collect();
        for length in 1..=rest.len() {
            if front.len() + length <= width {
                let keys = front.iter().map(|column| Key::plain(*column));
                let tail = rest.iter().take(length).map(|key| (*key).clone());
                into.insert(keys.chain(tail).collect());
            }
        }
    }
}

/// The keys alone; with what an index-only scan needs; and each of them for part of the rows.
fn variants(
    into: &mut BTreeSet<Candidate>,
    need: &Need,
    relation: &Relation,
    keys: Vec<Key>,
    limits: Limits,
) {
    let plain = Candidate {
        relation: need.relation,
        keys,
        include: Vec::new(),
        predicate: None,
    };
    let missing = |predicate: Option<&predicate::Predicate>| -> Vec<usize> {
        let keyed: Vec<usize> = plain.key_columns().collect();
        let freed = predicate.map_or(&[][..], |predicate| &predicate.freed);
        let columns = need.used.iter().copied();
        columns
            .filter(|column| !keyed.contains(column) && !freed.contains(column))
            .collect()
    };
    let covering = |predicate: Option<&predicate::Predicate>, into: &mut BTreeSet<Candidate>| {
        let missing = missing(predicate);
        let is_narrow = missing.len() <= limits.include && !need.uses_all;
        if missing.is_empty() || !is_narrow {
            return;
        }
        let mut candidate = plain.clone();
        candidate.predicate = predicate.map(|p| p.sql.clone());
        candidate.include.clone_from(&missing);
        into.insert(candidate);
        // As keys, repeated values are stored once; as INCLUDE, never.
        let as_keys = plain.keys.len() + missing.len() <= limits.width;
        let orderable = missing.iter().all(|column| {
            relation
                .columns
                .get(*column)
                .is_some_and(|column| column.is_orderable && column.is_deduplicable)
        });
        if as_keys && orderable {
            let mut candidate = plain.clone();
            candidate.predicate = predicate.map(|p| p.sql.clone());
            candidate
                .keys
                .extend(missing.iter().map(|column| Key::plain(*column)));
            into.insert(candidate);
        }
    };
    covering(None, into);
    for predicate in &need.predicates {
        let leads_itself = plain
            .keys
            .iter()
            .any(|key| predicate.columns.contains(&key.column));
        if leads_itself && plain.keys.len() > 1 {
            continue;
        }
        if !leads_itself {
            let mut partial = plain.clone();
            partial.predicate = Some(predicate.sql.clone());
            into.insert(partial);
        }
        if plain.keys.len() <= 2 {
            covering(Some(predicate), into);
        }
    }
    into.insert(plain);
}

/// One index that serves two statements which differ in what they would have included.
fn union_of_includes(found: &mut BTreeMap<Candidate, BTreeSet<usize>>, limits: Limits) {
    let covering: Vec<(Candidate, BTreeSet<usize>)> = found
        .iter()
        .filter(|(candidate, _)| !candidate.include.is_empty())
        .map(|(candidate, statements)| (candidate.clone(), statements.clone()))
        .collect();
    let mut groups: BTreeMap<(usize, Vec<Key>, Option<String>), Vec<usize>> = BTreeMap::new();
    for (place, (candidate, _)) in covering.iter().enumerate() {
        let key = (
            candidate.relation,
            candidate.keys.clone(),
            candidate.predicate.clone(),
        );
        groups.entry(key).or_default().push(place);
    }
    // Only keys that statements compare by: a union over anything else would be asked for by nobody.
    for places in groups.values().filter(|places| places.len() > 1) {
        let members: Vec<&(Candidate, BTreeSet<usize>)> = places
            .iter()
            .filter_map(|place| covering.get(*place))
            .collect();
        for (one, (first, of_first)) in members.iter().copied().enumerate() {
            for (second, of_second) in members.iter().skip(one + 1).copied() {
                let merged = merged_include(&[first, second]);
                if merged.include.len() <= limits.include {
                    let statements = found.entry(merged).or_default();
                    statements.extend(of_first.iter().chain(of_second));
                }
            }
        }
        let all: Vec<&Candidate> = members.iter().map(|(candidate, _)| candidate).collect();
        let merged = merged_include(&all);
        if merged.include.len() <= limits.include {
            let statements = found.entry(merged).or_default();
            statements.extend(members.iter().flat_map(|(_, of)| of));
        }
    }
}

fn merged_include(of: &[&Candidate]) -> Candidate {
    let mut merged = of.first().map_or_else(
        || Candidate {
            relation: 0,
            keys: Vec::new(),
            include: Vec::new(),
            predicate: None,
        },
        |first| (*first).clone(),
    );
    let include: BTreeSet<usize> = of.iter().flat_map(|c| c.include.iter().copied()).collect();
    merged.include = include.into_iter().collect();
    merged
}
