//! Standbys that fall behind, and slots that nobody reads.
//!
//! Source: PostgreSQL manual, `pg_replication_slots` (section 54.19) and `pg_stat_replication`
//! (28.2.4).

use crate::model::database::Snapshot;
use crate::model::finding::Severity;

use super::{Draft, Thresholds, graded, size, span};
use crate::advise::sql;

pub(super) fn inactive_slot(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.inactive_slot;
    let quiet = snapshot.slots.iter().filter(|slot| !slot.active);
    quiet
        .filter_map(|slot| {
            // One that is lost keeps nothing, and says so.
            let is_lost = slot.wal_status.as_deref() == Some("lost");
            let (severity, title, advice) = if is_lost {
                (
                    Severity::Warning,
                    format!(
                        "slot {} is lost: its reader cannot go on from it",
                        slot.name
                    ),
                    "Set its reader up anew, and drop the slot: it keeps nothing any more, and no \
                     restart brings it back",
                )
            } else {
                let kept = slot.retained_bytes?;
                (
                    graded(&kept, &set.warn_bytes, &set.critical_bytes)?,
                    format!(
                        "slot {} is read by nobody and holds back {} of WAL",
                        slot.name,
                        size(kept)
                    ),
                    "Bring its reader back, or drop the slot: the WAL it keeps fills the disk, and \
                     old row versions stay with it. max_slot_wal_keep_size bounds the harm",
                )
            };
            Some(
                Draft::new(severity, title, advice)
                    .about(&slot.name)
                    .seen("type", &slot.kind)
                    .seen(
                        "wal_status",
                        slot.wal_status.as_deref().unwrap_or("not known"),
                    )
                    .cured_here(drop_slot(&slot.name), ""),
            )
        })
        .collect()
}

fn drop_slot(name: &str) -> String {
    format!(
        "SELECT pg_drop_replication_slot({});",
        sql::literal(name).trim()
    )
}

/// A slot in use whose reader does not keep up.
pub(super) fn slot_behind(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.slot_behind;
    let read = snapshot.slots.iter().filter(|slot| slot.active);
    read.filter_map(|slot| {
        let kept = slot.retained_bytes?;
        let severity = graded(&kept, &set.warn_bytes, &set.critical_bytes)?;
        let title = format!(
            "the reader of slot {} is {} of WAL behind",
            slot.name,
            size(kept)
        );
        let limit = snapshot.settings.get("max_slot_wal_keep_size");
        let draft = Draft::new(
            severity,
            title,
            "Look at what the reader waits for: the server keeps this WAL for it, until the disk \
             is full. The statement here sets a bound, past which the slot is lost and not the disk",
        )
        .about(&slot.name)
        .seen("type", &slot.kind)
        .seen("max_slot_wal_keep_size", limit.map_or("not known", String::as_str));
        let command = format!(
            "ALTER SYSTEM SET max_slot_wal_keep_size = '{}MB';\nSELECT pg_reload_conf();",
            set.critical_bytes >> 20
        );
        // What is bounded already needs no bound.
        let is_bounded = limit.is_some_and(|limit| limit != "-1");
        Some(if is_bounded {
            draft
        } else {
            draft.cured_here(command, "")
        })
    })
    .collect()
}

/// This server is a standby and does not keep up.
pub(super) fn standby_behind(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.replica_lag;
    let Some(lag) = snapshot.counters.replay_lag_ms else {
        return Vec::new();
    };
    let severity = graded(&lag, &set.warn_ms, &set.critical_ms);
    let Some(severity) = severity.filter(|_| snapshot.server.in_recovery) else {
        return Vec::new();
    };
    let draft = Draft::new(
        severity,
        format!("this standby is {} behind its primary", span(lag)),
        "Look at its disk and at long queries here that hold back replay \
         (max_standby_streaming_delay); what is read here is that old",
    )
    .about(&snapshot.server.database)
    .seen("replay lag", span(lag));
    vec![if snapshot.counters.is_replay_paused {
        draft
            .seen("replay", "paused")
            .cured_here("SELECT pg_wal_replay_resume();", "")
    } else {
        draft
    }]
}

pub(super) fn replica_lag(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.replica_lag;
    let replicas = snapshot.replicas.iter();
    replicas
        .filter_map(|replica| {
            let by_time = replica
                .replay_lag_ms
                .and_then(|ms| graded(&ms, &set.warn_ms, &set.critical_ms));
            let by_size = replica
                .lag_bytes
                .and_then(|bytes| graded(&bytes, &set.warn_bytes, &set.critical_bytes));
            let severity = by_time.max(by_size)?;
            let name = if replica.application.is_empty() {
                &replica.client_addr
            } else {
                &replica.application
            };
            let mut draft = Draft::new(
                severity,
                format!("standby {name} is behind"),
                "Look at its disk, its network and at long queries that hold back replay there; a \
                 fail-over now would lose or wait for this much",
            )
            .about(name)
            .seen("state", &replica.state)
            .seen("sync_state", &replica.sync_state);
            if let Some(ms) = replica.replay_lag_ms {
                draft = draft.seen("replay_lag", span(ms));
            }
            if let Some(bytes) = replica.lag_bytes {
                draft = draft.seen("not yet replayed", size(bytes));
            }
            Some(draft)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, thresholds};
    use crate::model::database::{Replica, Slot};

    fn slot(active: bool, retained_bytes: u64) -> Slot {
        Slot {
            name: "o'ld".into(),
            kind: "physical".into(),
            active,
            retained_bytes: Some(retained_bytes),
            wal_status: Some("extended".into()),
        }
    }

    #[test]
    fn an_abandoned_slot_is_told_by_what_it_keeps() {
        let mut snapshot = quiet();
        snapshot.slots = vec![
            slot(false, 1 << 30),
            slot(true, 1 << 40),
            slot(false, 1 << 20),
        ];
        let drafts = inactive_slot(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "SELECT pg_drop_replication_slot('o''ld');"
        );
    }

    #[test]
    fn a_lost_slot_is_told_though_it_keeps_nothing() {
        let mut snapshot = quiet();
        snapshot.slots = vec![Slot {
            retained_bytes: None,
            wal_status: Some("lost".into()),
            ..slot(false, 0)
        }];
        let drafts = inactive_slot(&snapshot, thresholds());
        assert!(drafts[0].title.contains("is lost"), "{}", drafts[0].title);
    }

    #[test]
    fn a_standby_behind_in_time_or_bytes_is_told() {
        let mut snapshot = quiet();
        let replica = |ms, bytes| Replica {
            application: "standby1".into(),
            replay_lag_ms: ms,
            lag_bytes: bytes,
            ..Replica::default()
        };
        snapshot.replicas = vec![
            replica(Some(400_000), Some(10)),
            replica(None, Some(1 << 29)),
            replica(Some(20), Some(1_000)),
        ];
        let drafts = replica_lag(&snapshot, thresholds());
        let severities: Vec<_> = drafts.iter().map(|d| d.severity).collect();
        assert_eq!(severities, [Severity::Critical, Severity::Warning]);
    }
}
