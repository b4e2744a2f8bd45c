//! `POST /jobs/{queue}`: one job, a job with its children, or an array of jobs.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{BODY_MAX, Part, named, queues, wire};
use crate::http::Site;
use crate::http::body::Answer;
use crate::http::error::Refusal;
use crate::http::write::whole;
use crate::model::job::{JobOptions, NewJob, Payload, QueueName};
use crate::queue::{Added, Error, Flow};

/// A job as it is sent; with children it is a flow.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    #[serde(default)]
    queue_name: Option<QueueName>,
    name: Option<String>,
    #[serde(default)]
    data: Payload,
    #[serde(default)]
    opts: JobOptions,
    #[serde(default)]
    children: Vec<Sent>,
}

impl Sent {
    /// The flow that it is; a child without a queue goes to its parent's.
    fn flow(self, parent: &QueueName) -> Flow {
        let queue = self.queue_name.unwrap_or_else(|| parent.clone());
        let mut job = NewJob::new(
            self.name.unwrap_or_else(|| "__default__".to_owned()),
            self.data,
        );
        job.opts = self.opts;
        let children = self.children.into_iter();
        let children = children.map(|child| child.flow(&queue)).collect();
        Flow {
            queue,
            job,
            children,
        }
    }
}

/// A job of a flow that was sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AddedTo<'j> {
    #[serde(flatten)]
    added: wire::AddedView<'j>,
    queue_name: &'j str,
}

/// `POST /jobs/{queue}`.
pub(in crate::http) async fn post(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Answer, Refusal> {
    let name = named(&name)?;
    let (parts, body) = request.into_parts();
    let held = whole(&site, &parts.headers, body, BODY_MAX).await?;
    let text = held.bytes();
    let wrong =
        |error: serde_json::Error| Refusal::Body(format!("the body does not read: {error}"));
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let jobs: Vec<NewJob> = serde_json::from_slice(text).map_err(wrong)?;
        return bulk(&site, &name, jobs).await;
    }
    let sent: Sent = serde_json::from_slice(text).map_err(wrong)?;
    if sent.queue_name.as_ref().is_some_and(|own| *own != name) {
        let text = "queueName is another than the path's; send one name";
        return Err(Refusal::Body(text.to_owned()));
    }
    let flow = sent.flow(&name);
    if flow.children.is_empty() {
        let mut added = queues(&site)?.enqueue(&name, vec![flow.job]).await?;
        let one = added
            .pop()
            .unwrap_or(Err(Error::UnknownQueue(name.to_string())))?;
        let answer = Answer::json(&wire::added(&one))?.fleeting();
        return Ok(match one.added {
            Added::New => answer.created(),
            _ => answer,
        });
    }
    let added = queues(&site)?.enqueue_flow(flow).await?;
    let jobs = added.iter().map(|(queue, one)| AddedTo {
        added: wire::added(one),
        queue_name: queue.as_str(),
    });
    let jobs: Vec<AddedTo<'_>> = jobs.collect();
    let id = added.first().map(|(_, one)| one.id.clone());
    let answer = Answer::json(&json!({"id": id, "jobs": jobs}))?.fleeting();
    let is_new = added.iter().any(|(_, one)| one.added == Added::New);
    Ok(if is_new { answer.created() } else { answer })
}

async fn bulk(site: &Site, name: &QueueName, jobs: Vec<NewJob>) -> Result<Answer, Refusal> {
    let added = queues(site)?.enqueue(name, jobs).await?;
    let refused = added.iter().filter(|one| one.is_err()).count();
    let each = added.iter().map(|one| match one {
        Ok(one) => Part::Done(wire::added(one)),
        Err(error) => Part::Refused(Refusal::from(error).told()),
    });
    let answer = Answer::json(&each.collect::<Vec<_>>())?.fleeting();
    Ok(match refused {
        0 => answer.created(),
        _ => answer.of_several(),
    })
}
