//! Writing to a target where its operator allowed it: `VACUUM`, and archives of old rows.
//!
//! For: what must hold before anything is written (the class is allowed, the role is one of its own, a
//! record of it is kept), and one write a time. Not for: how it is done (`postgres`). Read
//! [`Maintainer::permitted`] first.

mod archive;
mod vacuum;

pub use archive::{ArchivalAsk, begun};

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;
use crate::config::Config;
use crate::model::job::{Failure, QueueName};
use crate::model::maintenance::{AuditEntry, AuditOutcome, PolicyError, WriteClass};
use crate::postgres::{self, Options, Writer};
use crate::queue::{self, Queues, Task};
use crate::store::{self, Store};
use crate::work::audit::{self, Open};
use crate::work::targets::{WatchedTarget, options_for};
use crate::work::tasks;

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no such target.
    #[error("there is no target {0:?}; `plimsoll status` lists them")]
    UnknownTarget(String),
    /// The target is this machine alone.
    #[error("target {0} is this machine; there is no server to write to")]
    NoServer(String),
    /// The operator did not allow it.
    #[error(
        "nothing of the kind {class} may be written to {target}; its operator allows it with \
         allow_writes = [\"{class}\"] and a writer in the target's section of plimsoll.toml"
    )]
    NotAllowed {
        /// The target.
        target: String,
        /// What was to be written.
        class: WriteClass,
    },
    /// What is asked cannot be meant.
    #[error("{0}")]
    Asked(String),
    /// The same for a policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The server said no, or does not answer.
    #[error(transparent)]
    Server(#[from] postgres::Error),
    /// The record of the write cannot be kept.
    #[error("nothing is written whose record cannot be kept: {0}")]
    Record(#[from] store::Error),
    /// It was called off, or the program stops.
    #[error("it was called off, or the program stops")]
    Stopped,
}

impl Refused {
    /// Whether asking again may help, with nothing changed.
    pub fn is_passing(&self) -> bool {
        use postgres::Error;
        match self {
            Self::Server(error) => !matches!(
                error,
                Error::NoTable { .. }
                    | Error::SeveralTables { .. }
                    | Error::NotOwner { .. }
                    | Error::NotArchivable { .. }
                    | Error::WriteDenied { .. }
                    | Error::WriteRefused { .. }
                    | Error::Standby { .. }
                    | Error::WriterPooled { .. }
            ),
            Self::Record(_) | Self::Stopped => true,
            _ => false,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self {
            name: Some("Maintenance".to_owned()),
            retryable: Some(refused.is_passing()),
            ..Self::of(refused.to_string())
        }
    }
}

type Result<T> = std::result::Result<T, Refused>;

/// Writes to targets, one write a time.
#[derive(Debug)]
pub struct Maintainer {
    places: Vec<Place>,
    store: Arc<Store>,
    queues: Arc<Queues>,
    clock: Arc<dyn Clock>,
}

/// A target, and how it may be written to.
#[derive(Debug)]
struct Place {
    name: String,
    reading: Option<Options>,
    classes: Vec<WriteClass>,
    writing: Option<Options>,
    /// One write a time.
    alone: Semaphore,
}

impl Place {
    /// The right to write there, one at a time. Jobs of one key come one after the other, so they wait for a
    /// moment at most; any other that finds somebody at work does not wait: `None`.
    async fn alone(&self, task: &Task) -> Result<Option<SemaphorePermit<'_>>> {
        if task.job.opts.key.is_none() {
            return Ok(self.alone.try_acquire().ok());
        }
        tokio::select! {
            // Nobody closes it.
            permit = self.alone.acquire() => permit.map(Some).map_err(|_| Refused::Stopped),
            () = task.stopping() => Err(Refused::Stopped),
        }
    }
}

impl Maintainer {
    /// For these targets.
    ///
    /// # Errors
    /// When a connection string cannot be read.
    pub(crate) fn of(
        targets: &[WatchedTarget],
        config: &Config,
        store: Arc<Store>,
        queues: Arc<Queues>,
        clock: Arc<dyn Clock>,
    ) -> super::Result<Self> {
        let place = |target: &WatchedTarget| {
            let configured = config.targets.iter().find(|t| t.name == target.name);
            let writes = configured.and_then(|t| t.writes.as_ref());
            let writing = writes.map(|writes| {
                let name = format!("{}, writer", target.name);
                let options = options_for(config, &name, writes.writer.expose())?;
                Ok::<_, super::Error>(Options {
                    statement_timeout: config.writes_timeout,
                    lock_timeout: config.writes_lock_timeout,
                    ..options
                })
            });
            Ok(Place {
                name: target.name.clone(),
                reading: target.options.clone(),
                classes: writes.map(|w| w.classes.clone()).unwrap_or_default(),
                writing: writing.transpose()?,
                alone: Semaphore::new(1),
            })
        };
        Ok(Self {
            places: targets.iter().map(place).collect::<super::Result<_>>()?,
            store,
            queues,
            clock,
        })
    }

    /// The name of the target that is meant: the one named, or the only one that may be written to in this
    /// way; refuses what was not allowed.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn permitted(&self, target: Option<&str>, class: WriteClass) -> Result<String> {
        self.place(target, class).map(|place| place.name.clone())
    }

    fn place(&self, target: Option<&str>, class: WriteClass) -> Result<&Place> {
        let mut allowing = self.places.iter().filter(|p| p.classes.contains(&class));
        let found = match target {
            Some(name) => self.places.iter().find(|place| place.name == name),
            None => match (allowing.next(), allowing.next()) {
                (Some(_), Some(_)) => {
                    let text = format!("several targets allow the kind {class}; name one");
                    return Err(Refused::Asked(text));
                }
                (only, _) => only.or(self.places.first()),
            },
        };
        let unknown = || Refused::UnknownTarget(target.unwrap_or_default().to_owned());
        let place = found.ok_or_else(unknown)?;
        if place.reading.is_none() {
            return Err(Refused::NoServer(place.name.clone()));
        }
        if place.classes.contains(&class) {
            Ok(place)
        } else {
            Err(Refused::NotAllowed {
                target: place.name.clone(),
                class,
            })
        }
    }

    /// Gives a job on to one that waits for its turn in the queue, where it holds up no other task.
    async fn hand_on(&self, place: &Place, task: &Task) -> std::result::Result<Value, Failure> {
        let data = serde_json::from_str(task.job.data.text())
            .map_err(|error| Failure::of(error.to_string()))?;
        let added = tasks::add(&self.queues, &task.job.name, &data, Some(key(&place.name)));
        let id = added
            .await
            .map_err(|error| Failure::of(error.to_string()))?;
        Ok(json!({ "handedOn": id, "why": "another write to this target is under way" }))
    }

    async fn writer(place: &Place) -> Result<Writer> {
        let options = place.writing.as_ref();
        let options = options.ok_or_else(|| Refused::NoServer(place.name.clone()))?;
        Ok(Writer::open(options).await?)
    }

    /// Keeps that a write begins.
    fn begin(&self, by: &str, place: &Place, writer: &Writer, write: Write<'_>) -> Result<Open> {
        let entry = AuditEntry {
            at: self.clock.now(),
            ended_at: None,
            by: by.to_owned(),
            target: place.name.clone(),
            role: writer.role().to_owned(),
            class: write.class,
            table: write.table.to_owned(),
            what: write.what,
            outcome: AuditOutcome::Started,
        };
        Ok(audit::begin(&self.store, entry)?)
    }

    /// Keeps what became of it; that it cannot be kept does not undo it, so it is only told.
    fn end(&self, open: Open, outcome: AuditOutcome) {
        if let Err(error) = audit::end(&self.store, open, outcome, self.clock.now()) {
            tracing::error!(%error, "the record of a write could not be finished");
        }
    }
}

