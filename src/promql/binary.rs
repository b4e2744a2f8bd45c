//! Operators between vectors: which rows belong together, and what becomes of their labels.
//!
//! For: vector with vector, and the set operators. Not for: the arithmetic (`math`).

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{Keep, distinct, nameless};
use super::math::Operator;
use super::value::{ABSENT, Row, is_absent, present};
use super::{Error, Result};
use crate::model::series::Labels;

/// Which side has several rows for one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// How many rows of one side belong to one of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Relation {
    OneToOne,
    /// Many of this side; these labels are taken over from the other.
    Many(Side, BTreeSet<String>),
}

/// Which rows belong together.
#[derive(Debug, Clone)]
pub(super) struct Matching {
    /// The labels that must be the same.
    pub(super) keep: Keep,
    pub(super) relation: Relation,
}

/// A set operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    And,
    Or,
    Unless,
}

impl Set {
    /// The operator as it is written.
    pub(super) fn written(text: &str) -> Option<Self> {
        match text {
            "and" => Some(Self::And),
            "or" => Some(Self::Or),
            "unless" => Some(Self::Unless),
            _ => None,
        }
    }
}

/// What an operation does with two values: the result, or nothing.
fn combined(operator: Operator, as_bool: bool, (a, b): (f64, f64), kept: f64) -> f64 {
    if operator.compares() && !as_bool {
        if operator.holds(a, b) { kept } else { ABSENT }
    } else {
        operator.of(a, b)
    }
}

/// A vector with a number a step, which stands on `side`; the flag is that of `bool`.
pub(super) fn with_scalar(
    (operator, as_bool): (Operator, bool),
    rows: Vec<Row>,
    scalar: &[f64],
    side: Side,
) -> Result<Vec<Row>> {
    let drops_name = !operator.compares() || as_bool;
    let one = |row: Row| {
        let pairs = row.values.iter().zip(scalar);
        let values = pairs.map(|(value, scalar)| {
            let pair = if side == Side::Left {
                (*scalar, *value)
            } else {
                (*value, *scalar)
            };
            if is_absent(*value) {
                ABSENT
            } else {
                combined(operator, as_bool, pair, *value)
            }
        });
        let values = values.collect();
        let labels = if drops_name {
            nameless(row.labels)
        } else {
            row.labels
        };
        Row { labels, values }
    };
    distinct(present(rows.into_iter().map(one)))
}

/// Rows by the labels that must be the same.
fn grouped<'r>(rows: &'r [Row], keep: &Keep) -> BTreeMap<Labels, Vec<&'r Row>> {
    let mut groups: BTreeMap<Labels, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(keep.of(&row.labels)).or_default().push(row);
    }
    groups
}

/// One row of several that never have a value at the same step.
fn merged(labels: &Labels, rows: &[&Row], steps: usize, side: &str) -> Result<Vec<f64>> {
    let mut values = vec![ABSENT; steps];
    for row in rows {
        for (into, value) in values.iter_mut().zip(&row.values) {
            if is_absent(*value) {
                continue;
            }
            if !is_absent(*into) {
                let group: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
                return Err(Error::Execution(format!(
                    "found duplicate series for the match group {{{}}} on the {side} hand-side of \
                     the operation; many-to-many matching not allowed: matching labels must be \
                     unique on one side",
                    group.join(", ")
                )));
            }
            *into = *value;
        }
    }
    Ok(values)
}

/// A vector with a vector; the flag is that of `bool`.
pub(super) fn with_vector(
    (operator, as_bool): (Operator, bool),
    matching: &Matching,
    (left, right): (&[Row], &[Row]),
    steps: usize,
) -> Result<Vec<Row>> {
    let (many, one, side) = match matching.relation {
        Relation::Many(Side::Right, _) => (right, left, "left"),
        _ => (left, right, "right"),
    };
    let flipped = matches!(matching.relation, Relation::Many(Side::Right, _));
    let ones = grouped(one, &matching.keep);
    let drops_name = !operator.compares() || as_bool;
    let mut results: Vec<Row> = Vec::new();
    for (key, rows) in grouped(many, &matching.keep) {
        let Some(partners) = ones.get(&key) else {
            continue;
        };
        let values = merged(&key, partners, steps, side)?;
        if matching.relation == Relation::OneToOne {
            alone_at_each_step(&rows, &values)?;
        }
        for row in rows {
            let labels = result_labels(matching, drops_name, row, partners);
            let pairs = row.values.iter().zip(&values).map(|(many, one)| {
                let pair = if flipped {
                    (*one, *many)
                } else {
                    (*many, *one)
                };
                if is_absent(*many) || is_absent(*one) {
                    ABSENT
                } else {
                    combined(operator, as_bool, pair, pair.0)
                }
            });
            results.push(Row {
                labels,
                values: pairs.collect(),
            });
        }
    }
    joined(present(results))
}

