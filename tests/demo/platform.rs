//! The platform's rows, statements and planted faults are what they claim to be.

use std::time::Duration;

use plimsoll::demo::cluster::Cluster;
use plimsoll::demo::fault::{self, Fault};
use plimsoll::demo::leadgen::{self, Indexes, Platform};
use plimsoll::demo::traffic::{Traffic, TrafficOptions};
use plimsoll::work::with_causes;
use tokio_postgres::{Client, NoTls};

use crate::support::postgres::{Major, start_with};

/// 2,000 leads, 100 agents.
const SCALE: f64 = 0.01;

pub(crate) async fn platform(major: Major, indexes: Indexes) -> Option<(Cluster, Platform)> {
    let cluster = start_with(major, &[("max_connections", "30")]).await?;
    let platform = leadgen::create(&cluster).await.unwrap();
    let mut told = Vec::new();
    let filled = leadgen::fill(&platform, SCALE, indexes, |done, what| {
        told.push((done, what.to_owned()));
    })
    .await;
    if let Err(error) = filled {
        panic!("{major:?}: {}", with_causes(&error));
    }
    assert!(told.is_sorted_by(|a, b| a.0 <= b.0), "{told:?}");
    assert_eq!(told.last().unwrap().0.to_string(), "1");
    Some((cluster, platform))
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, sql: &str) -> f64 {
    let sql = format!("SELECT ({sql})::double precision");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

/// Looks until it is so; the limit is far above what it takes.
pub(crate) async fn until(client: &Client, sql: &str) -> bool {
    for _ in 0..400 {
        if number(client, sql).await >= 1.0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    false
}

pub(crate) fn planted(id: &str, hold_s: u64) -> Fault {
    let faults = fault::built_in().unwrap();
    let mut fault = faults.into_iter().find(|fault| fault.id == id).unwrap();
    fault.hold_s = hold_s;
    fault
}

#[tokio::test]
async fn rows_stand_in_the_stated_proportions() {
    let Some((cluster, platform)) = platform(Major::Distribution, Indexes::Migrated).await else {
        return;
    };
    let client = connect(&platform.monitor_url).await;
    let near = async |sql: &str, want: f64, off: f64| {
        let got = number(&client, sql).await;
        assert!(
            (got - want).abs() <= off,
            "{sql} is {got}, not {want} ± {off}"
        );
    };
    near(r#"SELECT count(*) FROM "Lead""#, 2_000.0, 0.0).await;
    near(r#"SELECT count(*) FROM "Agent""#, 100.0, 0.0).await;
    near(r#"SELECT count(*) FROM "Event""#, 10_000.0, 0.0).await;
    near(r#"SELECT count(*) FROM "Carrier""#, 60.0, 0.0).await;
    near(
        r#"SELECT count(*) FROM "CarrierPerformanceMetric""#,
        2_880.0,
        0.0,
    )
    .await;
    // Four standard deviations of the binomial draws behind each.
    near(r#"SELECT count(*) FROM "LeadAssignment""#, 2_400.0, 125.0).await;
    near(
        r#"SELECT avg(("qualityScore" IS NULL)::int) FROM "Lead""#,
        0.20,
        0.036,
    )
    .await;
    near(
        r#"SELECT avg(("insuranceType" IS NULL)::int) FROM "Lead""#,
        0.03,
        0.016,
    )
    .await;
    near(
        r#"SELECT avg(("status" = 'ROUTED')::int) FROM "Lead""#,
        0.30,
        0.042,
    )
    .await;
    near(
        r#"SELECT avg(("status" = 'CONVERTED')::int) FROM "Lead""#,
        0.12,
        0.03,
    )
    .await;
    near(
        r#"SELECT avg(("status" = 'ACCEPTED')::int) FROM "LeadAssignment""#,
        0.55,
        0.042,
    )
    .await;
    near(r#"SELECT avg("qualityScore") FROM "Lead""#, 60.0, 1.6).await;
    near(
        r#"SELECT count(*) FROM "Lead" WHERE "createdAt" > now()"#,
        0.0,
        0.0,
    )
    .await;
    // The half of the leads that came last came in 365 * 0.5^1.3 = 148 days.
    let half = r#"SELECT count(*) FROM "Lead" WHERE "createdAt" > now() - interval '148 days'"#;
    near(half, 1_000.0, 30.0).await;
    let weekend = r#"SELECT avg((extract(isodow FROM "createdAt") > 5)::int) FROM "Lead""#;
    near(weekend, 2.0 / 7.0 * 0.4, 0.04).await;
    let hottest = r#"SELECT max(n) FROM (SELECT count(*) AS n FROM "LeadAssignment" GROUP BY "agentId") AS a"#;
    assert!(number(&client, hottest).await > 240.0, "no agent is hot");
    let composite = "SELECT count(*) FROM pg_index WHERE indnkeyatts > 1 AND indrelid IN \
                     (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)";
    near(composite, 16.0, 0.0).await;
    drop(client);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn every_statement_of_the_mix_runs_on_the_oldest_and_the_newest_server() {
    for major in Major::ALL {
        let Some((cluster, platform)) = platform(major, Indexes::Base).await else {
            continue;
        };
        let mut options = TrafficOptions::new(&platform.url).unwrap();
        options.rate = 20_000.0;
        options.faults.clear();
        let traffic = Traffic::start(options).await.unwrap();
        let all_seen = async {
            while traffic
                .counts()
                .statements
                .iter()
                .any(|count| count.calls == 0)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_mins(2), all_seen).await;
        let client = connect(&cluster.url()).await;
        let services = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'leadgen'";
        assert!(number(&client, services).await >= 4.0);
        let counts = traffic.stop().await;
        assert!(seen.is_ok(), "{major:?}: {counts:?}");
        assert_eq!(counts.errors(), 0, "{major:?}: {counts:?}");
        assert_eq!(counts.refused_connections, 0, "{major:?}");
        let left = "SELECT (count(*) = 0)::int FROM pg_stat_activity \
                    WHERE application_name = 'leadgen'";
        assert!(until(&client, left).await, "{major:?}: sessions stay");
        drop(client);
        cluster.stop().await.unwrap();
    }
}

#[tokio::test]
async fn traffic_goes_on_after_the_server_was_away() {
    let Some((mut cluster, platform)) = platform(Major::Distribution, Indexes::Base).await else {
        return;
    };
    let mut options = TrafficOptions::new(&platform.url).unwrap();
    options.faults.clear();
    options.rate = 400.0;
    let traffic = Traffic::start(options).await.unwrap();
    cluster.kill().await;
    cluster.resume().await.unwrap();
    let before = traffic.counts().calls();
    let goes_on = async {
        while traffic.counts().calls() < before + 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let went_on = tokio::time::timeout(Duration::from_mins(1), goes_on).await;
    let counts = traffic.stop().await;
    assert!(went_on.is_ok(), "{counts:?}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn traffic_that_drives_nothing_is_refused() {
    for (rate, connections) in [(0.0, 4), (-1.0, 4), (f64::NAN, 4), (40.0, 0)] {
        let mut options = TrafficOptions::new("postgres://127.0.0.1:1/x").unwrap();
        (options.rate, options.connections) = (rate, connections);
        let error = Traffic::start(options).await.unwrap_err();
        assert!(error.to_string().contains("rate"), "{error}");
    }
}

#[tokio::test]
async fn each_fault_makes_the_trouble_it_promises() {
    let Some((cluster, platform)) = platform(Major::Distribution, Indexes::Base).await else {
        return;
    };
    let (url, client) = (&platform.url, connect(&cluster.url_of("leadgen")).await);

    let active = number(&client, r#"SELECT count(*) FROM "Agent" WHERE "isActive""#).await;
    let burst = fault::inject(&planted("N1", 0), url).await.unwrap();
    assert!(
        (burst.statements as f64 - active - 1.0).abs() < 0.5,
        "{burst:?}"
    );
    let calls = r#"SELECT max(calls) FROM pg_stat_statements WHERE query LIKE '%"agentId" = $1%'"#;
    assert!(number(&client, calls).await >= active);
    let burst = fault::inject(&planted("N2", 0), url).await.unwrap();
    assert_eq!(burst.statements, 201);

    let lock = planted("L1", 60);
    let held = tokio::spawn({
        let url = url.clone();
        async move { fault::inject(&lock, &url).await }
    });
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    assert!(until(&client, idle).await, "nobody idles in a transaction");
    held.abort();

    let dead = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'leadgen'";
    let deadlock = fault::inject(&planted("D1", 0), url).await.unwrap();
    assert!(deadlock.refused >= 1, "{deadlock:?}");
    assert!(until(&client, dead).await, "the server counted no deadlock");

    let old = r#"SELECT count(*) FROM "Event" WHERE "timestamp" < now() - interval '330 days'"#;
    let there = number(&client, old).await;
    let archive = fault::inject(&planted("M1", 0), url).await.unwrap();
    assert!(there > 0.0 && (archive.rows as f64 - there).abs() < 5.0);
    let storm = fault::inject(&planted("M2", 0), url).await.unwrap();
    assert!((50..=160).contains(&storm.rows), "{storm:?}");
    let off = "SELECT count(*) FROM pg_class WHERE 'autovacuum_enabled=false' = ANY(reloptions)";
    assert!(number(&client, off).await >= 1.0);
    let import = fault::inject(&planted("M3", 0), url).await.unwrap();
    assert!((200..=202).contains(&import.rows), "{import:?}");
    let again = fault::inject(&planted("M3", 0), url).await.unwrap();
    assert!(
        (400..=402).contains(&again.rows),
        "deletes and inserts: {again:?}"
    );
    let leads = number(&client, r#"SELECT count(*) FROM "Lead""#).await;
    assert!(
        (leads - 2_200.0).abs() < 0.5,
        "{leads} leads: the import grows without end"
    );
    drop(client);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_pool_without_a_bound_is_turned_away_and_a_monitor_still_gets_in() {
    let Some((cluster, platform)) = platform(Major::Distribution, Indexes::Base).await else {
        return;
    };
    let (storm, url) = (planted("C1", 60), platform.url.clone());
    let client = connect(&platform.monitor_url).await;
    let held = tokio::spawn(async move { fault::inject(&storm, &url).await });
    let full = "SELECT (count(*) >= 20)::int FROM pg_stat_activity WHERE usename = 'leadgen'";
    assert!(
        until(&client, full).await,
        "the platform holds too few connections"
    );
    drop(connect(&platform.monitor_url).await);
    held.abort();
    let outcome = fault::inject(&planted("C1", 0), &platform.url)
        .await
        .unwrap();
    assert_eq!(outcome.statements, 36);
    assert!(outcome.refused >= 16, "{outcome:?}");
    drop(client);
    cluster.stop().await.unwrap();
}
