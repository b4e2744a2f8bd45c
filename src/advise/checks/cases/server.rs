//! The server: sessions, settings, replication, rights, the machine, the pooler.

use super::{Fires, Quiet, index, set, table};
use crate::model::database::{BlindSpot, Replica, Session, Slot, Snapshot};
use crate::model::structure::{HorizonHolder, Machine, Pool};

const GIB: f64 = 1_073_741_824.0;

fn session(pid: i32, state: &str, age_ms: u64, blocked_by: Vec<i32>) -> Session {
    Session {
        pid,
        state: state.into(),
        xact_age_ms: Some(age_ms),
        query_age_ms: Some(age_ms),
        query: "UPDATE lead SET status = $1".into(),
        blocked_by,
        ..Session::default()
    }
}

fn slot(active: bool, kept: u64) -> Slot {
    Slot {
        name: "reader".into(),
        kind: "logical".into(),
        active,
        retained_bytes: Some(kept),
        wal_status: Some("extended".into()),
    }
}

fn replica(lag_ms: Option<u64>) -> Replica {
    Replica {
        application: "standby".into(),
        replay_lag_ms: lag_ms,
        ..Replica::default()
    }
}

fn holder(kind: &str, age: u64, open_ms: Option<u64>) -> HorizonHolder {
    HorizonHolder {
        kind: kind.into(),
        name: "99".into(),
        age,
        open_ms,
        elsewhere: None,
    }
}

fn pool(waiting: u64, max_wait_ms: u64, size: u64) -> Pool {
    Pool {
        database: "shop".into(),
        user: "app".into(),
        clients_waiting: waiting,
        max_wait_ms,
        size: Some(size),
        ..Pool::default()
    }
}

/// Sixteen gibibytes, eight cores, a disk that does not spin, databases of 200 GiB.
fn machine(snapshot: &mut Snapshot) {
    snapshot.machine = Machine {
        memory_bytes: Some(16.0 * GIB),
        cores: Some(8.0),
        is_rotational: Some(false),
    };
    snapshot.databases[0].size_bytes = Some(200 << 30);
    snapshot.indexes[0].size_bytes = 2 << 30;
    for (name, value) in [
        ("shared_buffers", "524288"),
        ("effective_cache_size", "1468006"),
        ("random_page_cost", "1.1"),
        ("work_mem", "4096"),
        ("maintenance_work_mem", "1048576"),
        ("max_worker_processes", "8"),
        ("max_parallel_workers", "8"),
        ("max_parallel_workers_per_gather", "2"),
    ] {
        set(snapshot, name, value);
    }
}

fn with(snapshot: &mut Snapshot, name: &str, value: &str) {
    machine(snapshot);
    set(snapshot, name, value);
}

