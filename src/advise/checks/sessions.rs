//! Sessions: too many, idle with a transaction open, in each other's way, or very old.
//!
//! Source: PostgreSQL manual, `pg_stat_activity` (section 28.2.3) and `pg_blocking_pids` (9.26).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::database::{Session, Snapshot};
use crate::model::finding::Severity;
use crate::model::units::counted;

use super::{Draft, Thresholds, graded, percent, short, span};

pub(super) fn connections_near_max(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.connections_near_max;
    let pool = &snapshot.pool;
    let open = pool.max.saturating_sub(pool.reserved);
    if open == 0 {
        return Vec::new();
    }
    let share = f64::from(pool.total) / f64::from(open);
    let Some(severity) = graded(&share, &set.warn_ratio, &set.critical_ratio) else {
        return Vec::new();
    };
    let mut draft = Draft::new(
        severity,
        format!(
            "{} of the connections for clients are taken",
            percent(share)
        ),
        "Put a pooler in front, or shrink the pools of the applications named here; raise \
         max_connections only if memory allows it, since each backend takes several MB",
    )
    .about("max_connections")
    .seen("connections", format!("{} of {open}", pool.total))
    .seen("idle", pool.idle)
    .seen("active", pool.active);
    for (application, count) in pool.by_application.iter().take(3) {
        draft = draft.seen(&format!("application {application:?}"), count);
    }
    // Only sessions at rest can go without harm, and only where there are many of them.
    let are_idle = f64::from(pool.idle) >= IDLE_SHARE * f64::from(pool.total);
    vec![if are_idle {
        draft.cured_here(CLOSE_IDLE, "clients that reconnect open a new session")
    } else {
        draft
    }]
}

/// Share of the connections from which on those at rest are to blame.
const IDLE_SHARE: f64 = 0.5;
/// Ends sessions that have been at rest for an hour.
const CLOSE_IDLE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity\nWHERE state = \
                          'idle' AND backend_type = 'client backend'\nAND state_change < now() - \
                          interval '1 hour';";

pub(super) fn idle_in_transaction(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.idle_in_transaction;
    let idle = snapshot
        .sessions
        .iter()
        .filter(|session| session.state.starts_with("idle in transaction"));
    oldest_first(idle)
        .filter_map(|(session, age)| {
            let severity = graded(&age, &set.warn_age_ms, &set.critical_age_ms)?;
            let title = format!(
                "session {} has held a transaction open for {} while doing nothing",
                session.pid,
                span(age)
            );
            let advice = "Commit or roll back sooner in the application; set \
                          idle_in_transaction_session_timeout, so that a forgotten transaction \
                          cannot hold locks and old row versions for ever";
            Some(
                described(Draft::new(severity, title, advice), session)
                    .cured_here(format!("SELECT pg_terminate_backend({});", session.pid), ""),
            )
        })
        .collect()
}

pub(super) fn long_transaction(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.long_transaction;
    let busy = snapshot
        .sessions
        .iter()
        .filter(|session| !session.state.starts_with("idle in transaction"));
    oldest_first(busy)
        .filter_map(|(session, age)| {
            let severity = graded(&age, &set.warn_age_ms, &set.critical_age_ms)?;
            let title = format!(
                "session {} has run one transaction for {}",
                session.pid,
                span(age)
            );
            let advice = "Split the work into smaller transactions: vacuum cannot remove rows that \
                          died after this one began, in any table";
            Some(
                described(Draft::new(severity, title, advice), session)
                    .cured_here(format!("SELECT pg_cancel_backend({});", session.pid), ""),
            )
        })
        .collect()
}

/// One finding for each session that others wait for and that itself waits for nobody.
pub(super) fn blocked_sessions(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.blocked_sessions;
    let by_pid: BTreeMap<i32, &Session> = snapshot.sessions.iter().map(|s| (s.pid, s)).collect();
    let mut waiting_for: BTreeMap<i32, Vec<&Session>> = BTreeMap::new();
    for session in &snapshot.sessions {
        for blocker in &session.blocked_by {
            waiting_for.entry(*blocker).or_default().push(session);
        }
    }
    let is_root = |pid: &i32| by_pid.get(pid).is_none_or(|s| s.blocked_by.is_empty());
    waiting_for
        .keys()
        .filter(|pid| is_root(pid))
        .filter_map(|root| {
            let held = below(*root, &waiting_for);
            let longest = held
                .iter()
                .filter_map(|s| s.query_age_ms)
                .max()
                .unwrap_or(0);
            if longest < set.warn_age_ms {
                return None;
            }
            let is_bad = longest >= set.critical_age_ms || held.len() >= set.critical_count;
            let severity = if is_bad {
                Severity::Critical
            } else {
                Severity::Warning
            };
            let title = format!(
                "session {root} keeps {} waiting, the longest for {}",
                counted(held.len(), "session"),
                span(longest)
            );
            let advice = "Let the blocking transaction end; if it will not, cancel its statement, \
                          or end it where it is idle";
            let mut draft = Draft::new(severity, title, advice).about(format!("pid {root}"));
            let mut cure = "pg_cancel_backend";
            if let Some(blocker) = by_pid.get(root) {
                draft = described(draft, blocker);
                if blocker.state.starts_with("idle in transaction") {
                    cure = "pg_terminate_backend";
                }
            }
            for session in held.iter().take(5) {
                let waits = format!(
                    "{} for {}",
                    short(&session.query),
                    span(session.query_age_ms.unwrap_or(0))
                );
                let ahead: Vec<String> = session.blocked_by.iter().map(i32::to_string).collect();
                let place = format!("pid {} waits for {}", session.pid, ahead.join(", "));
                draft = draft.seen(&place, waits);
            }
            Some(draft.cured_here(format!("SELECT {cure}({root});"), ""))
        })
        .collect()
}

