//! Archives that come back whole, and files that are refused with the right words.

use super::*;
use crate::model::series::Labels;
use crate::report::fixture::{self, HOSTILE};

fn windows() -> Vec<SeriesWindow> {
    let window = |values: Vec<f64>| Window {
        start: Timestamp::from_millis(1_000),
        step: Millis::HOUR,
        values,
    };
    vec![
        SeriesWindow {
            target: "orders".into(),
            series: SeriesKey {
                metric: "pg_table_size_bytes".into(),
                labels: Labels::none().with("relname", HOSTILE),
            },
            kind: Kind::Gauge,
            window: window(vec![
                0.1 + 0.2,
                f64::NAN,
                -1e300,
                f64::MIN_POSITIVE,
                f64::INFINITY,
            ]),
        },
        SeriesWindow {
            target: "archive".into(),
            series: SeriesKey::bare("pg_xact_commit_total"),
            kind: Kind::Counter,
            window: window(vec![f64::NAN, f64::NAN]),
        },
    ]
}

fn archive(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("a.sqlite");
    write(&path, &fixture::rich(), &windows()).unwrap();
    path
}

fn bits(windows: &[SeriesWindow]) -> Vec<Vec<u64>> {
    let values = windows.iter().map(|window| &window.window.values);
    values
        .map(|v| v.iter().map(|v| v.to_bits()).collect())
        .collect()
}

#[test]
fn an_archive_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let back = read(&archive(&folder)).unwrap();
    assert_eq!(bits(&back.windows), bits(&windows()));
    for (got, want) in back.windows.iter().zip(windows()) {
        assert_eq!(
            (&got.target, &got.series, got.kind),
            (&want.target, &want.series, want.kind)
        );
        assert_eq!(
            (got.window.start, got.window.step),
            (want.window.start, want.window.step)
        );
    }
    let page = crate::report::html::page;
    assert!(
        page(&back.input) == page(&fixture::rich()),
        "the page differs"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "a partial file is left"
    );
}

#[test]
fn a_person_finds_the_same_in_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = Connection::open(archive(&folder)).unwrap();
    let one = |sql: &str| {
        file.query_row(sql, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(
        one("SELECT value FROM meta WHERE key = 'format_version'"),
        "1"
    );
    assert_eq!(
        one("SELECT date(p50_ms / 1000, 'unixepoch') FROM crossings \
             WHERE resource = 'storage' AND name = 'limit'"),
        "2026-06-17"
    );
    assert_eq!(
        one("SELECT count(*) || '' FROM forecast_points WHERE resource = 'cpu'"),
        "730"
    );
    assert_eq!(
        one("SELECT at_utc FROM history_readable ORDER BY at_utc LIMIT 1"),
        "1970-01-01 00:00:01"
    );
    assert_eq!(
        one("SELECT value FROM evidence JOIN findings USING (finding) \
             WHERE id = 'unused-index' AND label = 'idx_scan'"),
        "0"
    );
    assert!(one("SELECT object FROM findings WHERE id = 'unused-index'").contains(HOSTILE));
    assert_eq!(one("SELECT count(*) || '' FROM projections"), "7");
}

#[test]
fn an_archive_that_is_there_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = archive(&folder);
    write(&path, &fixture::fresh(), &[]).unwrap();
    let back = read(&path).unwrap();
    assert_eq!((back.input, back.windows), (fixture::fresh(), Vec::new()));
}

#[test]
fn a_cut_archive_is_called_cut_at_whatever_length() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(archive(&folder)).unwrap();
    let path = folder.path().join("cut.sqlite");
    let lengths = (0..140).chain((140..whole.len()).step_by(whole.len() / 60 + 1));
    for length in lengths.chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read(&path).unwrap_err();
        match length {
            0 => assert!(
                matches!(error, Error::NotAnArchive { .. }),
                "{length}: {error}"
            ),
            _ => assert!(
                matches!(error, Error::Truncated { .. }),
                "{length}: {error}"
            ),
        }
    }
}

#[test]
fn overwritten_pages_are_an_error_or_the_same_report_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(archive(&folder)).unwrap();
    let path = folder.path().join("bad.sqlite");
    for at in (100..whole.len()).step_by(whole.len() / 50 + 1) {
        let mut bad = whole.clone();
        for byte in bad.iter_mut().skip(at).take(64) {
            *byte = !*byte;
        }
        fs::write(&path, &bad).unwrap();
        // A page that only people's tables use may be lost without harm to what is read.
        if let Ok(back) = read(&path) {
            assert_eq!(back.input.targets.len(), fixture::rich().targets.len());
        }
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "<html>no archive</html>").unwrap();
    let error = read(&path).unwrap_err();
    assert!(
        error.to_string().contains("is not an SQLite file"),
        "{error}"
    );

    let foreign = folder.path().join("foreign.sqlite");
    let other = Connection::open(&foreign).unwrap();
    other.execute_batch("CREATE TABLE notes (text)").unwrap();
    other.close().unwrap();
    let error = read(&foreign).unwrap_err();
    assert!(
        error.to_string().contains("not one that Plimsoll wrote"),
        "{error}"
    );

    let newer = archive(&folder);
    let file = Connection::open(&newer).unwrap();
    file.pragma_update(None, "user_version", FORMAT + 1)
        .unwrap();
    file.close().unwrap();
    let error = read(&newer).unwrap_err();
    assert!(error.to_string().contains("archive format 2"), "{error}");

    let error = read(&folder.path().join("missing")).unwrap_err();
    assert!(matches!(error, Error::Io { doing: "read", .. }), "{error}");
    assert!(matches!(read(folder.path()).unwrap_err(), Error::Io { .. }));
}

#[test]
fn a_made_up_length_does_not_exhaust_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = archive(&folder);
    let change = |sql: &str| {
        let file = Connection::open(&path).unwrap();
        file.execute_batch(sql).unwrap();
        file.close().unwrap();
        read(&path).unwrap_err().to_string()
    };
    let error = change("UPDATE series SET steps = 4611686018427387904");
    assert!(error.contains("more than 20000000 values"), "{error}");
    assert!(change("UPDATE series SET steps = 1").contains("outside its series"));
    assert!(change("UPDATE series SET step_ms = -5").contains("steps of -5 ms"));
    assert!(change("UPDATE documents SET json = '{}'").contains("checksum"));
}

#[test]
fn a_folder_that_is_not_there_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no/such/a.sqlite");
    let error = write(&path, &fixture::fresh(), &[]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Io {
                doing: "written",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
