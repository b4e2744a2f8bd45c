//! What each check must tell, and what it must not: a server planted for each case.
//!
//! The innocent cases are those that `data/findings.toml` names (`quiet`), so that the page which a
//! person reads and the tests say the same. Every case goes through all checks.

mod data;
mod indexes;
mod server;
mod statements;

use super::fixture::{index, quiet, table, thresholds};
use super::{run, thresholds::TEXT};
use crate::model::database::{Snapshot, Statement};

/// Plants what is wrong, or what only looks so.
type Plant = fn(&mut Snapshot);
/// A check's id and a server on which it must speak.
type Fires = (&'static str, Plant);
/// A check's id, a case as the file names it, and a server on which it must be silent.
type Quiet = (&'static str, &'static str, Plant);

const FIRES: [&[Fires]; 4] = [
    server::FIRES,
    indexes::FIRES,
    data::FIRES,
    statements::FIRES,
];
const QUIET: [&[Quiet]; 4] = [
    server::QUIET,
    indexes::QUIET,
    data::QUIET,
    statements::QUIET,
];

fn set(snapshot: &mut Snapshot, name: &str, value: &str) {
    snapshot.settings.insert(name.to_owned(), value.to_owned());
}

fn statement(query: &str, calls: u64, (blocks, rows): (u64, u64)) -> Statement {
    Statement {
        query_id: 7,
        query: query.into(),
        role: Some("app".into()),
        calls,
        rows: rows * calls,
        shared_blks_hit: blocks * calls,
        mean_exec_time: 1.0,
        total_exec_time: calls as f64,
        ..Statement::default()
    }
}

fn planted(plant: Plant) -> Snapshot {
    let mut snapshot = quiet();
    plant(&mut snapshot);
    snapshot
}

/// A list of texts in a check's page.
fn told(check: &str, key: &str) -> Vec<String> {
    let tables: toml::Table = TEXT.parse().unwrap();
    let doc = tables[check].as_table().unwrap()["doc"].as_table().unwrap();
    let list = doc.get(key).and_then(|value| value.as_array());
    let texts = list.into_iter().flatten();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn has(check: &str, key: &str) -> bool {
    let tables: toml::Table = TEXT.parse().unwrap();
    let doc = tables[check].as_table().unwrap()["doc"].as_table().unwrap();
    doc.contains_key(key)
}

fn ids() -> Vec<String> {
    let tables: toml::Table = TEXT.parse().unwrap();
    tables
        .keys()
        .filter(|id| *id != "limits")
        .cloned()
        .collect()
}

#[test]
fn every_check_speaks_on_its_case_with_evidence_and_a_cure() {
    let all: Vec<&Fires> = FIRES.iter().copied().flatten().collect();
    for id in ids() {
        let mut own = all.iter().filter(|(check, _)| *check == id).peekable();
        assert!(own.peek().is_some(), "{id} has no case on which it speaks");
        let mut has_sql = false;
        for (check, plant) in own {
            let findings = run(&planted(*plant), thresholds());
            let finding = findings.iter().find(|f| f.id == *check);
            let Some(finding) = finding else {
                panic!("{check} is silent: {findings:#?}");
            };
            assert!(!finding.evidence.is_empty(), "{finding:#?}");
            assert!(finding.object.is_some(), "{finding:#?}");
            assert!(
                finding.title.len() > 8 && finding.advice.len() > 20,
                "{finding:#?}"
            );
            if let Some(cure) = &finding.cure {
                assert!(
                    cure.sql.ends_with(';') && !cure.lock.is_empty(),
                    "{cure:#?}"
                );
                has_sql = true;
            }
        }
        // Where no SQL mends it, the page says why.
        assert!(
            has_sql || has(&id, "by_hand"),
            "{id}: neither SQL nor `by_hand`"
        );
    }
}

#[test]
fn what_must_not_be_told_is_silent() {
    let all: Vec<&Quiet> = QUIET.iter().copied().flatten().collect();
    for (check, name, plant) in &all {
        let findings = run(&planted(*plant), thresholds());
        let finding = findings.iter().find(|f| f.id == *check);
        assert_eq!(finding, None, "{check}: {name}");
    }
    for id in ids() {
        let named = told(&id, "quiet");
        assert!(
            !named.is_empty(),
            "{id} has no case on which it must be silent"
        );
        let own = all.iter().filter(|(check, ..)| *check == id);
        let tested: Vec<String> = own.map(|(_, name, _)| (*name).to_owned()).collect();
        assert_eq!(named, tested, "{id}: the file and the tests differ");
    }
}

#[test]
fn a_standby_is_told_to_have_its_primary_changed() {
    let all = FIRES.iter().copied().flatten();
    let mut changed = 0;
    for (check, plant) in all {
        let mut snapshot = planted(*plant);
        snapshot.server.in_recovery = true;
        for finding in run(&snapshot, thresholds())
            .iter()
            .filter(|f| f.id == *check)
        {
            let Some(cure) = &finding.cure else { continue };
            let here = ["SELECT pg_", "ALTER SYSTEM ", "SET default_pool_size"];
            let runs_here = here.iter().any(|start| cure.sql.starts_with(start));
            assert_eq!(
                !runs_here,
                cure.lock.ends_with("; on the primary"),
                "{finding:#?}"
            );
            assert_eq!(
                !runs_here,
                finding.advice.starts_with("On the primary"),
                "{check}"
            );
            changed += usize::from(!runs_here);
        }
    }
    assert!(changed > 10, "{changed}");
}
