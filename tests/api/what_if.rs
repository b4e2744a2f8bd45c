//! What if: scenarios over the API and the command line, answered from the board.

use serde_json::{Value, json};

use crate::{BASE, Reply, fixture, get, send_body};

async fn asked(query: &str) -> Value {
    let reply = get(&format!("{BASE}/capacity/what-if?target=main&{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    reply.json()
}

async fn posted(body: &str) -> Reply {
    let site = fixture::site();
    let path = format!("{BASE}/capacity/what-if?target=main");
    send_body(&site, &path, body.to_owned()).await
}

fn date(resource: &Value, name: &str) -> String {
    let thresholds = resource["thresholds"].as_array().unwrap();
    let found = thresholds.iter().find(|t| t["name"] == name).unwrap();
    found["p50"].as_str().unwrap_or("later").to_owned()
}

#[tokio::test]
async fn faster_growth_comes_sooner_and_archiving_later() {
    let base = asked("resource=database").await;
    assert_eq!(base["scenario"], json!([]));
    let [one] = base["resources"].as_array().unwrap().as_slice() else {
        panic!("one was asked about");
    };
    assert_eq!(one["resourceType"], "database");
    let fast = asked("resource=database&growth=2").await;
    let slow = asked("resource=database&archive=30%25@2026-06-01").await;
    let of = |answer: &Value| date(&answer["resources"][0], "limit");
    assert!(of(&fast) < of(&base), "{} {}", of(&fast), of(&base));
    assert!(of(&base) < of(&slow), "{} {}", of(&base), of(&slow));
    assert_eq!(fast["breaksFirst"]["resourceType"], "database");
    assert_eq!(fast["scenario"], json!(["growth × 2"]));
    assert_eq!(slow["scenario"], json!(["30 % freed on 2026-06-01"]));
}

#[tokio::test]
async fn ten_times_the_load_is_answered_for_all_resources_at_once() {
    let answer = asked("load=10&months=12").await;
    let resources = answer["resources"].as_array().unwrap();
    assert_eq!(resources.len(), 6);
    // A database fills faster; no load fills it at once.
    let database = resources.iter().find(|r| r["resourceType"] == "database");
    let database = database.unwrap();
    assert_eq!(database["loadFactorNow"], Value::Null);
    assert!(database["loadFactorThen"].as_f64().unwrap() < 10.0);
    // Of a CPU without a forecast the present is known: 1.2 of 2 cores.
    let cpu = resources
        .iter()
        .find(|r| r["resourceType"] == "cpu")
        .unwrap();
    assert!((cpu["loadFactorNow"].as_f64().unwrap() - 2.0 / 1.2).abs() < 1e-9);
    assert!((cpu["currentUsage"].as_f64().unwrap() - 12.0).abs() < 1e-9);
    assert!((cpu["headroom"].as_f64().unwrap() + 10.0).abs() < 1e-9);
    // At once, and so before the database.
    assert_eq!(answer["breaksFirst"]["resourceType"], "cpu");
    assert_eq!(answer["breaksFirst"]["crossed"], true);
    let answer = asked("load=1.5&months=12").await;
    assert_eq!(answer["breaksFirst"]["resourceType"], "database");
}

#[tokio::test]
async fn a_body_says_the_same_as_a_query() {
    let body = r#"{"resource":"database","growth":2,"limit":214748364800,
        "archives":[{"at":"2026-06-01","share":0.3}],
        "migrations":[{"at":"2026-07-01","amount":1073741824}],
        "events":[{"from":"2026-08-01","to":"2026-08-11","factor":3}],
        "season":{"factor":2}}"#;
    let reply = posted(body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let query = "resource=database&growth=2&limit=200GB&archive=30%25@2026-06-01\
                 &migration=1GB@2026-07-01&event=3@2026-08-01..2026-08-11&season=2";
    assert_eq!(reply.json(), asked(query).await);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_name() {
    for (body, field) in [
        (r#"{"growth":-1}"#, "growth"),
        (r#"{"growth":"NaN"}"#, "growth"),
        (r#"{"load":1e308}"#, "load"),
        (r#"{"limit":5}"#, "limit"),
        (
            r#"{"resource":"cpu","archives":[{"share":0.5}]}"#,
            "archive",
        ),
        (
            r#"{"resource":"database","archives":[{"share":2}]}"#,
            "archives.share",
        ),
        (
            r#"{"resource":"database","archives":[{"share":0.1,"when":1}]}"#,
            "archives",
        ),
        (r#"{"resource":"banana"}"#, "resource"),
        (r#"{"months":25}"#, "months"),
        (r#"{"grwoth":2}"#, "body"),
    ] {
        let reply = posted(body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let problem = reply.json();
        assert_eq!(problem["code"], "invalid-parameter");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(&format!("{field} is ")), "{detail}");
    }
    for body in [
        "",
        "[]",
        "{",
        "NaN",
        r#"{"growth":NaN}"#,
        r#"{"growth":1e999}"#,
    ] {
        let reply = posted(body).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (axum::http::StatusCode::BAD_REQUEST, &json!("bad-body")),
            "{body}"
        );
    }
    for query in [
        "growth=NaN",
        "load=inf",
        "event=2",
        "limit=9TB",
        "resource=cpu&archive=5",
    ] {
        let reply = get(&format!("{BASE}/capacity/what-if?target=main&{query}")).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
    let quiet = get(&format!("{BASE}/capacity/what-if?target=quiet")).await;
    assert_eq!(quiet.json()["code"], "not-yet-known");
}

#[tokio::test]
async fn the_chance_before_a_date_and_daily_points_are_given_where_asked() {
    let path = "capacity/forecast/database?target=main";
    let at = async |query: &str| {
        let reply = get(&format!("{BASE}/{path}{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        reply.json()
    };
    let plain = at("").await;
    assert_eq!(plain["thresholds"][0]["probabilityBefore"], Value::Null);
    let chance = async |date: &str| {
        let answer = at(&format!("&before={date}")).await;
        answer["thresholds"][0]["probabilityBefore"].as_f64()
    };
    let (early, middle) = (chance("2026-05-02").await, chance("2026-08-20").await);
    assert_eq!(early, Some(0.0));
    assert!(middle.unwrap() > 0.1 && chance("2027-09-01").await.unwrap() > middle.unwrap());
    assert_eq!(chance("2036-01-01").await, None, "beyond the horizon");
    let daily = at("&step=day&months=2").await;
    let points = daily["projections"].as_array().unwrap();
    assert_eq!(points.len(), 62, "May and June, with both ends");
    assert_eq!(points[0]["intervals"].as_array().unwrap().len(), 3);
    for bad in ["&before=soon", "&before=2026-02-30", "&step=hour"] {
        let reply = get(&format!("{BASE}/{path}{bad}")).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn the_page_gets_the_chart_drawn_anew() {
    let path =
        "/ui/what-if?target=main&resource=database&growth=3&load=&limit=120GB&id=t0-database";
    let reply = get(path).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    let text = reply.text();
    assert!(text.contains("class=\"as-is\"") && text.contains("id=\"t0-database-clip\""));
    assert!(
        text.contains("What if: growth × 3; a limit of 120 GB."),
        "{text}"
    );
    let hostile = get("/ui/what-if?target=main&resource=database&id=%22%3E%3Cscript%3E").await;
    assert!(!hostile.text().contains("<script>"));
    assert_eq!(get("/ui/what-if?target=main").await.status, 400);
}
