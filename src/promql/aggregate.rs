//! Many rows into one a group, step by step.
//!
//! For: sums and their like, quantiles, and the k largest. Not for: windows in time (`window`).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::labels::Keep;
use super::plan::Aggregation;
use super::value::{ABSENT, Row, is_absent, present};
use super::{Error, Result, sums};
use crate::model::series::Labels;

/// Aggregates rows by the labels that are kept of them; `parameter` has a value a step.
pub(super) fn aggregate(
    aggregation: Aggregation,
    keep: &Keep,
    rows: Vec<Row>,
    parameter: &[f64],
    steps: usize,
) -> Result<Vec<Row>> {
    let mut groups: BTreeMap<Labels, Vec<Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(keep.of(&row.labels)).or_default().push(row);
    }
    match aggregation {
        Aggregation::Topk | Aggregation::Bottomk => {
            let mut all = Vec::new();
            for rows in groups.into_values() {
                all.extend(ranked(aggregation, rows, parameter)?);
            }
            Ok(present(all))
        }
        _ => Ok(groups
            .into_iter()
            .map(|(labels, rows)| Row {
                labels,
                values: folded(aggregation, &rows, parameter, steps),
            })
            .collect()),
    }
}

/// What a group comes to at each step.
fn folded(aggregation: Aggregation, rows: &[Row], parameter: &[f64], steps: usize) -> Vec<f64> {
    let mut columns: Vec<std::slice::Iter<'_, f64>> =
        rows.iter().map(|row| row.values.iter()).collect();
    let mut at_step = Vec::with_capacity(rows.len());
    let parameters = parameter.iter().copied().chain(std::iter::repeat(f64::NAN));
    let one_step = |parameter: f64| {
        at_step.clear();
        let values = columns.iter_mut().filter_map(Iterator::next).copied();
        at_step.extend(values.filter(|value| !is_absent(*value)));
        if at_step.is_empty() {
            return ABSENT;
        }
        let values = at_step.iter().copied();
        match aggregation {
            Aggregation::Avg => sums::mean(&at_step),
            Aggregation::Min => sums::least(values),
            Aggregation::Max => sums::largest(values),
            Aggregation::Count => at_step.len() as f64,
            Aggregation::Group => 1.0,
            Aggregation::Stddev => sums::variance(values).sqrt(),
            Aggregation::Stdvar => sums::variance(values),
            Aggregation::Quantile => sums::quantile(parameter, &mut at_step),
            Aggregation::Sum | Aggregation::Topk | Aggregation::Bottomk => sums::total(&at_step),
        }
    };
    parameters.take(steps).map(one_step).collect()
}

/// The rows of a group with the values that are among the k largest (or least) of their step.
fn ranked(aggregation: Aggregation, mut rows: Vec<Row>, parameter: &[f64]) -> Result<Vec<Row>> {
    let descending = aggregation == Aggregation::Topk;
    let mut order: Vec<(f64, usize)> = Vec::with_capacity(rows.len());
    for (step, k) in parameter.iter().enumerate() {
        let k = places(*k, rows.len())?;
        order.clear();
        let values = rows.iter().map(|row| row.values.get(step).copied());
        order.extend(
            values
                .zip(0..)
                .filter_map(|(value, row)| Some((value?, row))),
        );
        order.retain(|(value, _)| !is_absent(*value));
        order.sort_by(|(a, _), (b, _)| rank(*a, *b, descending));
        for (_, row) in order.iter().skip(k) {
            if let Some(value) = rows.get_mut(*row).and_then(|row| row.values.get_mut(step)) {
                *value = ABSENT;
            }
        }
    }
    if parameter.len() == 1 {
        rows.sort_by(|a, b| match (a.values.first(), b.values.first()) {
            (Some(a), Some(b)) => rank(*a, *b, descending),
            _ => Ordering::Equal,
        });
    }
    Ok(rows)
}

/// The order of two values, NaN last either way.
pub(super) fn rank(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    }
}

/// How many of `most` are wanted.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` stops at zero and at the largest number, and `min` at what there is"
)]
fn places(k: f64, most: usize) -> Result<usize> {
    if k.is_nan() || k.abs() >= 9.3e18 {
        return Err(Error::Execution(format!(
            "Scalar value {k} overflows int64"
        )));
    }
    Ok((k as usize).min(most))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rows(values: &[&[f64]]) -> Vec<Row> {
        let row = |(i, values): (usize, &&[f64])| Row {
            labels: Labels::none().with("i", i.to_string()),
            values: values.to_vec(),
        };
        values.iter().enumerate().map(row).collect()
    }

    fn all(aggregation: Aggregation, given: &[&[f64]], parameter: f64) -> Vec<Row> {
        let steps = given[0].len();
        let keep = Keep::Only(BTreeSet::new());
        aggregate(
            aggregation,
            &keep,
            rows(given),
            &vec![parameter; steps],
            steps,
        )
        .unwrap()
    }

    #[test]
    fn a_step_without_values_has_no_sum_and_one_with_some_has() {
        let sums = all(Aggregation::Sum, &[&[1.0, ABSENT], &[2.0, ABSENT]], 0.0);
        assert_eq!(sums[0].values[0].to_bits(), 3f64.to_bits());
        assert!(is_absent(sums[0].values[1]));
    }

    #[test]
    fn the_largest_of_each_step_stay_and_the_rest_goes() {
        let top = all(
            Aggregation::Topk,
            &[&[1.0, 9.0], &[2.0, 3.0], &[0.0, 1.0]],
            1.0,
        );
        let shown: Vec<_> = top
            .iter()
            .map(|row| (row.labels.get("i").unwrap(), is_absent(row.values[0])))
            .collect();
        assert_eq!(shown, [("0", true), ("1", false)]);
        assert!(all(Aggregation::Topk, &[&[1.0]], -3.0).is_empty());
    }

    #[test]
    fn nan_is_never_among_the_largest_while_there_are_others() {
        for aggregation in [Aggregation::Topk, Aggregation::Bottomk] {
            let top = all(aggregation, &[&[f64::NAN], &[2.0], &[3.0]], 2.0);
            assert!(top.iter().all(|row| !row.values[0].is_nan()));
        }
        let error = ranked(Aggregation::Topk, rows(&[&[1.0]]), &[f64::NAN]).unwrap_err();
        assert!(error.to_string().contains("overflows"));
    }
}
