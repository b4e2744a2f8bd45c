//! What each statement needs of each table, read from its plan.
//!
//! For: comparisons, join columns, orders and the columns that an index-only scan would have to hold.
//! Not for: making indexes of them (`candidates`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Key;
use super::predicate::Predicate;
use crate::advise::clause::{self, ColumnRef, Expression};
use crate::advise::relation::{Column, Relation};
use crate::model::plan::PlanNode;

/// What one statement needs of one of its uses of a table. Columns are places in the relation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Need {
    /// The statement's number.
    pub statement: usize,
    /// The relation's place.
    pub relation: usize,
    /// How the plan calls this use of it.
    pub alias: String,
    /// Compared for equality with a value, or a boolean by itself.
    pub equal: Vec<usize>,
    /// Compared for equality with another table's column.
    pub joined: Vec<usize>,
    /// Compared with `<`, `>` and the like, or in one arm of an OR.
    pub ranged: Vec<usize>,
    /// Orders that are sorted or grouped by.
    pub orders: Vec<Vec<Key>>,
    /// Columns searched by a pattern with a fixed beginning, with the class that serves it.
    pub patterns: Vec<(usize, String)>,
    /// Every column that is read.
    pub used: BTreeSet<usize>,
    /// A system column or the whole row is read: no index can hold it.
    pub uses_all: bool,
    /// Conditions that a partial index might have.
    pub predicates: Vec<Predicate>,
}

/// Most conditions for partial indexes that one need brings.
const MAX_PREDICATES: usize = 3;
/// Share of rows above which a partial index leaves too little out.
const MAX_SHARE: f64 = 0.8;

/// The needs of one statement's plan, one for each use of a table.
pub fn of_plan(statement: usize, plan: &PlanNode, relations: &[Relation]) -> Vec<Need> {
    let mut reader = Reader::new(statement, plan, relations);
    reader.walk(plan, true);
    reader.finish()
}

struct Reader<'r> {
    relations: &'r [Relation],
    needs: BTreeMap<String, Need>,
    /// Conjuncts over one alias that might become predicates, with their columns.
    conjuncts: Vec<(String, Predicate)>,
    /// How often each column is read, but for repetitions of the same condition.
    uses: HashMap<ColumnRef, usize>,
    seen: BTreeSet<String>,
}

impl<'r> Reader<'r> {
    fn new(statement: usize, plan: &PlanNode, relations: &'r [Relation]) -> Self {
        let mut needs = BTreeMap::new();
        for node in plan.nodes() {
            let (Some((schema, name)), Some(alias)) = (&node.relation, &node.alias) else {
                continue;
            };
            let place = relations
                .iter()
                .position(|r| r.schema == *schema && r.name == *name);
            if let Some(relation) = place {
                let need = Need {
                    statement,
                    relation,
                    alias: alias.clone(),
                    ..Need::default()
                };
                needs.insert(alias.clone(), need);
            }
        }
        Self {
            relations,
            needs,
            conjuncts: Vec::new(),
            uses: HashMap::new(),
            seen: BTreeSet::new(),
        }
    }

    /// `is_top`: nothing above this node picks among its columns.
    fn walk(&mut self, node: &PlanNode, is_top: bool) {
        for (_, text) in &node.conditions {
            let expression = clause::read(text);
            self.condition(&expression);
        }
        for key in &node.sort_key {
            self.uses_of(&clause::read_sort_key(key).0, key);
        }
        for key in &node.group_key {
            self.uses_of(&clause::read(key), key);
        }
        self.order(&node.sort_key, true);
        self.order(&node.group_key, false);
        let is_scan = node.alias.is_some() && node.kind.ends_with("Scan");
        if is_top || !(is_scan || passes_on(&node.kind)) {
            for text in &node.output {
                let expression = clause::read(text);
                self.uses_of(&expression, text);
                if node.kind == "Aggregate" && node.group_key.is_empty() {
                    self.extreme(text, &expression);
                }
            }
        }
        for child in &node.children {
            let starts_anew = ["SubPlan", "InitPlan", "Subquery", "Member"]
                .contains(&child.relationship.as_str())
                || node.kind == "ModifyTable"
                || node.kind == "Subquery Scan";
            self.walk(child, starts_anew || (is_top && passes_on(&node.kind)));
        }
    }

    fn column(&self, column: &ColumnRef) -> Option<(usize, &'r Column)> {
        let need = self.needs.get(&column.alias)?;
        self.relations.get(need.relation)?.column(&column.column)
    }

    fn uses_of(&mut self, expression: &Expression, text: &str) {
        for column in expression.columns() {
            if self
                .seen
                .insert(format!("{text}\u{0}{}\u{0}{}", column.alias, column.column))
            {
                *self.uses.entry(column.clone()).or_default() += 1;
            }
            let place = self.column(column).map(|(place, _)| place);
            if let Some(need) = self.needs.get_mut(&column.alias) {
                match place {
                    Some(place) => _ = need.used.insert(place),
                    None => need.uses_all = true,
                }
            }
        }
    }

