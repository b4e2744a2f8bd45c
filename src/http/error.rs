//! Refusals: status, stable code and public text. The only place that knows status codes of errors.
//!
//! The body is problem+json (RFC 9457) with two fields more: `code`, which never changes, and
//! `error`, the text that the original's clients read. What is for operators goes to the log. The
//! Prometheus API has an envelope of its own.

use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::{Wanted, write_body};
use super::envelope;
use super::router::Route;
use crate::model::capacity::UnknownResource;
use crate::postgres;
use crate::queue;
use crate::work::explain::Why;
use crate::work::maintain::Refused;
use crate::work::query;

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Refusal {
    #[error("there is no such path; /openapi.json lists all")]
    UnknownPath,
    #[error("this path takes another method; see the Allow header")]
    Method,
    #[error("no target is configured; start the server with --target")]
    NoTargets,
    #[error("there is no target {name:?}; one of {}", known.join(", "))]
    UnknownTarget { name: String, known: Vec<String> },
    #[error(
        "there is no table {name:?} in database {database:?}; write it as it is called, or quoted as in SQL"
    )]
    UnknownTable { name: String, database: String },
    #[error("no statement {queryid:?} was seen; `plimsoll statements` lists those that were")]
    UnknownStatement { queryid: String },
    #[error("there is no load test {id:?}; GET /api/v1/performance/load-tests lists the newest")]
    UnknownLoadTest { id: String },
    #[error("{name:?} is the name of several tables; one of {}", known.join(", "))]
    AmbiguousTable { name: String, known: Vec<String> },
    #[error(transparent)]
    UnknownResource(#[from] UnknownResource),
    #[error("{name} is {text:?}; write {wanted}")]
    Parameter {
        name: &'static str,
        text: String,
        wanted: String,
    },
    #[error("{what} is not known yet: {why}")]
    NotYet {
        what: &'static str,
        why: String,
        retry_after_s: u64,
    },
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("{0}")]
    TooMuch(String),
    #[error("{0}")]
    Body(String),
    #[error("{0}")]
    Samples(String),
    #[error("{what} is {given:?}; send {wanted}")]
    Encoding {
        what: &'static str,
        given: String,
        wanted: &'static str,
    },
    #[error("{why}")]
    Later { why: String, retry_after_s: u64 },
    #[error("the history cannot be exported: {0}")]
    Export(String),
    /// Of the queues; `kind` says of what sort.
    #[error("{text}")]
    Job { kind: JobRefusal, text: String },
    /// Of a statement that was to be explained; `why` says of what sort.
    #[error("{text}")]
    Statement { why: Why, text: String },
    /// Of a write to a target; `kind` says of what sort.
    #[error("{text}")]
    Maintenance {
        kind: MaintenanceRefusal,
        text: String,
    },
    /// Of the named queries; the text says what may have been meant.
    #[error("{text}")]
    UnknownQuery { text: String },
    /// A named query that could not be run.
    #[error("{text}")]
    NotLoaded { text: String, retry_after_s: u64 },
    #[error(
        "what a query found may be about people; this token is for looking, so send the other one"
    )]
    NotForViewers,
    #[error("Query is required")]
    QueryRequired,
    #[error("the request names no host")]
    NoHost,
    #[error(
        "this server does not answer to {name:?}; use a loopback name, or add it to http.hosts"
    )]
    ForeignHost { name: String },
    #[error("a page of another site may not change anything here")]
    ForeignOrigin,
    #[error("a token is needed; send it as `Authorization: Bearer …`")]
    NoToken,
    #[error("this token is for looking; changing something needs the other one")]
    OnlyLooking,
    #[error("the answer took too long; ask for less, or raise http.request_timeout")]
    TooSlow,
    /// Of the Prometheus API, told in its own envelope; `kind` is its `errorType`.
    #[error("{text}")]
    Query { kind: &'static str, text: String },
    #[error("the report could not be written: {0}")]
    Report(String),
    /// The text goes to the log; the asker cannot do anything with it.
    #[error("the server could not write the answer; its log says why")]
    Internal(String),
}

/// Sorts of what the queues refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobRefusal {
    UnknownQueue,
    UnknownJob,
    UnknownSchedule,
    BadSchedule,
    Conflict,
    LeaseLost,
    Misplaced,
    TooLarge,
    Invalid,
    NotDurable,
}

/// Sorts of writes to a target that are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaintenanceRefusal {
    NotAllowed,
    UnknownTarget,
    UnknownTable,
    Invalid,
    /// The server, or what it has, does not admit it.
    Refused,
    NotNow,
}

