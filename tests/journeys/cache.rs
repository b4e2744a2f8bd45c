//! Named queries from the settings to the answer: warmed by a job, kept, dropped, and shown when their
//! server is gone.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::support::http;
use crate::support::plimsoll::{Output, Serve, run};
use crate::support::postgres::{Major, start};

const CACHE: &str = "/api/v1/performance/cache";
const JOBS: &str = "/api/v1/performance/jobs";

fn settings(folder: &Path, url: &str) -> PathBuf {
    let path = folder.join("p.toml");
    let text = format!(
        "[cache]\nquery_timeout = '500ms'\n[[target]]\nname = 'main'\nurl = '{url}'\n\
         [[query]]\nkey = 'agents:active'\nsql = 'select \"Id\" from agents order by \"Id\"'\n\
         ttl = '1s'\nstale = '10m'\npriority = 'critical'\ntags = ['agents']\n\
         events = ['agent.updated']\n\
         [[query]]\nkey = 'agents:count'\nsql = 'select count(*) from agents'\nttl = '1h'\n\
         [[query]]\nkey = 'slow'\nsql = 'select pg_sleep(60)'\npriority = 'low'\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

async fn cli(serve: &Serve, words: &[&str]) -> Output {
    let folder = serve.data_dir.display().to_string();
    run(&[words, &["--data-dir", &folder]].concat()).await
}

async fn rows(serve: &Serve, key: &str) -> (u16, String, String) {
    let answer = serve.get(&format!("{CACHE}/queries/{key}")).await;
    let found = answer.headers.get("x-cache");
    let found = found.map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status.as_u16(), found, answer.text())
}

/// The JSON at `path` as soon as it is `good`.
async fn until(serve: &mut Serve, path: &str, good: impl Fn(&Value) -> bool) -> Value {
    let answer = serve.wait_for(path, |answer| good(&answer.json())).await;
    answer.json()
}

/// Where a query stands.
async fn standing(serve: &mut Serve, key: &str, good: impl Fn(&Value) -> bool) -> Value {
    let of = |all: &Value| {
        all.as_array()?
            .iter()
            .find(|one| one["key"] == key)
            .cloned()
    };
    let path = format!("{CACHE}/queries");
    let good = |all: &Value| of(all).is_some_and(|one| good(&one));
    of(&until(serve, &path, good).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_query_is_warmed_kept_dropped_and_outlives_its_server() {
    let Some(mut cluster) = start(Major::Distribution).await else {
        return;
    };
    let (client, line) = tokio_postgres::connect(&cluster.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(line);
    let sql = "create table agents (\"Id\" int primary key); insert into agents values (1), (2)";
    client.batch_execute(sql).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = settings(folder.path(), &cluster.url());
    let path = path.to_str().unwrap();
    let mut serve = Serve::start(&folder.path().join("data"), &["--config", path]).await;

    first_warming(&mut serve).await;
    client
        .batch_execute("insert into agents values (3)")
        .await
        .unwrap();
    dropped_and_warmed(&mut serve).await;
    command_line(&serve).await;
    let metrics = serve.wait_for("/metrics", |answer| {
        answer.text().contains("plimsoll_cache_hits_total")
    });
    assert!(metrics.await.text().contains("plimsoll_cache_bytes"));
    let compat = serve.get("/metrics?names=compat").await.text();
    assert!(compat.contains("\ncache_hits_total"), "{compat}");

    cluster.halt().await;
    without_its_server(&serve).await;
    cluster.resume().await.unwrap();
    standing(&mut serve, "agents:count", |one| one["failure"].is_object()).await;
    let back = cli(&serve, &["cache", "warm", "agents:count"]).await;
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert_eq!(serve.terminate().await, 0);
}

/// It is a job; a query that takes too long fails it, and the others are there.
async fn first_warming(serve: &mut Serve) {
    standing(serve, "slow", |one| one["state"] == "failed").await;
    let path = format!("{JOBS}/plimsoll?state=failed");
    let is_ours = |page: &Value| page["items"][0]["name"] == "cache-warm";
    let failed = until(serve, &path, is_ours).await;
    let reason = failed["items"][0]["failedReason"].to_string();
    // Why is for those who may see what a server says.
    assert!(reason.contains("not loaded: slow;"), "{reason}");
    let listed = cli(serve, &["cache", "list", "--format", "json"]).await;
    let words = "it took longer than 500 ms";
    assert!(listed.stdout.contains(words), "{}", listed.stdout);
    let (status, found, text) = rows(serve, "agents:count").await;
    assert_eq!(
        (status, found.as_str(), text.as_str()),
        (200, "hit", "[{\"count\":2}]")
    );
}

/// A change is seen when what it makes wrong was dropped; then the task through the queue.
async fn dropped_and_warmed(serve: &mut Serve) {
    let body = json!({"key": "agents:count"}).to_string();
    let dropped = http::post(serve.address, &format!("{CACHE}/invalidate"), &body).await;
    assert_eq!(dropped.unwrap().json()["keys"], json!(["agents:count"]));
    let (_, found, text) = rows(serve, "agents:count").await;
    assert_eq!((found.as_str(), text.as_str()), ("miss", "[{\"count\":3}]"));

    let job =
        json!({"name": "cache-warm", "data": {"priority": "critical"}, "opts": {"jobId": "w"}});
    let sent = http::post(serve.address, &format!("{JOBS}/plimsoll"), &job.to_string()).await;
    assert_eq!(sent.unwrap().status, 201);
    let path = format!("{JOBS}/plimsoll/w");
    let done = until(serve, &path, |job| job["state"] == "completed").await;
    let told = &done["returnvalue"];
    assert_eq!(told["warmed"][0]["key"], "agents:active");
    assert_eq!(told["warmed"][0]["rows"], 3);
    let wrong = json!({"name": "cache-warm", "data": {"key": "a"}, "opts": {"jobId": "x"}});
    http::post(
        serve.address,
        &format!("{JOBS}/plimsoll"),
        &wrong.to_string(),
    )
    .await
    .unwrap();
    let path = format!("{JOBS}/plimsoll/x");
    let refused = until(serve, &path, |job| job["failedReason"].is_string()).await;
    assert!(
        refused["failedReason"]
            .to_string()
            .contains("unknown field")
    );
}

/// What is stale is shown, the failure is told, and what is not kept is refused.
async fn without_its_server(serve: &Serve) {
    let lost = async {
        loop {
            let (status, found, text) = rows(serve, "agents:active").await;
            assert_eq!(
                (status, text.as_str()),
                (200, "[{\"Id\":1},{\"Id\":2},{\"Id\":3}]")
            );
            let all = serve.get(&format!("{CACHE}/queries")).await.json();
            if found == "stale" && !all[0]["failure"].is_null() {
                return all[0].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let lost = tokio::time::timeout(std::time::Duration::from_secs(30), lost)
        .await
        .unwrap();
    assert_eq!(lost["state"], "stale");
    assert!(
        lost["failure"]["reason"].as_str().unwrap().len() > 10,
        "{lost}"
    );
    let told = cli(serve, &["cache", "invalidate", "agents:count"]).await;
    assert_eq!(told.code, 0, "{}", told.stderr);
    let (status, _, text) = rows(serve, "agents:count").await;
    assert_eq!(status, 502, "{text}");
}

async fn command_line(serve: &Serve) {
    let list = cli(serve, &["cache", "list"]).await;
    assert_eq!(list.code, 0, "{}", list.stderr);
    for word in ["agents:active", "fresh", "critical", "slow failed at"] {
        assert!(list.stdout.contains(word), "{word}: {}", list.stdout);
    }
    let got = cli(serve, &["cache", "get", "agents:active"]).await;
    assert_eq!(got.stdout, "{\"Id\":1}\n{\"Id\":2}\n{\"Id\":3}\n");
    let unknown = cli(serve, &["cache", "get", "agents:activ"]).await;
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.stderr.contains("did you mean agents:active?"),
        "{}",
        unknown.stderr
    );
    let some = cli(serve, &["cache", "warm", "agents:active", "slow"]).await;
    assert_eq!(some.code, 1, "one of two failed");
    assert!(
        some.stdout.contains("1 query loaded, 1 query failed"),
        "{}",
        some.stdout
    );
    let none = cli(serve, &["cache", "warm", "slow"]).await;
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("took longer"), "{}", none.stderr);
    let dry = [
        "cache",
        "invalidate",
        "--tag",
        "agents",
        "--dry-run",
        "--format",
        "json",
    ];
    let dry: Value = serde_json::from_str(&cli(serve, &dry).await.stdout).unwrap();
    assert_eq!(
        (&dry["keys"], &dry["dryRun"]),
        (&json!(["agents:active"]), &json!(true))
    );
    let stats = cli(serve, &["cache", "stats"]).await;
    assert!(stats.stdout.contains("hit rate ") && stats.stdout.contains("agents:*"));
    assert_eq!(cli(serve, &["cache", "invalidate"]).await.code, 64);
}

#[tokio::test]
async fn settings_that_cannot_be_carried_out_are_told_with_their_line_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    let shown = path.display().to_string();
    let target = "[[target]]\nname = 'main'\nurl = 'postgres://u@localhost/app'\n";
    for (query, word) in [
        ("sql = 'select 1; select 2'", "more than one statement"),
        ("sql = 'delete from t returning 1'", "begins with DELETE"),
        (
            "sql = 'with a as (select 1) select 1 into x'",
            "SELECT INTO",
        ),
        ("sql = 'select $1'", "parameters"),
        ("sql = '-- nothing'", "no statement"),
        (
            "sql = 'select 1'\ntarget = 'mian'",
            "did you mean \"main\"?",
        ),
        ("sql = ''", "there is no statement"),
    ] {
        let text = format!("{target}[[query]]\nkey = 'k'\n{query}\n");
        std::fs::write(&path, text).unwrap();
        for command in [&["config", "check"][..], &["serve"]] {
            let told = run(&[command, &["--config", &shown]].concat()).await;
            assert_eq!(told.code, 78, "{query}: {}", told.stderr);
            assert!(told.stderr.contains(word), "{query}: {}", told.stderr);
            assert!(told.stderr.contains("p.toml:"), "{query}: {}", told.stderr);
        }
    }
}
