//! Every planted fault is found by its name, and what is right stays silent.
//!
//! The platform is a hundredth of its size here, so bounds that keep small things quiet are lowered.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll::advise::checks::{self, Thresholds};
use plimsoll::advise::repeats::{self, Growth};
use plimsoll::clock::{Clock as _, SystemClock};
use plimsoll::demo::fault;
use plimsoll::demo::leadgen::Indexes;
use plimsoll::demo::traffic::{Traffic, TrafficOptions};
use plimsoll::model::database::Snapshot;
use plimsoll::model::finding::Finding;
use plimsoll::model::series::Sample;
use plimsoll::model::units::Timestamp;
use plimsoll::postgres::{Environment, Observer, Options, resolve};

use crate::platform::{connect, planted, platform, until};
use crate::support::postgres::Major;

fn observer(url: &str) -> Observer {
    let environment = Environment {
        vars: BTreeMap::default(),
        home: None,
        user: None,
    };
    Observer::new(Options::new("t", resolve(url, &environment).unwrap()))
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// Bounds for a platform of two thousand leads.
fn small() -> Thresholds {
    let mut set = Thresholds::default();
    set.blocked_sessions.warn_age_ms = 100;
    set.idle_in_transaction.warn_age_ms = 100;
    (set.dead_rows.rows_min, set.dead_rows.overdue_factor) = (100, 0.1);
    (
        set.stale_statistics.rows_min,
        set.stale_statistics.overdue_factor,
    ) = (100, 0.5);
    set.lost_hot_updates.updates_min = 20;
    set.missing_index.table_bytes_min = 100_000;
    set.deep_offset.blocks_per_call_min = 40.0;
    set.deep_offset.blocks_per_row_min = 2.0;
    set
}

fn found<'f>(findings: &'f [Finding], id: &str) -> Vec<&'f Finding> {
    findings.iter().filter(|finding| finding.id == id).collect()
}

