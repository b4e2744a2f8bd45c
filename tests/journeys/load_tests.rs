//! Load tests as a user runs them: by the command and as jobs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::http;
use crate::support::plimsoll::{Output, Serve, command, free_address, run};

const QUEUE: &str = "/api/v1/performance/jobs/plimsoll";

/// A server that answers `/good` with 200 and all else with 500.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let is_good = buffer[..read].windows(5).any(|five| five == b"/good");
                    let status = if is_good { 200 } else { 500 };
                    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn scenario(folder: &Path, path: &str, more: &str) -> String {
    let text = format!(
        "name = \"mine\"\n{more}\n[[stage]]\nname = \"steady\"\nduration_s = 1.5\nrate = 100\n\
         [[endpoint]]\npath = \"{path}\"\nweight = 100\n\
         [thresholds]\np50_ms = 5000\np95_ms = 5000\np99_ms = 5000\n"
    );
    let file = folder.join("mine.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

async fn load(arguments: &[&str]) -> Output {
    run(&[&["loadtest", "run"], arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_shows_what_it_measured_and_says_by_its_code_whether_that_is_good_enough() {
    let (url, folder) = (
        format!("http://{}", server().await),
        tempfile::tempdir().unwrap(),
    );
    let good = scenario(folder.path(), "/good", "");
    let held = load(&[&good, "--url", &url]).await;
    assert_eq!(held.code, 0, "{}{}", held.stdout, held.stderr);
    assert!(
        held.stdout.contains("all thresholds hold; 150 requests"),
        "{}",
        held.stdout
    );
    assert!(held.stdout.contains("GET /good"), "{}", held.stdout);
    assert!(held.stderr.contains("of 2 s  "), "{}", held.stderr);
    // Only the endpoint differs.
    let bad = scenario(folder.path(), "/bad", "");
    let missed = load(&[&bad, "--url", &url, "--max-errors", "100%"]).await;
    assert_eq!(missed.code, 4, "{}{}", missed.stdout, missed.stderr);
    assert!(
        missed.stdout.contains("Errors: 150 5xx"),
        "{}",
        missed.stdout
    );
    assert!(
        missed.stdout.contains("GET /bad answered 500 before"),
        "{}",
        missed.stdout
    );
    let given_up = scenario(folder.path(), "/bad", "abort = { seconds = 1 }");
    let given_up = load(&[&given_up, "--url", &url, "--time", "60"]).await;
    assert_eq!(given_up.code, 4);
    assert!(given_up.stdout.contains("given up"), "{}", given_up.stdout);
    assert!(
        given_up.stdout.contains("more than 10 %"),
        "{}",
        given_up.stdout
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_goes_to_a_file_with_the_names_of_the_specification() {
    let (url, folder) = (
        format!("http://{}", server().await),
        tempfile::tempdir().unwrap(),
    );
    let file = scenario(folder.path(), "/good", "");
    let out = folder.path().join("result.json");
    let out = out.to_str().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret-token\n").unwrap();
    let told = load(&[
        &file,
        "--url",
        &url,
        "--rate",
        "0.5",
        "--time",
        "0.4",
        "--header",
        "X-A: b",
        "--token-file",
        token.to_str().unwrap(),
        "--format",
        "json",
        "--output",
        out,
    ])
    .await;
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains("wrote "), "{}", told.stdout);
    let text = std::fs::read_to_string(out).unwrap();
    assert!(!text.contains("secret-token"));
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["scenarioName"], "mine");
    assert_eq!(found["totalRequests"], 30);
    assert_eq!(
        (&found["rateFactor"], &found["timeFactor"]),
        (&json!(0.5), &json!(0.4))
    );
    assert!(found["metrics"]["latency"]["p99"].is_f64());
    assert_eq!(found["metrics"]["errors"]["rate"], 0.0);
    assert_eq!(found["metrics"]["resources"]["cpu"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_a_run_with_what_was_measured() {
    let (url, folder) = (
        format!("http://{}", server().await),
        tempfile::tempdir().unwrap(),
    );
    let file = scenario(folder.path(), "/good", "");
    let arguments = ["loadtest", "run", &file, "--url", &url, "--time", "600"];
    let mut child = command(&arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Once it tells how far it is, it is under way.
    let mut first = [0; 16];
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .await
        .unwrap();
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = child.wait_with_output().await.unwrap();
    let stdout = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("it was stopped"), "{stdout}");
    assert!(stdout.contains("steady"), "{stdout}");
}

#[tokio::test]
async fn what_cannot_be_run_is_told_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("http://{}", free_address());
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(
        &wrong,
        "name = \"x\"\n\n[[stage]]\nname = \"s\"\nduration_s = 1\nrate = 0\n",
    )
    .unwrap();
    let wrong = wrong.to_str().unwrap();
    for (arguments, code, why) in [
        (
            ["spike-tset", "--url", &nobody].as_slice(),
            1,
            "did you mean spike-test?",
        ),
        (&["spike-test", "--url", &nobody], 1, "refused"),
        (&["spike-test", "--url", "127.0.0.1:1"], 1, "no scheme"),
        (&[wrong, "--url", &nobody], 1, "wrong.toml:6: rate is 0"),
        (&["no.toml", "--url", &nobody], 1, "cannot read no.toml"),
        (&["spike-test"], 64, "--url"),
        (
            &["spike-test", "--url", &nobody, "--rate", "0"],
            64,
            "factor",
        ),
        (
            &["spike-test", "--url", &nobody, "--max-errors", "7"],
            64,
            "percentage",
        ),
        (
            &["spike-test", "--url", &nobody, "--max-in-flight", "0"],
            64,
            "60000",
        ),
        (
            &["spike-test", "--url", &nobody, "--header", "x"],
            64,
            "Name: value",
        ),
        (
            &["spike-test", "--url", &nobody, "--token-file", "/no"],
            1,
            "cannot read the token",
        ),
    ] {
        let told = load(arguments).await;
        assert_eq!(told.code, code, "{arguments:?}: {}", told.stderr);
        assert!(told.stderr.contains(why), "{arguments:?}: {}", told.stderr);
    }
}

#[tokio::test]
async fn scenarios_are_listed_and_each_can_be_shown_and_used_as_a_file() {
    let list = run(&["loadtest", "list"]).await;
    assert_eq!(list.code, 0, "{}", list.stderr);
    assert!(list.stdout.contains("endurance-test"), "{}", list.stdout);
    let list = run(&["loadtest", "list", "--format", "json"]).await;
    let all: Vec<Value> = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(all.len(), 5);
    let folder = tempfile::tempdir().unwrap();
    for scenario in &all {
        let name = scenario["name"].as_str().unwrap();
        let text = run(&["loadtest", "show", name]).await.stdout;
        let file = folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let shown = run(&["loadtest", "show", file, "--format", "json"]).await;
        let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
        assert_eq!(&shown, scenario);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_loads_a_listed_origin_and_its_result_is_served() {
    let address = server().await;
    let folder = tempfile::tempdir().unwrap();
    let origins = format!("load.origins=http://{address}");
    let mut serve = Serve::start(folder.path(), &["--set", &origins]).await;
    let job = |id: &str, url: &str| {
        json!({
            "name": "load-test",
            // A twentieth of the rates and a fiftieth of the time: 5 arrivals in 6 s.
            "data": {"scenario": "baseline-performance", "url": url, "rate": 0.05, "time": 0.02},
            "opts": {"jobId": id, "attempts": 1},
        })
    };
    let jobs = json!([
        job("far", "http://127.0.0.1:1"),
        job("near", &format!("http://{address}/good"))
    ]);
    let sent = http::post(serve.address, QUEUE, &jobs.to_string())
        .await
        .unwrap();
    assert_eq!(sent.status, 201, "{}", sent.text());
    let ended = |response: &http::Response| {
        let state = &response.json()["state"];
        *state == json!("completed") || *state == json!("dead") || *state == json!("failed")
    };
    let far = serve.wait_for(&format!("{QUEUE}/far"), ended).await.json();
    let reason = far["failedReason"].as_str().unwrap();
    assert!(reason.contains("not in load.origins"), "{reason}");
    let near = serve.wait_for(&format!("{QUEUE}/near"), ended).await.json();
    assert_eq!(near["state"], "completed", "{near}");
    let told = &near["returnvalue"];
    assert_eq!(
        (&told["requests"], &told["failed"]),
        (&json!(6), &json!(0)),
        "{told}"
    );
    assert_eq!(near["progress"]["stage"], "cool-down", "{near}");
    let list = serve.get("/api/v1/performance/load-tests").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["items"][0]["id"], told["id"]);
    let path = format!(
        "/api/v1/performance/load-tests/{}",
        told["id"].as_str().unwrap()
    );
    let whole = serve.get(&path).await.json();
    assert_eq!(whole["url"], format!("http://{address}/good"));
    assert_eq!(whole["stages"].as_array().unwrap().len(), 3);
    assert_eq!(whole["totalRequests"], 6);
    assert_eq!(serve.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_called_off_keeps_what_it_measured() {
    let address = server().await;
    let folder = tempfile::tempdir().unwrap();
    let origins = format!("load.origins=http://{address}");
    let mut serve = Serve::start(folder.path(), &["--set", &origins]).await;
    let url = format!("http://{address}/good");
    let job = json!({
        "name": "load-test",
        "data": {"scenario": "endurance-test", "url": url},
        "opts": {"jobId": "long", "attempts": 1},
    });
    let sent = http::post(serve.address, QUEUE, &job.to_string())
        .await
        .unwrap();
    assert_eq!(sent.status, 201, "{}", sent.text());
    let path = format!("{QUEUE}/long");
    let is_under_way = |response: &http::Response| response.json()["progress"]["requests"].is_u64();
    serve.wait_for(&path, is_under_way).await;
    let cancel = format!("{path}/cancel");
    let cancelled = http::post(serve.address, &cancel, "{}").await.unwrap();
    assert!(cancelled.status.is_success(), "{}", cancelled.text());
    let kept = |response: &http::Response| response.json()["items"][0]["ended"] == "stopped";
    serve.wait_for("/api/v1/performance/load-tests", kept).await;
    assert_eq!(serve.terminate().await, 0);
}

/// Runs `openssl req -x509` in a folder; whether it did what was asked.
fn certify(folder: &Path, arguments: &[&str]) -> bool {
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(arguments)
        .current_dir(folder)
        .output();
    made.is_ok_and(|output| output.status.success())
}

/// As [`server`], behind TLS, with the certificate that lies in a folder.
async fn server_with_tls(folder: &Path) -> SocketAddr {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (chain, key) = (read("crt"), read("key"));
    let chain: Vec<_> = rustls_pemfile::certs(&mut chain.as_slice())
        .map(Result::unwrap)
        .collect();
    let key = rustls_pemfile::private_key(&mut key.as_slice()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let plain = server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust the certificate ends here.
                if let Ok(mut outside) = acceptor.accept(stream).await {
                    let mut inside = tokio::net::TcpStream::connect(plain).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_behind_tls_is_loaded_if_its_certificate_is_trusted_and_else_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let ca = ["-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt"];
    let own = [
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        "key",
        "-out",
        "crt",
    ];
    if !certify(folder.path(), &ca) || !certify(folder.path(), &own) {
        crate::support::skipped("no openssl 3 to make a certificate with");
        return;
    }
    let port = server_with_tls(folder.path()).await.port();
    let url = format!("https://localhost:{port}");
    let file = scenario(folder.path(), "/good", "");
    let arguments = ["loadtest", "run", &file, "--url", &url];
    let trusted = command(&arguments)
        .env("SSL_CERT_FILE", folder.path().join("ca.crt"))
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&trusted.stdout);
    let told = String::from_utf8_lossy(&trusted.stderr);
    assert_eq!(trusted.status.code(), Some(0), "{text}{told}");
    assert!(text.contains("150 requests"), "{text}");
    let stranger = run(&arguments).await;
    assert_eq!(stranger.code, 1, "{}", stranger.stdout);
    assert!(
        stranger.stderr.contains("certificate"),
        "{}",
        stranger.stderr
    );
}
