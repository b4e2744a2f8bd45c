//! The API as Grafana uses it: envelope, forms, lists, refusals.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use plimsoll::clock::{Clock, SettableClock};
use plimsoll::config::{self, Environment, Flags};
use plimsoll::http::{Compat, Hooks, Site, router};
use plimsoll::model::units::Timestamp;
use plimsoll::work::board::Board;
use plimsoll::work::intake::Receipt;
use plimsoll::work::query::Queries;
use serde_json::{Value, json};

use crate::rival::field;
use crate::samples::{self, HOUR, START};

/// A site that answers questions, or one that cannot.
pub(crate) fn site(queries: Option<Arc<Queries>>) -> Arc<Site> {
    let environment: Environment = [("HOME", "/nowhere")].into_iter().collect();
    let config = config::load(&Flags::default(), &environment).unwrap();
    let now = Timestamp::from_millis(START + 3 * HOUR - 10_000);
    let clock: Arc<dyn Clock> = Arc::new(SettableClock::at(now));
    let hooks = Hooks {
        page: Arc::new(|_| String::new()),
        report: Arc::new(|_| Box::pin(async { Ok(Vec::new()) })),
        write: Arc::new(|_| Ok(Receipt::default())),
        import: Arc::new(|_, _| Ok(0)),
        export: Arc::new(|_, _| Err("there is no history".to_owned())),
        census: Arc::new(|_| Err("there is no history".to_owned())),
        queries,
        analyst: None,
        maintainer: None,
        cache: None,
        queues: None,
        compat: Compat::new(),
        store: None,
        script: "",
        style: "",
    };
    Site::new(Arc::new(Board::new([], Vec::new())), clock, &config, hooks)
}

async fn send(site: &Arc<Site>, request: Request<Body>) -> (StatusCode, Value) {
    let response = TowerToHyperService::new(router(site)).call(request).await;
    let (parts, body) = response.unwrap().into_parts();
    assert_eq!(parts.headers["content-type"], "application/json");
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, serde_json::from_slice(&body).unwrap())
}

/// `GET /api/v1/…` with fields.
pub(crate) async fn get(
    site: &Arc<Site>,
    path: &str,
    fields: &[(&str, &str)],
) -> (StatusCode, Value) {
    let fields: Vec<String> = fields.iter().map(|(n, v)| field(n, v)).collect();
    let uri = format!("/api/v1/{path}?{}", fields.join("&"));
    let request = Request::get(uri).header("host", "localhost");
    send(site, request.body(Body::empty()).unwrap()).await
}

/// `POST /api/v1/…` with a form.
pub(crate) async fn post(
    site: &Arc<Site>,
    path: &str,
    fields: &[(&str, &str)],
) -> (StatusCode, Value) {
    let fields: Vec<String> = fields.iter().map(|(n, v)| field(n, v)).collect();
    let request = Request::post(format!("/api/v1/{path}"))
        .header("host", "localhost")
        .header("content-type", "application/x-www-form-urlencoded");
    send(site, request.body(Body::from(fields.join("&"))).unwrap()).await
}

#[tokio::test]
async fn values_come_as_pairs_in_the_envelope_of_prometheus() {
    let ours = samples::ours();
    let site = site(Some(Arc::clone(&ours.queries)));
    let fields = [("query", "sum(flat)"), ("time", "1773100830.5")];
    let wanted = json!({"status": "success", "data": {
        "resultType": "vector",
        "result": [{"metric": {}, "value": [1_773_100_830.5, "42"]}],
    }});
    assert_eq!(
        get(&site, "query", &fields).await,
        (StatusCode::OK, wanted.clone())
    );
    assert_eq!(
        post(&site, "query", &fields).await,
        (StatusCode::OK, wanted)
    );
    // What Grafana asks when a data source is saved.
    let (_, one) = post(&site, "query", &[("query", "1+1"), ("time", "4")]).await;
    assert_eq!(
        one["data"],
        json!({"resultType": "scalar", "result": [4, "2"]})
    );
    let fields = [
        ("query", "flat"),
        ("start", "1773100800"),
        ("end", "2026-03-10T00:01:00Z"),
        ("step", "30s"),
    ];
    let (_, range) = get(&site, "query_range", &fields).await;
    let points = json!([
        [1_773_100_800, "42"],
        [1_773_100_830, "42"],
        [1_773_100_860, "42"]
    ]);
    let row = json!({"metric": {"__name__": "flat"}, "values": points});
    assert_eq!(
        range["data"],
        json!({"resultType": "matrix", "result": [row]})
    );
    let (_, text) = get(&site, "query", &[("query", "\"é\""), ("time", "0")]).await;
    assert_eq!(
        text["data"],
        json!({"resultType": "string", "result": [0, "é"]})
    );
}