impl MaintenanceRefusal {
    const fn status(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotAllowed => (StatusCode::FORBIDDEN, "write-not-allowed"),
            Self::UnknownTarget => (StatusCode::NOT_FOUND, "unknown-target"),
            Self::UnknownTable => (StatusCode::NOT_FOUND, "unknown-table"),
            Self::Invalid => (StatusCode::BAD_REQUEST, "bad-body"),
            Self::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "write-refused"),
            Self::NotNow => (StatusCode::SERVICE_UNAVAILABLE, "not-now"),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let kind = match &refused {
            Refused::NotAllowed { .. } => MaintenanceRefusal::NotAllowed,
            Refused::UnknownTarget(_) => MaintenanceRefusal::UnknownTarget,
            Refused::Server(postgres::Error::NoTable { .. }) => MaintenanceRefusal::UnknownTable,
            Refused::Asked(_)
            | Refused::Policy(_)
            | Refused::Server(postgres::Error::SeveralTables { .. }) => MaintenanceRefusal::Invalid,
            other if other.is_passing() => MaintenanceRefusal::NotNow,
            _ => MaintenanceRefusal::Refused,
        };
        Self::Maintenance {
            kind,
            text: refused.to_string(),
        }
    }
}

impl JobRefusal {
    const fn status(self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownQueue => (StatusCode::NOT_FOUND, "unknown-queue"),
            Self::UnknownJob => (StatusCode::NOT_FOUND, "unknown-job"),
            Self::UnknownSchedule => (StatusCode::NOT_FOUND, "unknown-schedule"),
            Self::BadSchedule => (StatusCode::BAD_REQUEST, "invalid-schedule"),
            Self::Conflict => (StatusCode::CONFLICT, "conflicting-job"),
            Self::LeaseLost => (StatusCode::CONFLICT, "lease-lost"),
            Self::Misplaced => (StatusCode::CONFLICT, "other-state"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
            Self::Invalid => (StatusCode::BAD_REQUEST, "invalid-job"),
            Self::NotDurable => (StatusCode::SERVICE_UNAVAILABLE, "jobs-not-writable"),
        }
    }
}

