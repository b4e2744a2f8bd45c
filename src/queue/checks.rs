//! What is looked at before anything changes, the same for every keeper.

use std::collections::BTreeSet;

use super::entry::Entry;
use super::transition::{Flow, PageAsk};
use super::{Error, Result};
use crate::model::job::{self, JobState, NewJob, Payload, QueueConfig, QueueName};
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
pub(super) fn check_progress(payload: &Payload, queue: &QueueName) -> Result<()> {
    check_size(payload, queue, Bytes(PROGRESS_MAX as u64))
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
            return Err(Error::Conflict {
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