pub(super) const FIRES: &[Fires] = &[
    ("connections-near-max", |s| {
        (s.pool.total, s.pool.idle) = (95, 90);
    }),
    ("connections-near-max", |s| {
        (s.pool.total, s.pool.idle, s.pool.active) = (85, 5, 80);
    }),
    ("idle-in-transaction", |s| {
        s.sessions = vec![session(4, "idle in transaction", 70_000, vec![])];
    }),
    ("blocked-sessions", |s| {
        let root = session(1, "idle in transaction", 20_000, vec![]);
        s.sessions = vec![root, session(2, "active", 8_000, vec![1])];
    }),
    ("long-transaction", |s| {
        s.sessions = vec![session(4, "active", 4_000_000, vec![])];
    }),
    ("inactive-slot", |s| s.slots = vec![slot(false, 1 << 30)]),
    ("slot-behind", |s| {
        s.slots = vec![slot(true, 20 << 30)];
        set(s, "max_slot_wal_keep_size", "-1");
    }),
    ("replica-lag", |s| s.replicas = vec![replica(Some(60_000))]),
    ("standby-behind", |s| {
        s.server.in_recovery = true;
        s.counters.replay_lag_ms = Some(600_000);
    }),
    ("standby-behind", |s| {
        s.server.in_recovery = true;
        s.counters.replay_lag_ms = Some(600_000);
        s.counters.is_replay_paused = true;
    }),
    ("fsync-off", |s| set(s, "fsync", "off")),
    ("full-page-writes-off", |s| {
        set(s, "full_page_writes", "off");
    }),
    ("autovacuum-off", |s| set(s, "autovacuum", "off")),
    ("shared-buffers-default", |s| {
        set(s, "shared_buffers", "16384");
        s.databases[0].size_bytes = Some(20 << 30);
    }),
    ("io-timing-off", |s| set(s, "track_io_timing", "off")),
    ("logs-everything", |s| set(s, "log_statement", "all")),
    ("logs-everything", |s| {
        set(s, "log_min_duration_statement", "0");
    }),
    ("planner-switches", |s| set(s, "enable_seqscan", "off")),
    ("max-connections-high", |s| s.pool.max = 1_000),
    ("password-md5", |s| set(s, "password_encryption", "md5")),
    ("checkpoint-pressure", |s| {
        (
            s.counters.checkpoints_timed,
            s.counters.checkpoints_requested,
        ) = (100, 300);
    }),
    ("deadlocks", |s| {
        s.counters.deadlocks = 400;
        set(s, "log_lock_waits", "off");
    }),
    ("archive-failing", |s| s.counters.archive_fails_now = true),
    ("checksum-failures", |s| s.counters.checksum_failures = 1),
    ("horizon-held", |s| {
        s.horizon = vec![holder("session", 20_000_000, Some(9_000))];
    }),
    ("horizon-held", |s| {
        s.horizon = vec![holder("prepared", 20_000_000, Some(9_000))];
    }),
    ("prepared-transaction", |s| {
        s.horizon = vec![holder("prepared", 3, Some(10_000_000))];
    }),
    ("xid-wraparound", |s| s.databases[0].xid_age = 900_000_000),
    ("mxid-wraparound", |s| s.databases[0].mxid_age = 900_000_000),
    ("superuser-sessions", |s| {
        s.structure.superusers = vec![("app".into(), 12)];
    }),
    ("public-schema", |s| s.structure.public_may_create = true),
    ("definer-search-path", |s| {
        s.structure.open_definers = vec!["public.pay(integer)".into()];
    }),
    ("shared-buffers-machine", |s| {
        with(s, "shared_buffers", "16384");
    }),
    ("shared-buffers-machine", |s| {
        with(s, "shared_buffers", "1572864");
    }),
    ("work-mem-machine", |s| with(s, "work_mem", "1048576")),
    ("planner-settings", |s| with(s, "random_page_cost", "4")),
    ("planner-settings", |s| {
        with(s, "effective_cache_size", "16384");
    }),
    ("parallel-settings", |s| {
        with(s, "max_parallel_workers", "2");
    }),
    ("parallel-settings", |s| {
        with(s, "max_parallel_workers_per_gather", "16");
    }),
    ("maintenance-machine", |s| {
        with(s, "maintenance_work_mem", "65536");
    }),
    ("maintenance-machine", |s| {
        with(s, "maintenance_work_mem", "8388608");
    }),
    ("pool-waiting", |s| s.pools = vec![pool(9, 12_000, 20)]),
    ("pool-oversized", |s| {
        s.pools = vec![pool(0, 0, 60), pool(0, 0, 60)];
    }),
    ("statements-missing", |s| {
        s.blind_spots.push(BlindSpot {
            what: "statements".into(),
            why: "pg_stat_statements is not installed".into(),
            cure: "add it to shared_preload_libraries and restart".into(),
        });
        set(s, "shared_preload_libraries", "pg_stat_statements");
    }),
];

