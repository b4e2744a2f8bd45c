//! The command itself: help, settings with their origins, exit codes, and answers over the socket.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

/// Runs the command in a world that has nothing but `home`.
fn plimsoll(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn help_lists_exit_codes_and_each_command_its_examples() {
    let home = tempfile::tempdir().unwrap();
    let help = plimsoll(home.path(), &["--help"], &[]);
    assert_eq!(code(&help), 0);
    assert!(out(&help).contains("78  the configuration is wrong"));
    for command in [
        "demo",
        "serve",
        "status",
        "check",
        "statements",
        "deploy",
        "forecast",
        "report",
        "history",
        "backup",
        "restore",
        "config",
    ] {
        let help = plimsoll(home.path(), &[command, "--help"], &[]);
        assert_eq!(code(&help), 0, "{command}");
        assert!(
            out(&help).contains(&format!("Examples:\n  plimsoll {command}")),
            "{}",
            out(&help)
        );
    }
    let version = plimsoll(home.path(), &["--version"], &[]);
    assert_eq!(
        out(&version),
        format!("plimsoll {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    let home = tempfile::tempdir().unwrap();
    for wrong in [
        &["dance"][..],
        &["forecast", "banana"],
        &["forecast", "cpu", "--months", "0"],
        &["forecast", "cpu", "--months", "1e9"],
        &["demo", "--exit-after", "soon"],
        &["status", "--format", "xml"],
        &["status", "--set", "novalue"],
        &[],
    ] {
        let output = plimsoll(home.path(), wrong, &[]);
        assert_eq!(code(&output), 64, "{wrong:?}: {}", err(&output));
    }
    let banana = plimsoll(home.path(), &["forecast", "banana"], &[]);
    assert!(
        err(&banana).contains("one of cpu, memory, storage"),
        "{}",
        err(&banana)
    );
}

#[test]
fn config_check_shows_each_value_with_its_origin_and_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("plimsoll.toml");
    std::fs::write(
        &file,
        "[collect]\nscrape = \"15s\"\n[[target]]\nname = \"main\"\nurl = \"postgres://u:hunter2@db/app\"\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let arguments = [
        "config",
        "check",
        "--config",
        path,
        "--data-dir",
        "/d",
        "--set",
        "log.level=debug",
    ];
    let variables = [("PLIMSOLL_HISTORY_RAW", "7d")];
    let text = out(&plimsoll(home.path(), &arguments, &variables));
    let line = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("collect.scrape"),
        format!("collect.scrape 15s {path}:2")
    );
    assert_eq!(line("history.raw"), "history.raw 7d $PLIMSOLL_HISTORY_RAW");
    assert_eq!(line("data_dir"), "data_dir /d --data-dir");
    assert_eq!(line("log.level"), "log.level debug --set");
    assert_eq!(line("listen"), "listen 127.0.0.1:3002 default");
    assert_eq!(line("limits.memory"), "limits.memory – not set");
    assert_eq!(
        line("target.main"),
        format!("target.main postgres://u:****@db/app {path}:5")
    );

    let json = [&arguments[..], &["--format", "json"]].concat();
    let output = plimsoll(home.path(), &json, &variables);
    assert!(!out(&output).contains("hunter2"));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        rows.iter()
            .any(|row| row.get("key") == Some(&json!("collect.scrape"))
                && row.get("origin") == Some(&json!(format!("{path}:2"))))
    );
}

#[test]
fn wrong_settings_exit_with_78_and_name_file_and_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("plimsoll.toml");
    std::fs::write(
        &file,
        "listen = \"127.0.0.1:1\"\n\n[collect]\nscrap = \"15s\"\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    for command in [&["config", "check"][..], &["serve"], &["status"]] {
        let output = plimsoll(home.path(), &[command, &["--config", path]].concat(), &[]);
        assert_eq!(code(&output), 78, "{command:?}");
        let told = format!("{path}:4: collect.scrap is no setting; did you mean collect.scrape?");
        assert!(err(&output).contains(&told), "{}", err(&output));
    }
    let open = plimsoll(home.path(), &["serve", "--listen", "0.0.0.0:3002"], &[]);
    assert_eq!(code(&open), 78);
    assert!(err(&open).contains("http.token_file"), "{}", err(&open));
    let check = plimsoll(home.path(), &["check", "--config", path], &[]);
    assert_eq!(code(&check), 3, "a check that could not look says so");
}

