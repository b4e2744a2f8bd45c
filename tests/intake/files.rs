//! Files: in and out again, beside a server and without one, and what is wrong with them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::IDLE;
use crate::support::plimsoll::{Output, Serve, run};

async fn history(data: &Path, arguments: &[&str]) -> Output {
    let data = data.display().to_string();
    let mut all = vec!["history"];
    all.extend(arguments);
    all.extend(["--data-dir", &data]);
    run(&all).await
}

fn done(output: &Output) -> &str {
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    &output.stdout
}

/// Names and values that are hard on a format, in order of time; `s17` is no more odd than others.
fn odd_file() -> String {
    let series = [
        "s17",
        "pg|pg_up",
        r#"pg|pg_size{db="a",rel="x|y"}"#,
        r#"m{b="1",a="2"}"#,
        "m{}",
        "a b",
        "tr|ick{y",
        "import|m",
        r#"é{a="\"\\\n,"}"#,
        "push:j@h:1|up{instance=\"h:1\",job=\"j\"}",
    ];
    let values = [
        "0",
        "-0",
        "NaN",
        "+Inf",
        "-Inf",
        "5e-324",
        "1.7976931348623157e308",
        "0.1",
        "123456789",
        "bits:7ff0000000000002",
        "bits:fff8000000000001",
    ];
    let mut file = "series,ts_ms,value\n".to_owned();
    for (n, at) in (0..2_000usize).zip((1_795_219_200_000i64..).step_by(10_007)) {
        let (name, value) = (series[n % series.len()], values[n % values.len()]);
        let quoted = if name.contains([',', '"']) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            name.to_owned()
        };
        writeln!(file, "{quoted},{at},{value}").unwrap();
    }
    file
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

#[tokio::test]
async fn csv_comes_back_byte_for_byte_with_and_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (file, rest) = (folder.path().join("in.csv"), folder.path().join("at rest"));
    let text = odd_file();
    std::fs::write(&file, &text).unwrap();
    let name = file.display().to_string();
    let output = history(&rest, &["import", "--format", "csv", &name]).await;
    done(&output);
    assert!(
        output.stderr.contains("imported 2000 samples"),
        "{}",
        output.stderr
    );
    let output = history(&rest, &["export", "--format", "csv"]).await;
    assert_eq!(lines(done(&output)), lines(&text));
    let one = [
        "export",
        "--format",
        "csv",
        "--series",
        "pg|pg_size",
        "--from",
        "2026-11-21",
    ];
    let output = history(&rest, &one).await;
    assert_eq!(done(&output).lines().count(), 201);
    let stats = history(&rest, &["stats", "--format", "json"]).await;
    let stats: serde_json::Value = serde_json::from_str(done(&stats)).unwrap();
    assert_eq!(
        (&stats["series"], &stats["samples"]),
        (&10.into(), &2000.into())
    );
    let each = stats["bytes_on_disk"].as_f64().unwrap() / 2000.0;
    assert_eq!(stats["bytes_per_sample"].as_f64(), Some(each));

    let live = folder.path().join("live");
    let serve = Serve::start(&live, &IDLE).await;
    done(&history(&live, &["import", "--format", "csv", &name]).await);
    let own = |line: &&str| line.starts_with("plimsoll|");
    let output = history(&live, &["export", "--format", "csv"]).await;
    let here: BTreeSet<&str> = done(&output).lines().filter(|line| !own(line)).collect();
    assert_eq!(here, lines(&text));
    let stats = history(&live, &["stats", "--top", "0"]).await;
    assert!(
        done(&stats).contains("bytes per sample"),
        "{}",
        stats.stdout
    );
    let whole = folder.path().join("whole.jsonl");
    let out = whole.display().to_string();
    done(&history(&live, &["export", "--out", &out]).await);
    assert_eq!(serve.terminate().await, 0);
    let copy = folder.path().join("copy");
    done(&history(&copy, &["import", &out]).await);
    let output = history(&copy, &["export", "--format", "csv"]).await;
    let here: BTreeSet<&str> = done(&output).lines().filter(|line| !own(line)).collect();
    assert_eq!(here, lines(&text));
}

