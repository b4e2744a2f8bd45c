//! What is looked at before anything changes, the same for every keeper.

use std::collections::BTreeSet;

use super::entry::Entry;
use super::shared::Transitions;
use super::transition::{Added, Enqueued, Flow, PageAsk};
use super::{Error, Result};
use crate::model::job::{self, Job, JobRef, JobState, NewJob, Payload, QueueConfig, QueueName};
use crate::model::units::Bytes;

/// Jobs in one flow.
const FLOW_MAX: usize = 1_000;
/// Parents above a job: all that fail with it are one batch.
const DEPTH_MAX: usize = 20;
/// Jobs that one page looks at; with a filter that few fit, pages come short or empty.
pub(super) const LOOKS_MAX: usize = 1_000;
/// Jobs on one page.
pub(super) const PAGE_MAX: usize = 1_000;
/// Ended jobs that go with one that ends, when a queue keeps more than it should.
pub(super) const TRIM_MAX: usize = 32;
/// The largest note on progress.
const PROGRESS_MAX: usize = 16 << 10;

/// Queues of one store.
const QUEUES_MAX: usize = 10_000;

/// Whether one more queue may be made beside so many.
pub(super) fn check_room(queues: usize) -> Result<()> {
    if queues >= QUEUES_MAX {
        return Err(Error::TooMany {
            what: "queues",
            given: queues + 1,
            limit: QUEUES_MAX,
        });
    }
    Ok(())
}

/// A job that the queue takes.
pub(super) fn check_job(job: &NewJob, queue: &QueueName, config: &QueueConfig) -> Result<()> {
    job.check()?;
    check_size(&job.data, queue, config.max_payload)
}

/// A payload that the queue takes.
pub(super) fn check_size(payload: &Payload, queue: &QueueName, limit: Bytes) -> Result<()> {
    let size = Bytes(payload.size() as u64);
    if size > limit {
        return Err(Error::Invalid(job::Error::Payload {
            queue: queue.to_string(),
            size,
            limit,
        }));
    }
    Ok(())
}

/// A note on progress that is kept.
pub(super) fn check_progress(payload: &Payload) -> Result<()> {
    if payload.size() > PROGRESS_MAX {
        return Err(Error::Progress {
            size: Bytes(payload.size() as u64),
            limit: Bytes(PROGRESS_MAX as u64),
        });
    }
    Ok(())
}

/// A flow of a size that is taken, in which no job comes twice.
///
/// A tree has no circles unless a job comes twice in it: that is how a circle would be written.
pub(super) fn check_flow(flow: &Flow) -> Result<()> {
    let mut ids = BTreeSet::new();
    let mut jobs = 0;
    let mut open = vec![(flow, 1)];
    while let Some((one, depth)) = open.pop() {
        jobs += 1;
        if depth > DEPTH_MAX {
            return Err(Error::TooMany {
                what: "generations in a flow",
                given: depth,
                limit: DEPTH_MAX,
            });
        }
        if jobs > FLOW_MAX {
            return Err(Error::TooMany {
                what: "jobs in a flow",
                given: jobs,
                limit: FLOW_MAX,
            });
        }
        if let Some(id) = &one.job.opts.job_id
            && !ids.insert((&one.queue, id))
        {
            return Err(Error::Twice {
                queue: one.queue.to_string(),
                id: id.clone(),
            });
        }
        if one.job.opts.deduplication.is_some() {
            return Err(Error::Invalid(job::Error::Bounds {
                field: "deduplication",
                given: "set in a flow".to_owned(),
                wanted: "a jobId there",
            }));
        }
        open.extend(one.children.iter().map(|child| (child, depth + 1)));
    }
    Ok(())
}

/// The same job again answers as the first did; another with its id is refused.
pub(super) fn check_same(
    known: &Entry,
    data: &Payload,
    job: &NewJob,
    queue: &QueueName,
) -> Result<()> {
    if known.name == job.name && *data == job.data {
        Ok(())
    } else {
        Err(Error::Conflict {
            queue: queue.to_string(),
            id: known.id(),
        })
    }
}

/// What is answered for a flow that was sent before: where its jobs stand. `None` for one that is
/// new, and a conflict for one that differs from what was sent under its first job's id.
///
/// A child that is gone was taken out since, and does not make the flow another one.
pub(super) fn same_flow(
    keeper: &impl Transitions,
    flow: &Flow,
) -> Result<Option<Vec<(QueueName, Enqueued)>>> {
    let Some(id) = &flow.job.opts.job_id else {
        return Ok(None);
    };
    let me = JobRef {
        queue: flow.queue.clone(),
        id: id.clone(),
    };
    if look_at(keeper, &me)?.is_none() {
        return Ok(None);
    }
    let mut known = Vec::new();
    compare(keeper, flow, me, &mut known)?;
    Ok(Some(known))
}

fn look_at(keeper: &impl Transitions, job: &JobRef) -> Result<Option<Job>> {
    match keeper.get(&job.queue, &job.id) {
        Ok(job) => Ok(Some(job)),
        Err(Error::UnknownJob { .. } | Error::UnknownQueue(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn compare(
    keeper: &impl Transitions,
    flow: &Flow,
    known: JobRef,
    answers: &mut Vec<(QueueName, Enqueued)>,
) -> Result<()> {
    let job = look_at(keeper, &known)?;
    let (sent, opts) = (&flow.job, &flow.job.opts);
    let is_same = known.queue == flow.queue
        && opts.job_id.as_ref().is_none_or(|id| *id == known.id)
        && job.as_ref().is_none_or(|job| {
            job.name == sent.name
                && job.data == sent.data
                && job.children.len() == flow.children.len()
        });
    if !is_same {
        return Err(Error::Conflict {
            queue: known.queue.to_string(),
            id: known.id,
        });
    }
    let enqueued = Enqueued {
        id: known.id,
        state: job.as_ref().map(|job| job.state),
        added: Added::Same,
        due: None,
    };
    answers.push((known.queue, enqueued));
    let children = job.map(|job| job.children).unwrap_or_default();
    for (child, known) in flow.children.iter().zip(children) {
        compare(keeper, child, known, answers)?;
    }
    Ok(())
}

/// Whether lists of this state begin with the newest.
pub(super) const fn is_newest_first(state: JobState) -> bool {
    state.is_final()
}

/// Where a page begins: after this place.
pub(super) fn cursor(ask: &PageAsk) -> Result<Option<(i64, u64)>> {
    let Some(text) = &ask.cursor else {
        return Ok(None);
    };
    let read = |text: &str| {
        let (first, second) = text.split_once('.')?;
        Some((first.parse().ok()?, second.parse().ok()?))
    };
    let place = read(text).ok_or_else(|| Error::Cursor(text.chars().take(80).collect()))?;
    Ok(Some(place))
}

/// A place as text.
pub(super) fn cursor_text((first, second): (i64, u64)) -> String {
    format!("{first}.{second}")
}
