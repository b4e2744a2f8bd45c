//! `plimsoll advise verify`: what pays in real time stays, and nothing is left behind.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use plimsoll::model::advice::Advice;

use crate::advise::{LEADS, run};
use crate::server::{self, Admin, Server};

const WORKLOAD: &str = "\
    -- name: by-zip calls=50\nselect * from lead where zip = '00042' and kind = 'a';\n\
    -- name: latest calls=20\nselect * from lead l where status = 'new' order by at desc limit 20;\n\
    -- name: dice\nselect random() from lead where zip = '00001';\n\
    -- name: sleep\nselect * from lead where zip = '00002' and pg_sleep(0) is not null;\n\
    -- name: move\nupdate lead set status = 'won' where id = 7;\n\
    -- name: hidden\nselect * from peeking;\n\
    -- name: cut\nselect * from cut;\n\
    -- name: odd\nselect id from lead where zip = '00004' and id ~~~ 3;\n\
    -- name: zero\nselect 1 / (id - id) from lead where zip = '00042';\n";

struct Scene {
    server: Server,
    admin: Admin,
    files: tempfile::TempDir,
}

/// Two databases of the same tables: `postgres` is watched, `lab` may be built in.
async fn scene() -> Option<Scene> {
    let bin = server::require(15)?;
    let server = Server::start(&bin, &["shared_preload_libraries=pg_stat_statements"]);
    let admin = server.admin("postgres").await;
    run(&admin, LEADS).await;
    // A view hides what it calls from whoever reads the statement alone.
    run(
        &admin,
        "create view peeking as select id, random() from lead where zip = '00003';; \
         create function evil(a int default 0, b int default 0) returns bool volatile \
           language plpgsql as 'begin return true; end';; \
         create function evil_count() returns bigint volatile \
           language plpgsql as 'begin return 1; end';; \
         create view cut as select id from lead limit evil_count();; \
         create operator ~~~ (function = evil, leftarg = int, rightarg = int);; \
         create extension hypopg",
    )
    .await;
    let other = server.admin("template1").await;
    drop(admin);
    // Sessions that have just ended may still be counted.
    for _ in 0..100 {
        let made = other
            .batch_execute("create database lab template postgres")
            .await;
        if made.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let admin = server.admin("lab").await;
    run(&admin, "analyze").await;
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("w.sql"), WORKLOAD).unwrap();
    Some(Scene {
        server,
        admin,
        files,
    })
}

impl Scene {
    fn url(&self, database: &str) -> String {
        format!(
            "host={} port={} user=postgres dbname={database}",
            self.server.socket(),
            self.server.port
        )
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        let data = self.files.path().join("data");
        command
            .args(["advise", "verify"])
            .args(args)
            .arg("--workload")
            .arg(self.files.path().join("w.sql"))
            .env("PLIMSOLL_DATA_DIR", data)
            .stdin(Stdio::null());
        command
    }

