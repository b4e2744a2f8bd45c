//! Jobs of queues with a webhook are sent to it: a runner a queue, whose handler is a signed request.
//!
//! What an answer means for a job:
//!
//! | answer | the job |
//! |---|---|
//! | 2xx | is done; a JSON body is its result |
//! | 408, 425, 429, 5xx, none in time | is tried again by its backoff, not before `Retry-After` |
//! | 410 | goes back, and nothing is sent until the queue is set anew |
//! | 3xx, other 4xx, a target that must not be reached | is given up |
//!
//! Five failures of the target in a row open the circuit: nothing is claimed for a second, then one
//! job is tried; each failure doubles the pause, up to five minutes. 429 with `Retry-After` opens it
//! for so long.

mod circuit;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use self::circuit::Circuit;
use crate::hook::{Error, Reply, Sender};
use crate::model::job::{Failure, Job, Payload, QueueName, Webhook};
use crate::model::units::Millis;
use crate::queue::{AlarmKind, Handler, Outcome, Queues, Runner, RunnerOptions, Task};

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// Whether a queue may be given a webhook, when it may reach these near hosts; the error is for people.
///
/// # Errors
/// What is wrong with it.
pub fn check(hook: &Webhook, near: &[String]) -> Result<(), String> {
    hook.check().map_err(|error| error.to_string())?;
    Sender::check(hook, near).map_err(|error| error.to_string())
}

/// Keeps a runner for each queue that has a webhook, until `stop` turns true.
pub(crate) async fn keep(
    queues: Arc<Queues>,
    sender: Arc<Sender>,
    mut stop: watch::Receiver<bool>,
) {
    let mut settings = queues.settings();
    let mut running: BTreeMap<QueueName, Sending> = BTreeMap::new();
    loop {
        settings.mark_unchanged();
        let wanted = wanted(&queues).await;
        let stale = running.extract_if(.., |queue, sending| {
            wanted.get(queue) != Some(&sending.hook) || sending.is_to_begin_anew(&queues, queue)
        });
        let stale = stale.map(|(queue, sending)| {
            queues.set_alarm(&queue, AlarmKind::Webhook, None);
            sending.runner
        });
        let stale: Vec<Runner> = stale.collect();
        futures_util::future::join_all(stale.into_iter().map(Runner::stop)).await;
        for (queue, hook) in wanted {
            running.entry(queue.clone()).or_insert_with(|| {
                // Before the first job: whoever sets the queue from here on is heard.
                let times_set = queues.times_set(&queue);
                let (runner, circuit) = start(&queues, &sender, queue, hook.clone());
                Sending {
                    hook,
                    runner,
                    circuit,
                    times_set,
                }
            });
        }
        tokio::select! {
            changed = settings.changed() => if changed.is_err() { break },
            _ = stop.changed() => break,
        }
    }
    let all = running.into_values().map(|sending| sending.runner.stop());
    futures_util::future::join_all(all).await;
}

/// A queue that is sent to its webhook.
struct Sending {
    hook: Webhook,
    runner: Runner,
    circuit: Arc<Circuit>,
    /// How often the queue had been set when this began.
    times_set: u64,
}

impl Sending {
    /// Whether its target was gone, and the queue was set since, be it to the same.
    fn is_to_begin_anew(&self, queues: &Queues, queue: &QueueName) -> bool {
        self.circuit.is_gone() && self.times_set != queues.times_set(queue)
    }
}

async fn wanted(queues: &Queues) -> BTreeMap<QueueName, Webhook> {
    let mut wanted = BTreeMap::new();
    for queue in queues.names().await {
        if let Ok(counts) = queues.keeper().counts(&queue).await
            && let Some(hook) = counts.config.webhook
        {
            wanted.insert(queue, hook);
        }
    }
    wanted
}

fn start(
    queues: &Arc<Queues>,
    sender: &Arc<Sender>,
    queue: QueueName,
    hook: Webhook,
) -> (Runner, Arc<Circuit>) {
    let concurrency = hook.concurrency as usize;
    let (circuit, valve) = Circuit::closed(Arc::clone(queues), queue.clone(), concurrency, PAUSES);
    let circuit = Arc::new(circuit);
    let told = Arc::clone(&circuit);
    let (queues, sender, hook) = (Arc::clone(queues), Arc::clone(sender), Arc::new(hook));
    let clock = Arc::clone(&queues);
    let handler: Handler = Arc::new(move |task: Task| {
        let (sender, hook) = (Arc::clone(&sender), Arc::clone(&hook));
        let (circuit, now) = (Arc::clone(&circuit), clock.now());
        Box::pin(async move {
            if circuit.is_open() {
                return Outcome::Release;
            }
            let job = &task.job;
            let body = match serde_json::to_vec(&Sent::of(job)) {
                Ok(body) => Bytes::from(body),
                Err(error) => return Outcome::Fail(Failure::of(error.to_string())),
            };
            let id = message_id(job);
            let sent = sender.send(&hook, &id, body, now);
            let verdict = tokio::select! {
                sent = sent => verdict(sent),
                // Whether it arrived is not known: it may be sent twice, as ever.
                () = task.stopping() => return Outcome::Release,
            };
            circuit.note(&verdict);
            verdict.outcome()
        })
    });
    let options = RunnerOptions {
        concurrency,
        valve: Some(valve),
        worker: "webhook".to_owned(),
        lease: None,
        grace: Duration::from_secs(2),
    };
    (Runner::start(queues, queue, handler, options), told)
}

