//! One request before the load: whether anybody is there, and what it thinks of the endpoints.

use std::time::Duration;

use super::client::{Kind, Line, Target};
use super::request::Set;
use super::{Error, Result};

/// How long an answer is waited for, at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// Endpoints that are asked.
const ASKED: usize = 10;

/// Asks each endpoint that changes nothing once; with none such, only connects. Gives what a reader
/// of the results should know: endpoints that refuse.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Silent`].
pub(super) async fn ask(target: &Target, set: &Set, timeout: Duration) -> Result<Vec<String>> {
    let limit = PATIENCE.min(timeout);
    let (mut line, mut notes) = (Line::default(), Vec::new());
    let mut asked = 0;
    for index in set.harmless().take(ASKED) {
        let Some(request) = set.make(index, 0) else {
            continue;
        };
        asked += 1;
        let answer = tokio::time::timeout(limit, line.send(target, request)).await;
        let shown = set.shown(index);
        let Ok(answer) = answer else {
            return Err(silent(target, shown, limit));
        };
        match answer {
            Ok(reply) if reply.status < 400 => {}
            Ok(reply) => notes.push(format!(
                "{shown} answered {} before the load: all requests like it will count as errors",
                reply.status
            )),
            Err(kind) => return Err(unreachable(target, &line, kind)),
        }
    }
    if asked == 0 {
        let connected = tokio::time::timeout(limit, line.connect(target)).await;
        match connected {
            Err(_) => return Err(silent(target, "a connection", limit)),
            Ok(Err(kind)) => return Err(unreachable(target, &line, kind)),
            Ok(Ok(())) => {}
        }
    }
    Ok(notes)
}

fn silent(target: &Target, request: &str, limit: Duration) -> Error {
    Error::Silent {
        origin: target.origin.to_string(),
        request: request.to_owned(),
        limit,
    }
}

fn unreachable(target: &Target, line: &Line, kind: Kind) -> Error {
    let reason = line.trouble.clone().unwrap_or_else(|| match kind {
        Kind::Reset => "it closed the connection without an answer".to_owned(),
        _ => "what it answers is no HTTP/1.1".to_owned(),
    });
    Error::Unreachable {
        origin: target.origin.to_string(),
        reason,
    }
}
