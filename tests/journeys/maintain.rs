//! Writes to a target: refused until its operator allows them, then by API, terminal and schedule, each told
//! in the audit log.
#![expect(
    clippy::disallowed_types,
    reason = "the server is filled past the program that is under test"
)]

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::QUICK;
use crate::support::http::{self, Response};
use crate::support::plimsoll::{Output, Serve, run};
use crate::support::postgres::{Major, start};

const BASE: &str = "/api/v1/performance";

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// 300 days of events, and a role for reading and one for writing.
async fn fill(admin: &Client) {
    let sql = "create table event (id int primary key, created_at timestamptz not null, text text);
        insert into event select i, now() - make_interval(days => i), repeat('x', 20)
          from generate_series(0, 299) i;
        create index on event (created_at);
        create schema archive;
        create role watcher login password 'w' in role pg_monitor;
        create role writer login password 'w';
        alter table event owner to writer;
        grant create, usage on schema archive to writer;
        analyze event";
    admin.batch_execute(sql).await.unwrap();
}

fn configure(folder: &Path, port: u16, more: &str) -> String {
    let path = folder.join("plimsoll.toml");
    let text = format!(
        "[[target]]\nname = \"shop\"\nurl = \"postgres://watcher:w@127.0.0.1:{port}/postgres\"\n{more}"
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn post(serve: &Serve, path: &str, body: &Value) -> Response {
    let path = format!("{BASE}/{path}");
    http::post(serve.address, &path, &body.to_string())
        .await
        .unwrap()
}

async fn plimsoll(serve: &Serve, arguments: &[&str]) -> Output {
    let folder = serve.data_dir.display().to_string();
    run(&[arguments, &["--data-dir", &folder]].concat()).await
}

async fn count(admin: &Client, table: &str) -> i64 {
    let sql = format!("select count(*) from {table}");
    admin.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_until_the_operator_allows_it_and_then_all_of_it_is_told() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let admin = client(&cluster.url()).await;
    fill(&admin).await;
    let folder = tempfile::tempdir().unwrap();
    let policy = |days: u32| {
        json!({"table": "event", "archiveAfterDays": days, "archiveStrategy": "move",
               "archiveDestination": "archive.event", "enabled": true})
    };

    let config = configure(folder.path(), cluster.port(), "");
    let data = folder.path().join("data");
    let serve = Serve::start(&data, &[&QUICK[..], &["--config", &config]].concat()).await;
    for (path, body) in [
        ("database/optimize-table/event", json!(null)),
        ("database/archive", policy(100)),
        ("database/archive/preview", policy(100)),
    ] {
        let refused = post(&serve, path, &body).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text());
        assert!(
            refused.text().contains("allow_writes"),
            "{}",
            refused.text()
        );
    }
    // A job of the queue is held to the same.
    let job = json!({"name": "vacuum", "data": {"table": "event"}, "opts": {"jobId": "sly"}});
    assert_eq!(post(&serve, "jobs/plimsoll", &job).await.status, 201);
    let mut serve = serve;
    let failed = |r: &Response| r.json()["state"] == "failed" || r.json()["state"] == "dead";
    let ended = serve
        .wait_for(&format!("{BASE}/jobs/plimsoll/sly"), failed)
        .await;
    assert!(ended.text().contains("allow_writes"), "{}", ended.text());
    let log = serve.get(&format!("{BASE}/audit")).await.json();
    assert_eq!(log, json!({"items": []}));
    assert_eq!(serve.terminate().await, 0);

    let more = format!(
        "allow_writes = [\"vacuum\", \"archive\"]\n\
         writer = \"postgres://writer:w@127.0.0.1:{}/postgres\"\n",
        cluster.port()
    );
    let config = configure(folder.path(), cluster.port(), &more);
    let mut serve = Serve::start(&data, &[&QUICK[..], &["--config", &config]].concat()).await;
    let size = format!("{BASE}/database/size");
    serve.wait_for(&size, |r| r.status == 200).await;

    by_program(&serve, &admin, policy).await;
    by_terminal(&serve, &admin).await;
    assert_eq!(serve.terminate().await, 0);
}

async fn by_program(serve: &Serve, admin: &Client, policy: impl Fn(u32) -> Value) {
    let optimize = "database/optimize-table/event";
    let foreign = [("origin", "http://evil.example")];
    let path = format!("{BASE}/{optimize}");
    let refused = http::send(serve.address, Method::POST, &path, &foreign, "").await;
    assert_eq!(refused.unwrap().status, 403);
    let done = post(serve, optimize, &json!(null)).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let done = done.json();
    assert_eq!(done["success"], true);
    assert_eq!(done["message"], "Table event optimized");
    assert_eq!(done["vacuumed"]["table"], "public.event");
    assert!(
        done["vacuumed"]["after"]["liveRows"].as_u64().unwrap() >= 300,
        "{done}"
    );
    for (path, status) in [
        ("database/optimize-table/nothing", 404),
        ("database/optimize-table/event%22,%20%22pg_class", 404),
        ("database/optimize-table/event?wait=-1", 400),
        ("database/optimize-table/event?table=x", 400),
        ("database/optimize-table/event?target=else", 404),
    ] {
        let refused = post(serve, path, &json!(null)).await;
        assert_eq!(refused.status, status, "{path}: {}", refused.text());
    }

    by_program_archived(serve, admin, policy).await;
}

async fn by_program_archived(serve: &Serve, admin: &Client, policy: impl Fn(u32) -> Value) {
    let preview = post(serve, "database/archive/preview", &policy(200))
        .await
        .json();
    assert_eq!(
        (&preview["rows"], &preview["makesDestination"]),
        (&json!(100), &json!(true))
    );
    assert_eq!(count(admin, "event").await, 300);
    let done = post(serve, "database/archive", &policy(200)).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let done = done.json();
    let told = ["recordsArchived", "recordsDeleted", "recordsLeft"].map(|f| done[f].as_u64());
    assert_eq!(told, [Some(100), Some(100), Some(0)], "{done}");
    assert_eq!(done["status"], "success");
    assert_eq!(
        (
            count(admin, "event").await,
            count(admin, "archive.event").await
        ),
        (200, 100)
    );
    let mut negative = policy(1);
    negative["archiveAfterDays"] = json!(-1);
    let mut missing = policy(1);
    missing.as_object_mut().unwrap().remove("archiveAfterDays");
    let mut off = policy(1);
    off["enabled"] = json!(false);
    for (body, status) in [
        (negative, 400),
        (missing, 400),
        (json!([]), 400),
        (off, 200),
    ] {
        let answer = post(serve, "database/archive", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    assert_eq!(count(admin, "event").await, 200);
    // What the role may not do is told with the server's words.
    admin
        .batch_execute("create table other (at timestamptz)")
        .await
        .unwrap();
    let delete = json!({"table": "other", "archiveAfterDays": 1, "archiveStrategy": "delete"});
    admin
        .batch_execute("insert into other values ('2020-01-01')")
        .await
        .unwrap();
    let refused = post(serve, "database/archive", &delete).await.json();
    assert_eq!(refused["status"], "failed", "{refused}");
    assert!(
        refused["errors"][0]
            .as_str()
            .unwrap()
            .contains("permission denied"),
        "{refused}"
    );
}

async fn by_terminal(serve: &Serve, admin: &Client) {
    let vacuumed = plimsoll(serve, &["vacuum", "event", "--target", "shop"]).await;
    assert_eq!(vacuumed.code, 0, "{}", vacuumed.stderr);
    assert!(
        vacuumed.stdout.contains("public.event"),
        "{}",
        vacuumed.stdout
    );
    let none = plimsoll(serve, &["vacuum"]).await;
    assert!(
        none.stdout.contains("no table wants it"),
        "{}{}",
        none.stdout,
        none.stderr
    );
    let delete = ["archive", "event", "--days", "150", "--strategy", "delete"];
    let dry = plimsoll(serve, &[&delete[..], &["--dry-run"]].concat()).await;
    assert!(
        dry.stdout.starts_with("50 rows of public.event"),
        "{}{}",
        dry.stdout,
        dry.stderr
    );
    let done = plimsoll(
        serve,
        &[&delete[..], &["--max-rows", "20", "--format", "json"]].concat(),
    )
    .await;
    let done: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&done["recordsDeleted"], &done["recordsLeft"]),
        (&json!(20), &json!(30))
    );
    let done = plimsoll(serve, &delete).await;
    assert!(
        done.stdout.contains("30 deleted"),
        "{}{}",
        done.stdout,
        done.stderr
    );
    assert_eq!(count(admin, "event").await, 150);
    let failed = plimsoll(
        serve,
        &["archive", "nowhere", "--days", "1", "--strategy", "delete"],
    )
    .await;
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("no table"), "{}", failed.stderr);

    audited(serve).await;
    in_turn(serve, admin).await;
}