#[tokio::test]
async fn openmetrics_is_what_promtool_takes_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("a"), folder.path().join("b"));
    let mut file = "series,ts_ms,value\n".to_owned();
    for n in 0..600i64 {
        let at = 1_795_219_200_000 + n * 15_000;
        writeln!(file, "db1|jobs_total,{at},{n}").unwrap();
        writeln!(
            file,
            "\"db1|load{{cpu=\"\"0\"\"}}\",{at},{}",
            n as f64 / 7.0
        )
        .unwrap();
        writeln!(file, "load,{at},{}", n % 3).unwrap();
    }
    let csv = folder.path().join("in.csv");
    std::fs::write(&csv, &file).unwrap();
    done(
        &history(
            &data,
            &["import", "--format", "csv", &csv.display().to_string()],
        )
        .await,
    );
    let om = folder.path().join("out.om");
    let out = om.display().to_string();
    done(&history(&data, &["export", "--format", "openmetrics", "--out", &out]).await);
    let blocks = folder.path().join("blocks");
    let made = tokio::process::Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&om, &blocks])
        .output()
        .await;
    match made {
        Ok(made) => assert!(made.status.success(), "{made:?}"),
        Err(_) => crate::support::skipped("no promtool; run packaging/install-tools.sh test"),
    }
    done(&history(&copy, &["import", "--format", "openmetrics", &out]).await);
    let output = history(&copy, &["export", "--format", "csv"]).await;
    assert_eq!(lines(done(&output)), lines(&file));
    let odd = folder.path().join("odd.csv");
    std::fs::write(&odd, "series,ts_ms,value\na b,1795219200000,1\n").unwrap();
    done(
        &history(
            &data,
            &["import", "--format", "csv", &odd.display().to_string()],
        )
        .await,
    );
    let output = history(&data, &["export", "--format", "openmetrics"]).await;
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("cannot name the series \"a b\""),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn sqlite_holds_every_sample() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a");
    let csv = folder.path().join("in.csv");
    std::fs::write(&csv, odd_file()).unwrap();
    done(
        &history(
            &data,
            &["import", "--format", "csv", &csv.display().to_string()],
        )
        .await,
    );
    let file = folder.path().join("out.sqlite");
    let out = file.display().to_string();
    done(&history(&data, &["export", "--format", "sqlite", "--out", &out]).await);
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"SQLite format 3\0"));
    #[expect(
        clippy::disallowed_types,
        reason = "the file is read as any tool would"
    )]
    let file = rusqlite::Connection::open(&file).unwrap();
    let sql = "SELECT count(*), count(value), count(DISTINCT series), max(at_ms) FROM samples";
    let counts = file.query_row(sql, [], |row| {
        Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
    });
    let nans = (0..2_000)
        .filter(|n| [2, 9, 10].contains(&(n % 11)))
        .count();
    let values = 2_000 - i64::try_from(nans).unwrap();
    assert_eq!(
        counts.unwrap(),
        [2_000, values, 10, 1_795_219_200_000 + 1_999 * 10_007]
    );
    let sql = "SELECT labels ->> 'rel' FROM series WHERE target = 'pg' AND metric = 'pg_size'";
    let label: String = file.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(label, "x|y");
}

#[tokio::test]
async fn a_wrong_file_says_where_and_what_is_kept_and_nothing_old_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a");
    let file = folder.path().join("in.csv");
    let name = file.display().to_string();
    let import = ["import", "--format", "csv", name.as_str()];
    std::fs::write(&file, "series,ts_ms,value\r\nold,1795219200000,1\r\n").unwrap();
    done(&history(&data, &import).await);
    let columns = ",".repeat(1 << 20);
    for (text, told) in [
        (String::new(), "line 1 is not the header series,ts_ms,value"),
        ("a,1795219200000,1\n".to_owned(), "line 1 is not the header"),
        (columns.clone(), "line 1 is not the header"),
        (
            format!("series,ts_ms,value\n{columns}\n"),
            "line 2 is longer than",
        ),
        (
            "series,ts_ms,value\na\0b,1795219200000,1\n".to_owned(),
            "line 2 names a series with a zero",
        ),
        (
            format!(
                "series,ts_ms,value\nnew,1795219200000,1\nnew,{},1\n",
                i64::MIN
            ),
            "line 3 has a time outside 1970 to 9998; the 1 samples before it are kept",
        ),
        (
            format!("series,ts_ms,value\nnew,{},1\n", i64::MAX),
            "line 2 has a time outside",
        ),
        (
            "series,ts_ms,value\nnew,9999999999999999999,1\n".to_owned(),
            "line 2 has no whole number",
        ),
        ("series,ts_ms,value\n\"new".to_owned(), "line 2 is cut off"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = history(&data, &import).await;
        assert_eq!(output.code, 1, "{told}");
        assert!(
            output.stderr.contains(told),
            "{} is not {told}",
            output.stderr
        );
    }
    std::fs::write(&file, "series,ts_ms,value\nlast,1795219200000,1\n").unwrap();
    done(&history(&data, &import).await);
    let output = history(&data, &["export", "--format", "csv"]).await;
    assert_eq!(done(&output).lines().count(), 4, "{}", output.stdout);
    let output = history(&data, &["import", "--format", "csv", "no-such-file"]).await;
    assert!(
        output.code == 1 && output.stderr.contains("no-such-file"),
        "{}",
        output.stderr
    );
    let output = history(&folder.path().join("none"), &["stats"]).await;
    assert!(
        output.code == 1 && output.stderr.contains("holds no history"),
        "{}",
        output.stderr
    );
    let output = history(&data, &["export", "--from", "2026-11-21"]).await;
    assert!(
        output.code == 1 && output.stderr.contains("--format csv"),
        "{}",
        output.stderr
    );
}
