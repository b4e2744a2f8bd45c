//! An input as a real server might give it: two targets, all resources, trouble of every kind.
//!
//! For: this module's tests. The curves are drawn from a formula with seeded noise; they claim
//! nothing about forecasting.

use std::time::Duration;

use super::{DataExtent, Reach, ReportInput, TargetReport};
use crate::model::capacity::{
    Backtest, Change, ChangeKind, Crossing, Estimate, Forecast, ForecastPoint, Interval, Limit,
    LimitOrigin, Outlook, Projection, Resource, Season, SyntheticSpan,
};
use crate::model::database::{BlindSpot, PoolUsage, Server, Statement};
use crate::model::finding::{
    Alert, Bottleneck, Component, Cure, Evidence, Finding, Impact, Severity,
};
use crate::model::outcome::{Experience, Kept, LeadScore, MemberScore, Review};
use crate::model::units::{Level, Millis, Timestamp};

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

struct Curve {
    resource: Resource,
    base: f64,
    per_day: f64,
    week: f64,
    noise: f64,
    limit: f64,
    origin: LimitOrigin,
    synthetic: bool,
}

impl Curve {
    fn value(&self, day: f64) -> f64 {
        let wave = (day / 7.0 * std::f64::consts::TAU).sin();
        self.base + self.per_day * day + self.week * wave
    }

    fn history(&self) -> Vec<f64> {
        let mut state = 0x2545_f491_u64 + self.resource as u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695);
            f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31) - 0.5
        };
        (0..DAYS)
            .map(|day| match day {
                // An outage of the watcher, and one lost day.
                70..=75 | 120 => f64::NAN,
                _ => (self.value(day as f64) + self.noise * (random() + random())).max(0.0),
            })
            .collect()
    }

    fn crossing(&self, name: &str, share: f64) -> Crossing {
        let threshold = self.limit * share;
        let today = self.base + self.per_day * DAYS as f64;
        let left = (threshold - today) / self.per_day;
        let within = |days_left: f64| {
            (self.per_day > 0.0 && days_left < 720.0).then(|| now().plus(days(days_left.max(0.0))))
        };
        Crossing {
            name: name.to_owned(),
            threshold,
            probability: if self.per_day > 0.0 && left < 720.0 {
                0.97
            } else {
                0.04
            },
            p10: within(left * 0.82),
            p50: within(left),
            p90: within(left * 1.3),
            crossed: left <= 0.0 && self.per_day > 0.0,
        }
    }

    fn forecast(&self) -> Forecast {
        let spread = |day: f64| self.noise * 0.5 + self.per_day.abs() * 0.25 * day;
        let point = |day: usize| {
            let ahead = day as f64;
            let mean = self.value(DAYS as f64 + ahead);
            let band = |level, width: f64| Interval {
                level,
                lo: (mean - width * spread(ahead)).max(0.0),
                hi: mean + width * spread(ahead),
            };
            ForecastPoint {
                at: now().floor_to(Millis::DAY).plus(days(ahead)),
                mean,
                bands: vec![
                    band(Level::P50, 0.5),
                    band(Level::P80, 1.0),
                    band(Level::P95, 1.6),
                ],
            }
        };
        let around = |value: f64| Estimate {
            value,
            lo: value - value.abs() * 0.2,
            hi: value + value.abs() * 0.25,
        };
        let level = self.base + self.per_day * DAYS as f64;
        Forecast {
            level,
            step: Millis::DAY,
            points: (0..730).map(point).collect(),
            growth_per_day: around(self.per_day),
            growth_per_month: Some(around(self.per_day * 30.44 / level)),
            periods: vec![7],
            method: "trend+season".into(),
            backtest: Backtest {
                origins: 8,
                horizon: 30,
                mae: self.noise * 0.7,
                relative_mae: 0.62,
                coverage_p80: 0.79,
                coverage_p95: 0.94,
            },
            crossings: vec![
                self.crossing("warn", 0.75),
                self.crossing("critical", 0.9),
                self.crossing("limit", 1.0),
            ],
            changes: vec![Change {
                at: now().floor_to(Millis::DAY).minus(days(64.0)),
                kind: ChangeKind::Step,
                size: self.week * 2.0,
            }],
            seasons: vec![Season {
                period: 7,
                name: "week".into(),
                profile: (0..7)
                    .map(|day| self.value(DAYS as f64 + f64::from(day)) - self.value(DAYS as f64))
                    .collect(),
                strength: 0.7,
            }],
            confidence: None,
            simulated: None,
        }
    }

    fn projection(&self, target: &str) -> Projection {
        let start = now().floor_to(Millis::DAY).minus(days(DAYS as f64));
        Projection {
            target: target.to_owned(),
            resource: self.resource,
            made_at: now(),
            usage: Some(self.base + self.per_day * DAYS as f64),
            limit: Some(Limit {
                value: self.limit,
                origin: self.origin.clone(),
            }),
            outlook: Some(Outlook::Forecast(Box::new(self.forecast()))),
            history: self.history(),
            history_start: start,
            coverage: 0.961,
            synthetic: self.synthetic.then(|| SyntheticSpan {
                from: start,
                until: start.plus(days(110.0)),
            }),
            lead_time: Millis(30 * Millis::DAY.0),
        }
    }
}

