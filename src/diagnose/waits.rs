//! What active sessions wait for, as a share of the time.
//!
//! Sampled sessions over all samples estimate the share of database time (Little's law). Source:
//! PostgreSQL manual, tables 28.4 to 28.12 (wait event types).

use crate::model::finding::{Bottleneck, Component, Impact};

use super::{Evidence, Targets, Words, bottleneck, grade, percent};

/// A wait class that holds work up, and what to say of it. `CPU` is work, `Client`, `Activity` and
/// `Timeout` are not the server's.
struct Class {
    name: &'static str,
    component: (&'static str, Component),
    impact: &'static str,
    recommendation: &'static str,
}

const CLASSES: [Class; 5] = [
    Class {
        name: "Lock",
        component: ("Row and table locks", Component::Database),
        impact: "sessions wait for each other instead of working",
        recommendation: "See the blocked sessions in the findings; shorten the transactions that \
                         hold the locks, and touch rows in the same order everywhere",
    },
    Class {
        name: "LWLock",
        component: ("Shared memory", Component::Database),
        impact: "sessions queue for the server's own structures",
        recommendation: "See which event it is: WALWrite asks for fewer and larger commits, \
                         BufferMapping for more buffers, and most others for fewer connections",
    },
    Class {
        name: "IO",
        component: ("Storage waits", Component::Disk),
        impact: "sessions wait for blocks from the disk",
        recommendation: "Find the statements that read most blocks; an index or more buffers \
                         spares the reads",
    },
    Class {
        name: "IPC",
        component: ("Other server processes", Component::Database),
        impact: "sessions wait for parallel workers, standbys or each other's messages",
        recommendation: "If the event is SyncRep, the standby is too slow for commits to wait for; \
                         otherwise look at parallel plans",
    },
    Class {
        name: "BufferPin",
        component: ("Pinned buffers", Component::Database),
        impact: "vacuum or index work waits for an open cursor",
        recommendation: "Close cursors sooner",
    },
];

pub(super) fn classes<'a>(
    evidence: &'a Evidence<'_>,
    targets: &'a Targets,
) -> impl Iterator<Item = (f64, Bottleneck)> + 'a {
    let set = &targets.database;
    evidence.wait_shares.iter().filter_map(|(name, share)| {
        let class = CLASSES.iter().find(|class| class.name == name)?;
        let impact = grade(*share, set.wait_share_warn, set.wait_share_critical)?;
        let words = Words {
            description: format!(
                "active sessions spend {} of their time in {name} waits",
                percent(*share)
            ),
            impact: class.impact,
            recommendation: class.recommendation,
        };
        let mut facts = vec![("share of the time", percent(*share))];
        if let (Some(snapshot), "Lock") = (evidence.snapshot, class.name) {
            facts.push((
                "waiting for a lock now",
                snapshot.pool.lock_waiting.to_string(),
            ));
        }
        Some((*share, bottleneck(class.component, impact, words, &facts)))
    })
}

pub(super) fn idle_in_transaction(
    evidence: &Evidence<'_>,
    targets: &Targets,
) -> Option<(f64, Bottleneck)> {
    /// A few sessions between two statements are nothing.
    const LEAST: u32 = 3;
    let pool = &evidence.snapshot?.pool;
    let share = f64::from(pool.idle_in_transaction) / f64::from(pool.total.max(1));
    if pool.idle_in_transaction < LEAST || share <= targets.database.idle_in_transaction_ratio {
        return None;
    }
    let words = Words {
        description: format!(
            "{} of {} sessions hold a transaction open and do nothing",
            pool.idle_in_transaction, pool.total
        ),
        impact: "their locks and old row versions stay, and their connections are of no use",
        recommendation: "Commit before waiting for anything outside the database; set \
                         idle_in_transaction_session_timeout",
    };
    let facts = [("idle in transaction", percent(share))];
    let found = bottleneck(
        ("Open transactions", Component::Database),
        Impact::Medium,
        words,
        &facts,
    );
    Some((share, found))
}