#[tokio::test]
async fn names_and_values_are_listed_for_those_who_type() {
    let ours = samples::ours();
    let site = site(Some(Arc::clone(&ours.queries)));
    let (_, labels) = get(&site, "labels", &[]).await;
    assert_eq!(labels["data"], json!(["__name__", "code", "host", "unit"]));
    let (_, names) = get(&site, "label/__name__/values", &[]).await;
    assert_eq!(names["data"][0], "early");
    let since = (START + 2 * HOUR) / 1_000;
    let since = since.to_string();
    let (_, names) = get(&site, "label/__name__/values", &[("start", &since)]).await;
    assert_eq!(names["data"][0], "ends");
    let selectors = [("match[]", "level"), ("match[]", r#"limit{host=~"a"}"#)];
    let (_, hosts) = post(&site, "labels", &selectors).await;
    assert_eq!(hosts["data"], json!(["__name__", "host", "unit"]));
    let (_, series) = post(&site, "series", &selectors).await;
    assert_eq!(series["data"].as_array().unwrap().len(), 4);
    assert_eq!(series["data"][0], json!({"__name__": "level", "host": "a"}));
    let (_, about) = get(&site, "metadata", &[("metric", "requests_total")]).await;
    assert_eq!(about["data"]["requests_total"][0]["type"], "counter");
    let (_, about) = get(&site, "metadata", &[("limit", "2")]).await;
    assert_eq!(about["data"].as_object().unwrap().len(), 2);
    let (_, build) = get(&site, "status/buildinfo", &[]).await;
    assert_eq!(build["data"]["version"], "2.42.0");
}

#[tokio::test]
async fn refusals_name_what_is_wrong() {
    let ours = samples::ours();
    let site = site(Some(Arc::clone(&ours.queries)));
    let cases = [
        (
            "histogram_quantile(0.9, level)",
            422,
            "execution",
            "histogram_quantile",
        ),
        ("max_over_time(level[5m:1m])", 422, "execution", "subquery"),
        (
            r#"-{__name__=~"flat|sparse"}"#,
            422,
            "execution",
            "labelset",
        ),
        ("level{", 400, "bad_data", ""),
        (r#"level{host=~"("}"#, 400, "bad_data", "("),
        ("rate(level)", 400, "bad_data", ""),
    ];
    for (expression, status, kind, named) in cases {
        let (code, body) = get(&site, "query", &[("query", expression)]).await;
        assert_eq!(
            (code.as_u16(), &body["errorType"]),
            (status, &json!(kind)),
            "{body}"
        );
        assert_eq!(body["status"], "error");
        assert!(body["error"].as_str().unwrap().contains(named), "{body}");
    }
    for path in ["query", "query_range", "series"] {
        let (code, body) = get(&site, path, &[]).await;
        assert_eq!(
            (code.as_u16(), &body["errorType"]),
            (400, &json!("bad_data")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn without_a_history_questions_are_refused_and_the_build_is_told() {
    let site = site(None);
    let (code, body) = get(&site, "query", &[("query", "1")]).await;
    assert_eq!(
        (code.as_u16(), &body["errorType"]),
        (503, &json!("unavailable"))
    );
    assert_eq!(get(&site, "status/buildinfo", &[]).await.0, 200);
}
