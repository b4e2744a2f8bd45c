//! The history beside `Prometheus` and `VictoriaMetrics`: bytes, speed, memory, and nothing lost.
//!
//! `cargo bench --bench history` sends the same day, 2 319 series at 10 s, to each by remote write,
//! and asks each the same questions in turn; `-- alone` leaves the others out. `-- grow` measures
//! ours alone as it grows: series, then days. `-- days 7` sends seven days and compares how each
//! opens after it was killed. The day is made from a recording beside the project; without it, it says so and measures nothing. Peers
//! are the distribution's packages `prometheus` and `victoria-metrics`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::disallowed_methods,
    clippy::duration_suboptimal_units,
    clippy::float_cmp,
    clippy::needless_range_loop,
    reason = "a benchmark may stop at the first surprise, and measures time"
)]

mod rival;
mod samples;
mod wire;
mod write;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rival::{Kind, Rival, bytes};
use samples::{Day, selector};

const HOURS: u32 = 24;
const ROUNDS: usize = 30;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` passes no `--bench`: then only that it builds is of interest.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    let Some(day) = Day::load(HOURS) else { return };
    println!("{} samples of {} series", day.samples(), day.series.len());
    let number = |word: &str| {
        let at = words.iter().position(|known| known == word)?;
        words.get(at + 1)?.parse::<usize>().ok()
    };
    if words.iter().any(|word| word == "grow") {
        grow(&day);
    } else {
        let alone = words.iter().any(|word| word == "alone");
        let kinds = if alone { &Kind::ALL[..1] } else { &Kind::ALL };
        compare(&day, number("days").unwrap_or(1), kinds);
    }
}

fn compare(day: &Day, days: usize, kinds: &[Kind]) {
    let dir = tempfile::tempdir().unwrap();
    let mut rivals: Vec<Rival> = kinds
        .iter()
        .filter_map(|kind| Rival::start(*kind, &dir.path().join(kind.name())))
        .collect();
    println!(
        "\n| ingest | samples per CPU second, acknowledged | all in | wall, samples/s | resident, peak MB |"
    );
    println!("|---|---|---|---|---|");
    for rival in &mut rivals {
        load(rival, day, days, 1, true);
    }
    if days == 1 {
        files(day, dir.path());
    }
    println!("\n| bytes per sample | all | of it raw |");
    println!("|---|---|---|");
    let samples = (day.samples() * days) as f64;
    for rival in &mut rivals {
        if rival.kind == Kind::Victoria {
            rival.reconnect();
            rival.wire.get("/internal/force_merge", &[]);
            rival.settle();
        }
        let all = bytes(&rival.folder, "") as f64 / samples;
        let raw = bytes(&rival.folder, "/raw-") as f64 / samples;
        let raw = if raw > 0.0 {
            format!("{raw:.3}")
        } else {
            String::new()
        };
        println!("| {} | {all:.3} | {raw} |", rival.kind.name());
    }
    ask(&mut rivals, day);
    let ours = rivals[0].folder.clone();
    println!("\n| opening | after kill -9, s | again, s |");
    println!("|---|---|---|");
    for rival in rivals {
        let kind = rival.kind;
        let Some(killed) = rival.kill_and_start() else {
            continue;
        };
        let first = killed.ready.as_secs_f64();
        let Some(again) = killed.stop_and_start() else {
            continue;
        };
        println!(
            "| {} | {first:.3} | {:.3} |",
            kind.name(),
            again.ready.as_secs_f64()
        );
    }
    amplification(&ours);
}

/// What the engine makes of the columns that it is given: files of the raw tier by bytes of columns.
fn amplification(folder: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(["history", "stats", "--format", "json", "--top", "65535"]);
    let output = command.arg("--data-dir").arg(folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let metrics = stats["metrics"].as_array().unwrap();
    let columns: f64 = metrics.iter().filter_map(|m| m["bytes"].as_f64()).sum();
    let raw = bytes(folder, "/raw-") as f64;
    println!(
        "\nfiles of the raw tier: {:.2} × the bytes of their columns",
        raw / columns
    );
}

/// Sends so many days, the recorded one last, by remote write; the CPU that it took until acknowledged, and in all.
fn load(rival: &mut Rival, day: &Day, days: usize, copies: usize, print: bool) {
    // Some close a connection that was idle while others were at work.
    rival.reconnect();
    let (began, before) = (Instant::now(), rival.cpu());
    let mut sent = 0;
    for before in (0..days).rev() {
        let shift = before as i64 * -86_400_000;
        write::requests(day, 0..day.scrapes(), shift, copies, |body, samples| {
            let answer = rival.wire.write("/api/v1/write", body);
            let (status, text) = answer.unwrap();
            assert!(status < 300, "{status}: {}", String::from_utf8_lossy(&text));
            sent += samples;
        });
    }
    let (wall, acknowledged) = (began.elapsed().as_secs_f64(), rival.cpu() - before);
    rival.settle();
    rival.wait_for_rest();
    let all = rival.cpu() - before;
    let (now, most) = rival.memory();
    if print {
        let million = |cpu: f64| sent as f64 / cpu / 1e6;
        println!(
            "| {} | {:.2} M | {:.2} M | {:.0} k | {now:.0}, {most:.0} |",
            rival.kind.name(),
            million(acknowledged),
            million(all),
            sent as f64 / wall / 1e3,
        );
    }
}

/// The same day from a file, bit for bit and at a declared resolution.
fn files(day: &Day, dir: &Path) {
    println!("\n| file, offline | bytes per sample, all | of it raw | s |");
    println!("|---|---|---|---|");
    let file = Day::path(HOURS);
    for (name, arguments) in [
        ("bit for bit", &[][..]),
        ("to 1e-6", &["--resolution=1e-6"]),
    ] {
        let folder = dir.join(format!("file-{}", arguments.len()));
        let began = Instant::now();
        let done = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["history", "import", "--format=csv"])
            .arg(format!("--data-dir={}", folder.display()))
            .args(arguments)
            .arg(&file)
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
        let took = began.elapsed().as_secs_f64();
        let samples = day.samples() as f64;
        println!(
            "| {name} | {:.3} | {:.3} | {took:.1} |",
            bytes(&folder, "") as f64 / samples,
            bytes(&folder, "/raw-") as f64 / samples,
        );
    }
}

/// A question: its name, path and parameters.
type Question = (&'static str, &'static str, Vec<(&'static str, String)>);

fn questions(day: &Day) -> Vec<Question> {
    let end = day.end();
    let seconds = |ms: i64| format!("{:.3}", ms as f64 / 1e3);
    // Any series that moves.
    let moves = |values: &Vec<f64>| values.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let one = (0..day.series.len())
        .max_by_key(|n| moves(&day.values[*n]))
        .unwrap();
    let (metric, count) = day.metric_of(104);
    println!(
        "\n{count} series of {metric}; one series: {}",
        selector(&day.series[one])
    );
    // A multiple of the step, as dashboards ask.
    let aligned = end / 300_000 * 300_000;
    vec![
        (
            "one series, 24 h raw",
            "/api/v1/query",
            vec![
                ("query", format!("{}[24h]", selector(&day.series[one]))),
                ("time", seconds(end)),
            ],
        ),
        (
            "average over 5 min, 24 h",
            "/api/v1/query_range",
            vec![
                ("query", format!("avg_over_time({metric}[5m])")),
                ("start", seconds(aligned - 86_400_000)),
                ("end", seconds(aligned)),
                ("step", "300".to_owned()),
            ],
        ),
        (
            "last value of all series",
            "/api/v1/query",
            vec![
                ("query", "{__name__=~\".+\"}".to_owned()),
                ("time", seconds(end)),
            ],
        ),
    ]
}

/// Asks each server each question in turn; medians of the first server in ms.
fn ask(rivals: &mut [Rival], day: &Day) -> Vec<f64> {
    let mut medians = Vec::new();
    let questions = questions(day);
    println!("\n| question | server | median ms | least ms | CPU ms | series | bytes |");
    println!("|---|---|---|---|---|---|---|");
    for (name, path, parameters) in &questions {
        let mut parameters: Vec<(&str, &str)> = parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        parameters.push(("nocache", "1"));
        let mut taken: Vec<Vec<f64>> = vec![Vec::new(); rivals.len()];
        let mut spent = vec![0.0; rivals.len()];
        let mut answers = vec![Vec::new(); rivals.len()];
        for rival in rivals.iter_mut() {
            rival.reconnect();
        }
        for round in 0..=ROUNDS {
            for (at, rival) in rivals.iter_mut().enumerate() {
                let (before, began) = (rival.cpu(), Instant::now());
                let (status, body) = rival.wire.get(path, &parameters).unwrap();
                let took = began.elapsed().as_secs_f64() * 1e3;
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
                // The first warms caches on every side.
                if round > 0 {
                    taken[at].push(took);
                    spent[at] += (rival.cpu() - before) * 1e3;
                }
                answers[at] = body;
            }
        }
        for (at, rival) in rivals.iter().enumerate() {
            let times = &mut taken[at];
            times.sort_by(f64::total_cmp);
            if at == 0 {
                medians.push(times[times.len() / 2]);
            }
            let text = String::from_utf8_lossy(&answers[at]);
            println!(
                "| {name} | {} | {:.2} | {:.2} | {:.2} | {} | {} |",
                rival.kind.name(),
                times[times.len() / 2],
                times[0],
                spent[at] / ROUNDS as f64,
                text.matches("\"metric\":").count(),
                text.len(),
            );
        }
    }
    medians
}

/// Series and days, as multiples of the day that was recorded: one axis at a time.
const AXES: [(usize, usize); 5] = [(1, 1), (4, 1), (16, 1), (1, 4), (1, 16)];

/// Ours alone, as it grows.
fn grow(day: &Day) {
    let mut rows = Vec::new();
    for (copies, days) in AXES {
        let dir = tempfile::tempdir().unwrap();
        let Some(mut rival) = Rival::start(Kind::Plimsoll, &dir.path().join("plimsoll")) else {
            return;
        };
        let series = day.series.len() * copies;
        println!("\n{series} series, {days} days");
        let began = Instant::now();
        load(&mut rival, day, days, copies, false);
        let took = began.elapsed().as_secs_f64();
        let samples = (day.samples() * days * copies) as f64;
        let per_sample = bytes(&rival.folder, "") as f64 / samples;
        let (now, most) = rival.memory();
        let medians = ask(std::slice::from_mut(&mut rival), day);
        let medians: Vec<String> = medians.iter().map(|ms| format!("{ms:.2}")).collect();
        let Some(killed) = rival.kill_and_start() else {
            return;
        };
        let first = killed.ready.as_secs_f64();
        let (fresh, _) = killed.memory();
        let Some(again) = killed.stop_and_start() else {
            return;
        };
        let row = format!(
            "| {series} | {days} | {per_sample:.3} | {now:.0}, {most:.0}, {fresh:.0} | {first:.3} | \
             {:.3} | {} | {took:.0} |",
            again.ready.as_secs_f64(),
            medians.join(" | "),
        );
        // Shown at once, too: all of it takes a while.
        println!("{row}");
        rows.push(row);
    }
    println!(
        "\n| series | days | bytes/sample | resident, peak, opened anew MB | open after kill -9, s | \
         again, s | one series ms | averages ms | last values ms | to take and seal, s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
}
