//! What an operator silences stays counted; what statements cost is asked of the history.

use tokio_postgres::NoTls;

use crate::QUICK;
use crate::support::plimsoll::{Output, Serve, run};
use crate::support::postgres::{Major, start};

async fn ask(serve: &Serve, arguments: &[&str]) -> Output {
    let folder = serve.data_dir.display().to_string();
    run(&[arguments, &["--data-dir", &folder]].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silenced_finding_is_counted_and_speaks_again() {
    // The test's server runs without fsync, which is critical.
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let target = format!("t={}", cluster.url());
    let arguments = [&["--target", &target], &QUICK[..]].concat();
    let mut serve = Serve::start(folder.path(), &arguments).await;
    let known = |r: &crate::support::http::Response| r.status.is_success();
    serve
        .wait_for("/api/v1/performance/database/size", known)
        .await;
    let loud = ask(&serve, &["check"]).await;
    assert_eq!(loud.code, 2, "{}", loud.stdout);
    assert!(loud.stdout.contains("fsync is off"), "{}", loud.stdout);

    let quiet = ["check", "--silence", "fsync-off", "--reason", "a test bed"];
    let told = ask(&serve, &[&quiet[..], &["--until", "2099-01-01"]].concat()).await;
    assert_eq!(told.code, 0, "{}", told.stderr);
    let silenced = ask(&serve, &["check"]).await;
    assert_ne!(silenced.code, 2, "{}", silenced.stdout);
    assert!(
        !silenced.stdout.contains("fsync is off"),
        "{}",
        silenced.stdout
    );
    assert!(
        silenced.stdout.contains("1 silenced: 1 critical")
            && silenced.stdout.contains("fsync-off (1) until 2099-01-01")
            && silenced.stdout.contains("a test bed"),
        "{}",
        silenced.stdout
    );
    let again = ask(&serve, &["check", "--unsilence", "fsync-off"]).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(ask(&serve, &["check"]).await.code, 2);

    for (id, until, said) in [
        ("no-such", "2099-01-01", "no check"),
        ("fsync-off", "2001-01-01", "is over"),
        ("fsync-off", "soon", "a day or an instant"),
    ] {
        let silence = ["check", "--silence", id, "--reason", "x", "--until", until];
        let refused = ask(&serve, &silence).await;
        assert!(
            refused.code != 0 && refused.stderr.contains(said),
            "{refused:?}"
        );
    }
    let refused = ask(&serve, &["check", "--unsilence", "fsync-off"]).await;
    assert!(
        refused.code != 0 && refused.stderr.contains("no silence"),
        "{refused:?}"
    );
    assert_eq!(serve.terminate().await, 0);
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_ranked_from_the_history_and_deploys_are_marked() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let (client, driver) = tokio_postgres::connect(&cluster.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(driver);
    let setup = "create extension if not exists pg_stat_statements; create table t (x int)";
    client.batch_execute(setup).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = format!("t={}", cluster.url());
    let arguments = [&["--target", &target], &QUICK[..]].concat();
    let serve = Serve::start(folder.path(), &arguments).await;
    let insert = client.prepare("insert into t values ($1)").await.unwrap();
    let base = "/api/v1/performance/database";
    let path = format!("{base}/statements?by=calls&window=10m");
    let mut found = None;
    for n in 0..600_i32 {
        client.execute(&insert, &[&n]).await.unwrap();
        let ranking = serve.get(&path).await.json();
        let mut all = ranking["statements"].as_array().unwrap().iter();
        found = all
            .find(|s| s["query"] == "insert into t values ($1)" && s["calls"] != 0.0)
            .cloned();
        if found.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let statement = found.unwrap();
    assert!(statement["walBytes"].as_f64().unwrap() > 0.0, "{statement}");
    let id = statement["queryid"].as_str().unwrap();
    let shown = ask(&serve, &["statements", "show", id]).await;
    assert!(shown.stdout.contains("insert into t"), "{shown:?}");
    let table = ask(&serve, &["statements", "--by", "wal", "--window", "10m"]).await;
    assert!(table.stdout.contains("insert into t"), "{table:?}");
    assert!(
        !table.stdout.contains("plimsoll */"),
        "our own: {}",
        table.stdout
    );
    let slow = serve
        .get(&format!("{base}/slow-queries?window=10m&order=calls"))
        .await
        .json();
    assert!(slow[0]["calls"].as_u64().unwrap() > 0, "{slow}");
    assert_eq!(slow[0]["max_exec_time"], serde_json::Value::Null);

    let marked = ask(&serve, &["deploy", "mark", "v2.1"]).await;
    assert!(marked.stdout.contains("v2.1"), "{marked:?}");
    let listed = ask(&serve, &["deploy", "list"]).await;
    assert_eq!(listed.stdout.lines().count(), 1, "{listed:?}");
    let size = serve.get(&format!("{base}/size")).await.json();
    assert!(
        !size["growth"]["history"].as_array().unwrap().is_empty(),
        "{size}"
    );
    assert_eq!(serve.terminate().await, 0);
    drop(client);
    cluster.stop().await.unwrap();
}