/// Looks until the checks say it; the server hands its counters over with some delay.
async fn told(look: &mut Observer, id: &str) -> Vec<Finding> {
    let mut last = Vec::new();
    for _ in 0..100 {
        let (_, snapshot) = look.catalog(now()).await.unwrap();
        last = checks::run(&snapshot, &small());
        if !found(&last, id).is_empty() {
            return last;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{id} is not told: {last:#?}");
}

#[tokio::test]
async fn the_thirteen_redundant_indexes_are_named() {
    let Some((cluster, _platform)) = platform(Major::Distribution, Indexes::Migrated).await else {
        return;
    };
    let mut look = observer(&cluster.url_of("leadgen"));
    let (_, snapshot) = look.catalog(now()).await.unwrap();
    let findings = checks::run(&snapshot, &small());
    let named: BTreeSet<String> = ["redundant-index", "duplicate-index"]
        .iter()
        .flat_map(|id| found(&findings, id))
        .filter_map(|finding| finding.object.clone())
        .collect();
    let expected = [
        "Agent_email",
        "Agent_licenseNumber",
        "Lead_status",
        "Agent_isActive",
        "Agent_state",
        "LeadAssignment_status",
        "LeadAssignment_agentId",
        "LeadAssignment_leadId",
        "Event_entityType",
        "Event_type",
        "Event_source",
        "Carrier_isActive",
        "Carrier_partnershipTier",
    ];
    for name in expected {
        let full = format!("public.{name}_idx");
        assert!(named.contains(&full), "{full} is not among {named:?}");
    }
    // The one more is the beginning of a unique constraint's index.
    let more: Vec<&String> = named
        .iter()
        .filter(|name| !expected.iter().any(|e| **name == format!("public.{e}_idx")))
        .collect();
    assert_eq!(more, ["public.CarrierPerformanceMetric_carrierId_idx"]);
    drop(look);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn locks_deletes_storms_imports_and_deadlocks_are_told() {
    let Some((cluster, platform)) = platform(Major::Distribution, Indexes::Base).await else {
        return;
    };
    let (url, admin) = (&platform.url, connect(&cluster.url_of("leadgen")).await);
    let mut look = observer(&cluster.url_of("leadgen"));

    let holder = planted("L1", 60);
    let held = tokio::spawn({
        let url = url.clone();
        async move { fault::inject(&holder, &url).await }
    });
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    assert!(until(&admin, idle).await, "nobody idles in a transaction");
    let waiting = tokio::spawn({
        let url = url.clone();
        async move {
            let client = connect(&url).await;
            let update = r#"UPDATE "Agent" SET "updatedAt" = now()"#;
            drop(client.batch_execute(update).await);
        }
    });
    let findings = told(&mut look, "blocked-sessions").await;
    assert!(!found(&findings, "idle-in-transaction").is_empty());
    let blocked = found(&findings, "blocked-sessions");
    let cure = blocked.first().unwrap().cure.as_ref().unwrap();
    assert!(cure.sql.contains("pg_terminate_backend"), "{}", cure.sql);
    held.abort();
    admin.batch_execute(&cure.sql).await.unwrap();
    waiting.await.unwrap();

    fault::inject(&planted("D1", 0), url).await.unwrap();
    told(&mut look, "deadlocks").await;
    fault::inject(&planted("M1", 0), url).await.unwrap();
    told(&mut look, "dead-rows").await;
    fault::inject(&planted("M2", 0), url).await.unwrap();
    let findings = told(&mut look, "lost-hot-updates").await;
    assert!(!found(&findings, "autovacuum-off-table").is_empty());
    fault::inject(&planted("M3", 0), url).await.unwrap();
    told(&mut look, "stale-statistics").await;

    let (storm, pool) = (planted("C1", 60), url.clone());
    let held = tokio::spawn(async move { fault::inject(&storm, &pool).await });
    told(&mut look, "connections-near-max").await;
    held.abort();
    drop((look, admin));
    cluster.stop().await.unwrap();
}

/// Calls and rows by statement.
fn counters(samples: &[Sample]) -> BTreeMap<i64, (f64, f64)> {
    let mut all: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for sample in samples {
        let Some(id) = sample.series.labels.get("queryid") else {
            continue;
        };
        let entry = all.entry(id.parse().unwrap()).or_default();
        match sample.series.metric.as_ref() {
            "pg_statement_calls_total" => entry.0 += sample.value,
            "pg_statement_rows_total" => entry.1 += sample.value,
            _ => {}
        }
    }
    all
}

async fn grown(look: &mut Observer, before: &mut BTreeMap<i64, (f64, f64)>) -> Growth {
    let samples = look.scrape(now()).await.unwrap();
    let after = counters(&samples);
    let growth = after.iter().filter_map(|(id, (calls, rows))| {
        let then = before.get(id)?;
        (calls > &then.0).then_some((*id, calls - then.0, rows - then.1))
    });
    let growth = growth.collect();
    *before = after;
    growth
}

#[tokio::test]
async fn one_statement_for_each_row_is_seen_beside_the_platform_s_traffic() {
    let Some((cluster, platform)) = platform(Major::Distribution, Indexes::Migrated).await else {
        return;
    };
    let url = &platform.url;
    let mut look = observer(&cluster.url_of("leadgen"));
    // Each once, so that their texts are known.
    for id in ["N1", "N2"] {
        fault::inject(&planted(id, 0), url).await.unwrap();
    }
    let mut options = TrafficOptions::new(url).unwrap();
    options.faults.clear();
    options.rate = 60.0;
    let traffic = Traffic::start(options).await.unwrap();
    look.catalog(now()).await.unwrap();
    let mut before = counters(&look.scrape(now()).await.unwrap());
    let mut intervals = Vec::new();
    let pause = std::time::Duration::from_millis(250);
    for round in 0..20 {
        let fault = match round % 4 {
            1 => Some("N1"),
            3 => Some("N2"),
            _ => None,
        };
        if let Some(id) = fault {
            fault::inject(&planted(id, 0), url).await.unwrap();
        }
        for _ in 0..3 {
            tokio::time::sleep(pause).await;
            intervals.push(grown(&mut look, &mut before).await);
        }
    }
    let (_, mut snapshot) = look.catalog(now()).await.unwrap();
    traffic.stop().await;
    snapshot.repeats = repeats::find(&intervals);
    let findings = checks::run(&snapshot, &small());
    let told = found(&findings, "n-plus-one");
    let each = |part: &str| {
        let mut all = told.iter().filter_map(|f| f.object.as_deref());
        all.any(|object| object.contains(part))
    };
    assert!(
        each(r#"count(*) FROM "LeadAssignment""#) && each(r#"FROM "Lead" WHERE "id" = $1"#),
        "{told:#?}\n{:?}",
        snapshot.repeats
    );
    assert!(
        told.len() <= 3,
        "what only goes along is told, too: {told:#?}"
    );
    assert_quiet_about_carriers(&findings);
    drop(look);
    cluster.stop().await.unwrap();
}

/// R18 reads all of a table of sixty rows, which is right; R07 does so with a hundred agents.
fn assert_quiet_about_carriers(findings: &[Finding]) {
    let quiet = [
        "missing-index",
        "slow-statement",
        "unbounded-result",
        "deep-offset",
    ];
    for finding in findings.iter().filter(|f| quiet.contains(&f.id.as_str())) {
        let about = finding.object.as_deref().unwrap_or("");
        let is_small = about.contains("FROM \"Carrier\"") || about.contains("FROM \"Agent\"");
        assert!(!is_small, "{finding:#?}");
    }
}

async fn many(client: &tokio_postgres::Client, sql: &str) {
    let statement = client.prepare(sql).await.unwrap();
    for _ in 0..25 {
        client.query(&statement, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn habits_of_the_platform_are_told_and_its_good_statements_are_not() {
    let Some((cluster, platform)) = platform(Major::Distribution, Indexes::Base).await else {
        return;
    };
    let client = connect(&platform.url).await;
    let bad = [
        // B04, B01, B06, B02, R06 of the mix.
        r#"SELECT * FROM "LeadAssignment""#,
        r#"SELECT * FROM "Lead" WHERE "status" <> 'REJECTED' ORDER BY "createdAt" DESC LIMIT 20 OFFSET 1000"#,
        r#"SELECT * FROM "Lead" WHERE "qualityScore" IS NULL LIMIT 10 OFFSET 300"#,
        r#"SELECT * FROM "Lead" WHERE "firstName" ILIKE '%zq%' OR "lastName" ILIKE '%zq%' ORDER BY "createdAt" DESC LIMIT 20"#,
        r#"SELECT * FROM "Lead" WHERE "zipCode" = '00001' AND "insuranceType" = 'AUTO' ORDER BY "createdAt" DESC LIMIT 20"#,
    ];
    let good = [
        r#"SELECT * FROM "Carrier" WHERE "isActive" AND "partnershipStatus" = 'ACTIVE' ORDER BY "partnershipTier" DESC, "performanceScore" DESC LIMIT 20"#,
        r#"SELECT * FROM "Agent" WHERE "isActive" AND "state" = 'CA' AND "specializations" @> ARRAY['auto'] ORDER BY "rating" DESC LIMIT 50"#,
        r#"SELECT * FROM "CarrierPerformanceMetric" WHERE "carrierId" = 'x' ORDER BY "year" DESC LIMIT 12"#,
        r#"SELECT "status", count(*) FROM "Lead" GROUP BY 1"#,
    ];
    for sql in bad.iter().chain(&good) {
        many(&client, sql).await;
    }
    let mut look = observer(&cluster.url_of("leadgen"));
    let (_, snapshot): (_, Snapshot) = look.catalog(now()).await.unwrap();
    let findings = checks::run(&snapshot, &small());
    let about = |id: &str| -> Vec<String> {
        let told = found(&findings, id).into_iter();
        told.filter_map(|f| f.object.clone()).collect()
    };
    let unbounded = about("unbounded-result");
    assert_eq!(unbounded, [r#"SELECT * FROM "LeadAssignment""#]);
    let deep = about("deep-offset");
    assert_eq!(deep.len(), 2, "{deep:?}");
    let cures: Vec<&str> = found(&findings, "missing-index")
        .into_iter()
        .filter_map(|f| Some(f.cure.as_ref()?.sql.as_str()))
        .collect();
    let has = |part: &str| cures.iter().any(|cure| cure.contains(part));
    assert!(
        has(r#"("zipCode", "insuranceType", "createdAt")"#),
        "{cures:?}"
    );
    assert!(
        has(r#"("firstName" gin_trgm_ops, "lastName" gin_trgm_ops)"#),
        "{cures:?}"
    );
    assert_eq!(cures.len(), 2, "{cures:?}");
    assert_quiet_about_carriers(&findings);
    // At its usual bounds nothing of so small a platform is worth an index.
    let usual = checks::run(&snapshot, &Thresholds::default());
    assert!(found(&usual, "missing-index").is_empty());
    drop((look, client));
    cluster.stop().await.unwrap();
}