/// Jobs without a key, as schedules make them, wait in the queue behind one that is at work.
async fn in_turn(serve: &Serve, admin: &Client) {
    admin
        .batch_execute("begin; lock table event in share mode")
        .await
        .unwrap();
    let job = |id: &str, days: u32| {
        json!({"name": "archive", "opts": {"jobId": id},
               "data": {"table": "event", "archiveAfterDays": days, "archiveStrategy": "delete"}})
    };
    let jobs = json!([job("a", 140), job("b", 130), job("c", 120)]);
    assert_eq!(post(serve, "jobs/plimsoll", &jobs).await.status, 201);
    let get = async |id: &str| {
        let path = format!("{BASE}/jobs/plimsoll/{id}");
        serve.get(&path).await.json()
    };
    let mut next = Vec::new();
    for id in ["a", "b", "c"] {
        // Whichever came first waits for the lock; the others are given on at once.
        for _ in 0..10 {
            let told = get(id).await["returnvalue"]["handedOn"].clone();
            if let Some(told) = told.as_str() {
                next.push(told.to_owned());
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    assert_eq!(next.len(), 2, "{next:?}");
    admin.batch_execute("rollback").await.unwrap();
    for id in next {
        let mut state = Value::Null;
        for _ in 0..200 {
            state = get(&id).await["state"].clone();
            if state == "completed" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(state, "completed");
    }
}

async fn audited(serve: &Serve) {
    let audit = plimsoll(serve, &["audit", "--format", "json"]).await;
    let audit: Vec<Value> = serde_json::from_str(&audit.stdout).unwrap();
    let whats: Vec<&str> = audit.iter().map(|e| e["what"].as_str().unwrap()).collect();
    assert!(
        whats[0].starts_with("delete rows of public.event before"),
        "{whats:?}"
    );
    assert!(
        whats.contains(&"VACUUM (ANALYZE) public.event"),
        "{whats:?}"
    );
    assert!(
        audit
            .iter()
            .all(|e| e["role"] == "writer" && e["endedAt"].is_string()),
        "{audit:?}"
    );
    let states: Vec<&str> = audit
        .iter()
        .map(|e| e["outcome"]["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states.iter().filter(|s| **s == "failed").count(),
        1,
        "{audit:?}"
    );
    let table = plimsoll(serve, &["audit", "--limit", "3"]).await.stdout;
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[tokio::test]
async fn a_configuration_that_allows_by_halves_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (more, words) in [
        ("allow_writes = [\"vacuum\"]\n", "needs target.writer"),
        ("writer = \"postgres://w@h/d\"\n", "nothing to do"),
        (
            "allow_writes = [\"everything\"]\nwriter = \"postgres://w@h/d\"\n",
            "one of vacuum, archive",
        ),
        ("allow_writes = \"vacuum\"\n", "target.allow_writes"),
        ("allow_write = []\n", "did you mean allow_writes?"),
        (
            "allow_writes = [\"vacuum\"]\nwriter = \" \"\n",
            "connection string is missing",
        ),
    ] {
        let config = configure(folder.path(), 1, more);
        let checked = run(&["config", "check", "--config", &config]).await;
        assert_eq!(checked.code, 78, "{more}");
        assert!(checked.stderr.contains(words), "{more}: {}", checked.stderr);
    }
}