impl From<queue::Error> for Refusal {
    fn from(error: queue::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&queue::Error> for Refusal {
    fn from(error: &queue::Error) -> Self {
        use crate::model::job;
        let kind = match error {
            queue::Error::UnknownQueue(_) => JobRefusal::UnknownQueue,
            queue::Error::UnknownJob { .. } => JobRefusal::UnknownJob,
            queue::Error::Schedule(queue::schedule::Error::Unknown(_)) => {
                JobRefusal::UnknownSchedule
            }
            queue::Error::Schedule(_) => JobRefusal::BadSchedule,
            queue::Error::Conflict { .. } | queue::Error::Twice { .. } => JobRefusal::Conflict,
            queue::Error::LeaseLost { .. } => JobRefusal::LeaseLost,
            queue::Error::Misplaced { .. } | queue::Error::Busy { .. } => JobRefusal::Misplaced,
            queue::Error::TooMany { .. }
            | queue::Error::Progress { .. }
            | queue::Error::Invalid(job::Error::Payload { .. }) => JobRefusal::TooLarge,
            queue::Error::Invalid(_) | queue::Error::Cursor(_) => JobRefusal::Invalid,
            _ => {
                tracing::error!(%error, "a queue could not do what it was asked");
                JobRefusal::NotDurable
            }
        };
        Self::Job {
            kind,
            text: error.to_string(),
        }
    }
}

impl Refusal {
    /// What is told of one part among several.
    pub(super) fn told(&self) -> serde_json::Value {
        let (status, code) = self.status();
        json!({"error": {"status": status.as_u16(), "code": code, "detail": self.to_string()}})
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownPath => (StatusCode::NOT_FOUND, "unknown-path"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::NoTargets => (StatusCode::NOT_FOUND, "no-target"),
            Self::UnknownTarget { .. } => (StatusCode::NOT_FOUND, "unknown-target"),
            Self::UnknownTable { .. } => (StatusCode::NOT_FOUND, "unknown-table"),
            Self::UnknownStatement { .. } => (StatusCode::NOT_FOUND, "unknown-statement"),
            Self::UnknownLoadTest { .. } => (StatusCode::NOT_FOUND, "unknown-load-test"),
            Self::AmbiguousTable { .. } => (StatusCode::BAD_REQUEST, "ambiguous-table"),
            Self::UnknownResource(_) => (StatusCode::NOT_FOUND, "unknown-resource"),
            Self::Parameter { .. } => (StatusCode::BAD_REQUEST, "invalid-parameter"),
            Self::NotYet { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not-yet-known"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            Self::TooMuch(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-many-samples"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "bad-body"),
            Self::Samples(_) => (StatusCode::BAD_REQUEST, "samples-left-out"),
            Self::Encoding { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding"),
            Self::Later { .. } => (StatusCode::SERVICE_UNAVAILABLE, "history-not-writable"),
            Self::Export(_) => (StatusCode::BAD_REQUEST, "not-exported"),
            Self::Job { kind, .. } => kind.status(),
            Self::Statement { why, .. } => (status_of(*why), why.code()),
            Self::Maintenance { kind, .. } => kind.status(),
            Self::UnknownQuery { .. } => (StatusCode::NOT_FOUND, "unknown-query"),
            Self::NotLoaded { .. } => (StatusCode::BAD_GATEWAY, "not-loaded"),
            Self::NotForViewers => (StatusCode::FORBIDDEN, "not-for-viewers"),
            Self::QueryRequired => (StatusCode::BAD_REQUEST, "no-statement"),
            Self::NoHost => (StatusCode::BAD_REQUEST, "no-host"),
            Self::ForeignHost { .. } => (StatusCode::MISDIRECTED_REQUEST, "foreign-host"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin"),
            Self::OnlyLooking => (StatusCode::FORBIDDEN, "only-looking"),
            Self::NoToken => (StatusCode::UNAUTHORIZED, "no-token"),
            Self::TooSlow => (StatusCode::SERVICE_UNAVAILABLE, "too-slow"),
            Self::Query { kind, .. } => match *kind {
                "bad_data" => (StatusCode::BAD_REQUEST, "bad-query"),
                "unavailable" => (StatusCode::SERVICE_UNAVAILABLE, "no-history"),
                "internal" => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
                _ => (StatusCode::UNPROCESSABLE_ENTITY, "query-failed"),
            },
            Self::Report(_) => (StatusCode::INTERNAL_SERVER_ERROR, "report-failed"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Writes the problem into `response`, keeping its headers (`Allow` is one).
    pub(super) fn write(self, route: Option<&Route>, wanted: &Wanted, response: &mut Response) {
        let (status, code) = self.status();
        if let Self::Internal(why) | Self::Report(why) = &self {
            tracing::error!(code, why, "a request could not be answered");
        }
        if let Self::Samples(why) | Self::Later { why, .. } = &self {
            tracing::warn!(code, why, "samples that were sent are not kept");
        }
        let title = status.canonical_reason().unwrap_or("Error");
        let error = match route {
            // As the original says it.
            _ if self == Self::QueryRequired => self.to_string(),
            Some(route) => format!("Failed to {}", route.does),
            None => title.to_owned(),
        };
        if let Self::Query { kind, text } = &self {
            *response.status_mut() = status;
            let no_store = HeaderValue::from_static("no-store");
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, no_store);
            let body = envelope::refusal(kind, text).into();
            return write_body("application/json", body, wanted, response);
        }
        let problem = json!({
            "type": format!("urn:plimsoll:error:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.to_string(),
            "code": code,
            "error": error,
        });
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Self::NotYet { retry_after_s, .. }
        | Self::Later { retry_after_s, .. }
        | Self::NotLoaded { retry_after_s, .. } = &self
        {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
        } else if let Self::Statement { .. } = &self
            && status == StatusCode::SERVICE_UNAVAILABLE
        {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
        }
        if self == Self::NoToken {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let body = problem.to_string().into();
        write_body("application/problem+json", body, wanted, response);
    }
}

/// Statements that are not explained: the caller's fault, the server's no, or not now.
const fn status_of(why: Why) -> StatusCode {
    match why {
        Why::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        Why::AnalyzeOff | Why::Denied => StatusCode::FORBIDDEN,
        Why::Harmful | Why::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        Why::Locked | Why::Slow | Why::NoServer => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl From<query::Error> for Refusal {
    fn from(error: query::Error) -> Self {
        let kind = match &error {
            query::Error::Parse(_) | query::Error::Guard { .. } | query::Error::Pattern(_) => {
                "bad_data"
            }
            query::Error::Stopped => "timeout",
            query::Error::Source(why) => {
                tracing::error!(%why, "the history could not be read");
                return Self::Query {
                    kind: "internal",
                    text: "the history could not be read; the server's log says why".to_owned(),
                };
            }
            _ => "execution",
        };
        Self::Query {
            kind,
            text: error.to_string(),
        }
    }
}

impl IntoResponse for Refusal {
    /// Carries itself to `front`, which knows the route.
    fn into_response(self) -> Response {
        let mut response = self.status().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
