//! What the verbs of a queue take and give.

use std::time::Duration;

use crate::model::job::{Failure, Job, JobState, Lease, NewJob, Payload, QueueConfig, QueueName};
use crate::model::units::{Millis, Timestamp};

/// What became of a job that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// A job of the same id and payload was there.
    Same,
    /// It was left out for another that counts as the same.
    Deduplicated,
}

/// The job that stands for one that was enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued {
    /// Its id.
    pub id: String,
    /// Where it stands; `None` if it is gone and still counts as the same.
    pub state: Option<JobState>,
    /// Whether it is the one that was sent.
    pub added: Added,
    /// When it is to be looked at again, if it is new and nobody takes it before.
    pub due: Option<Timestamp>,
}

/// A key and a value that are written in the same batch as a job: a schedule's next run.
///
/// Whoever uses it owns a prefix. Neither is looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Where.
    pub key: Vec<u8>,
    /// What; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// A job with the jobs that it waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Where the job goes.
    pub queue: QueueName,
    /// The job.
    pub job: NewJob,
    /// What it waits for.
    pub children: Vec<Flow>,
}

/// Who wants jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// At most so many.
    pub max: usize,
    /// For how long; as the queue says if left out.
    pub lease: Option<Millis>,
    /// What they call themselves.
    pub worker: String,
}

/// A job that is to be worked on, and the right to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job.
    pub job: Job,
    /// The right to it.
    pub lease: Lease,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done, and gave this.
    Complete(Payload),
    /// It failed.
    Fail(Failure),
    /// It was given back untouched: no attempt is counted.
    Release,
}

/// The end of an attempt, by whoever has the lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The job.
    pub id: String,
    /// The right to it.
    pub token: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// When endings are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// When they would survive a loss of power.
    OnDisk,
    /// At once: who loses them in a loss of power has the jobs done again. [`super::JobStore::sync`]
    /// waits for the disk later, for many of them together.
    AtOnce,
}

/// A lease that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    /// Until when.
    pub until: Timestamp,
    /// Whether the job was called off meanwhile: its worker should stop and say so by failing.
    pub cancelling: bool,
}

/// What a worker tells about a job while it has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// How far it is.
    Progress(Payload),
    /// A line for whoever looks at the job later.
    Log(String),
}

/// What an operator does to one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Takes up again what was given up, with all its attempts before it.
    Retry,
    /// Lets a delayed one run now.
    Promote,
    /// Calls it off; one that is active is asked to stop.
    Cancel,
    /// Takes it out of the queue with all that is known of it.
    Remove,
}

/// Something that changed where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its queue.
    pub queue: QueueName,
    /// Its id.
    pub id: String,
    /// Where it stands now; `None` if it is removed.
    pub state: Option<JobState>,
    /// Whether an attempt failed.
    pub failed: bool,
    /// From when it might have run to when its last attempt began.
    pub wait: Millis,
    /// How long its last attempt took.
    pub run: Millis,
    /// What went wrong.
    pub reason: Option<String>,
}

impl Change {
    /// A job was removed, because it was too old.
    pub(super) fn gone(queue: &QueueName, id: String) -> Self {
        Self {
            queue: queue.clone(),
            id,
            state: None,
            failed: false,
            wait: Millis(0),
            run: Millis(0),
            reason: None,
        }
    }
}

/// What a queue is set to.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// These settings; the queue is made if it is not there.
    Config(Box<QueueConfig>),
    /// Nothing is claimed any more.
    Pause,
    /// Claims go on.
    Resume,
}

/// Which jobs are removed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clear {
    /// Those that wait.
    Waiting,
    /// Those that wait or are delayed.
    Pending,
    /// Those that ended in this state.
    Ended(JobState),
    /// All, and in the end the queue itself; active ones only if forced.
    Everything {
        /// Whether active ones go, too.
        force: bool,
    },
}

/// Which jobs of a list are meant. What is left out does not choose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this name.
    pub name: Option<String>,
    /// Whose last error says this, in its name or its message; upper and lower case are one.
    pub error: Option<String>,
    /// That ended (or were enqueued, if they have not) at or after.
    pub from: Option<Timestamp>,
    /// That ended (or were enqueued) before.
    pub until: Option<Timestamp>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageAsk {
    /// Where the jobs stand.
    pub state: JobState,
    /// From where on; `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Which.
    pub filter: Filter,
}

/// Part of a list: those that wait in the order in which they run, those that ended newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Jobs; may be fewer than asked for, or none, though more follow.
    pub jobs: Vec<Job>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<String>,
}

/// Takes up again what was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// From here: failed, dead or cancelled.
    pub state: JobState,
    /// Which.
    pub filter: Filter,
    /// At most so many, oldest first.
    pub limit: usize,
    /// Jobs per second that come up, from `first` on; zero lets all run at once.
    pub rate: u32,
    /// When the first may run.
    pub first: Timestamp,
    /// Jobs that were taken up with it already: they come up before.
    pub taken: u64,
}

impl Retry {
    /// When the job may run that is taken up after `many` others of this call.
    pub(super) fn run_at(&self, many: usize) -> Timestamp {
        let nth = u128::from(self.taken) + many as u128;
        let ms = (nth * 1_000).checked_div(u128::from(self.rate));
        let ms = u64::try_from(ms.unwrap_or(0)).unwrap_or(u64::MAX);
        self.first.plus(Duration::from_millis(ms))
    }
}

/// How many jobs stand where, and what the queue is set to.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// May be claimed, whatever their priority or key.
    pub waiting: u64,
    /// Wait for an instant.
    pub delayed: u64,
    /// Wait for their children.
    pub waiting_children: u64,
    /// Are being worked on.
    pub active: u64,
    /// Are done and kept.
    pub completed: u64,
    /// Are given up and not in the dead letters.
    pub failed: u64,
    /// Are in the dead letters.
    pub dead: u64,
    /// Are called off and kept.
    pub cancelled: u64,
    /// Were done, ever.
    pub completed_total: u64,
    /// Were given up, ever.
    pub failed_total: u64,
    /// Whether nothing is claimed.
    pub paused: bool,
    /// When the next to run was enqueued.
    pub oldest_waiting: Option<Timestamp>,
    /// The settings.
    pub config: QueueConfig,
}

impl Counts {
    /// From how many dead letters on somebody is told, if there are so many. None at all are
    /// nothing to tell, whatever the threshold.
    pub fn alarming(&self) -> Option<u64> {
        let threshold = self.config.dead_letter.alert_threshold;
        threshold.filter(|threshold| self.dead >= (*threshold).max(1))
    }
}
