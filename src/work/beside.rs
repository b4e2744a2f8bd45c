//! What is known beside a look at a server: the machine it runs on, and what its standbys use.

use crate::advise::checks::{self, Thresholds};
use crate::model::database::Snapshot;
use crate::model::structure::{Machine, StandbyScans};
use crate::work::board::{Board, TargetState};

/// What standbys of the same cluster use, as they were last looked at.
pub(crate) fn standby_scans(board: &Board, target: &str, snapshot: &Snapshot) -> StandbyScans {
    let mut seen = StandbyScans::default();
    let Some(cluster) = &snapshot.structure.system_id else {
        return seen;
    };
    if snapshot.server.in_recovery {
        return seen;
    }
    for name in board.names().into_iter().filter(|name| name != target) {
        let Some(other) = board.target(&name).and_then(|state| state.snapshot) else {
            continue;
        };
        let is_standby = other.server.in_recovery
            && other.structure.system_id.as_ref() == Some(cluster)
            && other.server.database == snapshot.server.database;
        // Young counters prove nothing there either.
        if !is_standby || !checks::has_old_counters(&other, &Thresholds::default()) {
            continue;
        }
        for index in &other.indexes {
            let scans = seen.by_index.entry(index.oid).or_default();
            *scans = scans.saturating_add(index.idx_scan);
        }
        seen.standbys.push(name);
    }
    seen
}

/// The machine as its own readings tell; nothing where it is not this one.
pub(crate) fn machine(state: &TargetState) -> Machine {
    let all = |name: &str| -> Vec<f64> {
        let samples = state.samples().filter(|s| s.series.metric == name);
        samples.map(|sample| sample.value).collect()
    };
    let spins = all("host_disk_rotational");
    Machine {
        memory_bytes: all("host_memory_limit_bytes").first().copied(),
        cores: all("host_cpu_cores").first().copied(),
        is_rotational: (!spins.is_empty()).then(|| spins.iter().any(|spins| *spins > 0.0)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::database::Index;
    use crate::model::units::{Millis, Timestamp};

    /// A look at a server of cluster 7 whose index was scanned so often.
    fn look(is_standby: bool, scans: u64, days: u64) -> Snapshot {
        let mut snapshot = Snapshot {
            taken_at: Timestamp::from_millis(1_800_000_000_000),
            indexes: vec![Index {
                oid: 5,
                idx_scan: scans,
                ..Index::default()
            }],
            ..Snapshot::default()
        };
        let age = Millis(days * Millis::DAY.0).as_duration();
        snapshot.server.started_at = snapshot.taken_at.minus(age);
        snapshot.server.in_recovery = is_standby;
        snapshot.server.database = "shop".to_owned();
        snapshot.structure.system_id = Some("7".to_owned());
        snapshot
    }

    fn seen(primary: &Snapshot, others: Vec<Snapshot>) -> StandbyScans {
        let names: Vec<String> = (0..others.len()).map(|i| format!("s{i}")).collect();
        let board = Board::new(names.iter().cloned().chain(["p".to_owned()]), Vec::new());
        for (name, other) in names.iter().zip(others) {
            board.update(name, |state| state.snapshot = Some(Arc::new(other)));
        }
        standby_scans(&board, "p", primary)
    }

    #[test]
    fn scans_of_standbys_of_the_same_cluster_are_added_up() {
        let primary = look(false, 0, 90);
        let found = seen(&primary, vec![look(true, 3, 90), look(true, 4, 90)]);
        assert_eq!(found.standbys, ["s0", "s1"]);
        assert_eq!(found.by_index.get(&5), Some(&7));
    }

    #[test]
    fn strangers_young_counters_and_other_databases_count_for_nothing() {
        let primary = look(false, 0, 90);
        let mut stranger = look(true, 3, 90);
        stranger.structure.system_id = Some("8".to_owned());
        let mut elsewhere = look(true, 3, 90);
        elsewhere.server.database = "other".to_owned();
        let others = vec![stranger, elsewhere, look(true, 3, 2), look(false, 3, 90)];
        assert_eq!(seen(&primary, others), StandbyScans::default());
        let mut hidden = primary;
        hidden.structure.system_id = None;
        assert_eq!(
            seen(&hidden, vec![look(true, 3, 90)]),
            StandbyScans::default()
        );
    }
}
