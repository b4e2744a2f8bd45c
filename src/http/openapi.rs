//! `/openapi.json`: `OpenAPI` 3.1 from the table of routes; a test holds the schemas to real answers.

mod cached;
mod explained;
mod jobs;
mod load_tests;
mod maintenance;
mod schema;

use serde_json::{Map, Value, json};

use super::body::Answer;
use super::error::Refusal;
use super::explain::ANALYZE;
use super::maintain::{ARCHIVE, PREVIEW};
use super::router::{Param, Route, WHAT_IF, all_routes};
use super::write;
use schema::kind;

/// Fields of each shape. A type is `text`, `time`, `whole`, `number`, `flag` or `any`, a shape's name, or
/// one of these in brackets for a list; a `?` at the end may be null.
const SHAPES: &[(&str, &str)] = &[
    ("Health", "status text"),
    (
        "Readiness",
        "status text, reasons [text], faults [PartFault], targets [TargetReach]",
    ),
    ("PartFault", "part text, target text?, reason text"),
    (
        "TargetReach",
        "name text, state text, reason text?, lastScrapeAt time?",
    ),
    (
        "DatabaseSize",
        "datname text, size text?, size_bytes whole?, growth Growth?, databases [DatabaseRow], taken_at time",
    ),
    ("Growth", "bytes_per_day number?, history [SizePoint]"),
    ("SizePoint", "at time, bytes number"),
    ("ConnectionPoint", "at time, connections number"),
    ("DatabaseRow", "datname text, size text?, size_bytes whole?"),
    (
        "TableStats",
        "schemaname text, tablename text, total_size text, table_size text, \
      indexes_size text, inserts whole, updates whole, deletes whole, live_rows whole, \
      dead_rows whole, last_vacuum time?, last_autovacuum time?, last_analyze time?, \
      last_autoanalyze time?, total_bytes whole, table_bytes whole, indexes_bytes whole, \
      row_estimate number?, hot_updates whole, seq_scan whole, idx_scan whole, xid_age whole, \
      has_primary_key flag, growth Growth?, taken_at time",
    ),
    (
        "ConnectionPool",
        "total whole, idle whole, active whole, waiting whole, acquireCount whole?, \
      acquireTime number?, createCount whole?, destroyCount whole?, max whole, reserved whole, \
      utilizationRate number?, idleInTransaction whole, oldestXactAgeMs whole?, \
      lockWaiting whole, byApplication [ApplicationConnections], history [ConnectionPoint], \
      peak number?, takenAt time",
    ),
    (
        "ApplicationConnections",
        "application text, connections whole",
    ),
    (
        "SlowQuery",
        "query text, calls whole, total_exec_time number, mean_exec_time number, \
      max_exec_time number?, stddev_exec_time number?, queryid text, role text?, rows whole, \
      shared_blks_hit whole, shared_blks_read whole, temp_blks_written whole, wal_bytes whole",
    ),
    (
        "TableStrategy",
        "tableName text, schemaName text, indexes [TableIndex], \
      recommendations [IndexRecommendation], drops [IndexDrop], notCosted [UncostedIndex], \
      worse [WorseStatement], costRatio number?, basis text, \
      advisedAt time",
    ),
    (
        "TableIndex",
        "name text, columns [text], type text, unique flag, partial flag, estimatedSize whole, \
      definition text, scans whole",
    ),
    (
        "IndexRecommendation",
        "table text, columns [text], reason text, priority text, estimatedImpact text, ddl text, \
      sizeBytes whole, gainRatio number?, writeCostRatio number?, statements [text]",
    ),
    ("IndexDrop", "ddl text, reason text, freesBytes whole"),
    ("UncostedIndex", "ddl text, statement text, reason text"),
    (
        "WorseStatement",
        "name text, what text, before number, after number",
    ),
    (
        "StatementRanking",
        "target text, from time, until time, by text, ran whole, statements [StatementUse], \
      slower [Slower]",
    ),
    (
        "StatementUse",
        "queryid text, query text?, database text, role text, share number?, calls number, \
      totalMs number, meanMs number?, rows number, sharedBlksHit number, sharedBlksRead number, \
      tempBlksWritten number, walBytes number, blkReadMs number",
    ),
    (
        "Slower",
        "queryid text, query text?, against text, meanMsThen number, meanMsNow number, \
      blocksThen number, blocksNow number",
    ),
    (
        "StatementHistory",
        "target text, queryid text, query text?, before [text], ranBy [text], stepMs whole, total Counted, \
      points [StatementPoint], slower [Slower]",
    ),
    (
        "StatementPoint",
        "at time, calls number, totalMs number, meanMs number?, rows number, \
      sharedBlksHit number, sharedBlksRead number, tempBlksWritten number, walBytes number, \
      blkReadMs number",
    ),
    (
        "Counted",
        "calls number, totalMs number, meanMs number?, rows number, sharedBlksHit number, \
      sharedBlksRead number, tempBlksWritten number, walBytes number, blkReadMs number",
    ),
    ("DeployMark", "name text, at time"),
    (
        "CapacityForecast",
        "resourceType text, currentUsage number?, currentCapacity number?, \
      utilizationRate number?, projections [CapacityProjection], \
      recommendations [CapacityRecommendation], target text, unit text, madeAt time, \
      outlook text, haveDays number?, needDays number?, limitOrigin LimitOrigin?, method text?, \
      backtest Backtest?, growthPerDay Estimate?, growthPerMonth Estimate?, \
      thresholds [ThresholdDate], coverage number, synthetic SyntheticTimes?, moreDays number?, \
      level number?, changes [ChangePoint], seasons [Season], confidence Confidence?, actBy time?",
    ),
    ("ChangePoint", "date time, kind text, size number"),
    (
        "Season",
        "period whole, name text, profile [number], strength number",
    ),
    ("Confidence", "value number, word text"),
    ("ForecastReview", "target text, resources [ResourceReview]"),
    (
        "ResourceReview",
        "resourceType text, unit text, promises whole, since time?, leads [LeadReview], \
      members [MemberReview], coverageP80 number?, independent whole, verdict text, says text, \
      bandFactor number?, synthetic SyntheticTimes?",
    ),
    (
        "LeadReview",
        "leadDays whole, scored whole, independent whole, meanError number, \
      meanErrorShare number?, bias number, inside80 whole, inside95 whole, \
      relativeToNaive number?, verdict text, says text",
    ),
    (
        "MemberReview",
        "name text, relativeError number, scored whole, weightFactor number",
    ),
    (
        "WhatIf",
        "target text, scenario [text], then time, breaksFirst BreaksFirst?, \
      resources [WhatIfResource]",
    ),
    (
        "BreaksFirst",
        "resourceType text, name text, value number, probability number, p10 time?, p50 time?, \
      p90 time?, crossed flag, probabilityBefore number?",
    ),
    (
        "WhatIfResource",
        "resourceType text, currentUsage number?, currentCapacity number?, \
      utilizationRate number?, projections [CapacityProjection], \
      recommendations [CapacityRecommendation], target text, unit text, madeAt time, \
      outlook text, haveDays number?, needDays number?, limitOrigin LimitOrigin?, method text?, \
      backtest Backtest?, growthPerDay Estimate?, growthPerMonth Estimate?, \
      thresholds [ThresholdDate], coverage number, synthetic SyntheticTimes?, moreDays number?, \
      level number?, changes [ChangePoint], seasons [Season], confidence Confidence?, \
      actBy time?, headroom number?, loadFactorNow number?, loadFactorThen number?, \
      asIs [ThresholdDate]",
    ),
    (
        "Scenario",
        "growth number?, load number?, season SeasonFactor?, events [Event]?, \
      migrations [Migration]?, archives [Archive]?, limit number?, resource text?, target text?, \
      months whole?",
    ),
    ("SeasonFactor", "factor number, from time?"),
    ("Event", "from time, to time, factor number"),
    ("Migration", "at time?, amount number"),
    ("Archive", "at time?, share number"),
    (
        "CapacityProjection",
        "date time, predictedUsage number, predictedCapacity number?, \
      utilizationRate number?, confidence number?, intervals [Interval]",
    ),
    (
        "CapacityRecommendation",
        "resourceType text, action text, priority text, description text, \
      estimatedImpact text",
    ),
    ("Interval", "level number, lo number, hi number"),
    ("Estimate", "value number, lo number, hi number"),
    ("LimitOrigin", "kind text, detail text"),
    (
        "Backtest",
        "origins whole, horizon whole, mae number, relativeMae number, \
      coverageP80 number, coverageP95 number",
    ),
    (
        "ThresholdDate",
        "name text, value number, probability number, p10 time?, p50 time?, \
      p90 time?, crossed flag, probabilityBefore number?",
    ),
    ("SyntheticTimes", "from time, until time"),
    (
        "CapacityDashboard",
        "timestamp time, forecasts [CapacityForecast], alerts [CapacityAlert], \
      trends [CapacityTrend], target text, lastScrapeAt time?",
    ),
    (
        "CapacityAlert",
        "resourceType text, severity text, message text, threshold number, \
      currentValue number, timestamp time, target text",
    ),
    (
        "CapacityTrend",
        "resourceType text, period text, growth number?, trend text?, \
      dataPoints [DataPoint], synthetic SyntheticTimes?",
    ),
    ("DataPoint", "timestamp time, value number"),
    (
        "PerformanceBottleneck",
        "component text, type text, severity text, description text, \
      impact text, recommendation text, evidence [Evidence]",
    ),
    ("Evidence", "label text, value text"),
    (
        "Latencies",
        "from time, until time, endpoints [EndpointLatency], statements [StatementLatency]",
    ),
    (
        "EndpointLatency",
        "method text, route text, count whole, meanMs number?, p50Ms number?, p90Ms number?, \
      p95Ms number?, p99Ms number?, maxMs number?",
    ),
    (
        "StatementLatency",
        "target text, class text, count whole, meanMs number?, p50Ms number?, p90Ms number?, \
      p95Ms number?, p99Ms number?, maxMs number?",
    ),
    ("Success", "success flag, message text"),
    (
        "Problem",
        "type text, title text, status whole, detail text, code text, error text",
    ),
];

