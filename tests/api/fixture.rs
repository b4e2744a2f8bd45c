//! A board with one rich target, one that is down and one that was never looked at.

use std::sync::Arc;

use futures_util::FutureExt as _;
use plimsoll::cache::{Cache, Loaded, Loader, Memory as CacheMemory};
use plimsoll::clock::{Clock, SettableClock};
use plimsoll::config::{self, Config, Environment, Flag, Flags};
use plimsoll::http::{Compat, ExporterName, Hooks, PageAsk, Site};
use plimsoll::model::advice::{
    Advice, Drop as DropIndex, NewIndex, NotCosted, StatementCost, Worse,
};
use plimsoll::model::cached::{Priority, Rule};
use plimsoll::model::capacity::{
    Backtest, Change, ChangeKind, Confidence, Crossing, Estimate, Forecast, ForecastPoint,
    Interval, Limit, LimitOrigin, Outlook, Projection, Resource, Season, Simulated, SyntheticSpan,
};
use plimsoll::model::database::{
    BlindSpot, Database, Index, PoolUsage, Server, Snapshot, Statement, Table,
};
use plimsoll::model::finding::{
    Alert, Bottleneck, Component, Cure, Evidence, Finding, Impact, Severity,
};
use plimsoll::model::job::{NewJob, Payload};
use plimsoll::model::outcome::{Experience, Kept, LeadScore, MemberScore, Review};
use plimsoll::model::series::{Labels, Metric, Sample, Scrape};
use plimsoll::model::target::Reach;
use plimsoll::model::units::{Level, Millis, Timestamp};
use plimsoll::queue::{Memory, Queues};
use plimsoll::report::Format;
use plimsoll::work::advise::strategy::Standing;
use plimsoll::work::board::{Board, TargetState};
use plimsoll::work::intake::Receipt;

/// A table name that is also an attempt.
pub(crate) const BOBBY: &str = "Robert\"); DROP TABLE";
const GIB: f64 = 1_073_741_824.0;

static COMMITS: Metric = Metric::counter(
    "plimsoll_database_commits_total",
    "Transactions committed in the \"database\".",
);
static SIZE: Metric = Metric::gauge("plimsoll_database_size_bytes", "Size of the database.");
static TABLE: Metric = Metric::gauge("plimsoll_table_size_bytes", "Size of the table.");

pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-05-01T12:00:00Z").unwrap()
}

pub(crate) fn config(set: &[(&str, &str)]) -> Config {
    let flags = Flags {
        set: set
            .iter()
            .map(|(key, text)| Flag {
                flag: "--set".to_owned(),
                key: (*key).to_owned(),
                text: (*text).to_owned(),
            })
            .collect(),
        ..Flags::default()
    };
    let environment: Environment = [("HOME", "/nowhere")].into_iter().collect();
    config::load(&flags, &environment).unwrap()
}

/// The existing exporters' names of one metric, as the collectors would give them.
fn compat() -> Compat {
    let name = |theirs, factor| ExporterName { theirs, factor };
    let names = vec![
        name("pg_stat_database_xact_commit", 1.0),
        name("pg_commits_in_thousands", 0.001),
    ];
    [(COMMITS.name, names)].into_iter().collect()
}

pub(crate) fn hooks() -> Hooks {
    Hooks {
        page: Arc::new(|ask: &PageAsk| format!("<!doctype html><title>{ask:?}</title>")),
        report: Arc::new(|format: Format| {
            Box::pin(async move {
                match format {
                    Format::Sqlite => Err("the disk is full".to_owned()),
                    format => Ok(format!("report as {}", format.name()).into_bytes()),
                }
            })
        }),
        write: Arc::new(|_| Ok(Receipt::default())),
        import: Arc::new(|_, _| Ok(0)),
        export: Arc::new(|_, _| Err("there is no history".to_owned())),
        census: Arc::new(|_| Err("there is no history".to_owned())),
        queries: None,
        analyst: None,
        maintainer: None,
        cache: Some(cache()),
        queues: Some(queues()),
        compat: compat(),
        store: None,
        script: "'use strict';",
        style: "body { margin: 0 }",
    }
}

