//! The task `archive`: a policy against one table, batch by batch.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Maintainer, Place, Refused, Result, Write, fields, read};
use crate::model::job::{Failure, Payload};
use crate::model::maintenance::{
    ArchivalPolicy, ArchivalPreview, ArchivalResult, ArchivalStatus, AuditOutcome, Strategy,
    WriteClass,
};
use crate::model::units::{Timestamp, counted};
use crate::postgres::{Archive, Writer};
use crate::queue::Task;

/// Between two batches as long as the last one took, within these: half of the time is the platform's.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(5));

/// A policy and the target that it is for.
#[derive(Debug, Clone)]
pub struct ArchivalAsk {
    /// The target; the only one that allows it if left out.
    pub target: Option<String>,
    /// What becomes of which rows.
    pub policy: ArchivalPolicy,
}

impl ArchivalAsk {
    /// Reads `{"target": …, "table": …, "archiveAfterDays": …, …}`.
    ///
    /// # Errors
    /// [`Refused::Asked`] and [`Refused::Policy`].
    pub fn read(text: &str) -> Result<Self> {
        let (rest, target) = fields(text)?;
        let policy: ArchivalPolicy = read(rest)?;
        policy.check()?;
        Ok(Self { target, policy })
    }

    /// As a job carries it; reads back as the same.
    pub fn data(&self) -> Value {
        let mut data = json!(self.policy);
        if let (Some(target), Some(fields)) = (&self.target, data.as_object_mut()) {
            fields.insert("target".to_owned(), json!(target));
        }
        data
    }
}

impl Maintainer {
    /// Counts what a policy would do, and writes nothing.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn preview(&self, ask: &ArchivalAsk) -> Result<ArchivalPreview> {
        let place = self.place(ask.target.as_deref(), WriteClass::Archive)?;
        let writer = Self::writer(place).await?;
        let archive = Archive::plan(&writer, &ask.policy, self.clock.now()).await?;
        Ok(archive.preview().await?)
    }

    /// Does a job of the task `archive`; its data is a policy and a target. What was done before it
    /// failed is in the job's progress.
    ///
    /// # Errors
    /// What was refused, and what went wrong after how many rows.
    pub(crate) async fn archive(&self, task: &Task) -> std::result::Result<Value, Failure> {
        let ask = ArchivalAsk::read(task.job.data.text())?;
        let place = self.place(ask.target.as_deref(), WriteClass::Archive)?;
        if !ask.policy.enabled {
            let now = self.clock.now();
            let mut result = started(&ask.policy.table, now);
            result.status = ArchivalStatus::Success;
            result.notes = vec!["the policy is not enabled, so nothing was done".to_owned()];
            return Ok(json!(result));
        }
        let Some(_alone) = place.alone(task).await? else {
            return self.hand_on(place, task).await;
        };
        let by = format!("{}/{}", task.job.queue, task.job.id);
        let writer = Self::writer(place).await?;
        let result = self.run(place, &writer, &ask.policy, (&by, task)).await?;
        match result.errors.first() {
            None => Ok(json!(result)),
            Some(error) => Err(Failure::of(format!("{error} ({})", done_so_far(&result)))),
        }
    }

    async fn run(
        &self,
        place: &Place,
        writer: &Writer,
        policy: &ArchivalPolicy,
        (by, task): (&str, &Task),
    ) -> Result<ArchivalResult> {
        let now = self.clock.now();
        let mut archive = Archive::plan(writer, policy, now).await?;
        let write = Write {
            class: WriteClass::Archive,
            table: archive.table(),
            what: in_words(policy.archive_strategy, &archive),
        };
        let open = self.begin(by, place, writer, write)?;
        let mut result = started(archive.table(), now);
        result.notes = archive.notes();
        let ended = tokio::select! {
            ended = batches(&mut archive, policy, &mut result, task) => ended,
            () = task.stopping() => Err(Refused::Stopped),
        };
        result.end_time = self.clock.now();
        match ended {
            Ok(()) => result.status = ArchivalStatus::Success,
            Err(refused) => {
                result.errors.push(refused.to_string());
                if result.records_archived + result.records_deleted == 0 {
                    result.status = ArchivalStatus::Failed;
                }
            }
        }
        note(task, &result).await;
        let told = done_so_far(&result);
        let outcome = match result.errors.first() {
            None => AuditOutcome::Done(told),
            Some(error) => AuditOutcome::Failed(format!("{error}; before that {told}")),
        };
        self.end(open, outcome);
        Ok(result)
    }
}

