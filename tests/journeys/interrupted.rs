//! A demo that ends before its time: whatever the moment, nothing of it remains.

use std::path::Path;

use rustix::process::Signal;

use crate::support::demo::{Demo, Home};
use crate::support::http;
use crate::support::mounts;
use crate::support::plimsoll::{Serve, command, free_address, run};
use crate::support::postgres::Major;

/// Moments of a start, by what the demo says at them.
const MOMENTS: [&str; 4] = [
    "starting PostgreSQL",
    "leads, assignments and events",
    "making up 180 days of history",
    "page     http://",
];

fn small(home: &Home) -> Demo {
    let listen = free_address().to_string();
    Demo::start(
        command(&["demo", "--scale", "0.01", "--listen", &listen]),
        home,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_demo_leaves_nothing_behind_at_any_moment() {
    if Major::Distribution.binaries_or_skip().is_none() {
        return;
    }
    for (moment, signal) in MOMENTS
        .into_iter()
        .zip([Signal::INT, Signal::TERM].repeat(2))
    {
        let home = Home::new();
        let mut demo = small(&home);
        demo.wait_for(moment).await;
        demo.signal(signal);
        let (code, told) = demo.ended().await;
        assert_eq!(code, 0, "{moment}: {told}");
        assert!(
            home.left().is_empty(),
            "{moment}: it left {:?}",
            home.left()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_demo_is_tidied_up_after() {
    if Major::Distribution.binaries_or_skip().is_none() {
        return;
    }
    for moment in [MOMENTS[0], MOMENTS[3]] {
        let home = Home::new();
        let mut demo = small(&home);
        demo.wait_for(moment).await;
        demo.signal(Signal::KILL);
        demo.ended().await;
        home.wait_until_empty().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_was_not_written_is_told() {
    if Major::Distribution.binaries_or_skip().is_none() {
        return;
    }
    let home = Home::new();
    let out = home.path().join("r.html");
    let (listen, report) = (free_address().to_string(), out.display().to_string());
    let arguments = ["demo", "--listen", &listen, "--report", &report];
    let mut demo = Demo::start(command(&arguments), &home);
    demo.wait_for(MOMENTS[0]).await;
    demo.signal(Signal::INT);
    let (code, told) = demo.ended().await;
    assert_eq!(code, 1, "{told}");
    assert!(
        told.contains("no report was written") && !out.exists(),
        "{told}"
    );
    assert!(home.left().is_empty(), "it left {:?}", home.left());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_fails_half_way_leaves_nothing_behind() {
    if Major::Distribution.binaries_or_skip().is_none() {
        return;
    }
    let (home, taken) = (Home::new(), tempfile::tempdir().unwrap());
    let serve = Serve::start(taken.path(), &[]).await;
    let (listen, data) = (
        free_address().to_string(),
        taken.path().display().to_string(),
    );
    let arguments = [
        "demo",
        "--scale",
        "0.01",
        "--listen",
        &listen,
        "--data-dir",
        &data,
    ];
    let (code, told) = Demo::start(command(&arguments), &home).ended().await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(MOMENTS[1]), "it failed too early: {told}");
    assert!(told.contains(&serve.pid().to_string()), "{told}");
    assert!(home.left().is_empty(), "it left {:?}", home.left());
    assert_eq!(serve.terminate().await, 0);
}

#[tokio::test]
async fn an_address_in_use_is_said_before_anything_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let demo = Demo::start(command(&["demo", "--listen", &listen]), &home);
    let (code, told) = demo.ended().await;
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(&listen) && told.contains("in use"), "{told}");
    assert!(!told.contains("PostgreSQL"), "it had begun: {told}");
    assert!(home.left().is_empty(), "it left {:?}", home.left());
}

#[tokio::test]
async fn a_size_or_rate_out_of_range_names_the_range() {
    for scale in ["-1", "-0.5", "NaN", "0", "1e9", "inf", "much"] {
        let refused = run(&["demo", "--scale", scale]).await;
        assert_eq!(refused.code, 64, "{scale}: {}", refused.stderr);
        let told = &refused.stderr;
        assert!(
            told.contains("--scale") && told.contains("above 0 and up to 100"),
            "{scale}: {told}"
        );
    }
    for rate in ["-1", "0", "10001"] {
        let refused = run(&["demo", "--rate", rate]).await;
        assert_eq!(refused.code, 64, "{rate}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("1..=10000"),
            "{rate}: {}",
            refused.stderr
        );
    }
}

/// Hides every folder in which distributions keep servers.
fn without_servers() -> String {
    let entries = std::fs::read_dir("/usr").unwrap().flatten();
    let redhat = entries
        .map(|entry| entry.path())
        .filter(|path| path.display().to_string().starts_with("/usr/pgsql-"));
    let debian = Path::new("/usr/lib/postgresql").to_owned();
    let hidden = std::iter::once(debian)
        .chain(redhat)
        .filter(|path| path.is_dir());
    let mut commands = vec!["true".to_owned()];
    commands.extend(hidden.map(|path| format!("mount -t tmpfs tmpfs {}", path.display())));
    // Only from here on: `mount` itself is found by it.
    commands.push("export PATH=".to_owned());
    commands.join(" && ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_a_recorded_history_is_shown_and_the_cure_named() {
    let address = free_address();
    let listen = address.to_string();
    let Some(command) = mounts::command(&without_servers(), &["demo", "--listen", &listen]) else {
        return;
    };
    let home = Home::new();
    let mut demo = Demo::start(command, &home);
    demo.wait_for("Found: ").await;
    let page = http::get(address, "/").await.unwrap().text();
    assert!(page.contains("<svg") && page.to_lowercase().contains("synthetic"));
    demo.signal(Signal::INT);
    let (code, told) = demo.ended().await;
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains("none found: a recorded history instead"),
        "{told}"
    );
    assert!(told.contains("apt install postgresql"), "{told}");
    assert!(home.left().is_empty(), "it left {:?}", home.left());
}
