//! Shapes: the specification's field names, as snapshots; and the description of them.

use serde_json::Value;

use plimsoll::model::ranking::{Counted, Slower, StatementHistory, StatementPoint};
use plimsoll::work::fault::Part;

use crate::{BASE, fixture, get, send, send_local};

async fn body(path: &str) -> Value {
    let reply = get(&format!("{BASE}/{path}")).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json");
    reply.json()
}

#[tokio::test]
async fn the_database_size_keeps_the_original_names() {
    insta::assert_json_snapshot!(body("database/size?target=main").await);
}

#[tokio::test]
async fn table_statistics_keep_the_original_names_and_whole_numbers() {
    let path = "database/table-stats/audit.%22Event%22?target=main";
    insta::assert_json_snapshot!(body(path).await);
}

#[tokio::test]
async fn tables_are_found_as_they_are_called_and_as_sql_writes_them() {
    for (asked, schema, name) in [
        ("Lead", "public", "Lead"),
        ("lead", "public", "lead"),
        ("%22Lead%22", "public", "Lead"),
        ("public.%22Lead%22", "public", "Lead"),
        ("public.Lead", "public", "Lead"),
        ("LEAD", "public", "lead"),
        ("Event", "audit", "Event"),
        ("a.twin", "a", "twin"),
        ("Robert%22);%20DROP%20TABLE", "public", fixture::BOBBY),
    ] {
        let stats = body(&format!("database/table-stats/{asked}?target=main")).await;
        assert_eq!(
            (&stats["schemaname"], &stats["tablename"]),
            (&schema.into(), &name.into()),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn the_connection_pool_has_null_for_what_only_a_pooler_knows() {
    insta::assert_json_snapshot!(body("database/connection-pool?target=main").await);
}

#[tokio::test]
async fn slow_queries_are_a_bare_array_by_mean_time() {
    insta::assert_json_snapshot!(body("database/slow-queries?target=main").await);
    let by_total = body("database/slow-queries?target=main&order=total&limit=1").await;
    assert_eq!(by_total.as_array().unwrap().len(), 1);
    assert_eq!(by_total[0]["calls"], 1_000_000);
}

#[tokio::test]
async fn the_indexing_strategy_is_a_bare_array_by_table() {
    let tables = body("database/indexing-strategy?target=main").await;
    let lead = &tables[0];
    assert_eq!(tables.as_array().unwrap().len(), 1);
    assert_eq!(lead["tableName"], "Lead");
    assert_eq!(lead["indexes"][0]["type"], "BTREE");
    assert_eq!(lead["indexes"][0]["estimatedSize"], 1_400_000);
    let advised = &lead["recommendations"][0];
    assert_eq!(
        advised["columns"],
        serde_json::json!(["status", "createdAt"])
    );
    assert_eq!(advised["priority"], "high");
    assert_eq!(advised["estimatedImpact"], "75.0 % of the workload's cost");
    assert_eq!(lead["drops"][0]["freesBytes"], 1_400_000);
    assert_eq!(lead["notCosted"][0]["statement"], "43");
    assert_eq!(lead["worse"][0]["what"], "blocks");
    // Nobody has looked at this one yet, and no request waits for that.
    let quiet = get(&format!("{BASE}/database/indexing-strategy?target=quiet")).await;
    assert_eq!(quiet.status, 503);
    assert!(!quiet.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_forecast_has_a_point_a_month_and_says_what_it_rests_on() {
    insta::assert_json_snapshot!(body("capacity/forecast/database?target=main&months=2").await);
}

#[tokio::test]
async fn a_forecast_reaches_six_months_unless_asked_and_24_at_most() {
    for (query, months) in [("", 6), ("&months=1", 1), ("&months=24", 24)] {
        let forecast = body(&format!("capacity/forecast/database?target=main{query}")).await;
        let points = forecast["projections"].as_array().unwrap();
        assert_eq!(points.len(), months);
        let confidence: Vec<f64> = points
            .iter()
            .map(|p| p["confidence"].as_f64().unwrap())
            .collect();
        assert!(
            confidence.windows(2).all(|pair| pair[0] > pair[1]),
            "{confidence:?}"
        );
    }
}

#[tokio::test]
async fn too_little_history_and_what_is_not_measured_are_told_apart() {
    let cpu = body("capacity/forecast/cpu?target=main").await;
    assert_eq!(
        (&cpu["outlook"], &cpu["haveDays"]),
        (&"notEnoughData".into(), &2.0.into())
    );
    assert_eq!(cpu["projections"], serde_json::json!([]));
    for resource in ["bandwidth", "connections"] {
        let forecast = body(&format!("capacity/forecast/{resource}?target=main")).await;
        assert_eq!(forecast["outlook"], "unmeasured");
        for field in [
            "currentUsage",
            "currentCapacity",
            "utilizationRate",
            "method",
            "backtest",
        ] {
            assert_eq!(forecast[field], Value::Null, "{resource}.{field}");
        }
    }
}

#[tokio::test]
async fn the_dashboard_has_forecasts_alerts_and_bounded_trends() {
    let mut dashboard = body("capacity/dashboard?target=main&months=1").await;
    let forecasts = dashboard["forecasts"].as_array().unwrap();
    let resources: Vec<&str> = forecasts
        .iter()
        .map(|f| f["resourceType"].as_str().unwrap())
        .collect();
    assert_eq!(
        resources,
        [
            "cpu",
            "memory",
            "storage",
            "bandwidth",
            "database",
            "connections"
        ]
    );
    let points = dashboard["trends"][0]["dataPoints"].as_array().unwrap();
    assert_eq!(points.len(), 89, "90 days, one of them a gap");
    dashboard["trends"][0]["dataPoints"] = serde_json::json!([points[0], points[88]]);
    dashboard["trends"].as_array_mut().unwrap().truncate(1);
    dashboard["forecasts"] = "see the forecasts".into();
    insta::assert_json_snapshot!(dashboard);
}

#[tokio::test]
async fn a_forecast_review_says_how_forecasts_held_and_is_bounded() {
    insta::assert_json_snapshot!(
        body("capacity/forecast-review?target=main&resource=database").await
    );
    let all = body("capacity/forecast-review?target=main").await;
    let all = all["resources"].as_array().unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(all[0]["says"], "too few outcomes yet: 0 of at least 5");
    let path = format!("{BASE}/capacity/forecast-review");
    for (query, status, code) in [
        ("?target=main&resource=banana", 400, "invalid-parameter"),
        ("?target=stranger", 404, "unknown-target"),
        ("?target=quiet", 503, "not-yet-known"),
    ] {
        let reply = get(&format!("{path}{query}")).await;
        assert_eq!(reply.status, status, "{query}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["code"], code);
    }
}

#[tokio::test]
async fn bottlenecks_are_a_bare_array() {
    insta::assert_json_snapshot!(body("capacity/bottlenecks?target=main").await);
}

#[tokio::test]
async fn probes_say_who_is_late() {
    assert_eq!(get("/healthz").await.json()["status"], "ok");
    let ready = get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.json()["reasons"],
        serde_json::json!(["quiet has not been looked at yet"])
    );
}

#[tokio::test]
async fn what_fails_here_is_told_with_its_target() {
    let board = fixture::board();
    let full = Some("no space left on device".to_owned());
    board.set_fault(Part::History, Some("main"), full);
    board.set_fault(Part::History, Some("quiet"), None);
    board.set_fault(Part::Upkeep, None, Some("the disk is gone".to_owned()));
    let site = fixture::site_with(board, &fixture::config(&[]));
    let ready = send(&site, "GET", "/readyz", &[]).await;
    assert_eq!(ready.status, 503);
    let ready = ready.json();
    assert_eq!(
        ready["faults"],
        serde_json::json!([
            {"part": "history", "target": "main", "reason": "no space left on device"},
            {"part": "upkeep", "target": null, "reason": "the disk is gone"},
        ])
    );
    let reason = "the history cannot be written for main: no space left on device";
    assert_eq!(ready["reasons"][0], reason);
}

/// Checks `value` against a schema of the description, and that no field is missing there.
fn conforms(value: &Value, schema: &Value, all: &Value, path: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return conforms(value, &all[name], all, path);
    }
    if let Some(options) = schema["anyOf"].as_array() {
        if !value.is_null() {
            conforms(value, &options[0], all, path);
        }
        return;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        kind => vec![
            kind.as_str()
                .unwrap_or_else(|| panic!("{path} has no type")),
        ],
    };
    let fits = kinds.iter().any(|kind| match *kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        _ => value.is_object(),
    });
    assert!(fits, "{path} is {value}, not {kinds:?}");
    let items = value.as_array().filter(|_| !schema["items"].is_null());
    for (i, item) in items.into_iter().flatten().enumerate() {
        conforms(item, &schema["items"], all, &format!("{path}[{i}]"));
    }
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        for (name, field) in object {
            let schema = properties
                .get(name)
                .unwrap_or_else(|| panic!("{path}.{name} is not described"));
            conforms(field, schema, all, &format!("{path}.{name}"));
        }
        for name in properties.keys() {
            assert!(
                object.contains_key(name),
                "{path}.{name} is described, but not there"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_is_as_the_description_says() {
    let description = get("/openapi.json").await.json();
    assert_eq!(description["openapi"], "3.1.0");
    let schemas = &description["components"]["schemas"];
    let mut checked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let content = &methods["get"]["responses"]["200"]["content"];
        let schema = &content["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        let asked = path
            .replace("{tableName}", "Lead")
            .replace("{resourceType}", "database")
            .replace("{queue}", "bar")
            .replace("{id}", "job-1")
            .replace("{name}", "nightly")
            .replace("{key}", "agents:active");
        let body = if path.ends_with("{queryid}") {
            // The fixture keeps no history.
            serde_json::to_value(a_statement()).unwrap()
        } else if path.ends_with("/load-tests/{id}") {
            serde_json::from_str(crate::load_tests::RESULT).unwrap()
        } else {
            get(&format!("{asked}?target=main")).await.json()
        };
        conforms(&body, schema, schemas, path);
        checked += 1;
    }
    assert_eq!(checked, 29);
}

fn a_statement() -> StatementHistory {
    StatementHistory {
        target: "main".to_owned(),
        queryid: "7".to_owned(),
        query: None,
        before: vec!["6".to_owned()],
        ran_by: vec!["app in shop".to_owned()],
        step_ms: 60_000,
        total: Counted::default(),
        points: vec![StatementPoint {
            at: "2026-05-01T12:00:00.000Z".to_owned(),
            counted: Counted::default(),
        }],
        slower: vec![Slower {
            queryid: "7".to_owned(),
            query: None,
            against: "last week".to_owned(),
            mean_ms_then: 1.0,
            mean_ms_now: 2.0,
            blocks_then: 3.0,
            blocks_now: 4.0,
        }],
    }
}

#[tokio::test]
async fn the_socket_serves_the_command_line() {
    let site = fixture::site();
    let status = send_local(&site, "/local/status").await.json();
    assert_eq!(status["targets"].as_array().unwrap().len(), 3);
    assert_eq!(status["targets"][1]["findings"]["warning"], 1);
    let findings = send_local(&site, "/local/findings").await.json();
    assert_eq!(findings[0]["state"], "down");
    assert_eq!(findings[1]["findings"][0]["id"], "duplicate-index");
    let all = send_local(&site, "/local/forecast/all?target=main&months=3")
        .await
        .json();
    assert_eq!(all.as_array().unwrap().len(), 6);
    let report = send_local(&site, "/local/report?format=md").await;
    assert_eq!(report.text(), "report as md");
    let failed = send_local(&site, "/local/report?format=sqlite").await;
    assert_eq!(failed.status, 500);
    assert_eq!(failed.json()["code"], "report-failed");
    let api = send_local(&site, &format!("{BASE}/database/size?target=main")).await;
    assert_eq!(api.status, 200);
}

#[tokio::test]
async fn the_page_is_drawn_for_what_was_asked() {
    let page = get("/?target=main&fragment=main").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.text()
            .contains("target: Some(\"main\"), fragment: Some(\"main\")")
    );
    assert_eq!(get("/?target=nobody").await.status, 404);
    assert_eq!(get("/?fragment=head").await.status, 400);
    assert_eq!(
        get("/ui/app.js").await.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(
        get("/ui/style.css").await.header("content-type"),
        "text/css; charset=utf-8"
    );
}
