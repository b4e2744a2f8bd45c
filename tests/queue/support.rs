//! What the queue's tests share: keepers, jobs and instants.

use std::sync::Arc;

use plimsoll::model::job::{Durability, Job, JobOptions, NewJob, Payload, QueueConfig, QueueName};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::queue::{
    Claim, Claimed, Counts, Embedded, Enqueued, Error, JobStore, Options, Outcome, Setting, Verb,
};
use plimsoll::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

/// An embedded keeper with its folder; dropped in order, so that it can be opened again.
#[derive(Debug)]
pub(crate) struct OnDisk {
    pub(crate) jobs: Arc<Embedded>,
    pub(crate) store: Arc<Store>,
    pub(crate) dir: TempDir,
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), Durability::None)
    }

    pub(crate) fn in_folder(dir: TempDir, durability: Durability) -> Self {
        let store = Arc::new(open_store(&dir.path().join("store")));
        let jobs = Embedded::open(&store, Options { durability }).unwrap();
        Self {
            jobs: Arc::new(jobs),
            store,
            dir,
        }
    }

    /// Closes without a word and opens again.
    pub(crate) fn reopen(self) -> Self {
        self.reopen_as(Durability::None)
    }

    pub(crate) fn reopen_as(self, durability: Durability) -> Self {
        let Self { jobs, store, dir } = self;
        drop(jobs);
        drop(store);
        Self::in_folder(dir, durability)
    }

    /// Opens what a process leaves that is killed now: a copy of the folder as it stands, while this
    /// one still has it open.
    pub(crate) fn killed(self) -> Self {
        let left = tempfile::tempdir().unwrap();
        copy(self.dir.path(), left.path());
        drop(self);
        Self::in_folder(left, Durability::Commit)
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Opens a store. A child process that is just being started holds what this one has open for a
/// moment, also the lock of a store that was just closed.
pub(crate) fn open_store(dir: &std::path::Path) -> Store {
    for _ in 0..500 {
        match Store::open(plimsoll::store::Options::in_dir(dir)) {
            Err(plimsoll::store::Error::Locked { .. }) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => return other.unwrap(),
        }
    }
    panic!("the store stays locked");
}

/// Waits for what keepers answer; those that wait for no disk answer at once.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).unwrap()
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + ms)
}

pub(crate) fn queue(name: &str) -> QueueName {
    name.parse().unwrap()
}

pub(crate) fn bar() -> QueueName {
    queue("bar")
}

/// A job with options as JSON.
pub(crate) fn job(name: &str, opts: Value) -> NewJob {
    NewJob {
        name: name.to_owned(),
        data: Payload::of(&json!({"of": name})).unwrap(),
        opts: serde_json::from_value::<JobOptions>(opts).unwrap(),
    }
}

/// A keeper, asked the short way about the queue `bar`.
pub(crate) struct Ask<'a>(pub(crate) &'a dyn JobStore);

impl Ask<'_> {
    pub(crate) fn try_add(&self, job: NewJob, ms: i64) -> Result<Enqueued, Error> {
        let mut added = now(self.0.enqueue(&bar(), vec![job], at(ms)))?;
        assert_eq!(added.len(), 1);
        added.remove(0)
    }

    pub(crate) fn add(&self, name: &str, opts: Value, ms: i64) -> Enqueued {
        self.try_add(job(name, opts), ms).unwrap()
    }

    pub(crate) fn set(&self, config: Value) {
        let config: QueueConfig = serde_json::from_value(config).unwrap();
        now(self.0.configure(&bar(), Setting::Config(Box::new(config)))).unwrap();
    }

    pub(crate) fn claim(&self, max: usize, ms: i64) -> Vec<Claimed> {
        let claim = Claim {
            max,
            lease: None,
            worker: "w".to_owned(),
        };
        now(self.0.claim(&bar(), &claim, at(ms))).unwrap()
    }

    /// Names of the jobs that a claim gives.
    pub(crate) fn names(&self, max: usize, ms: i64) -> Vec<String> {
        let claimed = self.claim(max, ms).into_iter();
        claimed.map(|claimed| claimed.job.name).collect()
    }

    pub(crate) fn one(&self, ms: i64) -> Claimed {
        self.claim(1, ms).pop().unwrap()
    }

    pub(crate) fn settle(&self, by: &Claimed, outcome: Outcome, ms: i64) -> Result<(), Error> {
        let settled = self
            .0
            .settle(&by.job.queue, &by.job.id, &by.lease.token, outcome, at(ms));
        now(settled).map(|_| ())
    }

    pub(crate) fn complete(&self, by: &Claimed, ms: i64) {
        self.settle(by, Outcome::Complete(Payload::default()), ms)
            .unwrap();
    }

    pub(crate) fn fail(&self, by: &Claimed, why: Value, ms: i64) {
        let failure = serde_json::from_value(why).unwrap();
        self.settle(by, Outcome::Fail(failure), ms).unwrap();
    }

    pub(crate) fn act(&self, id: &str, verb: Verb, ms: i64) -> Result<(), Error> {
        now(self.0.act(&bar(), id, verb, at(ms))).map(|_| ())
    }

    pub(crate) fn expire(&self, ms: i64) -> usize {
        now(self.0.expire(1_000, at(ms))).unwrap().len()
    }

    pub(crate) fn job(&self, id: &str) -> Job {
        now(self.0.get(&bar(), id)).unwrap()
    }

    pub(crate) fn is_gone(&self, id: &str) -> bool {
        matches!(now(self.0.get(&bar(), id)), Err(Error::UnknownJob { .. }))
    }

    pub(crate) fn counts(&self) -> Counts {
        now(self.0.counts(&bar())).unwrap()
    }
}

pub(crate) fn millis(ms: u64) -> Millis {
    Millis(ms)
}
