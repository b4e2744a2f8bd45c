//! Kept load tests over HTTP.

use std::sync::Arc;

use plimsoll::clock::{Clock, SettableClock};
use plimsoll::http::{Hooks, Site};
use plimsoll::model::load::LoadTestResults;
use plimsoll::store::{Options, Store};
use plimsoll::work::load;
use serde_json::{Value, json};

use crate::{BASE, fixture, get, send};

/// A whole result.
pub(crate) const RESULT: &str = include_str!("../../src/work/load/result.json");

fn site(store: &Arc<Store>) -> Arc<Site> {
    let clock: Arc<dyn Clock> = Arc::new(SettableClock::at(fixture::now()));
    let hooks = Hooks {
        store: Some(Arc::clone(store)),
        ..fixture::hooks()
    };
    Site::new(
        Arc::new(fixture::board()),
        clock,
        &fixture::config(&[]),
        hooks,
    )
}

#[tokio::test]
async fn results_are_listed_newest_first_and_each_is_served_as_it_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(Options::in_dir(folder.path())).unwrap());
    let mut result: LoadTestResults = serde_json::from_str(RESULT).unwrap();
    for id in ["2026-05-01T1", "2026-05-01T2", "2026-05-01T3"] {
        result.id = id.to_owned();
        load::keep(&store, &result).unwrap();
    }
    let site = site(&store);
    let list = send(&site, "GET", &format!("{BASE}/load-tests?limit=2"), &[]).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let list = list.json();
    let ids: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["id"])
        .collect();
    assert_eq!(ids, [&json!("2026-05-01T3"), &json!("2026-05-01T2")]);
    assert_eq!(list["items"][0]["scenarioName"], "spike-test");
    assert_eq!(list["items"][0]["p95"], 412.5);
    let path = format!("{BASE}/load-tests/2026-05-01T3");
    let one = send(&site, "GET", &path, &[]).await;
    assert_eq!(one.json(), serde_json::to_value(&result).unwrap());
    for limit in ["0", "101", "x"] {
        let path = format!("{BASE}/load-tests?limit={limit}");
        assert_eq!(send(&site, "GET", &path, &[]).await.status, 400, "{limit}");
    }
}

#[tokio::test]
async fn what_was_never_kept_is_not_found() {
    let gone = get(&format!("{BASE}/load-tests/nothing")).await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.json()["code"], "unknown-load-test");
    let none = get(&format!("{BASE}/load-tests")).await;
    assert_eq!(none.json(), json!({"items": []}));
}