/// Refuses two rows of a group that meet the same partner at one step.
fn alone_at_each_step(rows: &[&Row], partner: &[f64]) -> Result<()> {
    let mut taken = vec![false; partner.len()];
    for row in rows {
        for ((value, partner), taken) in row.values.iter().zip(partner).zip(&mut taken) {
            if is_absent(*value) || is_absent(*partner) {
                continue;
            }
            if std::mem::replace(taken, true) {
                return Err(Error::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit \
                     (group_left/group_right)"
                        .to_owned(),
                ));
            }
        }
    }
    Ok(())
}

fn result_labels(matching: &Matching, drops_name: bool, row: &Row, partners: &[&Row]) -> Labels {
    let labels = if drops_name {
        nameless(row.labels.clone())
    } else {
        row.labels.clone()
    };
    match (&matching.relation, &matching.keep) {
        (Relation::OneToOne, Keep::Only(_)) => matching.keep.of(&labels),
        (Relation::OneToOne, Keep::Without(names)) => names
            .iter()
            .fold(labels, |labels, name| labels.with(name.clone(), "")),
        (Relation::Many(_, taken), _) => taken.iter().fold(labels, |labels, name| {
            let value = partners.first().and_then(|one| one.labels.get(name));
            labels.with(name.clone(), value.unwrap_or(""))
        }),
    }
}

/// Rows of one label set as one, where they never have a value at the same step.
fn joined(rows: Vec<Row>) -> Result<Vec<Row>> {
    let mut all: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let Some(known) = all.get_mut(&row.labels) else {
            all.insert(row.labels, row.values);
            continue;
        };
        for (into, value) in known.iter_mut().zip(row.values) {
            if is_absent(value) {
                continue;
            }
            if !is_absent(*into) {
                return Err(Error::Execution(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                        .to_owned(),
                ));
            }
            *into = value;
        }
    }
    let rows = all.into_iter();
    Ok(rows
        .map(|(labels, values)| Row { labels, values })
        .collect())
}

/// `and`, `or` and `unless`: rows of the left by what the right has at the same step, and the rest.
pub(super) fn set(
    set: Set,
    keep: &Keep,
    (left, right): (Vec<Row>, Vec<Row>),
    steps: usize,
) -> Result<Vec<Row>> {
    let has = |rows: &[Row]| -> BTreeMap<Labels, Vec<bool>> {
        let mut has: BTreeMap<Labels, Vec<bool>> = BTreeMap::new();
        for row in rows {
            let flags = has
                .entry(keep.of(&row.labels))
                .or_insert_with(|| vec![false; steps]);
            for (flag, value) in flags.iter_mut().zip(&row.values) {
                *flag |= !is_absent(*value);
            }
        }
        has
    };
    let only = |rows: Vec<Row>, has: &BTreeMap<Labels, Vec<bool>>, wanted: bool| {
        let one = |mut row: Row| {
            let flags = has.get(&keep.of(&row.labels));
            let flags = flags.into_iter().flatten().copied();
            for (value, flag) in row
                .values
                .iter_mut()
                .zip(flags.chain(std::iter::repeat(false)))
            {
                if flag != wanted {
                    *value = ABSENT;
                }
            }
            row
        };
        present(rows.into_iter().map(one))
    };
    match set {
        Set::And => Ok(only(left, &has(&right), true)),
        Set::Unless => Ok(only(left, &has(&right), false)),
        Set::Or => {
            let rest = only(right, &has(&left), false);
            joined(left.into_iter().chain(rest).collect())
        }
    }
}
