//! Forecasts that fit nothing: the last value, the mean step, the last cycle again.
//!
//! For: what others must beat, and what is right where they have too little to learn from. Not for:
//! seasons that are averaged (`seasonal`). Source: Hyndman and Athanasopoulos 2021, "Forecasting:
//! principles and practice", section 5.2.

use super::{Origin, Past, Told};

/// The last value of a past without season at each origin, or the mean step from there on.
pub(super) fn moved(flat: &[f64], origins: &[Origin], moves: bool) -> Vec<Option<Vec<f64>>> {
    origins.iter().map(|o| drift(flat, *o, moves)).collect()
}

/// The last cycle again, and the last cycle of cycles.
pub(super) fn by_cycle(past: &Past, origins: &[Origin], told: &mut Vec<Told>) {
    let cycle = past.cycle;
    if cycle.is_some() {
        told.push(again("snaive", cycle.steps, past, origins));
    }
    if cycle.long > cycle.steps {
        told.push(again("snaive-long", cycle.long, past, origins));
    }
}

fn again(name: &'static str, length: usize, past: &Past, origins: &[Origin]) -> Told {
    let one = |origin: &Origin| {
        let from = origin.at.checked_sub(length)?;
        let last = past.values.get(from..origin.at)?;
        Some(last.iter().copied().cycle().take(origin.ahead).collect())
    };
    Told {
        name,
        by_cycle: false,
        forecasts: origins.iter().map(one).collect(),
    }
}

/// The last value, and perhaps the mean step from the first on.
fn drift(values: &[f64], origin: Origin, moves: bool) -> Option<Vec<f64>> {
    let upto = values.get(..origin.at)?;
    let (first, last) = (*upto.first()?, *upto.last()?);
    let step = if moves && upto.len() > 1 {
        (last - first) / (upto.len() - 1) as f64
    } else {
        0.0
    };
    Some((1..=origin.ahead).map(|j| last + step * j as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::near::Known;

    #[test]
    fn the_last_cycle_comes_again_and_so_does_the_last_week() {
        let values: Vec<f64> = (0..500).map(f64::from).collect();
        let known = Known {
            step: None,
            periods: &[24, 168],
        };
        let past = Past::of(&values, known);
        // The first origin has less than a week before it.
        let origins = [100, 500].map(|at| Origin { at, ahead: 30 });
        let mut told = Vec::new();
        by_cycle(&past, &origins, &mut told);
        let [day, week] = told.try_into().ok().unwrap();
        assert_eq!((day.name, week.name), ("snaive", "snaive-long"));
        let said = day.forecasts[1].as_deref().unwrap();
        let (first, second) = ([476.0, 477.0], [499.0, 476.0]);
        assert_eq!((&said[..2], &said[23..25]), (&first[..], &second[..]));
        assert_eq!(week.forecasts[0], None);
        let said = week.forecasts[1].as_deref().unwrap();
        assert_eq!(&said[28..], &[360.0, 361.0][..]);
    }

    #[test]
    fn without_a_cycle_nothing_comes_again() {
        let known = Known {
            step: None,
            periods: &[1],
        };
        let past = Past::of(&[1.0, 2.0, 3.0], known);
        let mut told = Vec::new();
        by_cycle(&past, &[Origin { at: 3, ahead: 2 }], &mut told);
        assert!(told.is_empty());
    }

    #[test]
    fn a_drift_goes_on_by_the_mean_step() {
        let origin = Origin { at: 3, ahead: 2 };
        let said = |moves| drift(&[1.0, 2.0, 5.0, 9.0], origin, moves);
        assert_eq!(said(true), Some(vec![7.0, 9.0]));
        assert_eq!(said(false), Some(vec![5.0, 5.0]));
    }
}