    fn condition(&mut self, expression: &Expression) {
        if let Expression::And(parts) = expression {
            for part in parts {
                self.condition(part);
            }
            return;
        }
        // The same condition may stand in a recheck, too: it is one use.
        let text = format!("{expression:?}");
        self.uses_of(expression, &text);
        self.classify(expression, false);
        if let Some((alias, predicate)) = self.predicate(expression)
            && !self
                .conjuncts
                .iter()
                .any(|(a, p)| *a == alias && p.sql == predicate.sql)
        {
            self.conjuncts.push((alias, predicate));
        }
    }

    fn classify(&mut self, expression: &Expression, in_arm: bool) {
        match expression {
            Expression::And(parts) => {
                for part in parts {
                    self.classify(part, in_arm);
                }
            }
            Expression::Or(arms) => {
                for arm in arms {
                    self.classify(arm, true);
                }
            }
            Expression::Compare {
                operator,
                left,
                right,
                ..
            } => {
                self.compared(operator, left, right, in_arm);
                let turned = match operator.as_str() {
                    "<" => ">",
                    ">" => "<",
                    "<=" => ">=",
                    ">=" => "<=",
                    "=" => "=",
                    _ => return,
                };
                self.compared(turned, right, left, in_arm);
            }
            Expression::Column { column, .. } => self.note(column, in_arm, Kind::Equal),
            Expression::Not(of) | Expression::Null { of, not: false } => {
                if let Expression::Column { column, .. } = &**of {
                    self.note(column, in_arm, Kind::Equal);
                }
            }
            _ => {}
        }
    }

