//! `plimsoll forecast --input`: files as people bring them, and files that are hostile.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("forecast").args(arguments).env_clear();
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", err(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs what must fail with this code, write nothing, and say all of `told`.
fn refused(arguments: &[&str], code: i32, told: &[&str]) {
    let output = run(arguments);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    for what in told {
        assert!(said.contains(what), "{arguments:?}: {said}");
    }
}

/// What each week adds to a series.
const WAVE: [f64; 7] = [0.0, 3.0, 4.0, 4.0, 3.0, -5.0, -9.0];

/// A file of so many series that rise by their number a step, with a wave of seven.
fn rising(series: usize, steps: usize) -> String {
    let mut file = "series,step,y\n".to_owned();
    for s in 0..series {
        for i in 0..steps {
            let wave = WAVE.get(i % 7).unwrap();
            let y = 100.0 + wave + (s * i) as f64;
            writeln!(file, "s{s},{i},{y}").unwrap();
        }
    }
    file
}

fn rows(csv: &str) -> Vec<Vec<&str>> {
    csv.lines().map(|line| line.split(',').collect()).collect()
}

/// Every number of an answer in CSV, which must be finite.
fn finite(csv: &str) {
    for row in rows(csv).iter().skip(1) {
        for cell in row.iter().skip(2) {
            assert!(cell.parse::<f64>().unwrap().is_finite(), "{row:?}");
        }
    }
}

#[test]
fn series_go_on_from_their_last_step_with_the_bands_asked_for() {
    let folder = Folder::new();
    let file = folder.put("in.csv", rising(3, 60));
    let text = out(&run(&[
        "--input",
        &file,
        "--horizon",
        "5",
        "--levels",
        "95,50",
    ]));
    let rows = rows(&text);
    assert_eq!(
        rows[0],
        ["series", "step", "mean", "lo50", "hi50", "lo95", "hi95"]
    );
    assert_eq!(rows.len(), 1 + 3 * 5);
    assert_eq!(rows[6][..2], ["s1", "60"]);
    assert_eq!(rows[15][..2], ["s2", "64"]);
    for row in &rows[1..] {
        let n: Vec<f64> = row[2..].iter().map(|cell| cell.parse().unwrap()).collect();
        assert!(
            n[3] <= n[1] && n[1] <= n[0] && n[0] <= n[2] && n[2] <= n[4],
            "{row:?}"
        );
    }
}

