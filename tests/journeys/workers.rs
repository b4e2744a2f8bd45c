//! The workers of `packaging/examples`, as they stand there, against the real program.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::http::{self, Response};
use crate::support::plimsoll::Serve;
use crate::support::skipped;

const JOBS: &str = "/api/v1/performance/jobs";
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples");

async fn send(serve: &Serve, jobs: Value) {
    let path = format!("{JOBS}/mail");
    let sent = http::post(serve.address, &path, &jobs.to_string()).await;
    assert_eq!(sent.unwrap().status, 201);
}

fn counts(done: u64, dead: u64) -> impl Fn(&Response) -> bool {
    move |response| {
        response.status.is_success() && {
            let metrics = response.json();
            metrics["completed"] == done && metrics["dead"] == dead
        }
    }
}

/// Whether a program is there; in CI it must be.
fn is_there(program: &str) -> bool {
    let found = std::process::Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        found || !crate::in_ci(),
        "{program} is needed; packaging/install-tools.sh test installs it"
    );
    if !found {
        skipped(&format!("{program} is not installed"));
    }
    found
}

fn start(serve: &Serve, command: &mut Command) -> Child {
    command
        .env("PLIMSOLL_URL", format!("http://{}", serve.address))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Sends jobs before and after the worker starts, and ends the worker as a service manager would.
async fn try_worker(command: &mut Command) {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path(), &[]).await;
    // A worker may be there before its queue.
    let mut worker = start(&serve, command);
    let sum =
        |id: &str| json!({"name": "sum", "data": {"numbers": [1, 2, 39]}, "opts": {"jobId": id}});
    send(
        &serve,
        json!([sum("a"), sum("b/🦀 \"ö\""), {"name": "odd", "opts": {"jobId": "odd"}}]),
    )
    .await;
    let metrics = format!("{JOBS}/metrics?queue=mail");
    serve.wait_for(&metrics, counts(2, 1)).await;
    let done = serve
        .get(&format!("{JOBS}/mail/b%2F%F0%9F%A6%80%20%22%C3%B6%22"))
        .await;
    assert_eq!(
        done.json()["returnvalue"],
        json!({"sum": 42}),
        "{}",
        done.text()
    );
    let odd = serve.get(&format!("{JOBS}/mail/odd")).await.json();
    assert_eq!(
        (&odd["state"], &odd["attemptsMade"]),
        (&json!("dead"), &json!(1))
    );
    send(&serve, sum("c")).await;
    serve.wait_for(&metrics, counts(3, 1)).await;
    let pid = i32::try_from(worker.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), worker.wait()).await;
    assert!(ended.unwrap().unwrap().success());
    assert_eq!(serve.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_in_node_does_jobs() {
    if is_there("node") {
        let script = Path::new(EXAMPLES).join("worker.mjs");
        try_worker(Command::new("node").arg(script).arg("mail")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_in_python_does_jobs() {
    if is_there("python3") {
        let script = Path::new(EXAMPLES).join("worker.py");
        try_worker(Command::new("python3").arg(script).arg("mail")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_in_the_shell_does_jobs() {
    if is_there("curl") {
        // Refuses with 75 what it does not know.
        let does =
            r#"grep -q '"name":"sum"' && echo '{"sum":42}' || { echo "not mine" >&2; exit 75; }"#;
        let script = Path::new(EXAMPLES).join("worker.sh");
        let arguments = ["mail", "bash", "-c", does];
        try_worker(Command::new("bash").arg(script).args(arguments)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_tasks_are_jobs_and_a_backup_of_theirs_can_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path(), &crate::QUICK).await;
    let done = format!("{JOBS}/plimsoll?state=completed");
    // Without a target this machine is watched, and its forecast is due at once.
    let made = serve
        .wait_for(&done, |r| {
            r.status.is_success() && r.text().contains("\"forecast\"")
        })
        .await;
    assert_eq!(
        made.json()["items"][0]["returnvalue"],
        json!({"targets": ["host"]})
    );
    let path = format!("{JOBS}/plimsoll");
    for n in 0..3 {
        let job =
            json!({"name": "backup", "data": {"keep": 2}, "opts": {"jobId": format!("b{n}")}});
        http::post(serve.address, &path, &job.to_string())
            .await
            .unwrap();
        let done = |r: &Response| r.json()["state"] == "completed";
        serve.wait_for(&format!("{path}/b{n}"), done).await;
    }
    let odd = json!({"name": "odd", "opts": {"jobId": "odd"}}).to_string();
    http::post(serve.address, &path, &odd).await.unwrap();
    let dead = serve
        .wait_for(&format!("{path}/odd"), |r| r.json()["state"] == "dead")
        .await;
    assert!(dead.text().contains("there is no task"), "{}", dead.text());
    let last = serve.get(&format!("{path}/b2")).await.json();
    let name = last["returnvalue"]["file"].as_str().unwrap().to_owned();
    assert_eq!(serve.terminate().await, 0);
    let backups = folder.path().join("backups");
    assert_eq!(
        std::fs::read_dir(&backups).unwrap().count(),
        2,
        "the newest are kept"
    );
    let file = backups.join(name).display().to_string();
    let to = tempfile::tempdir().unwrap();
    let again = to.path().join("again").display().to_string();
    let restored = crate::support::plimsoll::run(&["restore", &file, "--data-dir", &again]).await;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let checked = crate::support::plimsoll::run(&[
        "history",
        "verify",
        "--data-dir",
        &folder.path().display().to_string(),
    ])
    .await;
    assert_eq!(
        checked.code, 0,
        "a folder with backups is whole: {}",
        checked.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_read_when_a_job_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path(), &crate::QUICK).await;
    let path = format!("{JOBS}/plimsoll");
    let collect = |id: &str, target: &str| {
        let job = json!({"name": "collect", "data": {"target": target}, "opts": {"jobId": id}});
        job.to_string()
    };
    let mine = collect("now", "host");
    http::post(serve.address, &path, &mine).await.unwrap();
    let read = serve
        .wait_for(&format!("{path}/now"), |r| r.json()["state"] == "completed")
        .await
        .json();
    let samples = &read["returnvalue"]["targets"]["host"]["samples"];
    assert!(samples.as_u64() > Some(10), "{read}");
    let other = collect("other", "nobody");
    http::post(serve.address, &path, &other).await.unwrap();
    let dead = serve
        .wait_for(&format!("{path}/other"), |r| r.json()["state"] == "dead")
        .await;
    assert!(
        dead.text().contains("there is no target \\\"nobody\\\""),
        "{}",
        dead.text()
    );
    assert_eq!(serve.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_has_reports_written_and_the_newest_of_each_format_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path(), &crate::QUICK).await;
    let path = format!("{JOBS}/plimsoll");
    let schedule = json!({
        "name": "often", "jobType": "plimsoll", "jobName": "report", "every": 100, "limit": 3,
        "data": {"keep": 2},
    });
    http::post(
        serve.address,
        &format!("{JOBS}/schedule"),
        &schedule.to_string(),
    )
    .await
    .unwrap();
    let ended = |r: &Response| {
        let jobs = r.json();
        let jobs = jobs["items"].as_array().cloned().unwrap_or_default();
        jobs.iter().filter(|job| job["name"] == "report").count() == 3
    };
    let done = format!("{path}?state=completed");
    let made = serve.wait_for(&done, ended).await.json();
    for (id, data) in [
        ("md", json!({"format": "md"})),
        ("file", json!({"format": "sqlite"})),
    ] {
        let job = json!({"name": "report", "data": data, "opts": {"jobId": id}}).to_string();
        http::post(serve.address, &path, &job).await.unwrap();
        let done = |r: &Response| r.json()["state"] == "completed";
        serve.wait_for(&format!("{path}/{id}"), done).await;
    }
    let odd = json!({"name": "report", "data": {"format": "pdf"}, "opts": {"jobId": "odd"}});
    http::post(serve.address, &path, &odd.to_string())
        .await
        .unwrap();
    let dead = serve
        .wait_for(&format!("{path}/odd"), |r| r.json()["state"] == "dead")
        .await;
    assert!(
        dead.text().contains("html, json, md, sqlite"),
        "{}",
        dead.text()
    );
    assert_eq!(serve.terminate().await, 0);
    let reports = folder.path().join("reports");
    let of = |ending: &str| {
        let entries = std::fs::read_dir(&reports).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|own| own == ending))
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(of("html").len(), 2, "the newest are kept");
    let page = std::fs::read_to_string(&of("html")[1]).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("host"));
    let name = of("html")[1].file_name().unwrap().to_owned();
    let told = made["items"].as_array().unwrap().iter();
    let mut told = told.filter(|job| name.to_str() == job["returnvalue"]["file"].as_str());
    assert_eq!(told.next().unwrap()["returnvalue"]["bytes"], page.len());
    assert_eq!(of("md").len(), 1);
    let archive = of("sqlite").remove(0).display().to_string();
    let again = ["report", "--from", &archive, "--out", "-"];
    let again = crate::support::plimsoll::run(&again).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.contains("host"));
}
