//! The hourly part of a look, and what the checks make of it, against a server's own truth.

use plimsoll::advise::checks::{self, Thresholds, bloat};
use plimsoll::model::database::Snapshot;
use plimsoll::model::finding::Finding;
use plimsoll::postgres::{Observer, Options};

use crate::server::{Admin, Server};
use crate::{AT, blind_spot, distribution, superuser};

async fn run(admin: &Admin, script: &str) {
    for statement in script.split(";;") {
        admin.batch_execute(statement).await.unwrap();
    }
}

async fn size(admin: &Admin, relation: &str) -> f64 {
    let sql = format!("select pg_relation_size('{relation}')::float8");
    admin.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn look(server: &Server) -> Snapshot {
    superuser(server).catalog(AT).await.unwrap().1
}

fn found(snapshot: &Snapshot, id: &str) -> Vec<Finding> {
    let mut thresholds = Thresholds::default();
    thresholds.index_bloat.waste_bytes_min = 1 << 20;
    thresholds.foreign_key_without_index.rows_min = 1;
    let findings = checks::run(snapshot, &thresholds);
    findings.into_iter().filter(|f| f.id == id).collect()
}

/// Rows are deleted and vacuumed: what REINDEX gives back is what was said, of indexes that keep equal
/// keys once, of unique ones, partial and covering ones, and of keys that are often null.
#[tokio::test]
async fn the_waste_of_indexes_is_what_a_rebuild_gives_back() {
    const INDEXES: [&str; 9] = [
        "bl_id", "bl_grp", "bl_note", "bl_pair", "bl_part", "bl_inc", "bl_null", "bl_uuid",
        "bl_num",
    ];
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    run(
        &admin,
        "create table bl (id int, grp int, kind int, note text, often int, code text, amount numeric);;\
         insert into bl select g, g % 1000, g / 1000 % 5, 'note ' || g % 50, \
         case when g % 10 < 3 then g % 400 end, md5(g::text), g % 700 \
         from generate_series(1, 600000) g;;\
         create unique index bl_id on bl (id);; create index bl_grp on bl (grp);;\
         create index bl_note on bl (note);; create index bl_pair on bl (grp, kind);;\
         create index bl_part on bl (kind) where grp < 500;;\
         create index bl_inc on bl (grp) include (kind);; create index bl_null on bl (often);;\
         create index bl_uuid on bl (code);; create index bl_num on bl (amount);; vacuum analyze bl",
    )
    .await;
    // Six in ten go, and then three more of the ten: of what was rebuilt three quarters.
    for (round, left_out) in [(1, 6), (2, 9)] {
        run(
            &admin,
            &format!("delete from bl where id / 7 % 10 < {left_out};; vacuum bl"),
        )
        .await;
        let snapshot = look(&server).await;
        let said = bloat::indexes(&snapshot);
        let findings = found(&snapshot, "index-bloat");
        for name in INDEXES {
            let index = snapshot.indexes.iter().find(|i| i.name == name).unwrap();
            let before = size(&admin, name).await;
            run(&admin, &format!("reindex index {name}")).await;
            let truth = before - size(&admin, name).await;
            // Under 128 pages nothing is said.
            let Some(waste) = said.get(&index.oid) else {
                assert!(before < 128.0 * 8_192.0, "{name}, round {round}: {before}");
                continue;
            };
            let wasted = waste.wasted();
            assert!(
                (wasted / truth - 1.0).abs() <= 0.15,
                "{name}, round {round}: {wasted} said, {truth} given back of {before}"
            );
            // A count of keys that may be far too low is not believed, so not all are told.
            let is_told = findings
                .iter()
                .any(|f| f.object == Some(format!("public.{name}")));
            assert!(
                is_told || truth < 3e6,
                "{name}, round {round}: {findings:?}"
            );
        }
    }
    assert!(
        found(&look(&server).await, "index-bloat").is_empty(),
        "just rebuilt"
    );
}

#[tokio::test]
async fn keys_constraints_rights_and_settings_of_tables_are_read() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    run(
        &admin,
        "create table parent (id bigint primary key, a int, b int, unique (a, b));;\
         create table child (id int primary key, parent_id int references parent (id), \
         a int, b int, c int, foreign key (a, b) references parent (a, b));;\
         create index on child (b, a);;\
         alter table child add constraint positive check (c > 0) not valid;;\
         alter table child set (autovacuum_enabled = off);;\
         insert into parent values (1, 1, 1);; insert into child values (1, 1, 1, 1, 1);;\
         create function pay() returns int security definer language sql as 'select 1';;\
         create function safe() returns int security definer language sql \
         set search_path = pg_catalog as 'select 1';;\
         grant create on schema public to public;; analyze",
    )
    .await;
    let snapshot = look(&server).await;
    assert!(
        blind_spot(&snapshot, "structure").is_none(),
        "{:?}",
        snapshot.blind_spots
    );
    let keys = found(&snapshot, "foreign-key-without-index");
    assert_eq!(keys.len(), 1, "(b, a) serves (a, b): {keys:?}");
    assert!(keys[0].title.contains("child_parent_id_fkey"));
    assert!(
        found(&snapshot, "foreign-key-type")[0]
            .title
            .contains("integer")
    );
    let cure = found(&snapshot, "constraint-not-valid")[0]
        .cure
        .clone()
        .unwrap();
    // What is shown is what the server takes.
    run(&admin, &cure.sql).await;
    assert_eq!(found(&snapshot, "autovacuum-off-table").len(), 1);
    assert_eq!(found(&snapshot, "public-schema").len(), 1);
    let definers = found(&snapshot, "definer-search-path");
    assert_eq!(definers.len(), 1, "{definers:?}");
    run(&admin, &definers[0].cure.as_ref().unwrap().sql).await;
    run(&admin, &keys[0].cure.as_ref().unwrap().sql).await;
    let after = look(&server).await;
    for id in [
        "foreign-key-without-index",
        "constraint-not-valid",
        "definer-search-path",
    ] {
        assert!(found(&after, id).is_empty(), "{id}");
    }
}