#[test]
fn packed_piped_or_by_one_thread_the_answer_is_the_same() {
    let folder = Folder::new();
    let file = rising(40, 30);
    let plain = folder.put("in.csv", &file);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(file.as_bytes()).unwrap();
    let packed = folder.put("in.csv.gz", gzip.finish().unwrap());
    let wanted = out(&run(&["--input", &plain, "--horizon", "2"]));
    assert_eq!(out(&run(&["--input", &packed, "--horizon", "2"])), wanted);
    let one = command(&["--input", &plain, "--horizon", "2"])
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert_eq!(out(&one), wanted);
    let mut piped = command(&["--input", "-", "--horizon", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = piped.stdin.take().unwrap();
    to.write_all(file.as_bytes()).unwrap();
    drop(to);
    assert_eq!(out(&piped.wait_with_output().unwrap()), wanted);
    let target = folder.path("out.csv");
    let written = run(&["--input", &packed, "--horizon", "2", "--out", &target]);
    assert_eq!(out(&written), "");
    assert_eq!(std::fs::read_to_string(target).unwrap(), wanted);
    assert_eq!(folder.names(), ["in.csv", "in.csv.gz", "out.csv"]);
}

#[test]
fn times_go_on_as_times_and_columns_of_others_are_named_once() {
    let folder = Folder::new();
    let mut file = "host,ts,series,y\n".to_owned();
    for i in 0..40 {
        writeln!(
            file,
            "h,2026-03-{:02} {:02}:00,a,{}",
            1 + i / 24,
            i % 24,
            i % 5
        )
        .unwrap();
    }
    let file = folder.put("in.csv", file);
    let output = run(&["--input", &file, "--horizon", "2"]);
    let text = out(&output);
    assert!(text.starts_with("series,ts,mean,"), "{text}");
    assert!(text.contains("\na,2026-03-02T16:00:00Z,"), "{text}");
    assert_eq!(err(&output).matches("ignored: host").count(), 1);
}

#[test]
fn crossings_are_in_days_where_a_step_is_known_and_in_steps_else() {
    let folder = Folder::new();
    let file = folder.put("in.csv", rising(3, 60));
    let thresholds = folder.put("t.csv", "series,threshold\ns2,1000\ns1,5\ns2,250\ns2,1e9\n");
    let crossings = folder.path("c.csv");
    let ask = |more: &[&str]| {
        let plain = [
            "--input",
            &file,
            "--horizon",
            "60",
            "--thresholds",
            &thresholds,
        ];
        let all = [&plain[..], &["--crossings-out", &crossings], more].concat();
        out(&run(&all));
        std::fs::read_to_string(&crossings).unwrap()
    };
    let steps = ask(&[]);
    let in_steps = rows(&steps);
    assert_eq!(
        steps.lines().next(),
        Some("series,threshold,p_cross,days_p10,days_p50,days_p90")
    );
    let names: Vec<String> = in_steps[1..].iter().map(|row| row[..2].join(",")).collect();
    assert_eq!(names, ["s1,5", "s2,1000", "s2,250", "s2,1000000000"]);
    assert_eq!(in_steps[1][2..], ["1", "0", "0", "0"]);
    assert_eq!(in_steps[4][3..], ["", "", ""]);
    let half: f64 = in_steps[3][4].parse().unwrap();
    assert!((5.0..40.0).contains(&half), "{steps}");
    let days = ask(&["--step", "6h"]);
    let in_days: f64 = rows(&days)[3][4].parse().unwrap();
    assert!((1.0..12.0).contains(&in_days), "{days}");
}

#[test]
fn json_and_tables_say_the_same() {
    let folder = Folder::new();
    let file = folder.put("in.csv", rising(2, 60));
    let thresholds = folder.put("t.csv", "series,threshold\ns1,165\n");
    let crossings = folder.path("c.csv");
    let ask = |format| {
        let plain = [
            "--input",
            &file,
            "--horizon",
            "14",
            "--step",
            "1d",
            "--format",
            format,
        ];
        let more = ["--thresholds", &thresholds, "--crossings-out", &crossings];
        out(&run(&[&plain[..], &more].concat()))
    };
    let text = ask("json");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    let one = &lines[1];
    assert_eq!(one["series"], "s1");
    assert_eq!(one["points"].as_array().unwrap().len(), 14);
    assert_eq!(one["points"][0]["step"], 60);
    assert_eq!(one["bands"][1]["level"], 0.95);
    assert_eq!(one["bands"][1]["hi"].as_array().unwrap().len(), 14);
    assert_eq!(one["crossings"][0]["threshold"], 165.0);
    assert!(one["crossings"][0]["daysP50"].is_number());
    assert!(one["method"].is_string() && one["periods"].is_array());
    assert!(one["backtest"]["relativeMae"].is_number());
    let table = ask("table");
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("SERIES") && lines[0].ends_with("THRESHOLD MET"),
        "{table}"
    );
    assert!(lines[0].contains("PER DAY"));
    assert!(
        lines[2].starts_with("s1 ") && lines[2].contains("in "),
        "{table}"
    );
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    let folder = Folder::new();
    let file = folder.put("in.csv", rising(1, 5));
    let input = ["--input", &file, "--horizon", "3"];
    let with = |more: &[&'static str]| [&input[..], more].concat();
    for (wrong, told) in [
        (vec!["--input", &file], "--horizon"),
        (vec!["--input", &file, "--horizon", "0"], "1 to 100000"),
        (
            vec!["--input", &file, "--horizon", "1000000"],
            "1 to 100000",
        ),
        (vec!["--horizon", "3"], "--input"),
        (vec!["cpu", "--horizon", "3"], "cannot be used with"),
        (vec!["cpu", "--out", "x"], "cannot be used with"),
        (vec!["cpu", "--levels", "50"], "cannot be used with"),
        (with(&["cpu"]), "cannot be used with"),
        (with(&["--target", "db"]), "cannot be used with"),
        (with(&["--months", "3"]), "cannot be used with"),
        (with(&["--levels", "0"]), "above 0 and below 100"),
        (with(&["--levels", "80,100"]), "above 0 and below 100"),
        (with(&["--levels", "NaN"]), "above 0 and below 100"),
        (with(&["--period", "0"]), "above 0"),
        (with(&["--step", "0s"]), "longer than 0"),
        (with(&["--step", "soon"]), "no duration"),
        (with(&["--step", "month"]), "30d"),
        (vec!["cpu", "--step", "1h"], "month or day"),
        (with(&["--what-if", "load=10"]), "cannot be used with"),
        (with(&["--thresholds", "t.csv"]), "--crossings-out"),
        (with(&["--crossings-out", "c.csv"]), "--thresholds"),
        (
            with(&["--thresholds", "t", "--crossings-out", "c", "--out", "c"]),
            "each its own",
        ),
        (with(&["--period", "1,2,3,4,5,6,7,8,9"]), "at most 8"),
        (vec!["cpu", "--format", "csv"], "--input"),
        (vec![], "Usage"),
    ] {
        refused(&wrong, 64, &[told]);
    }
}

#[test]
fn a_bad_file_is_named_with_series_line_and_cure_and_nothing_is_written() {
    let folder = Folder::new();
    let wrong: &[(&str, &[&str])] = &[
        ("", &["line 1", "empty"]),
        ("a,0,1\n", &["line 1", "series,step,y"]),
        ("series,step,y\n", &["no row"]),
        (
            "series,step,y\na,0,1\na,0,2\n",
            &["\"a\"", "line 3", "sort by series and step"],
        ),
        (
            "series,step,y\na,1,1\na,0,2\n",
            &["\"a\"", "line 3", "sort"],
        ),
        (
            "series,step,y\na,0,1\nb,0,1\na,1,1\n",
            &["\"a\"", "line 4", "together"],
        ),
        ("series,step,y\na,0\n", &["\"a\"", "line 2", "2 columns"]),
        (
            "series,step,y\na,0,x\n",
            &["\"a\"", "line 2", "leave it empty"],
        ),
        ("series,step,y\na,0,inf\n", &["\"a\"", "line 2", "infinite"]),
        (
            "series,step,y\na,0,\na,1,NaN\n",
            &["\"a\"", "line 2", "no value is a number"],
        ),
        (
            "series,step,y\na,0,1\na,99999999999,1\n",
            &["\"a\"", "line 3", "may be missing"],
        ),
        (
            "series,ts,y\na,2026-03-01,1\n",
            &["\"a\"", "line 2", "--step"],
        ),
        ("series,step,y\n\"a,0,1\n", &["line 2", "quotes"]),
    ];
    let target = folder.path("out.csv");
    for (file, told) in wrong {
        let input = folder.put("in.csv", file);
        let ask = ["--input", &input, "--horizon", "3"];
        refused(&ask, 1, told);
        refused(&[&ask[..], &["--out", &target]].concat(), 1, told);
        assert_eq!(folder.names(), ["in.csv"]);
    }
    refused(
        &["--input", &target, "--horizon", "3"],
        1,
        &["out.csv", "No such file"],
    );
    let folder_path = folder.0.path().to_str().unwrap();
    refused(
        &["--input", folder_path, "--horizon", "3"],
        1,
        &["directory"],
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(rising(50, 50).as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let cut = folder.put("cut.csv.gz", &packed[..packed.len() / 2]);
    refused(
        &["--input", &cut, "--horizon", "3"],
        1,
        &["cut off", "again"],
    );
}

#[test]
fn bad_thresholds_are_named_and_neither_file_is_written() {
    let folder = Folder::new();
    let input = folder.put("in.csv", rising(2, 5));
    let (target, crossings) = (folder.path("out.csv"), folder.path("c.csv"));
    for (file, told) in [
        ("series,threshold\ns0,1\nzebra,2\n", "\"zebra\""),
        ("series,threshold\ns0,NaN\n", "line 2"),
        ("series,threshold\ns0,inf\n", "\"s0\""),
        ("s0,1\n", "series,threshold"),
        ("", "empty"),
    ] {
        let thresholds = folder.put("t.csv", file);
        let ask = ["--input", &input, "--horizon", "3", "--out", &target];
        let more = ["--thresholds", &thresholds, "--crossings-out", &crossings];
        refused(&[&ask[..], &more].concat(), 1, &[told]);
        assert_eq!(folder.names(), ["in.csv", "t.csv"]);
    }
}

#[test]
fn who_keeps_going_gets_the_others_and_exits_with_1() {
    let folder = Folder::new();
    let file = "series,step,y\na,0,1\nb,0,\nc,0,1\nc,0,2\nd,0,2\n";
    let input = folder.put("in.csv", file);
    let output = run(&["--input", &input, "--horizon", "1", "--keep-going"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let names: Vec<&str> = rows(&text).iter().map(|row| row[0]).collect();
    assert_eq!(names, ["series", "a", "d"]);
    let said = err(&output);
    assert!(
        said.contains("left out: series \"b\"") && said.contains("series \"c\", line 5"),
        "{said}"
    );
}

#[test]
fn hostile_values_get_an_honest_finite_answer() {
    let folder = Folder::new();
    let listed = |values: &[&str]| {
        let mut file = "series,step,y\n".to_owned();
        for (i, y) in values.iter().enumerate() {
            writeln!(file, "a,{i},{y}").unwrap();
        }
        file
    };
    let repeated = |y, times| listed(&vec![y; times]);
    let mixed = ["1e308", "-1e308", "5e-324", "", "0"].repeat(20);
    for (file, mean) in [
        (repeated("42", 1), Some(42.0)),
        (repeated("42", 200), Some(42.0)),
        (repeated("0", 200), Some(0.0)),
        (repeated("1e308", 3), Some(1e308)),
        (repeated("1e308", 200), None),
        (repeated("-1.7976931348623157e308", 50), None),
        (listed(&mixed), None),
        ("series,step,y\na,0,7\na,5000000,\n".to_owned(), Some(7.0)),
    ] {
        let input = folder.put("in.csv", file);
        let text = out(&run(&[
            "--input",
            &input,
            "--horizon",
            "400",
            "--period",
            "24",
        ]));
        assert_eq!(text.lines().count(), 401);
        finite(&text);
        if let Some(mean) = mean {
            // The engine scales values to 1 and back.
            let told: f64 = rows(&text)[1][2].parse().unwrap();
            assert!((told - mean).abs() <= mean * 1e-12, "{told} {mean}");
        }
    }
}

#[test]
fn one_value_has_a_wide_band() {
    let folder = Folder::new();
    let input = folder.put("in.csv", "series,step,y\na,0,42\n");
    let text = out(&run(&[
        "--input",
        &input,
        "--horizon",
        "1",
        "--levels",
        "95",
    ]));
    let row = &rows(&text)[1];
    let width = row[4].parse::<f64>().unwrap() - row[3].parse::<f64>().unwrap();
    assert!(width > 42.0 / 10.0, "{text}");
}

#[test]
fn ten_million_points_pass_in_bounded_memory() {
    let folder = Folder::new();
    let path = folder.path("in.csv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    file.write_all(b"series,step,y\n").unwrap();
    for i in 0..10_000_000_u32 {
        writeln!(file, "a,{i},{}", i % 9).unwrap();
    }
    file.into_inner().unwrap();
    // 80 MB are the values themselves; twice that while they grow.
    let limited = limited(&path, 400_000);
    assert_eq!(limited.status.code(), Some(0), "{}", err(&limited));
    let text = String::from_utf8(limited.stdout).unwrap();
    assert_eq!(rows(&text)[1][..2], ["a", "10000000"]);
    finite(&text);
}

/// Runs a forecast in a process that may have so many kilobytes of data.
fn limited(path: &str, kilobytes: u32) -> Output {
    let script =
        format!("ulimit -d {kilobytes} && exec \"$0\" forecast --input \"$1\" --horizon 3");
    Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_plimsoll"), path])
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .unwrap()
}

#[test]
fn any_number_of_series_pass_in_bounded_memory() {
    const SERIES: usize = 100_000;
    let folder = Folder::new();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"series,step,y\n").unwrap();
    for s in 0..SERIES {
        for i in 0..10 {
            writeln!(gzip, "a rather long name of a series: {s},{i},{i}").unwrap();
        }
    }
    let path = folder.put("in.csv.gz", gzip.finish().unwrap());
    let output = limited(&path, 300_000);
    let text = out(&output);
    assert_eq!(text.lines().count(), 1 + 3 * SERIES);
    assert!(text.ends_with('\n'));
    let last = format!("a rather long name of a series: {},12,", SERIES - 1);
    assert!(text.lines().last().unwrap().starts_with(&last));
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// What JSON tells of 150 days from 2026-01-01 on that grow by 20 a day, with weeks and 500 more from
/// the 1st of April on, and of a series of two values.
fn answers(more: &[&str]) -> Vec<Value> {
    let folder = Folder::new();
    let mut file = "series,ts,y\n".to_owned();
    let first: jiff::civil::Date = "2026-01-01".parse().unwrap();
    for i in 0..150_i32 {
        let date = first + jiff::Span::new().days(i);
        let wave = 5.0 * WAVE.get(usize::try_from(i).unwrap() % 7).unwrap();
        let jump = if i >= 90 { 500 } else { 0 };
        writeln!(
            file,
            "disk,{date},{}",
            f64::from(1000 + 20 * i + jump) + wave
        )
        .unwrap();
    }
    writeln!(file, "new,2026-05-29,5\nnew,2026-05-30,6").unwrap();
    let file = folder.put("in.csv", file);
    let thresholds = folder.put("t.csv", "series,threshold\ndisk,5500\ndisk,2000\n");
    let crossings = folder.path("c.csv");
    let plain = ["--input", &file, "--horizon", "120", "--format", "json"];
    let met = ["--thresholds", &thresholds, "--crossings-out", &crossings];
    let text = out(&run(&[&plain[..], &met, more].concat()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn json_tells_what_a_series_is_like() {
    let lines = answers(&[]);
    let disk = &lines[0];
    assert_eq!(disk["outlook"], "forecast");
    assert!(disk.get("haveSteps").is_none());
    // The last week's mean, three days before the end.
    assert!((number(&disk["level"]) - 4420.0).abs() < 30.0, "{disk}");
    let growth = &disk["growthPerDay"];
    assert!((number(&growth["value"]) - 20.0).abs() < 3.0, "{growth}");
    assert!(number(&growth["lo"]) < number(&growth["hi"]));
    assert!(number(&disk["growthPerMonth"]["value"]) > 0.1, "{disk}");
    let change = &disk["changes"][0];
    assert_eq!(change["kind"], "step");
    assert_eq!(change["ts"], "2026-04-01T00:00:00Z");
    assert!((number(&change["size"]) - 500.0).abs() < 60.0, "{change}");
    let season = &disk["seasons"][0];
    assert_eq!(
        (&season["name"], &season["period"]),
        (&"week".into(), &7.into())
    );
    assert_eq!(season["profile"].as_array().unwrap().len(), 7);
    assert!(
        ["low", "medium", "high"]
            .map(Value::from)
            .contains(&disk["confidence"]["word"])
    );
    assert!((0.0..=1.0).contains(&number(&disk["confidence"]["value"])));
    let new = &lines[1];
    assert_eq!(new["outlook"], "notEnoughData");
    let told = ["haveSteps", "needSteps", "moreSteps"].map(|name| new[name].as_u64());
    assert_eq!(told, [Some(2), Some(14), Some(12)]);
    assert!(new["confidence"].is_null() && new["seasons"] == Value::Array(Vec::new()));
}

#[test]
fn json_tells_by_when_to_act() {
    let lines = answers(&[]);
    let (ahead, behind) = (&lines[0]["crossings"][0], &lines[0]["crossings"][1]);
    assert_eq!(
        (&ahead["crossed"], &behind["crossed"]),
        (&false.into(), &true.into())
    );
    let date = |value: &Value| -> jiff::Timestamp { value.as_str().unwrap().parse().unwrap() };
    let days =
        |a: jiff::Timestamp, b: jiff::Timestamp| (b - a).total(jiff::Unit::Hour).unwrap() / 24.0;
    let last = "2026-05-30T00:00:00Z".parse().unwrap();
    let (early, half) = (date(&ahead["p10"]), date(&ahead["p50"]));
    assert!(early <= half);
    assert!(
        (days(last, half) - number(&ahead["daysP50"])).abs() < 1e-3,
        "{ahead}"
    );
    assert_eq!(
        date(&ahead["actBy"]),
        early.max(last + jiff::Span::new().hours(720)) - jiff::Span::new().hours(720)
    );
    assert_eq!(date(&behind["actBy"]), last);
    let sooner = answers(&["--lead-time", "10d"]);
    let ten = jiff::Span::new().hours(240);
    assert_eq!(date(&sooner[0]["crossings"][0]["actBy"]), early - ten);
}

#[test]
fn without_dates_json_counts_in_days_or_in_steps() {
    let folder = Folder::new();
    let file = folder.put("in.csv", rising(3, 60));
    let thresholds = folder.put("t.csv", "series,threshold\ns2,300\n");
    let crossings = folder.path("c.csv");
    let ask = |more: &[&str]| -> Value {
        let plain = ["--input", &file, "--horizon", "60", "--format", "json"];
        let met = ["--thresholds", &thresholds, "--crossings-out", &crossings];
        let text = out(&run(&[&plain[..], &met, more].concat()));
        serde_json::from_str(text.lines().nth(2).unwrap()).unwrap()
    };
    let days = ask(&["--step", "2d", "--lead-time", "1d"]);
    let growth = days["growthPerDay"]["value"].as_f64().unwrap();
    assert!((growth - 1.0).abs() < 0.1, "{days}");
    let met = &days["crossings"][0];
    let early = met["daysP10"].as_f64().unwrap();
    assert!(
        (met["actByDays"].as_f64().unwrap() - (early - 1.0)).abs() < 1e-3,
        "{met}"
    );
    let steps = ask(&[]);
    let growth = steps["growthPerStep"]["value"].as_f64().unwrap();
    assert!((growth - 2.0).abs() < 0.2, "{steps}");
    assert!(steps["growthPerMonth"].is_null());
    let met = &steps["crossings"][0];
    assert!(
        met["stepsP50"].is_number() && met.get("actByDays").is_none(),
        "{met}"
    );
    assert_eq!(steps["seasons"][0]["name"], "7 steps");
}

#[test]
fn finer_values_are_taken_together_first() {
    let folder = Folder::new();
    // Sixty days of hours, each day 10 above the one before: 0 to 23, and 100 more at noon.
    let mut file = "series,step,y\n".to_owned();
    for hour in 0..60 * 24 {
        let noon = if hour % 24 == 12 { 100 } else { 0 };
        writeln!(file, "s,{hour},{}", hour / 24 * 10 + hour % 24 + noon).unwrap();
    }
    let file = folder.put("in.csv", file);
    let ask = |by: &str| {
        let input = ["--input", &file, "--horizon", "3", "--step", "1h"];
        out(&run(&[&input[..], &["--every", "day", "--by", by]].concat()))
    };
    // The next day's mean is 600 + 11.5 + 100 / 24, its largest 600 + 112; the 95 % quantile of a day
    // is 22.85 + 600 (numpy: its largest but one is 23, the one before that 22).
    for (by, wanted) in [("mean", 615.67), ("max", 712.0), ("p95", 622.85)] {
        let text = ask(by);
        let rows = rows(&text);
        let steps: Vec<&str> = rows[1..].iter().map(|row| row[1]).collect();
        assert_eq!(steps, ["1463", "1487", "1511"], "{by}");
        let mean: f64 = rows[1][2].parse().unwrap();
        assert!((mean - wanted).abs() < 2.0, "{by}: {mean}");
    }
    let input = ["--input", &file, "--horizon", "3", "--every", "day"];
    refused(&input, 1, &["\"s\", from line 2", "give ts, or --step"]);
    let odd = [&input[..], &["--step", "7h"]].concat();
    refused(&odd, 1, &["does not divide"]);
    // What is as coarse stays as it is.
    let days = [&input[..], &["--step", "1d"]].concat();
    assert_eq!(rows(&out(&run(&days)))[1][1], "1440");
    refused(
        &["--input", &file, "--horizon", "3", "--by", "max"],
        64,
        &["--every"],
    );
}