#[test]
fn without_a_server_each_command_says_how_to_start_one() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&["status"][..], 1),
        (&["forecast", "all"], 1),
        (&["report", "--out", "-"], 1),
        (&["check"], 3),
    ] {
        let output = plimsoll(home.path(), arguments, &[]);
        assert_eq!(code(&output), wanted, "{arguments:?}");
        let told = err(&output);
        assert!(
            told.contains("no server answers on") && told.contains("plimsoll serve"),
            "{told}"
        );
        assert!(
            told.contains(".local/state/plimsoll/plimsoll.sock"),
            "{told}"
        );
        assert!(output.stdout.is_empty());
    }
}

/// Answers one request on the socket of `folder` with `body`, and runs the command meanwhile.
fn answered(folder: &Path, status: &str, body: &[u8], arguments: &[&str]) -> (Output, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let listener = {
        let _inside = runtime.enter();
        UnixListener::bind(folder.join("plimsoll.sock")).unwrap()
    };
    let length = body.len();
    let mut reply = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    reply.extend_from_slice(body);
    let server = runtime.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(&reply).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let data_dir = folder.to_str().unwrap();
    let output = plimsoll(
        folder,
        &[arguments, &["--data-dir", data_dir]].concat(),
        &[],
    );
    let head = runtime.block_on(server).unwrap();
    (output, head.lines().next().unwrap_or_default().to_owned())
}

fn findings(severity: &str) -> Vec<u8> {
    json!([{
        "name": "main", "state": "up", "reason": null, "takenAt": "2026-05-01T12:00:00.000Z",
        "findings": [{
            "id": "duplicate-index", "severity": severity, "title": "Two indexes do the same work",
            "object": "public.\"Lead\"", "evidence": [{"label": "idx_scan", "value": "0"}],
            "advice": "Drop one", "cure": {"sql": "DROP INDEX x", "lock": "ACCESS EXCLUSIVE"},
        }],
        "alerts": [], "blindSpots": [{"what": "statements", "why": "not installed", "cure": "CREATE EXTENSION"}],
    }])
    .to_string()
    .into_bytes()
}

#[test]
fn check_tells_scripts_by_its_exit_code() {
    for (severity, wanted) in [("info", 0), ("warning", 1), ("critical", 2)] {
        let folder = tempfile::tempdir().unwrap();
        let (output, line) = answered(folder.path(), "200 OK", &findings(severity), &["check"]);
        assert_eq!(code(&output), wanted, "{}", err(&output));
        assert_eq!(line, "GET /local/findings HTTP/1.1");
        let text = out(&output);
        for line in [
            "Two indexes do the same work [duplicate-index]",
            "public.\"Lead\"",
            "-- takes ACCESS EXCLUSIVE",
            "DROP INDEX x",
            "cannot see statements: not installed",
            "CREATE EXTENSION",
        ] {
            assert!(
                text.lines().any(|told| told.trim().ends_with(line)),
                "{line}: {text}"
            );
        }
        assert!(
            !text.contains('\u{1b}'),
            "no colour where there is no terminal"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let asked = ["check", "--target", "other"];
    let (output, _) = answered(folder.path(), "200 OK", &findings("info"), &asked);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains("one of main"), "{}", err(&output));
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let folder = tempfile::tempdir().unwrap();
    let problem = br#"{"code":"unknown-target","detail":"there is no target \"x\"; one of main"}"#;
    let asked = ["forecast", "cpu", "--target", "x y"];
    let (output, line) = answered(folder.path(), "404 Not Found", problem, &asked);
    assert_eq!(
        line,
        "GET /local/forecast/cpu?months=6&target=x%20y HTTP/1.1"
    );
    assert_eq!(code(&output), 1);
    assert_eq!(
        err(&output),
        "plimsoll: there is no target \"x\"; one of main\n"
    );
}

#[test]
fn a_report_is_written_to_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capacity.md");
    let asked = ["report", "--out", path.to_str().unwrap()];
    let (output, line) = answered(folder.path(), "200 OK", b"# Capacity", &asked);
    assert_eq!(line, "GET /local/report?format=md HTTP/1.1");
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(std::fs::read(&path).unwrap(), b"# Capacity");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["config", "check"])
        .env_clear()
        .env("HOME", home.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    std::io::stderr().write_all(&output.stderr).unwrap();
    assert_eq!(code(&output), 0);
}
