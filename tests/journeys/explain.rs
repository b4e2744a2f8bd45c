//! A statement explained through the running server: the API's answer, the terminal, the page.
#![expect(
    clippy::disallowed_types,
    reason = "the server is filled past the program that is under test"
)]

use std::path::Path;

use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

use crate::QUICK;
use crate::support::devtools::Tab;
use crate::support::http;
use crate::support::plimsoll::{Serve, run};
use crate::support::postgres::{Major, start};

const PATH: &str = "/api/v1/performance/database/analyze-query";
const QUERY: &str =
    "select * from lead where zip = $1 and lower(email) = 'x' order by id desc limit 20";

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Every field that is described is there, and none that is not.
fn conforms(value: &Value, schema: &Value, all: &Value, path: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return conforms(value, &all[name], all, path);
    }
    if let Some(either) = schema["anyOf"].as_array() {
        if !value.is_null() {
            conforms(value, &either[0], all, path);
        }
        return;
    }
    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(item, &schema["items"], all, &format!("{path}[{place}]"));
    }
    let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    else {
        return;
    };
    let (mut here, mut told): (Vec<_>, Vec<_>) = (
        object.keys().collect::<Vec<_>>(),
        properties.keys().collect::<Vec<_>>(),
    );
    here.sort();
    told.sort();
    assert_eq!(here, told, "{path}");
    for (name, field) in object {
        conforms(field, &properties[name], all, &format!("{path}.{name}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_explained_to_programs_terminals_and_browsers() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    cluster.create_database("app").await.unwrap();
    let url = cluster.url_of("app");
    let app = client(&url).await;
    let sql = "create table lead as select g id, 'z' || g % 700 zip, 'a' || g email, repeat('w', 60) w \
               from generate_series(1, 40000) g; create index on lead (email); analyze lead";
    app.batch_execute(sql).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = format!("app={url}");
    let mut arguments = vec!["--target", &target];
    arguments.extend(QUICK);
    let serve = Serve::start(folder.path(), &arguments).await;

    let answer = ask(&serve, json!({"query": QUERY})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let description = serve.get("/openapi.json").await.json();
    let schemas = &description["components"]["schemas"];
    conforms(&body, &schemas["QueryOptimizationResult"], schemas, "$");
    assert_eq!(body["executionTime"], Value::Null);
    assert_eq!(body["parameters"]["count"], 1);
    assert!(body["totalCost"].as_f64().unwrap() > 0.0);
    let rules = body["recommendations"].as_array().unwrap();
    assert!(!rules.is_empty(), "{body}");
    for rule in rules {
        assert!(rule["description"].as_str().unwrap().len() > 20, "{rule}");
    }

    refuses(&serve).await;
    let data = folder.path().display().to_string();
    on_the_terminal(&data).await;
    as_a_page(folder.path(), &url, &body["totalCost"]).await;
}

async fn ask(serve: &Serve, body: Value) -> http::Response {
    let sent = http::post(serve.address, PATH, &body.to_string()).await;
    sent.unwrap()
}

async fn refuses(serve: &Serve) {
    for (body, status, code, text) in [
        (json!({}), 400, "no-statement", "Query is required"),
        (
            json!({"query": "select 1; select 2"}),
            400,
            "several-statements",
            "analyze query",
        ),
        (
            json!({"query": "do $$ begin end $$"}),
            400,
            "not-plannable",
            "analyze query",
        ),
        (
            json!({"query": "select 1", "analyze": true}),
            403,
            "analyze-off",
            "analyze query",
        ),
        (
            json!({"query": "select nope"}),
            422,
            "statement-refused",
            "analyze query",
        ),
        (
            json!({"query": format!("select '{}'", "x".repeat(1 << 20))}),
            413,
            "statement-too-long",
            "analyze query",
        ),
        (
            json!({"query": QUERY, "params": []}),
            400,
            "bad-params",
            "analyze query",
        ),
    ] {
        let refused = ask(serve, body).await;
        let problem = refused.json();
        assert_eq!(refused.status.as_u16(), status, "{problem}");
        assert_eq!(problem["code"], code);
        assert!(
            problem["error"].as_str().unwrap().contains(text),
            "{problem}"
        );
        assert_eq!(refused.header("content-type"), "application/problem+json");
    }
    let foreign = [("origin", "https://elsewhere.example")];
    let sent = http::send(serve.address, hyper::Method::POST, PATH, &foreign, "{}")
        .await
        .unwrap();
    assert_eq!(sent.status, 403);
}

async fn on_the_terminal(data: &str) {
    let shown = run(&["--data-dir", data, "explain", QUERY]).await;
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        shown.stdout.contains("Seq Scan on lead"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("lower(email)"), "{}", shown.stdout);
    let bad = run(&["--data-dir", data, "explain", "select frm"]).await;
    assert_eq!(bad.code, 1);
    assert!(
        bad.stderr
            .contains("the server refuses the statement (42703)"),
        "{}",
        bad.stderr
    );
}

async fn as_a_page(folder: &Path, url: &str, cost: &Value) {
    // Asked directly, from a file, and as a page.
    let file = folder.join("q.sql");
    std::fs::write(&file, format!("-- slow\n{QUERY};\n")).unwrap();
    let file = file.display().to_string();
    let direct = run(&[
        "explain", "--target", url, "--file", &file, "--format", "json",
    ])
    .await;
    assert_eq!(direct.code, 0, "{}", direct.stderr);
    let told: Value = serde_json::from_str(&direct.stdout).unwrap();
    assert_eq!(told["totalCost"], *cost);
    let page = run(&[
        "explain", "--target", url, "--file", &file, "--format", "html",
    ])
    .await;
    let path = folder.join("plan.html");
    std::fs::write(&path, &page.stdout).unwrap();
    let Some(mut tab) = Tab::open(1280, 900).await else {
        return;
    };
    tab.go(&format!("file://{}", path.display())).await;
    let headline = tab.evaluate("document.querySelector('h1').innerText").await;
    assert!(
        headline.as_str().unwrap().starts_with("This statement"),
        "{headline}"
    );
    for width in [1280, 400, 320] {
        tab.resize(width, 800).await;
        let wide = tab.evaluate("document.documentElement.scrollWidth").await;
        assert!(
            wide.as_u64().unwrap() <= u64::from(width),
            "{wide} of {width} pixels"
        );
    }
    assert_eq!(tab.errors(), [""; 0]);
    tab.close().await;
}