    /// `left operator right`, with the column on the left.
    fn compared(&mut self, operator: &str, left: &Expression, right: &Expression, in_arm: bool) {
        let Expression::Column { column, .. } = left else {
            return;
        };
        let others = right.columns();
        if others.iter().any(|other| other.alias == column.alias) {
            return;
        }
        match operator {
            "=" if others.is_empty() => self.note(column, in_arm, Kind::Equal),
            "=" => self.note(column, in_arm, Kind::Joined),
            "<" | ">" | "<=" | ">=" => self.note(column, in_arm, Kind::Ranged),
            "~~" => {
                let Expression::Constant(pattern) = right else {
                    return;
                };
                let fixed = pattern.trim_start_matches('\'');
                if fixed.starts_with(['%', '_']) {
                    return;
                }
                let found = self.column(column);
                let class = found.and_then(|(_, found)| found.pattern_class.clone());
                let place = found.map(|(place, _)| place);
                if let (Some(place), Some(need)) = (place, self.needs.get_mut(&column.alias)) {
                    match class {
                        Some(class) => need.patterns.push((place, class)),
                        None => need.ranged.push(place),
                    }
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, column: &ColumnRef, in_arm: bool, kind: Kind) {
        let Some((place, _)) = self.column(column) else {
            return;
        };
        let Some(need) = self.needs.get_mut(&column.alias) else {
            return;
        };
        let list = match kind {
            Kind::Equal if !in_arm => &mut need.equal,
            Kind::Joined => &mut need.joined,
            Kind::Equal | Kind::Ranged => &mut need.ranged,
        };
        if !list.contains(&place) {
            list.push(place);
        }
    }

    /// The first columns of an order, as far as they are of one table.
    fn order(&mut self, keys: &[String], directed: bool) {
        let mut alias: Option<String> = None;
        let mut order = Vec::new();
        for text in keys {
            let (expression, direction) = if directed {
                clause::read_sort_key(text)
            } else {
                (clause::read(text), String::new())
            };
            let Expression::Column { column, .. } = expression else {
                break;
            };
            let Some((place, _)) = self.column(&column) else {
                break;
            };
            if alias.get_or_insert_with(|| column.alias.clone()) != &column.alias {
                break;
            }
            let mut key = Key::plain(place);
            key.order = direction;
            order.push(key);
        }
        // An index is read backwards as well as forwards.
        if order.iter().all(|key| key.order == " DESC") {
            for key in &mut order {
                key.order.clear();
            }
        }
        if let (Some(alias), false) = (alias, order.is_empty())
            && let Some(need) = self.needs.get_mut(&alias)
            && !need.orders.contains(&order)
        {
            need.orders.push(order);
        }
    }

    /// `max(x)` without groups: one end of an index answers it.
    fn extreme(&mut self, text: &str, expression: &Expression) {
        let is_extreme = text.starts_with("max(") || text.starts_with("min(");
        if let (true, [column]) = (is_extreme, expression.columns().as_slice()) {
            let found = self.column(column).map(|(place, _)| place);
            if let (Some(place), Some(need)) = (found, self.needs.get_mut(&column.alias)) {
                need.orders.push(vec![Key::plain(place)]);
            }
        }
    }

    /// A condition over one table that might be a partial index's.
    fn predicate(&self, expression: &Expression) -> Option<(String, Predicate)> {
        let columns = expression.columns();
        let alias = columns.first()?.alias.clone();
        if columns.iter().any(|column| column.alias != alias) {
            return None;
        }
        let shown = |expression: &Expression| -> Option<String> {
            match expression {
                Expression::Column { column, cast: None } => {
                    Some(self.column(column)?.1.quoted.clone())
                }
                Expression::Column {
                    column,
                    cast: Some(cast),
                } => Some(format!("({})::{cast}", self.column(column)?.1.quoted)),
                Expression::Constant(text) => Some(text.clone()),
                _ => None,
            }
        };
        let sql = match expression {
            Expression::Compare {
                operator,
                left,
                right,
                any,
            } => {
                self.comparison_pays(operator, left, right)?;
                let (left, right) = (shown(left)?, shown(right)?);
                if *any {
                    format!("({left} {operator} ANY ({right}))")
                } else {
                    format!("({left} {operator} {right})")
                }
            }
            Expression::Null { of, not } => {
                let Expression::Column { column, .. } = &**of else {
                    return None;
                };
                let share = self.column(column)?.1.null_share;
                let left = if *not { 1.0 - share } else { share };
                if left > MAX_SHARE {
                    return None;
                }
                format!("({} IS {}NULL)", shown(of)?, if *not { "NOT " } else { "" })
            }
            Expression::Column { .. } => shown(expression)?,
            Expression::Not(of) if matches!(&**of, Expression::Column { .. }) => {
                format!("(NOT {})", shown(of)?)
            }
            _ => return None,
        };
        let mut places: Vec<usize> = columns
            .iter()
            .filter_map(|column| Some(self.column(column)?.0))
            .collect();
        places.dedup();
        let predicate = Predicate {
            sql,
            columns: places,
            freed: Vec::new(),
        };
        Some((alias, predicate))
    }

    /// Whether rows that compare so are few, and will be the same ones tomorrow: a column with a
    /// common value, or with another column of the same row.
    fn comparison_pays(&self, operator: &str, left: &Expression, right: &Expression) -> Option<()> {
        let Expression::Column { column, .. } = left else {
            return None;
        };
        match right {
            Expression::Column { .. } => ["<", ">", "<=", ">="].contains(&operator).then_some(()),
            Expression::Constant(text) if operator == "=" => {
                let (_, column) = self.column(column)?;
                let value = text.strip_prefix('\'').map_or(text.as_str(), |rest| {
                    rest.split_once('\'').map_or(rest, |(value, _)| value)
                });
                if value.starts_with('{') {
                    let listed: f64 = value
                        .trim_matches(['{', '}'])
                        .split(',')
                        .filter_map(|member| share_of(column, member.trim_matches('"')))
                        .sum();
                    return (listed > 0.0 && listed < MAX_SHARE / 2.0).then_some(());
                }
                let share = share_of(column, value)?;
                (share < MAX_SHARE).then_some(())
            }
            _ => None,
        }
    }

    fn finish(self) -> Vec<Need> {
        let Self {
            relations,
            mut needs,
            conjuncts,
            uses,
            ..
        } = self;
        for (alias, mut predicate) in conjuncts {
            let Some(need) = needs.get_mut(&alias) else {
                continue;
            };
            let Some(relation) = relations.get(need.relation) else {
                continue;
            };
            predicate.freed = predicate
                .columns
                .iter()
                .copied()
                .filter(|place| {
                    let name = relation
                        .columns
                        .get(*place)
                        .map(|column| column.name.clone());
                    let column = ColumnRef {
                        alias: alias.clone(),
                        column: name.unwrap_or_default(),
                    };
                    uses.get(&column).is_none_or(|count| *count <= 1)
                })
                .collect();
            if need.predicates.len() < MAX_PREDICATES {
                need.predicates.push(predicate);
            }
        }
        needs.into_values().collect()
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Equal,
    Joined,
    Ranged,
}

/// The share of a value among a column's common ones.
fn share_of(column: &Column, value: &str) -> Option<f64> {
    let common = column.common.iter();
    let value = value.trim_end();
    common
        .filter(|(text, _)| text.trim_end() == value)
        .map(|(_, share)| *share)
        .next()
}

/// Nodes that give on what they get, unchanged.
fn passes_on(kind: &str) -> bool {
    [
        "Hash",
        "Sort",
        "Incremental Sort",
        "Materialize",
        "Memoize",
        "Gather",
        "Gather Merge",
        "Limit",
        "Unique",
        "LockRows",
        "Append",
        "Merge Append",
        "Bitmap Heap Scan",
    ]
    .contains(&kind)
}