    fn verify(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    async fn ours(&self) -> i64 {
        let sql = "select count(*) from pg_class where relname like 'plimsoll%'";
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn what_pays_is_kept_what_may_write_is_not_run_and_nothing_is_left() {
    let Some(scene) = scene().await else { return };
    let (lab, watched) = (scene.url("lab"), scene.url("postgres"));
    let output = scene.verify(&[
        "--scratch",
        &lab,
        "--target",
        &watched,
        "--runs",
        "2",
        "--format",
        "json",
    ]);
    assert!(output.status.success(), "{}", shown(&output));
    let advice: Advice = serde_json::from_slice(&output.stdout).unwrap();
    let proof = advice.proof.as_ref().unwrap();
    assert_eq!(proof.scratch, "lab");
    let run: Vec<&str> = proof.statements.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(run, ["by-zip", "latest"]);
    let left_out: Vec<&str> = proof.skipped.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        left_out,
        ["dice", "sleep", "move", "hidden", "cut", "odd", "zero"],
        "{:?}",
        proof.skipped
    );
    let zero = &proof.skipped[6].reason;
    assert!(zero.contains("division by zero"), "{zero}");
    let by_zip = &proof.statements[0];
    assert!(by_zip.after_blocks < by_zip.before_blocks, "{by_zip:?}");
    assert!(!proof.kept.is_empty() && proof.kept.len() == advice.indexes.len());
    for kept in &proof.kept {
        let ratio = kept.built_bytes as f64 / kept.size_bytes as f64;
        assert!((0.85..1.15).contains(&ratio), "{kept:?}");
    }
    assert_eq!(scene.ours().await, 0);
}

#[tokio::test]
async fn advice_from_a_file_is_proved_in_it_and_only_indexes_are_built() {
    let Some(scene) = scene().await else { return };
    let lab = scene.url("lab");
    let path = scene.files.path().join("advice.json");
    let file = path.to_str().unwrap().to_owned();
    let write = |ddl: &str| {
        let mut advice = Advice::default();
        advice.indexes.push(plimsoll::model::advice::NewIndex {
            ddl: ddl.to_owned(),
            size_bytes: 1_300_000,
            ..Default::default()
        });
        std::fs::write(&path, serde_json::to_string(&advice).unwrap()).unwrap();
    };
    for evil in [
        "drop table public.lead",
        "CREATE INDEX CONCURRENTLY ON public.lead (zip); drop table public.lead",
        "CREATE INDEX evil ON public.lead (zip)",
    ] {
        write(evil);
        let output = scene.verify(&["--scratch", &lab, "--advice", &file]);
        assert!(!output.status.success(), "{evil} was run");
    }
    write("CREATE INDEX CONCURRENTLY ON public.nothing (zip)");
    let output = scene.verify(&["--scratch", &lab, "--advice", &file]);
    assert!(
        shown(&output).contains("no rows in public.nothing"),
        "{}",
        shown(&output)
    );
    write("CREATE INDEX CONCURRENTLY ON public.lead (zip)");
    let output = scene.verify(&["--scratch", &lab, "--advice", &file, "--runs", "1"]);
    assert!(output.status.success(), "{}", shown(&output));
    let advice: Advice = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(advice.proof.is_some());
    let sql = "select count(*) from lead";
    let rows: i64 = scene.admin.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!((rows, scene.ours().await), (40_000, 0));
}

#[tokio::test]
async fn the_watched_database_is_never_built_in() {
    let Some(scene) = scene().await else { return };
    let watched = scene.url("postgres");
    // By another way in, which only the server itself can tell.
    let disguised = format!(
        "host=127.0.0.1 port={} user=postgres dbname=postgres",
        scene.server.port
    );
    for scratch in [&watched, &disguised] {
        let output = scene.verify(&["--scratch", scratch, "--target", &watched]);
        assert!(!output.status.success());
        assert!(
            shown(&output).contains("is the watched target"),
            "{}",
            shown(&output)
        );
    }
}

/// A copy of the files has the number, the names and the oids of what it was copied from.
#[tokio::test]
async fn a_copy_of_the_watched_server_may_be_built_in_and_its_standby_not() {
    let Some(bin) = server::require(15) else {
        return;
    };
    let primary = Server::start(&bin, &["wal_level=replica"]);
    let admin = primary.admin("postgres").await;
    run(&admin, LEADS).await;
    let copy = primary.standby(&[]);
    let url = |server: &Server| {
        format!(
            "host={} port={} user=postgres dbname=postgres",
            server.socket(),
            server.port
        )
    };
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("w.sql"), WORKLOAD).unwrap();
    let scene = Scene {
        server: primary,
        admin,
        files,
    };
    let (watched, copied) = (url(&scene.server), url(&copy));
    // What is built in the one comes to the other.
    let output = scene.verify(&["--scratch", &watched, "--target", &copied]);
    assert!(
        shown(&output).contains("is the watched target"),
        "{}",
        shown(&output)
    );
    let there = copy.admin("postgres").await;
    run(&there, "select pg_promote()").await;
    let scratch = ["--scratch", &copied, "--target", &watched, "--runs", "1"];
    let output = scene.verify(&scratch);
    assert!(output.status.success(), "{}", shown(&output));
}

#[tokio::test]
async fn a_scratch_database_without_room_is_said_to_be_and_left_as_it_was() {
    let Some(scene) = scene().await else { return };
    run(
        &scene.admin,
        "insert into lead select g, g::text, 'a', 'new', 1, now(), null, md5(g::text) \
           from generate_series(50001, 400000) g;; vacuum analyze lead;; checkpoint",
    )
    .await;
    // A segment of the write-ahead log and half a page.
    scene.server.limit_files(16 * 1_048_576 + 4096);
    let mut advice = Advice {
        size_bytes: 20_000_000,
        ..Advice::default()
    };
    for columns in ["zip", "note, zip"] {
        advice.indexes.push(plimsoll::model::advice::NewIndex {
            ddl: format!("CREATE INDEX CONCURRENTLY ON public.lead ({columns})"),
            size_bytes: 10_000_000,
            ..Default::default()
        });
    }
    let path = scene.files.path().join("advice.json");
    std::fs::write(&path, serde_json::to_string(&advice).unwrap()).unwrap();
    let lab = scene.url("lab");
    let output = scene.verify(&["--scratch", &lab, "--advice", path.to_str().unwrap()]);
    assert!(!output.status.success());
    let words = "has no room for the set of 20 MB";
    assert!(shown(&output).contains(words), "{}", shown(&output));
    let unproved: Advice = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(unproved.proof.is_none());
    assert_eq!(scene.ours().await, 0);
}

#[tokio::test]
async fn when_the_time_is_up_what_is_known_is_told() {
    let Some(scene) = scene().await else { return };
    let lab = scene.url("lab");
    let asked = ["--scratch", &lab, "--format", "json", "--total-limit"];
    let within = |limit: &str| {
        let output = scene.verify(&[&asked[..], &[limit, "--runs", "100"]].concat());
        assert!(output.status.success(), "{}", shown(&output));
        let advice: Advice = serde_json::from_slice(&output.stdout).unwrap();
        let proof = advice.proof.unwrap();
        assert_eq!(advice.indexes.len(), proof.kept.len());
        proof
    };
    // Choosing indexes takes longer than that.
    let proof = within("1ms");
    assert!(proof.kept.is_empty() && proof.statements.is_empty());
    assert!(!proof.dropped.is_empty() && !proof.notes.is_empty());
    for dropped in &proof.dropped {
        assert!(dropped.reason.contains("the time was up"), "{dropped:?}");
    }
    // Some of a hundred runs each are made by then.
    let slow =
        "-- slow\nselect count(*) from lead a, lead b where a.kind = b.kind and a.zip = '00042';\n";
    std::fs::write(
        scene.files.path().join("w.sql"),
        format!("{WORKLOAD}{slow}"),
    )
    .unwrap();
    let proof = within("2s");
    assert!(!proof.notes.is_empty() && proof.seconds < 10.0, "{proof:?}");
    assert_eq!(scene.ours().await, 0);
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_behind() {
    let Some(scene) = scene().await else { return };
    // Something to be stopped in the middle of.
    let slow =
        "-- slow\nselect count(*) from lead a, lead b where a.kind = b.kind and a.zip = '00042';\n";
    std::fs::write(
        scene.files.path().join("w.sql"),
        format!("{slow}{WORKLOAD}"),
    )
    .unwrap();
    let lab = scene.url("lab");
    let mut child = scene
        .command(&["--scratch", &lab, "--runs", "50"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        if scene.ours().await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(scene.ours().await > 0, "it never began to build");
    let _ = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    let status = child.wait().unwrap();
    assert!(!status.success());
    assert_eq!(scene.ours().await, 0);
}
