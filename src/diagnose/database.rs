//! The server's own machinery: buffers, temporary files, checkpoints, replication.
//!
//! Source: PostgreSQL manual, sections 20.4 (memory), 30.5 (WAL configuration), 27.2 (standbys).

use crate::model::finding::{Bottleneck, Component, Impact};
use crate::model::units::Bytes;

use super::{Evidence, Targets, Words, bottleneck, grade, percent};

pub(super) fn buffers(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let hit = evidence.rates.buffer_hit_ratio?;
    if hit >= targets.database.cache_hit_ratio {
        return None;
    }
    let words = Words {
        description: format!("{} of the blocks are found in shared buffers", percent(hit)),
        impact: "the rest comes from the kernel or the disk, at many times the cost",
        recommendation: "Look for sequential scans of large tables first; then raise shared_buffers",
    };
    let facts = [("hits", percent(hit))];
    let found = bottleneck(
        ("Shared buffers", Component::Database),
        Impact::Medium,
        words,
        &facts,
    );
    Some((1.0 - hit, found))
}

pub(super) fn temporary_files(
    evidence: &Evidence<'_>,
    targets: &Targets,
) -> Option<(f64, Bottleneck)> {
    let rate = evidence.rates.temp_bytes_per_s?;
    if rate <= targets.database.temp_bytes_warn {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "above a positive bound; shown only"
    )]
    let shown = format!("{}/s", Bytes(rate as u64));
    let words = Words {
        description: format!("sorts and hashes write {shown} of temporary files"),
        impact: "what does not fit work_mem goes through the disk",
        recommendation: "See the statements that spill; raise work_mem for the roles that run them",
    };
    let facts = [("temporary files", shown)];
    let found = bottleneck(
        ("Temporary files", Component::Disk),
        Impact::Medium,
        words,
        &facts,
    );
    Some((0.3, found))
}

pub(super) fn checkpoints(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let share = evidence.rates.checkpoints_requested_ratio?;
    if share <= targets.database.checkpoints_requested_ratio {
        return None;
    }
    let words = Words {
        description: format!(
            "{} of the checkpoints come before their time",
            percent(share)
        ),
        impact: "writes come in bursts, and every page is written whole to the WAL once more",
        recommendation: "Raise max_wal_size until checkpoints follow checkpoint_timeout",
    };
    let facts = [("asked for", percent(share))];
    let found = bottleneck(
        ("Checkpoints", Component::Database),
        Impact::Medium,
        words,
        &facts,
    );
    Some((0.5 * share, found))
}

pub(super) fn replication(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let set = &targets.database;
    let lag = evidence.rates.replication_lag_ms?;
    let impact = grade(
        lag,
        set.replication_lag_warn_ms,
        set.replication_lag_critical_ms,
    )?;
    let shown = format!("{:.0} s", lag / 1e3);
    let words = Words {
        description: format!("the slowest standby is {shown} behind"),
        impact: "reads there are old, and a fail-over would lose or wait for that much",
        recommendation: "Look at the standby's disk, its network and long queries that hold back replay",
    };
    let facts = [("lag of replay", shown)];
    Some((
        0.4,
        bottleneck(("Replication", Component::Database), impact, words, &facts),
    ))
}
