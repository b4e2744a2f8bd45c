//! Network interfaces. Source: `proc(5)`, `/proc/net/dev`; Linux `Documentation/ABI/testing/sysfs-class-net`.

use crate::model::series::{Labels, Sample};

use super::{Roots, metrics, number, text};

/// Megabits per second, as sysfs gives them, to bytes per second.
const BYTES_PER_MEGABIT: f64 = 1e6 / 8.0;

pub(super) fn read(roots: &Roots<'_>, into: &mut Vec<Sample>) {
    let Some(table) = text(&roots.proc.join("net/dev")) else {
        return;
    };
    let rows: Vec<(&str, Vec<f64>)> = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, counts)| {
            let counts = counts.split_whitespace();
            (name.trim(), counts.map_while(|c| c.parse().ok()).collect())
        })
        .filter(|(name, counts): &(&str, Vec<f64>)| *name != "lo" && counts.len() >= 9)
        .collect();
    // Bridges and tunnels carry what a card carries once more. A container has no card at all:
    // there its virtual interface is the way out.
    let class = roots.sys.join("class/net");
    let is_card = |name: &str| class.join(name).join("device").exists();
    let has_cards = rows.iter().any(|(name, _)| is_card(name));
    for (name, counts) in &rows {
        if has_cards && !is_card(name) {
            continue;
        }
        let labels = || Labels::none().with("device", *name);
        if let Some(received) = counts.first() {
            into.push(metrics::NETWORK_RECEIVED.sample(labels(), *received));
        }
        if let Some(sent) = counts.get(8) {
            into.push(metrics::NETWORK_TRANSMITTED.sample(labels(), *sent));
        }
        if let Some(speed) = number(&class.join(name).join("speed")).filter(|s| *s > 0.0) {
            into.push(metrics::NETWORK_SPEED.sample(labels(), speed * BYTES_PER_MEGABIT));
        }
    }
}
