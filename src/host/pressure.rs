//! Time that tasks waited for a resource. Source: Linux `Documentation/accounting/psi.rst`.

use crate::model::series::{Labels, Sample};

use super::{Roots, metrics, text};

pub(super) fn read(roots: &Roots<'_>, into: &mut Vec<Sample>) {
    for resource in ["cpu", "memory", "io"] {
        let Some(lines) = text(&roots.proc.join("pressure").join(resource)) else {
            continue;
        };
        for line in lines.lines() {
            let Some((share, rest)) = line.split_once(' ') else {
                continue;
            };
            let total = rest
                .split_whitespace()
                .find_map(|p| p.strip_prefix("total="));
            let Some(Ok(micros)) = total.map(str::parse::<f64>) else {
                continue;
            };
            let labels = Labels::none()
                .with("resource", resource)
                .with("tasks", share);
            into.push(metrics::PRESSURE.sample(labels, micros / 1e6));
        }
    }
}
