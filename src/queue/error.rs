//! Why a transition does not happen.

use crate::model::job::{self, JobState};
use crate::model::units::{Bytes, counted};
use crate::store;

/// Why a transition does not happen; then nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that was sent cannot be taken.
    #[error(transparent)]
    Invalid(#[from] job::Error),
    /// No queue has this name.
    #[error("there is no queue {0:?}; it is made when a first job is added")]
    UnknownQueue(String),
    /// No job has this id.
    #[error("the queue {queue} has no job {id:?}; it may have been removed after its end")]
    UnknownJob {
        /// The queue.
        queue: String,
        /// The id.
        id: String,
    },
    /// Another job has the id.
    #[error(
        "the queue {queue} has another job {id:?}; choose another jobId, or send the same payload"
    )]
    Conflict {
        /// The queue.
        queue: String,
        /// The id.
        id: String,
    },
    /// A flow names a job twice, as it would if it went round in a circle.
    #[error(
        "the flow has job {id:?} of the queue {queue} twice; give each job of it an id of its own"
    )]
    Twice {
        /// The queue.
        queue: String,
        /// The id.
        id: String,
    },
    /// A note on progress that is too large, whatever its queue takes.
    #[error(
        "the progress takes {size}, at most {limit} are kept; keep large data elsewhere and send its address"
    )]
    Progress {
        /// Its size.
        size: Bytes,
        /// How much is kept.
        limit: Bytes,
    },
    /// The lease is not in force, or never was.
    #[error("the lease on job {id:?} has ended; somebody else may have the job")]
    LeaseLost {
        /// The job.
        id: String,
    },
    /// The job does not stand where the verb begins.
    #[error("job {id:?} is {state}; {verb} needs one that is {needs}")]
    Misplaced {
        /// The job.
        id: String,
        /// Where it stands.
        state: JobState,
        /// What was asked.
        verb: &'static str,
        /// Where it would have to stand.
        needs: &'static str,
    },
    /// Jobs are being worked on.
    #[error("the queue {queue} works on {active}; wait for their end, or force it", active = counted(*active, "job"))]
    Busy {
        /// The queue.
        queue: String,
        /// How many.
        active: u64,
    },
    /// A schedule that cannot be, or is not there.
    #[error(transparent)]
    Schedule(#[from] super::schedule::Error),
    /// More at once than is taken.
    #[error("{given} {what} at once; at most {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A cursor that no answer gave.
    #[error("{0:?} is no cursor; take nextCursor of the page before")]
    Cursor(String),
    /// The disk refuses.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What was written did not reach the disk.
    #[error("the change did not reach the disk: {0}; ask what became of it before trying again")]
    NotDurable(String),
}

/// What a transition gives.
pub type Result<T> = std::result::Result<T, Error>;