/// Three named queries; the one called `broken:query` fails.
fn cache() -> Arc<Cache> {
    let rule = |key: &str, priority, tags: &[&str], events: &[&str]| Rule {
        key: key.to_owned(),
        ttl: Millis::MINUTE,
        stale: Millis::MINUTE,
        priority,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
    };
    let agents = ["agents"];
    let rules = [
        rule("leads:recent", Priority::High, &[], &["lead.created"]),
        rule(
            "agents:active",
            Priority::Critical,
            &agents,
            &["agent.updated"],
        ),
        rule("broken:query", Priority::Low, &[], &[]),
    ];
    let loader: Loader = Arc::new(|key: &str| {
        let loaded = match key {
            "broken:query" => Err("relation \"nothing\" does not exist".to_owned()),
            key => Ok(Loaded {
                body: format!("[{{\"from\":\"{key}\",\"big\":12345678901234567890.5}}]").into(),
                rows: 1,
            }),
        };
        Box::pin(async move { loaded })
    });
    let layer = Arc::new(CacheMemory::new(1 << 20));
    Cache::new(rules, layer, Arc::new(SettableClock::at(now())), loader)
}

/// Queues with one of each kind of job.
fn queues() -> Arc<Queues> {
    let clock = Arc::new(SettableClock::at(now()));
    let queues = Arc::new(Queues::new(Arc::new(Memory::empty()), clock));
    let mut job = NewJob::new("score", Payload::default());
    job.opts.job_id = Some("job-1".to_owned());
    let bar = "bar".parse().unwrap();
    let added = queues.enqueue(&bar, vec![job]);
    added.now_or_never().unwrap().unwrap();
    let nightly = r#"{"name": "nightly", "pattern": "0 3 * * *", "jobType": "bar"}"#;
    let made = queues.schedule(serde_json::from_str(nightly).unwrap());
    made.now_or_never().unwrap().unwrap();
    queues
}

pub(crate) fn site_with(board: Board, config: &Config) -> Arc<Site> {
    let clock: Arc<dyn Clock> = Arc::new(SettableClock::at(now()));
    Site::new(Arc::new(board), clock, config, hooks())
}

pub(crate) fn site() -> Arc<Site> {
    site_with(board(), &config(&[]))
}

pub(crate) fn board() -> Board {
    let names = ["broken", "main", "quiet"].map(str::to_owned);
    let board = Board::new(names, vec![&COMMITS, &SIZE, &TABLE]);
    board.update("main", fill);
    board.update("broken", |state| {
        state.reach = Reach::Down {
            since: now(),
            reason: "connection refused; start the server".to_owned(),
        };
        state.scrape = Some(Arc::new(scrape("broken")));
    });
    board
}

fn fill(state: &mut TargetState) {
    state.reach = Reach::Up;
    state.last_scrape_at = Some(now());
    state.scrape = Some(Arc::new(scrape("main")));
    state.snapshot = Some(Arc::new(snapshot()));
    state.findings = vec![finding()].into();
    state.alerts = vec![alert()].into();
    state.bottlenecks = vec![bottleneck()].into();
    state.reviews = vec![review()].into();
    state.strategy.standing = Some(Arc::new(Standing {
        at: now(),
        advice: index_advice(),
    }));
    state.projections = vec![
        projection(Resource::Database, Some(outlook(60.0, 0.15))),
        Projection {
            outlook: Some(Outlook::NotEnoughData {
                have_days: 2.0,
                need_days: 14.0,
            }),
            usage: Some(1.2),
            limit: Some(Limit {
                value: 2.0,
                origin: LimitOrigin::Measured("cores".to_owned()),
            }),
            synthetic: None,
            ..projection(Resource::Cpu, None)
        },
        Projection {
            usage: None,
            limit: None,
            history: Vec::new(),
            synthetic: None,
            ..projection(Resource::Bandwidth, None)
        },
    ]
    .into();
}