/// What a field says beyond its name and type.
const NOTES: &[(&str, &str, &str)] = &[
    (
        "CapacityProjection",
        "confidence",
        "probability that usage lies within 10 % of predictedUsage, read off the forecast's own bands",
    ),
    (
        "ConnectionPool",
        "acquireCount",
        "null: only a pooler counts acquisitions",
    ),
    (
        "ConnectionPool",
        "utilizationRate",
        "total / (max - reserved)",
    ),
    (
        "LeadReview",
        "independent",
        "of those scored, how many have spans from origin to lead that do not overlap",
    ),
    (
        "LeadReview",
        "verdict",
        "asPromised, tooSure, tooCareful or tooFew: inside80 against 80 % of the independent outcomes",
    ),
    (
        "CapacityForecast",
        "outlook",
        "forecast, notEnoughData or unmeasured",
    ),
    (
        "CapacityForecast",
        "actBy",
        "10 % point of reaching the limit less forecast.lead_time; today where that has passed",
    ),
    (
        "CapacityForecast",
        "seasons",
        "profiles are deviations from the level, one a step from the forecast's first on",
    ),
    (
        "Confidence",
        "value",
        "0 to 1: skill against seasonal naive × coverage of the bands × n/(n+1) origins",
    ),
    (
        "ChangePoint",
        "kind",
        "step (size in the unit) or slope (size in the unit per day)",
    ),
    (
        "WhatIfResource",
        "loadFactorNow",
        "the load, times the present one, that reaches the limit now; null where none does",
    ),
    (
        "WhatIfResource",
        "loadFactorThen",
        "the load, times the present one, that reaches the limit by `then`",
    ),
    (
        "CapacityForecast",
        "synthetic",
        "which part of the history is made up, if any is",
    ),
    (
        "EndpointLatency",
        "p99Ms",
        "quantiles are at most 2 % off; a minute may be missing after a crash",
    ),
    (
        "StatementLatency",
        "count",
        "calls; a server tells means, so each interval's mean counts as often as there were calls",
    ),
    (
        "CapacityRecommendation",
        "action",
        "scale-up, scale-out, optimize or archive",
    ),
    (
        "CapacityRecommendation",
        "priority",
        "immediate, short-term, medium-term or long-term",
    ),
    (
        "CapacityTrend",
        "trend",
        "increasing, decreasing, or stable where the 80 % interval holds 0",
    ),
];

