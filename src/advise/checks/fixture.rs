//! A healthy server, to be broken by one thing at a time.

use std::collections::BTreeMap;

use super::Thresholds;
use crate::model::database::{Database, Index, PoolUsage, Server, Snapshot, Table};
use crate::model::units::{Millis, Timestamp};

pub(super) fn thresholds() -> &'static Thresholds {
    Thresholds::built_in()
}

pub(super) fn table(name: &str, rows: u64) -> Table {
    Table {
        oid: 1_000,
        schema: "public".into(),
        name: name.into(),
        row_estimate: Some(rows as f64),
        n_live_tup: rows,
        has_primary_key: true,
        ..Table::default()
    }
}

pub(super) fn index(name: &str, keys: &[&str]) -> Index {
    Index {
        oid: 2_000,
        table_oid: 1_000,
        schema: "public".into(),
        table: "lead".into(),
        name: name.into(),
        method: "btree".into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        definition: format!("CREATE INDEX {name} ON public.lead ({})", keys.join(", ")),
        is_valid: true,
        size_bytes: 1 << 20,
        idx_scan: 1_000,
        ..Index::default()
    }
}

pub(super) fn quiet() -> Snapshot {
    let taken_at = Timestamp::from_millis(1_800_000_000_000);
    let quarter = Millis(90 * Millis::DAY.0).as_duration();
    let on = ["fsync", "full_page_writes", "autovacuum", "track_io_timing"];
    let mut settings: BTreeMap<String, String> = on
        .iter()
        .map(|name| ((*name).to_owned(), "on".to_owned()))
        .collect();
    settings.insert("shared_buffers".into(), "262144".into());
    Snapshot {
        target: "shop".into(),
        taken_at,
        server: Server {
            version: "15.18".into(),
            version_num: 150_018,
            started_at: taken_at.minus(quarter),
            in_recovery: false,
            database: "shop".into(),
            role: "monitor".into(),
            stats_reset: Some(taken_at.minus(quarter)),
            extensions: BTreeMap::new(),
        },
        databases: vec![Database {
            name: "shop".into(),
            size_bytes: Some(100 << 20),
            xid_age: 50_000_000,
            mxid_age: 10_000,
        }],
        settings,
        tables: vec![table("lead", 50_000)],
        indexes: vec![index("lead_email", &["email"])],
        pool: PoolUsage {
            total: 20,
            idle: 15,
            active: 5,
            max: 100,
            reserved: 3,
            ..PoolUsage::default()
        },
        sessions: Vec::new(),
        statements: Vec::new(),
        replicas: Vec::new(),
        slots: Vec::new(),
        sequences: Vec::new(),
        ..Snapshot::default()
    }
}