pub(super) const QUIET: &[Quiet] = &[
    (
        "connections-near-max",
        "seven tenths of the usable connections",
        |s| {
            s.pool.total = 70;
        },
    ),
    ("idle-in-transaction", "less than a minute", |s| {
        s.sessions = vec![session(4, "idle in transaction", 59_000, vec![])];
    }),
    ("blocked-sessions", "a wait of a second", |s| {
        let root = session(1, "active", 20_000, vec![]);
        s.sessions = vec![root, session(2, "active", 1_000, vec![1])];
    }),
    (
        "blocked-sessions",
        "a deadlock, which the server ends itself",
        |s| {
            s.sessions = vec![
                session(1, "active", 9_000, vec![2]),
                session(2, "active", 9_000, vec![1]),
            ];
        },
    ),
    ("long-transaction", "a report of some minutes", |s| {
        s.sessions = vec![session(4, "active", 600_000, vec![])];
    }),
    (
        "long-transaction",
        "one that idles, which idle-in-transaction tells",
        |s| {
            s.sessions = vec![session(4, "idle in transaction", 4_000_000, vec![])];
        },
    ),
    ("inactive-slot", "a slot in use", |s| {
        s.slots = vec![slot(true, 1 << 30)];
    }),
    ("inactive-slot", "a slot that keeps one segment", |s| {
        s.slots = vec![slot(false, 16 << 20)];
    }),
    (
        "slot-behind",
        "a reader that is some megabytes behind",
        |s| {
            s.slots = vec![slot(true, 64 << 20)];
        },
    ),
    ("replica-lag", "a standby within seconds", |s| {
        s.replicas = vec![replica(Some(2_000))];
    }),
    ("replica-lag", "a standby whose lag is hidden", |s| {
        s.replicas = vec![replica(None)];
    }),
    ("standby-behind", "a standby that has replayed all", |s| {
        s.server.in_recovery = true;
        s.counters.replay_lag_ms = Some(0);
    }),
    ("fsync-off", "a setting that cannot be read", |s| {
        s.settings.remove("fsync");
    }),
    (
        "full-page-writes-off",
        "a setting that cannot be read",
        |s| {
            s.settings.remove("full_page_writes");
        },
    ),
    ("autovacuum-off", "a setting that cannot be read", |s| {
        s.settings.remove("autovacuum");
    }),
    ("shared-buffers-default", "small databases", |s| {
        set(s, "shared_buffers", "16384");
    }),
    (
        "shared-buffers-default",
        "a machine that is known, which shared-buffers-machine tells",
        |s| {
            with(s, "shared_buffers", "16384");
        },
    ),
    ("io-timing-off", "a setting that cannot be read", |s| {
        s.settings.remove("track_io_timing");
    }),
    (
        "logs-everything",
        "slow statements and changes of the schema",
        |s| {
            set(s, "log_statement", "ddl");
            set(s, "log_min_duration_statement", "1000");
        },
    ),
    ("planner-switches", "what is off as it is built", |s| {
        set(s, "enable_partitionwise_join", "off");
    }),
    ("max-connections-high", "a few hundred", |s| {
        s.pool.max = 300;
    }),
    ("password-md5", "SCRAM", |s| {
        set(s, "password_encryption", "scram-sha-256");
    }),
    ("checkpoint-pressure", "checkpoints by the clock", |s| {
        (
            s.counters.checkpoints_timed,
            s.counters.checkpoints_requested,
        ) = (10_000, 300);
    }),
    ("checkpoint-pressure", "a handful on request", |s| {
        s.counters.checkpoints_requested = 3;
    }),
    ("deadlocks", "two in a quarter of a year", |s| {
        s.counters.deadlocks = 2;
    }),
    ("archive-failing", "failures before the last success", |s| {
        s.counters.archive_failures = 40;
    }),
    ("checksum-failures", "checksums that are not kept", |s| {
        set(s, "data_checksums", "off");
    }),
    ("horizon-held", "some thousand transactions", |s| {
        s.horizon = vec![holder("session", 50_000, Some(9_000))];
    }),
    ("prepared-transaction", "one that was just prepared", |s| {
        s.horizon = vec![holder("prepared", 3, Some(1_000))];
    }),
    (
        "xid-wraparound",
        "an age at which autovacuum freezes",
        |s| {
            s.databases[0].xid_age = 190_000_000;
        },
    ),
    (
        "xid-wraparound",
        "ids that grow old by the operator's setting",
        |s| {
            s.databases[0].xid_age = 600_000_000;
            set(s, "autovacuum_freeze_max_age", "800000000");
        },
    ),
    (
        "mxid-wraparound",
        "many transactions and few row locks",
        |s| {
            s.databases[0].xid_age = 900_000_000;
        },
    ),
    ("superuser-sessions", "a person", |s| {
        s.structure.superusers = vec![("postgres".into(), 1)];
    }),
    ("public-schema", "a schema that only its owner fills", |s| {
        s.structure.public_may_create = false;
    }),
    (
        "definer-search-path",
        "functions that set their search_path",
        |s| {
            s.structure.open_definers.clear();
        },
    ),
    ("shared-buffers-machine", "a quarter of memory", machine),
    ("shared-buffers-machine", "a server elsewhere", |s| {
        with(s, "shared_buffers", "16384");
        s.machine = Machine::default();
    }),
    ("shared-buffers-machine", "databases that fit", |s| {
        with(s, "shared_buffers", "16384");
        s.databases[0].size_bytes = Some(50 << 20);
    }),
    (
        "work-mem-machine",
        "four megabytes for a hundred sessions",
        machine,
    ),
    ("planner-settings", "values of the machine", machine),
    ("planner-settings", "a disk that spins", |s| {
        with(s, "random_page_cost", "4");
        s.machine.is_rotational = Some(true);
    }),
    ("parallel-settings", "as many workers as cores", machine),
    ("maintenance-machine", "a gigabyte of sixteen", machine),
    (
        "maintenance-machine",
        "little, and no index that needs more",
        |s| {
            with(s, "maintenance_work_mem", "65536");
            s.indexes = vec![index("small", &["a"])];
            s.tables = vec![table("lead", 100)];
        },
    ),
    ("pool-waiting", "a queue of some milliseconds", |s| {
        s.pools = vec![pool(3, 40, 20)];
    }),
    ("pool-oversized", "pools within the server", |s| {
        s.pools = vec![pool(0, 0, 40), pool(0, 0, 40)];
    }),
    ("statements-missing", "blind spots of something else", |s| {
        s.blind_spots.push(BlindSpot {
            what: "rights".into(),
            why: "the role is no member of pg_monitor".into(),
            cure: "GRANT pg_monitor".into(),
        });
    }),
];