#[tokio::test]
async fn a_forgotten_prepared_transaction_is_named() {
    let Some(bin) = crate::server::require(15) else {
        return;
    };
    let server = Server::start(&bin, &["max_prepared_transactions=5"]);
    let admin = server.admin("postgres").await;
    run(
        &admin,
        "create table t (x int);; begin;; insert into t values (1);; prepare transaction 'odd ''one'",
    )
    .await;
    let mut snapshot = look(&server).await;
    let held: Vec<_> = snapshot
        .horizon
        .iter()
        .filter(|h| h.kind == "prepared")
        .collect();
    assert_eq!(held.len(), 1, "{:?}", snapshot.horizon);
    assert!(
        found(&snapshot, "prepared-transaction").is_empty(),
        "it is fresh"
    );
    for holder in &mut snapshot.horizon {
        holder.open_ms = Some(7_200_000);
    }
    let told = found(&snapshot, "prepared-transaction");
    run(&admin, &told[0].cure.as_ref().unwrap().sql).await;
    assert!(
        look(&server)
            .await
            .horizon
            .iter()
            .all(|h| h.kind != "prepared")
    );
}

/// Rows of a table are kept by sessions of its own database; those of another keep what all share.
#[tokio::test]
async fn who_is_in_another_database_holds_back_nothing_here() {
    for major in [13, 15, 18] {
        let Some(bin) = crate::server::require(major) else {
            continue;
        };
        let settings = ["max_prepared_transactions=5", "wal_level=logical"];
        let server = Server::start(&bin, &settings);
        let admin = server.admin("postgres").await;
        // Before any transaction is open: its making waits for their ends.
        run(
            &admin,
            "create database other;; select pg_create_logical_replication_slot('decoded', 'pgoutput')",
        )
        .await;
        let other = server.admin("other").await;
        run(
            &other,
            "create table t (x int);; begin;; insert into t values (1);; prepare transaction 'far';; \
             begin isolation level repeatable read;; select 1",
        )
        .await;
        let here = server.admin("postgres").await;
        run(&here, "begin isolation level repeatable read;; select 1").await;
        let snapshot = look(&server).await;
        let held: Vec<(&str, Option<&str>)> = snapshot
            .horizon
            .iter()
            .map(|h| (h.kind.as_str(), h.elsewhere.as_deref()))
            .collect();
        let of = |kind: &str| held.iter().filter(|h| h.0 == kind).count();
        assert_eq!(of("session"), 1, "{major}: {held:?}");
        assert_eq!((of("slot"), of("catalog")), (0, 1), "{major}: {held:?}");
        assert!(
            held.contains(&("prepared", Some("other"))),
            "{major}: {held:?}"
        );
    }
}

/// Sequences that begin anew never run out; those that count down do.
#[tokio::test]
async fn sequences_are_measured_by_their_own_ranges() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    run(
        &admin,
        "create sequence circle maxvalue 10 cycle;; select nextval('circle') from generate_series(1, 10);; \
         create sequence down increment -1 minvalue -10;; select nextval('down') from generate_series(1, 9);; \
         create sequence late minvalue 1000 maxvalue 1099;; select nextval('late');; \
         create table t (id int);; \
         create sequence narrow as bigint increment -1 owned by t.id;; select setval('narrow', -2000000000)",
    )
    .await;
    let snapshot = look(&server).await;
    let used: Vec<(&str, f64)> = snapshot
        .sequences
        .iter()
        .map(|s| (s.name.as_str(), s.used_ratio().unwrap()))
        .collect();
    assert_eq!(used.len(), 3, "{used:?}");
    assert!(
        used[0].0 == "narrow" && (used[0].1 - 0.931).abs() < 0.001,
        "{used:?}"
    );
    assert!(
        used[1] == ("down", 0.9) && used[2] == ("late", 0.01),
        "{used:?}"
    );
    let told = found(&snapshot, "sequence-exhaustion");
    assert_eq!(told.len(), 2, "{told:?}");
    for finding in &told {
        run(
            &admin,
            &finding.cure.as_ref().unwrap().sql.replace(";\n", ";;"),
        )
        .await;
    }
}

/// Statistics of columns are hidden from a role that may not select from the table; all else is read.
#[tokio::test]
async fn a_monitor_without_the_advisor_s_rights_says_what_it_cannot_see() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    run(
        &admin,
        "create role watch login;; grant pg_monitor to watch;;\
         create table t (a int, b text);; create index t_a on t (a);;\
         insert into t select g % 10, 'x' from generate_series(1, 200000) g;; vacuum analyze t",
    )
    .await;
    let mut observer = Observer::new(Options::new(
        "t",
        server.conninfo("user=watch dbname=postgres"),
    ));
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    let cure = blind_spot(&snapshot, "column statistics").unwrap();
    assert!(cure.contains("pg_read_all_data TO \"watch\""), "{cure}");
    assert!(bloat::indexes(&snapshot).is_empty());
    run(&admin, "grant pg_read_all_data to watch").await;
    let mut observer = Observer::new(Options::new(
        "t",
        server.conninfo("user=watch dbname=postgres"),
    ));
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    assert_eq!(blind_spot(&snapshot, "column statistics"), None);
    let waste = bloat::indexes(&snapshot).into_values().next().unwrap();
    assert!(
        (waste.rebuilt / waste.bytes - 1.0).abs() < 0.15,
        "{waste:?}"
    );
}