/// Everyone who waits for `root`, directly or through others; a circle ends.
fn below<'a>(root: i32, waiting_for: &BTreeMap<i32, Vec<&'a Session>>) -> Vec<&'a Session> {
    let mut seen = BTreeSet::from([root]);
    let mut held = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        for session in waiting_for.get(&pid).into_iter().flatten() {
            if seen.insert(session.pid) {
                held.push(*session);
                next.push(session.pid);
            }
        }
    }
    held
}

fn oldest_first<'a>(
    sessions: impl Iterator<Item = &'a Session>,
) -> impl Iterator<Item = (&'a Session, u64)> {
    let mut aged: Vec<(&Session, u64)> = sessions
        .filter_map(|session| Some((session, session.xact_age_ms?)))
        .collect();
    aged.sort_by_key(|(_, age)| std::cmp::Reverse(*age));
    aged.into_iter()
}

fn described(draft: Draft, session: &Session) -> Draft {
    let who = session.role.as_deref().unwrap_or("unknown role");
    draft
        .about(format!("pid {}", session.pid))
        .seen("role", who)
        .seen("application", &session.application)
        .seen("state", &session.state)
        .seen("statement", short(&session.query))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, thresholds};

    fn session(pid: i32, state: &str, xact_age_ms: u64) -> Session {
        Session {
            pid,
            state: state.into(),
            xact_age_ms: Some(xact_age_ms),
            query_age_ms: Some(xact_age_ms),
            query: "UPDATE lead SET status = $1".into(),
            ..Session::default()
        }
    }

    #[test]
    fn connections_are_measured_without_the_reserved_ones() {
        let mut snapshot = quiet();
        snapshot.pool.total = 88;
        let drafts = connections_near_max(&snapshot, thresholds());
        // 88 of 100 − 3 is 90.7 %: critical only because the reserved ones are not for clients.
        assert_eq!(drafts[0].severity, Severity::Critical);
        snapshot.pool.total = 70;
        assert!(connections_near_max(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn an_idle_transaction_is_told_after_a_minute_and_not_before() {
        let mut snapshot = quiet();
        snapshot.sessions = vec![
            session(1, "idle in transaction", 59_000),
            session(2, "idle in transaction (aborted)", 61_000),
            session(3, "active", 61_000),
        ];
        let drafts = idle_in_transaction(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "SELECT pg_terminate_backend(2);"
        );
    }

    #[test]
    fn a_long_transaction_is_told_once() {
        let mut snapshot = quiet();
        snapshot.sessions = vec![
            session(1, "active", 4_000_000),
            session(2, "idle in transaction", 4_000_000),
        ];
        assert_eq!(long_transaction(&snapshot, thresholds()).len(), 1);
        snapshot.sessions[0].xact_age_ms = Some(3_000);
        assert!(long_transaction(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn a_chain_of_waits_names_its_root() {
        let mut snapshot = quiet();
        let mut second = session(2, "active", 8_000);
        second.blocked_by = vec![1];
        let mut third = session(3, "active", 7_000);
        third.blocked_by = vec![2];
        snapshot.sessions = vec![session(1, "idle in transaction", 20_000), second, third];
        let drafts = blocked_sessions(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].object.as_deref(), Some("pid 1"));
        assert!(drafts[0].title.contains("2 sessions"));
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "SELECT pg_terminate_backend(1);"
        );
    }

    #[test]
    fn short_waits_and_circles_stay_silent() {
        let mut snapshot = quiet();
        let mut waiting = session(2, "active", 1_000);
        waiting.blocked_by = vec![1];
        snapshot.sessions = vec![session(1, "active", 2_000), waiting];
        assert!(blocked_sessions(&snapshot, thresholds()).is_empty());
        // The server ends a deadlock by itself; it has no root to blame.
        let (mut a, mut b) = (session(1, "active", 9_000), session(2, "active", 9_000));
        (a.blocked_by, b.blocked_by) = (vec![2], vec![1]);
        snapshot.sessions = vec![a, b];
        assert!(blocked_sessions(&snapshot, thresholds()).is_empty());
    }
}