/// One index to build and one to drop.
fn index_advice() -> Advice {
    Advice {
        target: "main".to_owned(),
        basis: "hypopg 1.4.1".to_owned(),
        cost_before: 1_000.0,
        cost_after: 250.0,
        indexes: vec![NewIndex {
            ddl: "CREATE INDEX CONCURRENTLY ON public.\"Lead\" (status, \"createdAt\")".to_owned(),
            table: "public.Lead".to_owned(),
            keys: vec!["status".to_owned(), "createdAt".to_owned()],
            size_bytes: 8_200_000,
            gain: 750.0,
            write_cost: 5.0,
            statements: vec![StatementCost {
                name: "42".to_owned(),
                before: 1_000.0,
                after: 250.0,
            }],
            ..NewIndex::default()
        }],
        drop: vec![DropIndex {
            ddl: "DROP INDEX CONCURRENTLY public.\"Lead_status_idx\"".to_owned(),
            table: "public.Lead".to_owned(),
            reason: "it is the beginning of the advised one".to_owned(),
            frees_bytes: 1_400_000,
        }],
        not_costed: vec![NotCosted {
            ddl: "CREATE INDEX CONCURRENTLY ON public.\"Lead\" USING gin (note gin_trgm_ops)"
                .to_owned(),
            table: "public.Lead".to_owned(),
            statement: "43".to_owned(),
            reason: "trigrams".to_owned(),
        }],
        worse: vec![Worse {
            name: "44".to_owned(),
            what: "blocks".to_owned(),
            before: 10.0,
            after: 20.0,
        }],
        ..Advice::default()
    }
}

/// Six weeks of forecasts whose bands were too narrow a week ahead.
fn review() -> Review {
    let lead = |lead, scored, independent, mae: f64, inside80, verdict| LeadScore {
        lead,
        scored,
        independent,
        mae: mae * GIB,
        mae_share: Some(mae / 60.0),
        bias: -0.5 * mae * GIB,
        relative_to_naive: (lead > 1).then_some(0.4),
        inside80,
        inside95: inside80 + 1,
        verdict,
    };
    let member = |name: &str, relative_error| MemberScore {
        name: name.to_owned(),
        relative_error,
        scored: 79,
    };
    Review {
        promises: 43,
        since: Some(now().minus(Millis(42 * 86_400_000).as_duration())),
        leads: vec![
            lead(1, 42, 42, 0.2, 34, Kept::AsPromised),
            lead(7, 36, 6, 1.5, 12, Kept::TooSure),
            lead(30, 13, 1, 4.0, 2, Kept::TooFew),
        ],
        members: vec![member("drift", 0.7), member("naive", 2.5)],
        coverage_p80: Some(0.59),
        independent: 42,
        verdict: Kept::TooSure,
        experience: Some(Experience {
            band: 1.3,
            members: [("drift".to_owned(), 1.27), ("naive".to_owned(), 0.54)].into(),
            outcomes: 42,
        }),
        synthetic: Some(SyntheticSpan {
            from: now().minus(Millis(120 * 86_400_000).as_duration()),
            until: now(),
        }),
        ..Review::none(Resource::Database)
    }
}

fn scrape(target: &str) -> Scrape {
    let in_app = || Labels::none().with("datname", "app");
    let samples: Vec<Sample> = vec![
        COMMITS.sample(in_app(), 12_345.0),
        COMMITS.sample(Labels::none().with("datname", "other"), f64::NAN),
        SIZE.sample(in_app(), 60.0 * GIB),
        TABLE.sample(in_app().with("relname", BOBBY), 8_192.0),
        TABLE.sample(in_app().with("relname", "line\nbreak\\"), 1e18),
    ];
    Scrape {
        target: target.to_owned(),
        at: now(),
        samples,
    }
}

fn table(schema: &str, name: &str) -> Table {
    Table {
        schema: schema.to_owned(),
        name: name.to_owned(),
        row_estimate: Some(200_000.0),
        total_bytes: 250 << 20,
        table_bytes: 200 << 20,
        index_bytes: 50 << 20,
        n_tup_ins: u64::MAX,
        n_live_tup: 200_000,
        n_dead_tup: 1_000,
        last_autovacuum: Some(now()),
        has_primary_key: true,
        ..Table::default()
    }
}