fn notes() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    [
        NOTES,
        explained::NOTES,
        cached::NOTES,
        load_tests::NOTES,
        maintenance::NOTES,
    ]
    .into_iter()
    .flatten()
}

/// `GET /openapi.json`.
pub(super) async fn serve() -> Result<Answer, Refusal> {
    Answer::json(&description())
}

/// All shapes.
fn shapes() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let areas = [
        SHAPES,
        jobs::SHAPES,
        explained::SHAPES,
        cached::SHAPES,
        load_tests::SHAPES,
        maintenance::SHAPES,
    ];
    areas.into_iter().flatten()
}

/// The whole description.
fn description() -> Value {
    let mut paths = Map::new();
    for route in all_routes() {
        let method = route.method.to_lowercase();
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(method, operation(route));
        }
    }
    let schemas: Map<String, Value> = shapes()
        .map(|(name, fields)| ((*name).to_owned(), shape(name, fields)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Plimsoll",
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    })
}

fn operation(route: &Route) -> Value {
    let (media, name) = route.answer;
    let content = match name {
        "" => json!({ media: {} }),
        name => json!({ media: {"schema": kind(name)} }),
    };
    let problem = json!({
        "description": "Refused; `code` says why.",
        "content": {"application/problem+json": {"schema": kind("Problem")}},
    });
    let mut operation = json!({
        "summary": route.summary,
        "operationId": route.does.replace(' ', "-"),
        "parameters": route.params.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {"default": problem},
    });
    let (code, answer) = match media {
        "" => ("204", json!({"description": route.summary})),
        _ => (
            "200",
            json!({"description": route.summary, "content": content}),
        ),
    };
    if let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    {
        responses.insert(code.to_owned(), answer);
    }
    let body = match (route.path, route.method) {
        (WHAT_IF, "POST") => Some((
            "Scenario",
            "What is different; fields that are left out stay as they are.",
        )),
        (ARCHIVE | PREVIEW, _) => Some((
            "DataArchivalPolicy",
            "Which rows are old and what becomes of them; table, archiveAfterDays and \
             archiveStrategy (move, copy or delete) are needed, and a destination unless they are deleted.",
        )),
        (ANALYZE, _) => Some((
            "QueryQuestion",
            "One statement, the values of its parameters, and whether to run it.",
        )),
        _ => None,
    };
    if let (Some((schema, description)), Some(operation)) = (body, operation.as_object_mut()) {
        operation.insert(
            "requestBody".to_owned(),
            json!({
                "required": true,
                "description": description,
                "content": {"application/json": {"schema": kind(schema)}},
            }),
        );
    }
    if let (jobs::SCHEDULE, Some(operation)) = (route.path, operation.as_object_mut()) {
        operation.insert("requestBody".to_owned(), jobs::schedule_body());
    }
    if let (Some(body), Some(operation)) = (cached::body(route), operation.as_object_mut()) {
        operation.insert("requestBody".to_owned(), body);
    }
    if let (write::WRITE, Some(operation)) = (route.path, operation.as_object_mut()) {
        operation.insert("requestBody".to_owned(), json!({
            "required": true,
            "description": "A WriteRequest in snappy's block format (Content-Encoding: snappy).",
            "content": {"application/x-protobuf": {}},
        }));
    }
    operation
}

fn parameter(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": param.place,
        "required": param.place == "path",
        "description": param.about,
        "schema": {"type": "string"},
    })
}

fn shape(name: &str, fields: &str) -> Value {
    let fields = fields
        .split(',')
        .filter_map(|field| field.trim().split_once(' '));
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (field, written) in fields {
        let mut property = kind(written);
        let note = notes().find(|(shape, noted, _)| *shape == name && *noted == field);
        if let (Some((_, _, note)), Some(object)) = (note, property.as_object_mut()) {
            object.insert("description".to_owned(), json!(note));
        }
        properties.insert(field.to_owned(), property);
        required.push(field);
    }
    json!({"type": "object", "properties": properties, "required": required})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_to_a_shape() {
        let text = description().to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(shapes().any(|(known, _)| *known == name), "{name}");
        }
    }

    #[test]
    fn every_note_is_about_a_field_that_there_is() {
        for (name, field, _) in notes() {
            let (_, fields) = shapes().find(|(known, _)| known == name).unwrap();
            assert!(fields.contains(&format!("{field} ")), "{name}.{field}");
        }
    }
}
