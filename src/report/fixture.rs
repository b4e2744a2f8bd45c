//! An input as a real server might give it: two targets, all resources, trouble of every kind.
//!
//! For: this module's tests. The curves are drawn from a formula with seeded noise; they claim
//! nothing about forecasting.

mod curve;

use std::time::Duration;

use super::{DataExtent, Reach, ReportInput, TargetReport};
use crate::model::capacity::{Outlook, Resource};
use crate::model::database::{BlindSpot, PoolUsage, Server, Statement};
use crate::model::finding::{
    Alert, Bottleneck, Component, Cure, Evidence, Finding, Impact, Severity,
};
use crate::model::outcome::{Experience, Kept, LeadScore, MemberScore, Review};
use crate::model::units::{Millis, Timestamp};

const GB: f64 = 1_073_741_824.0;
const DAYS: usize = 180;

/// A name that breaks whatever pastes it without escaping.
pub(crate) const HOSTILE: &str =
    "Robert\"); DROP TABLE students;-- <script>alert(1)</script> | `x`";

pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-05-01T12:00:00Z").unwrap()
}

fn days(n: f64) -> Duration {
    Duration::from_secs_f64(n * 86_400.0)
}

fn findings() -> Vec<Finding> {
    vec![
        Finding {
            id: "xid-wraparound".into(),
            severity: Severity::Critical,
            title: "Transaction ids of orders are 1.62 billion old; writes stop at 2.1 billion"
                .into(),
            object: Some("orders".into()),
            evidence: vec![
                Evidence::new("age(datfrozenxid)", "1,620,114,902"),
                Evidence::new("autovacuum_freeze_max_age", "200,000,000"),
            ],
            advice: "Freeze the oldest tables tonight; find out what holds vacuum back.".into(),
            cure: Some(Cure {
                sql: "VACUUM (FREEZE, VERBOSE) public.lead_event;".into(),
                lock: "SHARE UPDATE EXCLUSIVE".into(),
            }),
        },
        Finding {
            id: "unused-index".into(),
            severity: Severity::Warning,
            title: "An index of 1.4 GB was not read in 94 days".into(),
            object: Some(format!("public.{HOSTILE}")),
            evidence: vec![
                Evidence::new("idx_scan", 0),
                Evidence::new("pg_relation_size", "1.4 GB"),
                Evidence::new("statistics since", "2026-01-27"),
            ],
            advice: "Drop it after a look at the standbys, whose reads are not counted here."
                .into(),
            cure: Some(Cure {
                sql: "DROP INDEX CONCURRENTLY public.\"Robert\"\"); DROP TABLE students;--\";"
                    .into(),
                lock: "SHARE UPDATE EXCLUSIVE".into(),
            }),
        },
        Finding {
            id: "io-timing-off".into(),
            severity: Severity::Info,
            title: "track_io_timing is off, so time spent on reads is not known".into(),
            object: Some("track_io_timing".into()),
            evidence: vec![Evidence::new("setting", "off")],
            advice: "Turn it on; pg_test_timing tells what it costs.".into(),
            cure: Some(Cure {
                sql: "ALTER SYSTEM SET track_io_timing = on;\nSELECT pg_reload_conf();".into(),
                lock: "none".into(),
            }),
        },
    ]
}

fn statement(query_id: i64, query: &str, calls: u64, mean: f64) -> Statement {
    Statement {
        query_id,
        query: query.into(),
        role: Some("app".into()),
        calls,
        total_exec_time: mean * calls as f64,
        mean_exec_time: mean,
        max_exec_time: mean * 40.0,
        stddev_exec_time: mean * 2.0,
        rows: calls * 3,
        shared_blks_hit: calls * 90,
        shared_blks_read: calls * 7,
        temp_blks_written: 0,
        wal_bytes: 0,
    }
}

fn server() -> Server {
    Server {
        version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        version_num: 150_018,
        started_at: now().minus(days(41.0)),
        in_recovery: false,
        database: "orders".into(),
        role: "plimsoll".into(),
        stats_reset: None,
        extensions: [("pg_stat_statements".to_owned(), "1.10".to_owned())].into(),
    }
}