fn statement(query: &str, calls: u64, mean: f64) -> Statement {
    Statement {
        query_id: -7_000_000_000_000_000_001,
        query: query.to_owned(),
        role: Some("app".to_owned()),
        calls,
        total_exec_time: mean * calls as f64,
        mean_exec_time: mean,
        max_exec_time: mean * 3.0,
        stddev_exec_time: mean / 2.0,
        rows: calls,
        ..Statement::default()
    }
}

pub(crate) fn snapshot() -> Snapshot {
    let database = |name: &str, size_bytes| Database {
        name: name.to_owned(),
        size_bytes,
        xid_age: 1_000,
        mxid_age: 1,
    };
    Snapshot {
        target: "main".to_owned(),
        taken_at: now(),
        server: Server {
            version: "15.18".to_owned(),
            version_num: 150_018,
            started_at: now(),
            in_recovery: false,
            database: "app".to_owned(),
            role: "plimsoll".to_owned(),
            stats_reset: None,
            extensions: std::collections::BTreeMap::default(),
        },
        databases: vec![
            database("app", Some(64_424_509_440)),
            database("hidden", None),
        ],
        settings: std::collections::BTreeMap::default(),
        tables: vec![
            table("public", "Lead"),
            table("public", "lead"),
            table("public", BOBBY),
            table("a", "twin"),
            table("b", "twin"),
            table("audit", "Event"),
        ],
        indexes: vec![Index {
            schema: "public".to_owned(),
            table: "Lead".to_owned(),
            name: "Lead_status_idx".to_owned(),
            method: "btree".to_owned(),
            keys: vec!["status".to_owned()],
            definition: "CREATE INDEX …".to_owned(),
            size_bytes: 1_400_000,
            is_valid: true,
            ..Index::default()
        }],
        pool: PoolUsage {
            total: 62,
            idle: 50,
            active: 9,
            idle_in_transaction: 3,
            waiting: 2,
            lock_waiting: 1,
            oldest_xact_age_ms: Some(12_000),
            max: 100,
            reserved: 3,
            by_application: vec![("api".to_owned(), 60), (String::new(), 2)],
        },
        sessions: Vec::new(),
        statements: vec![
            statement("SELECT * FROM \"Lead\" WHERE id = $1", 1_000_000, 0.5),
            statement("SELECT count(*) FROM \"Event\"", 40, 900.0),
        ],
        replicas: Vec::new(),
        slots: Vec::new(),
        sequences: Vec::new(),
        blind_spots: vec![BlindSpot {
            what: "statements of other roles".to_owned(),
            why: "the role lacks pg_read_all_stats".to_owned(),
            cure: "GRANT pg_monitor TO plimsoll".to_owned(),
        }],
        ..Snapshot::default()
    }
}

fn finding() -> Finding {
    Finding {
        id: "duplicate-index".to_owned(),
        severity: Severity::Warning,
        title: "Two indexes do the same work".to_owned(),
        object: Some("public.\"Lead\"".to_owned()),
        evidence: vec![Evidence::new("idx_scan", 0)],
        advice: "Drop the one that nothing refers to".to_owned(),
        cure: Some(Cure {
            sql: "DROP INDEX CONCURRENTLY \"Lead_x\"".to_owned(),
            lock: "SHARE UPDATE EXCLUSIVE".to_owned(),
        }),
    }
}

fn alert() -> Alert {
    Alert {
        target: "main".to_owned(),
        resource_type: Resource::Database,
        severity: Severity::Warning,
        message: "database uses 75 % of its limit".to_owned(),
        threshold: 0.75,
        current_value: 0.76,
        timestamp: now(),
    }
}