/// What is about to be written.
struct Write<'a> {
    class: WriteClass,
    table: &'a str,
    what: String,
}

/// The queue that writes are jobs of.
///
/// # Errors
/// None that a caller can mend: its name is a fixed one.
pub fn queue() -> queue::Result<QueueName> {
    tasks::own_queue()
}

/// Asks for a vacuum of a table; the job's id.
///
/// # Errors
/// As [`Queues::enqueue`].
pub async fn ask_vacuum(queues: &Queues, target: &str, table: &str) -> queue::Result<String> {
    let data = json!({ "target": target, "table": table });
    tasks::add(queues, tasks::VACUUM, &data, Some(key(target))).await
}

/// Asks for an archive by a policy; the job's id.
///
/// # Errors
/// As [`Queues::enqueue`].
pub async fn ask_archive(queues: &Queues, ask: &ArchivalAsk) -> queue::Result<String> {
    let target = ask.target.as_deref().unwrap_or_default();
    tasks::add(queues, tasks::ARCHIVE, &ask.data(), Some(key(target))).await
}

/// Jobs of one key wait for each other.
fn key(target: &str) -> String {
    format!("write to {target}")
}

/// A job's data as an object, and the target that it names.
fn fields(data: &str) -> Result<(Map<String, Value>, Option<String>)> {
    let asked = |error: String| Refused::Asked(format!("its data does not read: {error}"));
    let value: Option<Map<String, Value>> =
        serde_json::from_str(data).map_err(|error| asked(error.to_string()))?;
    let mut fields = value.unwrap_or_default();
    match fields.remove("target") {
        None | Some(Value::Null) => Ok((fields, None)),
        Some(Value::String(target)) => Ok((fields, Some(target))),
        Some(other) => Err(asked(format!("target is {other}; write its name"))),
    }
}

fn read<T: serde::de::DeserializeOwned>(fields: Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Refused::Asked(format!("its data does not read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_taken_out_of_a_jobs_data() {
        let (rest, target) = fields(r#"{"target": "shop", "table": "t"}"#).unwrap();
        assert_eq!((rest.len(), target.as_deref()), (1, Some("shop")));
        assert_eq!(fields("null").unwrap().1, None);
        for bad in ["[]", "7", r#"{"target": 5}"#, ""] {
            assert!(matches!(fields(bad), Err(Refused::Asked(_))), "{bad}");
        }
    }

    #[test]
    fn a_lock_may_be_free_the_next_time_and_a_right_is_not_given_by_asking() {
        let lock = postgres::Error::WriteLock { what: "VACUUM" };
        assert!(Refused::from(lock).is_passing());
        let denied = postgres::Error::WriteDenied {
            role: "r".to_owned(),
            detail: "no".to_owned(),
        };
        let failure = Failure::from(Refused::from(denied));
        assert_eq!(failure.retryable, Some(false));
    }
}