fn bottleneck() -> Bottleneck {
    Bottleneck {
        component: "Storage I/O".into(),
        kind: Component::Disk,
        severity: Impact::High,
        description: "41 % of active session time waits for reads of data files".into(),
        impact: "Statements over lead_event take three times as long as in the cache".into(),
        recommendation: "Raise shared_buffers to 4 GB, or index lead_event (created_at)".into(),
        evidence: vec![
            Evidence::new("DataFileRead", "41 % of samples"),
            Evidence::new("cache hit ratio", "91.2 %"),
        ],
    }
}

fn pool() -> PoolUsage {
    PoolUsage {
        total: 62,
        idle: 41,
        active: 17,
        idle_in_transaction: 4,
        waiting: 9,
        lock_waiting: 2,
        oldest_xact_age_ms: Some(412_000),
        max: 100,
        reserved: 3,
        by_application: vec![("api".into(), 40), (HOSTILE.into(), 22)],
    }
}

fn orders() -> TargetReport {
    let start = now().floor_to(Millis::DAY).minus(days(DAYS as f64));
    TargetReport {
        name: "orders".into(),
        server: Some(server()),
        reach: Reach::Up,
        last_scrape_at: Some(now().minus(Duration::from_secs(8))),
        data: DataExtent {
            from: Some(start),
            until: Some(now()),
            series: 4_812,
            samples: 231_204_330,
        },
        projections: curve::all(),
        reviews: reviews(),
        findings: findings(),
        silenced: Vec::new(),
        bottlenecks: vec![bottleneck()],
        alerts: vec![Alert {
            target: "orders".into(),
            resource_type: Resource::Storage,
            severity: Severity::Warning,
            message: "Storage is at 83 % of its limit".into(),
            threshold: 0.75,
            current_value: 0.83,
            timestamp: now(),
        }],
        blind_spots: vec![BlindSpot {
            what: "hypothetical indexes".into(),
            why: "hypopg is not installed".into(),
            cure: "install the package postgresql-15-hypopg, then CREATE EXTENSION hypopg".into(),
        }],
        statements: vec![
            statement(
                -5_120_113_884,
                "SELECT * FROM lead_event WHERE lead_id = $1 AND created_at > $2 \
                 ORDER BY created_at DESC LIMIT $3",
                1_204_330,
                4.7,
            ),
            statement(
                77_120,
                "UPDATE lead SET status = $1 WHERE id = $2",
                812_004,
                0.42,
            ),
            statement(
                9_001,
                "SELECT count(*) FROM \"<script>alert(1)</script>\"",
                212,
                913.0,
            ),
        ],
        wait_shares: vec![
            ("IO".into(), 0.41),
            ("CPU".into(), 0.33),
            ("Lock".into(), 0.14),
            ("LWLock".into(), 0.08),
            ("Client".into(), 0.04),
        ],
        pool: Some(pool()),
        own_cost: Some(0.0012),
    }
}