fn bottleneck() -> Bottleneck {
    Bottleneck {
        component: "Connections".to_owned(),
        kind: Component::Database,
        severity: Impact::High,
        description: "62 of 97 connections are in use".to_owned(),
        impact: "new sessions may be refused".to_owned(),
        recommendation: "use a pooler".to_owned(),
        evidence: vec![Evidence::new("idle in transaction", 3)],
    }
}

fn projection(resource: Resource, outlook: Option<Outlook>) -> Projection {
    let days = 120_u64;
    Projection {
        target: "main".to_owned(),
        resource,
        made_at: now(),
        usage: Some(60.0 * GIB),
        limit: Some(Limit {
            value: 100.0 * GIB,
            origin: LimitOrigin::Measured("statvfs".to_owned()),
        }),
        outlook,
        history: (0..days)
            .map(|day| {
                if day == 100 {
                    f64::NAN
                } else {
                    day as f64 * GIB / 2.0
                }
            })
            .collect(),
        history_start: now().minus(Millis(days * 86_400_000).as_duration()),
        coverage: 0.99,
        synthetic: Some(SyntheticSpan {
            from: now().minus(Millis(days * 86_400_000).as_duration()),
            until: now(),
        }),
        lead_time: Millis(30 * 86_400_000),
    }
}

fn change() -> Change {
    Change {
        at: now().minus(Millis(40 * 86_400_000).as_duration()),
        kind: ChangeKind::Step,
        size: 6.0 * GIB,
    }
}

fn week() -> Season {
    Season {
        period: 7,
        name: "week".to_owned(),
        profile: [0.4, 0.4, 0.4, 0.4, 0.4, -1.0, -1.0]
            .map(|v| v * GIB)
            .to_vec(),
        strength: 0.64,
    }
}

/// Normal bands of 50, 80 and 95 %.
fn bands(mean: f64, sigma: f64) -> Vec<Interval> {
    let band = |(level, z): (Level, f64)| Interval {
        level,
        lo: mean - z * sigma,
        hi: mean + z * sigma,
    };
    let normal = [
        (Level::P50, 0.6745),
        (Level::P80, 1.2816),
        (Level::P95, 1.96),
    ];
    normal.map(band).to_vec()
}

/// A straight line from `level` GiB upwards, with bands that widen.
fn outlook(level: f64, per_day: f64) -> Outlook {
    let points = (0..740_u64)
        .map(|day| {
            let mean = (level + per_day * day as f64) * GIB;
            let sigma = 0.02 * GIB * (day as f64 + 1.0);
            ForecastPoint {
                at: now().plus(Millis(day * 86_400_000).as_duration()),
                mean,
                bands: bands(mean, sigma),
            }
        })
        .collect();
    let crossing = |name: &str, share: f64, day: u64| {
        let date = |day: u64| Some(now().plus(Millis(day * 86_400_000).as_duration()));
        Crossing {
            name: name.to_owned(),
            threshold: share * 100.0 * GIB,
            probability: 0.97,
            p10: date(day - 20),
            p50: date(day),
            p90: date(day + 40),
            crossed: false,
        }
    };
    Outlook::Forecast(Box::new(Forecast {
        level: level * GIB,
        step: Millis::DAY,
        points,
        growth_per_day: Estimate {
            value: per_day * GIB,
            lo: 0.1 * GIB,
            hi: 0.2 * GIB,
        },
        growth_per_month: Some(Estimate {
            value: 0.076,
            lo: 0.05,
            hi: 0.1,
        }),
        periods: vec![7],
        method: "trend+season".to_owned(),
        backtest: Backtest {
            origins: 12,
            horizon: 30,
            mae: GIB,
            relative_mae: 0.6,
            coverage_p80: 0.81,
            coverage_p95: 0.96,
        },
        crossings: vec![
            crossing("warn", 0.75, 100),
            crossing("critical", 0.9, 200),
            crossing("limit", 1.0, 267),
        ],
        changes: vec![change()],
        seasons: vec![week()],
        confidence: Some(Confidence::from_value(0.62)),
        simulated: Some(Simulated {
            spread: 1.0 / 1.2816,
            swing: 0.0,
            present: level * GIB,
        }),
    }))
}
