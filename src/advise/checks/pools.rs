//! Pools of a `PgBouncer` in front of the server: clients that wait, pools larger than the server.
//!
//! Source: PgBouncer 1.25's documentation, "usage", `SHOW POOLS` and "config", `default_pool_size`.

use super::{Draft, Thresholds, graded, span};
use crate::model::database::Snapshot;
use crate::model::finding::Severity;

/// Where a pooler takes its orders.
const CONSOLE: &str = "on the pooler's admin console, and in its file for its next start";

pub(super) fn waiting(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.pool_waiting;
    let pools = snapshot
        .pools
        .iter()
        .filter(|pool| pool.clients_waiting > 0);
    pools
        .filter_map(|pool| {
            let severity = graded(&pool.max_wait_ms, &set.warn_ms, &set.critical_ms)?;
            let name = format!("{}/{}", pool.database, pool.user);
            let advice = if pool.servers_idle == 0 {
                "Every server connection of the pool is in use: shorten the transactions first \
                 (see idle-in-transaction), then raise pool_size, as long as the server has cores \
                 for it"
            } else {
                "Server connections are at rest and clients wait all the same: look at \
                 max_db_connections, max_user_connections and the pooler's own processor"
            };
            let draft = Draft::new(
                severity,
                format!(
                    "{} clients wait for a connection of pool {name}, the first for {}",
                    pool.clients_waiting,
                    span(pool.max_wait_ms)
                ),
                advice,
            )
            .about(name)
            .seen("clients served", pool.clients_active)
            .seen("server connections in use", pool.servers_active)
            .seen("at rest", pool.servers_idle)
            .seen("pool_mode", &pool.mode);
            // More server connections only where the server still has room for them.
            let usable = snapshot.pool.max.saturating_sub(snapshot.pool.reserved);
            let room = u64::from(usable.saturating_sub(snapshot.pool.total));
            let wanted = pool.size.map(|size| size + (size / 2).max(1));
            Some(
                match wanted.filter(|wanted| {
                    pool.servers_idle == 0 && wanted - pool.size.unwrap_or(0) <= room
                }) {
                    Some(wanted) => {
                        draft.cured_here(format!("SET default_pool_size = {wanted};"), CONSOLE)
                    }
                    None => draft,
                },
            )
        })
        .collect()
}

pub(super) fn oversized(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let sizes: Vec<u64> = snapshot.pools.iter().filter_map(|pool| pool.size).collect();
    let all: u64 = sizes.iter().sum();
    let room = u64::from(snapshot.pool.max.saturating_sub(snapshot.pool.reserved));
    if sizes.is_empty() || room == 0 || all <= room {
        return Vec::new();
    }
    vec![
        Draft::new(
            Severity::Warning,
            format!("the pools may open {all} connections, and the server takes {room}"),
            "Make the pools smaller: together they should leave room for those who connect past \
             the pooler. A pool of two to four times the server's cores is rarely too small",
        )
        .about("pool_size")
        .seen("pools", sizes.len())
        .seen("max_connections less the reserved ones", room)
        .cured_here(
            format!(
                "SET default_pool_size = {};",
                (room / u64::try_from(sizes.len()).unwrap_or(1)).max(1)
            ),
            CONSOLE,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, thresholds};
    use crate::model::structure::Pool;

    fn pool(clients_waiting: u64, max_wait_ms: u64, size: u64) -> Pool {
        Pool {
            database: "shop".into(),
            user: "app".into(),
            clients_waiting,
            max_wait_ms,
            size: Some(size),
            ..Pool::default()
        }
    }

    #[test]
    fn clients_that_wait_long_are_told_and_a_short_queue_is_not() {
        let mut snapshot = quiet();
        snapshot.pools = vec![pool(9, 12_000, 20), pool(3, 40, 20), pool(0, 0, 20)];
        let drafts = waiting(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].severity, Severity::Critical);
    }

    #[test]
    fn pools_are_added_up_against_the_server() {
        let mut snapshot = quiet();
        assert!(oversized(&snapshot, thresholds()).is_empty(), "no pooler");
        snapshot.pools = vec![pool(0, 0, 40), pool(0, 0, 40)];
        assert!(oversized(&snapshot, thresholds()).is_empty());
        snapshot.pools.push(pool(0, 0, 40));
        assert_eq!(oversized(&snapshot, thresholds()).len(), 1);
    }
}
