//! Standbys, replication slots, and how far this server lags when it is a standby itself.

use crate::model::database::{Replica, Slot};
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "replication";

pub(super) const REPLAY_LAG: Metric = Metric::gauge(
    "pg_replay_lag_seconds",
    "Age of the last replayed transaction on a standby that has not replayed all; 0 elsewhere, \
     absent on a standby that is behind and has not replayed any.",
)
.exact_to(1e-3);
pub(super) const STANDBY_LAG_BYTES: Metric = Metric::gauge(
    "pg_standby_lag_bytes",
    "Write-ahead log that a standby has not yet replayed.",
)
.exact_to(1.0);
const STANDBY_LAG: Metric = Metric::gauge(
    "pg_standby_replay_lag_seconds",
    "Time until recently written log was replayed by a standby.",
)
.exact_to(1e-6);
const STANDBYS: Metric =
    Metric::gauge("pg_standbys", "Standbys that stream from here.").exact_to(1.0);
pub(super) const SLOT_RETAINED_BYTES: Metric = Metric::gauge(
    "pg_replication_slot_retained_bytes",
    "Write-ahead log that a slot holds back.",
)
.exact_to(1.0);
pub(super) const SLOT_ACTIVE: Metric = Metric::gauge(
    "pg_replication_slot_active",
    "Whether somebody reads from the slot.",
);

pub(super) const METRICS: &[&Metric] = &[
    &REPLAY_LAG,
    &STANDBY_LAG_BYTES,
    &STANDBY_LAG,
    &STANDBYS,
    &SLOT_RETAINED_BYTES,
    &SLOT_ACTIVE,
];

/// Where this server stands in the log.
const HERE: &str = "case when pg_is_in_recovery() then pg_last_wal_receive_lsn() \
                    else pg_current_wal_lsn() end";

/// What replication looks like from here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replication {
    pub(crate) replicas: Vec<Replica>,
    pub(crate) slots: Vec<Slot>,
    /// `None` where it is behind by an unknown time: nothing was replayed yet.
    lag_seconds: Option<f64>,
    /// Somebody has paused the replay here.
    pub(crate) is_paused: bool,
}

/// Reads standbys, slots and our own lag.
pub(crate) async fn read(session: &mut Session) -> Result<Replication> {
    let mut out = Replication::default();
    let sql = format!(
        "select {MARKER} application_name, host(client_addr), state, sync_state, \
         pg_wal_lsn_diff({HERE}, replay_lsn)::float8, \
         extract(epoch from replay_lag)::float8 from pg_stat_replication"
    );
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        out.replicas.push(Replica {
            application: cells.text(0)?,
            client_addr: cells.text(1)?,
            state: cells.text(2)?,
            sync_state: cells.text(3)?,
            lag_bytes: cells.number(4)?.map(bytes),
            replay_lag_ms: cells.millis(5)?,
        });
    }
    let sql = format!(
        "select {MARKER} slot_name::text, slot_type, active, \
         pg_wal_lsn_diff({HERE}, restart_lsn)::float8, wal_status from pg_replication_slots"
    );
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        out.slots.push(Slot {
            name: cells.text(0)?,
            kind: cells.text(1)?,
            active: cells.get(2)?,
            retained_bytes: cells.number(3)?.map(bytes),
            wal_status: cells.get(4)?,
        });
    }
    // Streaming begins at the start of a segment, so less may have been received than is replayed.
    let sql = format!(
        "select {MARKER} case when not pg_is_in_recovery() \
         or pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() then 0 else \
         extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) \
         end::float8, case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end"
    );
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        out.lag_seconds = cells.number(0)?;
        out.is_paused = cells.get(1)?;
    }
    Ok(out)
}

fn bytes(value: f64) -> u64 {
    u64::try_from(crate::postgres::read::whole(value)).unwrap_or(0)
}

impl Replication {
    /// How far this standby is behind, in ms; `None` where that is not known.
    pub(crate) fn lag_ms(&self) -> Option<u64> {
        let lag = self.lag_seconds?.max(0.0);
        u64::try_from(crate::postgres::read::whole(lag * 1e3)).ok()
    }

    /// Series of one scrape.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut out = vec![STANDBYS.sample(Labels::none(), self.replicas.len() as f64)];
        // The primary's clock may be ahead of ours.
        let lag = self.lag_seconds.map(|lag| lag.max(0.0));
        out.extend(lag.map(|lag| REPLAY_LAG.sample(Labels::none(), lag)));
        // Two standbys may carry one name and address; the series of the slower one is kept.
        let mut standbys: Vec<(Labels, &Replica)> = self
            .replicas
            .iter()
            .map(|standby| {
                let labels = Labels::none()
                    .with("application_name", standby.application.as_str())
                    .with("client_addr", standby.client_addr.as_str());
                (labels, standby)
            })
            .collect();
        standbys.sort_by(|a, b| (&a.0, b.1.lag_bytes).cmp(&(&b.0, a.1.lag_bytes)));
        standbys.dedup_by(|a, b| a.0 == b.0);
        for (labels, standby) in standbys {
            if let Some(lag) = standby.lag_bytes {
                out.push(STANDBY_LAG_BYTES.sample(labels.clone(), lag as f64));
            }
            if let Some(lag) = standby.replay_lag_ms {
                out.push(STANDBY_LAG.sample(labels, lag as f64 / 1e3));
            }
        }
        for slot in &self.slots {
            let labels = Labels::none()
                .with("slot_name", slot.name.as_str())
                .with("slot_type", slot.kind.as_str());
            if let Some(retained) = slot.retained_bytes {
                out.push(SLOT_RETAINED_BYTES.sample(labels.clone(), retained as f64));
            }
            out.push(SLOT_ACTIVE.sample(labels, f64::from(u8::from(slot.active))));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_that_is_not_known_is_no_zero() {
        let told = |lag_seconds| {
            let read = Replication {
                lag_seconds,
                ..Replication::default()
            };
            let samples = read.samples().into_iter();
            let mut lags = samples.filter(|s| s.series.metric == REPLAY_LAG.name);
            lags.next().map(|s| s.value)
        };
        assert_eq!(told(None), None);
        assert_eq!(told(Some(3.5)), Some(3.5));
        assert_eq!(told(Some(-0.2)), Some(0.0), "a clock ahead of ours");
    }

    #[test]
    fn standbys_of_one_name_give_one_series() {
        let standby = |lag| Replica {
            application: "s".into(),
            lag_bytes: Some(lag),
            ..Replica::default()
        };
        let read = Replication {
            replicas: vec![standby(1), standby(7), standby(3)],
            ..Replication::default()
        };
        let lags: Vec<f64> = read
            .samples()
            .iter()
            .filter(|s| s.series.metric == STANDBY_LAG_BYTES.name)
            .map(|s| s.value)
            .collect();
        assert_eq!(lags, [7.0]);
    }
}
