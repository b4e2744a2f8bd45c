//! The distribution's Prometheus as a sender: what arrives is what it answers itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::IDLE;
use crate::support::http;
use crate::support::plimsoll::{Serve, free_address, run};
use crate::support::skipped;

const LIMIT: Duration = Duration::from_mins(2);
/// What it must have scraped before the two are compared.
const SCRAPES: usize = 8;

type Samples = BTreeMap<(String, i64), u64>;

/// Bits of a value as text; Prometheus' answers do not tell one NaN from another.
fn bits(text: &str) -> Option<u64> {
    let value = if text.starts_with("bits:") {
        f64::NAN
    } else {
        text.parse().ok()?
    };
    Some(value.to_bits())
}

/// Every raw sample that Prometheus has, by its series as we write it.
fn answered(answer: &Value) -> Samples {
    let mut all = Samples::new();
    for one in answer["data"]["result"].as_array().unwrap() {
        let labels = one["metric"].as_object().unwrap();
        let text = |name: &str| labels[name].as_str().unwrap();
        let mut series = format!(
            "push:{}@{}|{}",
            text("job"),
            text("instance"),
            text("__name__")
        );
        let inner: Vec<String> = labels
            .iter()
            .filter(|(name, _)| *name != "__name__")
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
            .collect();
        write!(series, "{{{}}}", inner.join(",")).unwrap();
        for value in one["values"].as_array().unwrap() {
            // Seconds with up to three digits behind the point.
            let at: f64 = value[0].as_f64().unwrap() * 1000.0;
            let at: i64 = format!("{at:.0}").parse().unwrap();
            let value = bits(value[1].as_str().unwrap()).unwrap();
            all.insert((series.clone(), at), value);
        }
    }
    all
}

/// Every sample of an export; values that need escapes do not occur in what Prometheus scrapes.
fn exported(csv: &str) -> Samples {
    let line = |line: &str| {
        let (rest, value) = line.rsplit_once(',')?;
        let (series, at) = rest.rsplit_once(',')?;
        let series = series
            .trim_matches('"')
            .replace("\"\"", "\"")
            .replace("\\\\", "\\");
        Some(((series.replace('"', ""), at.parse().ok()?), bits(value)?))
    };
    csv.lines().skip(1).filter_map(line).collect()
}

/// Starts a Prometheus that scrapes itself and us, and sends all of it to us; `None` if there is none.
fn start(folder: &Path, own: SocketAddr, ours: SocketAddr) -> Option<Child> {
    let config = folder.join("prometheus.yml");
    std::fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\n\
             remote_write: [{{url: 'http://{ours}/api/v1/write', \
             queue_config: {{batch_send_deadline: 1s}}}}]\n\
             scrape_configs:\n\
             - {{job_name: own, static_configs: [{{targets: ['{own}']}}]}}\n\
             - {{job_name: plimsoll, static_configs: [{{targets: ['{ours}']}}]}}\n"
        ),
    )
    .unwrap();
    Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={own}"))
        .arg("--log.level=warn")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()
}

#[tokio::test]
async fn what_prometheus_sends_is_what_it_answers_itself() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start(&folder.path().join("plimsoll"), &IDLE).await;
    let own = free_address();
    let Some(_prometheus) = start(folder.path(), own, serve.address) else {
        skipped("no prometheus; run packaging/install-tools.sh test");
        return;
    };
    let data = serve.data_dir.display().to_string();
    let all = "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D%5B10m%5D";
    let deadline = tokio::time::Instant::now() + LIMIT;
    let mut last = String::new();
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Ok(answer) = http::get(own, all).await else {
            continue;
        };
        if !answer.status.is_success() {
            continue;
        }
        let theirs = answered(&answer.json());
        let ups = theirs
            .keys()
            .filter(|(series, _)| series.contains("|up{"))
            .count();
        if ups < 2 * SCRAPES {
            continue;
        }
        // What it has answered by now is on its way; what is not there yet is looked for again.
        let output = run(&["history", "export", "--format", "csv", "--data-dir", &data]).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        let here = exported(&output.stdout);
        for (sample, bits) in &theirs {
            let kept = here.get(sample);
            assert!(
                kept.is_none_or(|kept| kept == bits),
                "{sample:?}: {kept:?} for {bits}"
            );
        }
        let until = theirs.keys().map(|(_, at)| *at).max().unwrap() - 5_000;
        let missing: Vec<_> = theirs
            .keys()
            .filter(|sample| sample.1 <= until && !here.contains_key(*sample))
            .collect();
        if missing.is_empty() {
            assert!(theirs.len() > 1_000, "{} samples are few", theirs.len());
            return;
        }
        last = format!(
            "{} of {}, such as {:?}",
            missing.len(),
            theirs.len(),
            missing[0]
        );
    }
    panic!("after {LIMIT:?} there are missing: {last}");
}