fn done_so_far(result: &ArchivalResult) -> String {
    let mut text = format!(
        "{} archived, {} deleted",
        counted(result.records_archived, "row"),
        result.records_deleted
    );
    if result.records_expired > 0 {
        // Writing to a string cannot go wrong.
        let _ = write!(text, ", {} expired", result.records_expired);
    }
    text
}

fn in_words(strategy: Strategy, archive: &Archive<'_>) -> String {
    let (table, before) = (archive.table(), archive.before());
    let mut text = match (strategy, archive.destination()) {
        (Strategy::Move, Some(place)) => format!("move rows of {table} before {before} to {place}"),
        (Strategy::Copy, Some(place)) => format!("copy rows of {table} before {before} to {place}"),
        _ => format!("delete rows of {table} before {before}"),
    };
    if let Some(expired) = archive.expired() {
        // Writing to a string cannot go wrong.
        let _ = write!(text, ", and delete there what is before {expired}");
    }
    text
}

/// The result of a run that has done nothing yet.
pub fn begun(ask: &ArchivalAsk, now: Timestamp) -> ArchivalResult {
    started(&ask.policy.table, now)
}

fn started(table: &str, now: Timestamp) -> ArchivalResult {
    ArchivalResult {
        table: table.to_owned(),
        records_archived: 0,
        records_deleted: 0,
        records_expired: 0,
        records_left: None,
        start_time: now,
        end_time: now,
        status: ArchivalStatus::Partial,
        errors: Vec::new(),
        notes: Vec::new(),
    }
}

/// Does batch after batch until nothing is left, then what the destination has kept long enough.
async fn batches(
    archive: &mut Archive<'_>,
    policy: &ArchivalPolicy,
    result: &mut ArchivalResult,
    task: &Task,
) -> Result<()> {
    if archive.make_destination().await? {
        let place = archive.destination().unwrap_or_default();
        result.notes.push(format!("{place} was made"));
    }
    let mut told = Instant::now();
    loop {
        let done = result.records_archived.max(result.records_deleted);
        let most = policy.max_rows.map(|most| most.saturating_sub(done));
        if most == Some(0) {
            break;
        }
        let began = Instant::now();
        let step = archive.step(most).await?;
        result.records_archived += step.archived;
        result.records_deleted += step.deleted;
        if step.is_last {
            break;
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            note(task, result).await;
        }
        pause(began).await;
    }
    loop {
        let began = Instant::now();
        let expired = archive.expire().await?;
        result.records_expired += expired;
        if expired == 0 {
            break;
        }
        pause(began).await;
    }
    // That it cannot be counted in time does not make the run a failure.
    result.records_left = match policy.archive_strategy {
        Strategy::Copy => None,
        _ => archive.preview().await.ok().map(|left| left.rows),
    };
    Ok(())
}

async fn pause(began: Instant) {
    tokio::time::sleep(began.elapsed().clamp(PAUSE.0, PAUSE.1)).await;
}

/// Notes in the job how far it is, and in the end how it ended.
async fn note(task: &Task, result: &ArchivalResult) {
    let Ok(note) = Payload::of(result) else {
        return;
    };
    if let Err(error) = task.progress(note).await {
        tracing::debug!(%error, "an archive's progress is not noted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_goes_through_a_job_unchanged() {
        let text = r#"{"target": "shop", "table": "Event", "archiveAfterDays": 90,
                       "archiveStrategy": "delete", "enabled": false}"#;
        let ask = ArchivalAsk::read(text).unwrap();
        let again = ArchivalAsk::read(&ask.data().to_string()).unwrap();
        assert_eq!(again.policy, ask.policy);
        assert_eq!(again.target.as_deref(), Some("shop"));
        let negative = text.replace("90", "-90");
        assert!(matches!(
            ArchivalAsk::read(&negative),
            Err(Refused::Asked(_))
        ));
        let zero = text.replace("90", "0");
        assert!(matches!(ArchivalAsk::read(&zero), Err(Refused::Policy(_))));
    }
}