fn curve(resource: Resource, shape: [f64; 4], limit: f64, reading: &str) -> Curve {
    let unit = match resource {
        Resource::Cpu | Resource::Connections => 1.0,
        _ => GB,
    };
    let [base, per_day, week, noise] = shape.map(|value| value * unit);
    Curve {
        resource,
        base,
        per_day,
        week,
        noise,
        limit: limit * unit,
        origin: LimitOrigin::Measured(reading.into()),
        synthetic: false,
    }
}

fn curves() -> Vec<Projection> {
    let cpu = curve(
        Resource::Cpu,
        [1.1, 0.004, 0.35, 0.5],
        4.0,
        "online processors",
    );
    let memory = curve(Resource::Memory, [9.6, 0.0002, 0.2, 0.5], 16.0, "MemTotal");
    let volume = "statvfs of /var/lib/postgresql";
    let storage = curve(Resource::Storage, [210.0, 1.15, 2.0, 9.0], 500.0, volume);
    let network = [0.021, -0.000_02, 0.004, 0.004];
    let bandwidth = curve(Resource::Bandwidth, network, 0.116, "link speed of eth0");
    let database = Curve {
        origin: LimitOrigin::Configured("limits.database".into()),
        synthetic: true,
        ..curve(Resource::Database, [150.0, 0.62, 0.5, 1.0], 400.0, "")
    };
    let sessions = [38.0, 0.21, 6.0, 9.0];
    let connections = curve(Resource::Connections, sessions, 97.0, "max_connections");
    let all = [cpu, memory, storage, bandwidth, database, connections];
    let mut projections: Vec<_> = all.iter().map(|curve| curve.projection("orders")).collect();
    sooner(&mut projections[2]);
    projections
}

/// Brings the limit forward, so that one row is a warning.
fn sooner(projection: &mut Projection) {
    let Some(Outlook::Forecast(forecast)) = &mut projection.outlook else {
        return;
    };
    for (crossing, left) in forecast.crossings.iter_mut().zip([-10.0, 19.0, 47.0]) {
        let ahead = |share: f64| Some(now().plus(days(f64::max(left * share, 0.0))));
        crossing.p10 = ahead(0.83);
        crossing.p50 = ahead(1.0);
        crossing.p90 = ahead(1.3);
        crossing.crossed = left < 0.0;
    }
    for point in &mut forecast.points {
        let ahead = point.at.since(now()).as_secs_f64() / 86_400.0;
        point.mean += 0.66 * GB * ahead;
        for band in &mut point.bands {
            band.lo += 0.66 * GB * ahead;
            band.hi += 0.66 * GB * ahead;
        }
    }
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
        projections: curves(),
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
        synthetic: curves().iter().find_map(|curve| curve.synthetic),
        ..Review::none(Resource::Database)
    };
    vec![Review::none(Resource::Cpu), storage, database]
}

fn young() -> TargetReport {
    let mut projection = curves().swap_remove(5);
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
    target.projections = curves().into_iter().take(2).collect();
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
