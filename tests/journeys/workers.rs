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