/// The same for each attempt of a job, so that the target can tell a second delivery.
fn message_id(job: &Job) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_~".contains(c);
    let mut id = format!("{}/", job.queue);
    for c in job.id.chars() {
        if plain(c) {
            id.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(id, "%{byte:02X}");
            }
        }
    }
    id
}

/// What is posted; the payload goes as the text that it came as.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'j> {
    id: &'j str,
    queue_name: &'j str,
    name: &'j str,
    data: &'j Payload,
    priority: u32,
    timestamp: i64,
    attempts_made: u32,
    attempts_started: u32,
}

impl<'j> Sent<'j> {
    fn of(job: &'j Job) -> Self {
        Self {
            id: &job.id,
            queue_name: job.queue.as_str(),
            name: &job.name,
            data: &job.data,
            priority: job.priority,
            timestamp: job.created_at.as_millis(),
            attempts_made: job.attempts_made,
            attempts_started: job.attempts_started,
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Done(Payload),
    /// The target cannot now; for this long if it says so.
    Later(Failure, Option<Duration>),
    /// The target is gone.
    Gone,
    /// The target does not want this job.
    Refused(Failure),
}

impl Verdict {
    fn outcome(self) -> Outcome {
        match self {
            Self::Done(result) => Outcome::Complete(result),
            Self::Later(failure, _) | Self::Refused(failure) => Outcome::Fail(failure),
            Self::Gone => Outcome::Release,
        }
    }
}

fn verdict(sent: Result<Reply, Error>) -> Verdict {
    let reply = match sent {
        Ok(reply) => reply,
        Err(error) => {
            let is_passing = matches!(error, Error::Timeout(_) | Error::Unreachable(_));
            let failure = Failure {
                name: Some(
                    if is_passing {
                        "WebhookUnreachable"
                    } else {
                        "WebhookTarget"
                    }
                    .to_owned(),
                ),
                retryable: Some(is_passing),
                ..Failure::of(error.to_string())
            };
            return if is_passing {
                Verdict::Later(failure, None)
            } else {
                Verdict::Refused(failure)
            };
        }
    };
    let text = String::from_utf8_lossy(&reply.body);
    let text: String = text.chars().take(500).collect();
    let mut failure = Failure {
        name: Some(format!("Http{}", reply.status)),
        ..Failure::of(format!("the target answered {}: {text}", reply.status))
    };
    match reply.status {
        200..300 => {
            let result = reply
                .is_json
                .then(|| serde_json::from_slice(&reply.body).ok());
            Verdict::Done(result.flatten().unwrap_or_default())
        }
        408 | 425 | 429 | 500.. => {
            let millis =
                |wait: Duration| Millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            failure.retry_after = reply.retry_after.map(millis);
            let pause = reply.retry_after.filter(|_| reply.status == 429);
            Verdict::Later(failure, pause)
        }
        410 => Verdict::Gone,
        _ => {
            failure.retryable = Some(false);
            Verdict::Refused(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16) -> Reply {
        Reply {
            status,
            retry_after: None,
            body: Bytes::from_static(b"{\"ok\":1}"),
            is_json: true,
        }
    }

    #[test]
    fn each_answer_means_what_the_table_says() {
        let Verdict::Done(result) = verdict(Ok(reply(201))) else {
            panic!("done");
        };
        assert_eq!(result.text(), "{\"ok\":1}");
        for status in [408, 425, 429, 500, 503, 599] {
            let Verdict::Later(failure, _) = verdict(Ok(reply(status))) else {
                panic!("{status}");
            };
            assert_ne!(failure.retryable, Some(false), "{status}");
        }
        for status in [301, 302, 307, 400, 401, 404, 422] {
            let Verdict::Refused(failure) = verdict(Ok(reply(status))) else {
                panic!("{status}");
            };
            assert_eq!(failure.retryable, Some(false), "{status}");
        }
        assert_eq!(verdict(Ok(reply(410))), Verdict::Gone);
        let private = Error::Private {
            host: "x".to_owned(),
        };
        assert!(matches!(verdict(Err(private)), Verdict::Refused(_)));
        assert!(matches!(
            verdict(Err(Error::Timeout(5))),
            Verdict::Later(..)
        ));
    }

    #[test]
    fn what_the_target_asks_for_is_kept() {
        let wait = Duration::from_secs(7);
        let told = Reply {
            retry_after: Some(wait),
            ..reply(503)
        };
        let Verdict::Later(failure, None) = verdict(Ok(told)) else {
            panic!("later");
        };
        assert_eq!(failure.retry_after, Some(Millis(7_000)));
        let told = Reply {
            retry_after: Some(wait),
            ..reply(429)
        };
        assert!(matches!(verdict(Ok(told)), Verdict::Later(_, Some(pause)) if pause == wait));
    }

    #[tokio::test]
    async fn a_payload_is_posted_as_the_text_that_it_came_as() {
        let queues = Queues::new(
            Arc::new(crate::queue::Memory::empty()),
            Arc::new(crate::clock::SystemClock),
        );
        let queue: QueueName = "bar".parse().unwrap();
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in ["1e999", "36893488147419103233", &deep] {
            let data: Payload = serde_json::from_str(text).unwrap();
            let job = crate::model::job::NewJob::new("j", data);
            let added = queues.enqueue(&queue, vec![job]).await.unwrap().remove(0);
            let job = queues.get(&queue, &added.unwrap().id).await.unwrap();
            let body = serde_json::to_string(&Sent::of(&job)).unwrap();
            assert!(
                body.contains(&format!("\"data\":{text},\"priority\":0")),
                "{body}"
            );
        }
    }
}
