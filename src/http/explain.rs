//! `POST /database/analyze-query`: one statement explained.
//!
//! The one handler that asks the observed server: with one session at a time, within its own limits,
//! and reading only.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde_json::{Map, Value};

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use crate::work::explain::{Question, Refusal as Refused, Why};

/// The path.
pub const ANALYZE: &str = "/api/v1/performance/database/analyze-query";

/// The longest body: a statement of a megabyte, which is refused by name, and its escapes.
pub(super) const BODY_MAX: usize = 3 << 20;

/// `POST /database/analyze-query`.
pub(super) async fn analyze(
    State(site): State<Arc<Site>>,
    ask: Ask,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    let body = body.map_err(|_| Refusal::BodyTooLarge { limit: BODY_MAX })?;
    let question = question(&body)?;
    let (target, _) = ask.target(&site.board)?;
    let Some(analyst) = &site.hooks.analyst else {
        return Err(Refusal::Internal("this server asks nobody".to_owned()));
    };
    match analyst.explain(&target, &question).await {
        Some(Ok(analysis)) => Ok(Answer::json(&analysis)?.fleeting()),
        Some(Err(refused)) => Err(refusal(&refused)),
        None => Err(Refusal::Statement {
            why: Why::NoServer,
            text: format!("target {target} is this machine; there is no server to ask"),
        }),
    }
}

fn question(body: &[u8]) -> Result<Question, Refusal> {
    let no_json = |error| Refusal::Body(format!("the body is no JSON: {error}"));
    let body: Value = serde_json::from_slice(body).map_err(no_json)?;
    let Value::Object(mut body) = body else {
        return Err(Refusal::Body(
            "the body is no JSON object; write one such as {\"query\": \"SELECT …\"}".to_owned(),
        ));
    };
    let query = match body.remove("query") {
        Some(Value::String(query)) if !query.trim().is_empty() => query,
        None | Some(Value::Null | Value::String(_)) => return Err(Refusal::QueryRequired),
        Some(other) => return Err(wrong("query", &other, "the statement as text")),
    };
    let params = match body.remove("params") {
        None | Some(Value::Null) => None,
        Some(Value::Array(params)) => Some(params),
        Some(other) => return Err(wrong("params", &other, "a list of values, one for each $n")),
    };
    let analyze = match body.remove("analyze") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(analyze)) => Some(analyze),
        Some(other) => return Err(wrong("analyze", &other, "true or false")),
    };
    nothing_else(&body)?;
    Ok(Question {
        query,
        params,
        analyze,
    })
}

fn wrong(name: &'static str, value: &Value, wanted: &str) -> Refusal {
    Refusal::Parameter {
        name,
        text: value.to_string().chars().take(80).collect(),
        wanted: wanted.to_owned(),
    }
}

/// A slip such as `analyse` must not pass for a wish that was not expressed.
fn nothing_else(body: &Map<String, Value>) -> Result<(), Refusal> {
    match body.keys().next() {
        None => Ok(()),
        Some(name) => Err(Refusal::Body(format!(
            "{name:?} is no field of the body; it has query, params and analyze"
        ))),
    }
}

fn refusal(refused: &Refused) -> Refusal {
    Refusal::Statement {
        why: refused.why(),
        text: refused.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_strictly() {
        let read = |text: &str| question(text.as_bytes()).map_err(|refusal| refusal.to_string());
        let asked = read(r#"{"query": "select $1", "params": ["a", 1, null], "analyze": false}"#);
        let asked = asked.unwrap();
        assert_eq!(asked.query, "select $1");
        assert_eq!(asked.params.unwrap().len(), 3);
        assert_eq!(asked.analyze, Some(false));
        for (body, word) in [
            ("", "no JSON"),
            ("[]", "no JSON object"),
            ("{}", "Query is required"),
            (r#"{"query": " "}"#, "Query is required"),
            (r#"{"query": 7}"#, "query is"),
            (r#"{"query": "select 1", "params": {}}"#, "params is"),
            (r#"{"query": "select 1", "analyze": "yes"}"#, "analyze is"),
            (r#"{"query": "select 1", "analyse": true}"#, "analyse"),
        ] {
            let refused = read(body).unwrap_err();
            assert!(refused.contains(word), "{body}: {refused}");
        }
    }
}