/// Six weeks of forecasts that were too sure of storage, and three days of the demo's.
fn reviews() -> Vec<Review> {
    let lead = |lead: u16, scored: usize, independent: usize, mae: f64, inside: (usize, usize)| {
        LeadScore {
            lead,
            scored,
            independent,
            mae: mae * GB,
            mae_share: Some(mae / 200.0),
            bias: -mae * 0.6 * GB,
            relative_to_naive: (lead > 1).then_some(0.61),
            inside80: inside.0,
            inside95: inside.1,
            verdict: match independent {
                0..5 => Kept::TooFew,
                _ if inside.0 * 3 < scored * 2 => Kept::TooSure,
                _ => Kept::AsPromised,
            },
        }
    };
    let experience = |band, outcomes| Experience {
        band,
        members: [("trend".to_owned(), 1.3), ("naive".to_owned(), 0.7)].into(),
        outcomes,
    };
    let since = |n| Some(now().floor_to(Millis::DAY).minus(days(n)));
    let storage = Review {
        promises: 43,
        since: since(42.0),
        leads: vec![
            lead(1, 42, 42, 0.8, (33, 40)),
            lead(7, 36, 6, 2.6, (20, 27)),
            lead(30, 13, 1, 9.0, (3, 5)),
        ],
        members: vec![
            MemberScore {
                name: "trend".into(),
                relative_error: 0.7,
                scored: 91,
            },
            MemberScore {
                name: "naive".into(),
                relative_error: 1.5,
                scored: 91,
            },
        ],
        coverage_p80: Some(0.62),
        independent: 42,
        verdict: Kept::TooSure,
        experience: Some(experience(1.44, 42)),
        ..Review::none(Resource::Storage)
    };
    let database = Review {
        promises: 4,
        since: since(3.0),
        leads: vec![lead(1, 3, 3, 0.4, (3, 3))],
        coverage_p80: Some(1.0),
        independent: 3,
        experience: Some(experience(0.98, 3)),
        synthetic: curve::all().iter().find_map(|curve| curve.synthetic),
        ..Review::none(Resource::Database)
    };
    vec![Review::none(Resource::Cpu), storage, database]
}

fn young() -> TargetReport {
    let mut projection = curve::all().swap_remove(5);
    projection.target = "archive".into();
    projection.outlook = Some(Outlook::NotEnoughData {
        have_days: 2.0,
        need_days: 14.0,
    });
    projection.history = vec![11.0, 14.0];
    projection.history_start = now().floor_to(Millis::DAY).minus(days(2.0));
    TargetReport {
        name: "archive".into(),
        reach: Reach::Up,
        last_scrape_at: Some(now()),
        data: DataExtent {
            from: Some(projection.history_start),
            until: Some(now()),
            series: 91,
            samples: 1_554_000,
        },
        projections: vec![projection],
        ..TargetReport::default()
    }
}

/// Everything at once.
pub(crate) fn rich() -> ReportInput {
    ReportInput {
        made_at: now(),
        generator: "plimsoll 0.1.0".into(),
        targets: vec![orders(), young()],
    }
}

/// One healthy target with forecasts and no trouble.
pub(crate) fn calm() -> ReportInput {
    let mut target = orders();
    target.findings.clear();
    target.alerts.clear();
    target.blind_spots.clear();
    target.projections = curve::all().into_iter().take(2).collect();
    ReportInput {
        targets: vec![target],
        ..rich()
    }
}

/// One target in its second day.
pub(crate) fn fresh() -> ReportInput {
    ReportInput {
        targets: vec![young()],
        ..rich()
    }
}

/// What goes wrong at the edges: over the limit, no limit, not measured, no answer, long names.
pub(crate) fn odd() -> ReportInput {
    let mut target = orders();
    target.name = "a-very-long-name-without-any-space-".repeat(4);
    target.server = None;
    target.last_scrape_at = None;
    target.reach = Reach::Down {
        since: now().minus(Duration::from_mins(95)),
        reason: "connection refused; is the server running on 10.0.0.7:5432?".into(),
    };
    target.statements[0].query = "SELECT_".repeat(300);
    target.findings[0].cure.as_mut().unwrap().sql = "VACUUM ".repeat(60);
    for projection in &mut target.projections {
        projection.target.clone_from(&target.name);
    }
    let [cpu, memory, storage, bandwidth, ..] = target.projections.as_mut_slice() else {
        panic!("the fixture has six resources");
    };
    // Three times over its limit, as a wrongly configured limit would have it.
    cpu.limit.as_mut().unwrap().value = 0.6;
    if let Some(Outlook::Forecast(forecast)) = &mut cpu.outlook {
        for (crossing, share) in forecast.crossings.iter_mut().zip([0.75, 0.9, 1.0]) {
            crossing.crossed = true;
            crossing.threshold = 0.6 * share;
        }
    }
    memory.limit = None;
    storage.outlook = None;
    storage.usage = None;
    storage.history.clear();
    bandwidth.outlook = None;
    ReportInput {
        targets: vec![target],
        ..rich()
    }
}
