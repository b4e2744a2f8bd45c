//! The task `vacuum`: one table, or those that want it most.

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Maintainer, Place, Refused, Result, Write, fields, read};
use crate::model::job::{Failure, Payload};
use crate::model::maintenance::{AuditOutcome, Vacuumed, WriteClass};
use crate::postgres::{self, Progress, Relation, Writer};
use crate::queue::Task;

/// Tables of one run, unless it says otherwise.
const TABLES: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Asked {
    /// One table; left out, those that want it.
    table: Option<String>,
    /// How many of those.
    max_tables: Option<usize>,
}

impl Maintainer {
    /// Does a job of the task `vacuum`: `{"target": "shop", "table": "lead"}`; without a table those
    /// with most dead or changed rows.
    ///
    /// # Errors
    /// What was refused; of several tables, those that failed, when all were tried.
    pub(crate) async fn vacuum(&self, task: &Task) -> std::result::Result<Value, Failure> {
        let (rest, target) = fields(task.job.data.text())?;
        let asked: Asked = read(rest)?;
        let place = self.place(target.as_deref(), WriteClass::Vacuum)?;
        let Some(_alone) = place.alone(task).await? else {
            return self.hand_on(place, task).await;
        };
        let by = format!("{}/{}", task.job.queue, task.job.id);
        let writer = Self::writer(place).await?;
        let Some(table) = &asked.table else {
            return self.all(place, &writer, &asked, &by, task).await;
        };
        let relation = writer.relation(table).await.map_err(Refused::from)?;
        let done = self.one(place, &writer, &relation, &by, task).await?;
        Ok(json!(done))
    }

    async fn all(
        &self,
        place: &Place,
        writer: &Writer,
        asked: &Asked,
        by: &str,
        task: &Task,
    ) -> std::result::Result<Value, Failure> {
        let most = asked.max_tables.unwrap_or(TABLES);
        let wanted = postgres::wanting(writer, most).await;
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for table in wanted.map_err(Refused::from)? {
            let relation = writer.relation(&table).await;
            let vacuumed = match relation.map_err(Refused::from) {
                Ok(relation) => self.one(place, writer, &relation, by, task).await,
                Err(refused) => Err(refused),
            };
            match vacuumed {
                Ok(vacuumed) => done.push(vacuumed),
                Err(stopped @ Refused::Stopped) => return Err(stopped.into()),
                Err(refused) => failed.push(format!("{table}: {refused}")),
            }
        }
        if failed.is_empty() {
            Ok(json!({ "tables": done }))
        } else {
            Err(Failure::of(format!(
                "{} vacuumed; {}",
                crate::model::units::counted(done.len() as u64, "table"),
                failed.join("; ")
            )))
        }
    }

    async fn one(
        &self,
        place: &Place,
        writer: &Writer,
        table: &Relation,
        by: &str,
        task: &Task,
    ) -> Result<Vacuumed> {
        let Some(reading) = &place.reading else {
            return Err(Refused::NoServer(place.name.clone()));
        };
        let write = Write {
            class: WriteClass::Vacuum,
            table: &table.quoted,
            what: format!("VACUUM (ANALYZE) {}", table.quoted),
        };
        let open = self.begin(by, place, writer, write)?;
        let (seen, sight) = watch::channel(None);
        let mut tell = |progress| drop(seen.send_replace(Some(progress)));
        let done = tokio::select! {
            done = postgres::vacuum(writer, table, reading, &mut tell) => done.map_err(Refused::from),
            () = follow(task, &table.quoted, sight) => Err(Refused::Stopped),
            () = task.stopping() => Err(Refused::Stopped),
        };
        let outcome = match &done {
            Ok(vacuumed) => AuditOutcome::Done(told(vacuumed)),
            Err(refused) => AuditOutcome::Failed(refused.to_string()),
        };
        self.end(open, outcome);
        done
    }
}

fn told(vacuumed: &Vacuumed) -> String {
    let (before, after) = (vacuumed.before.dead_rows, vacuumed.after.dead_rows);
    format!("{before} dead rows before, {after} after")
}

/// Notes each step in the job, for as long as there are any.
async fn follow(task: &Task, table: &str, mut sight: watch::Receiver<Option<Progress>>) {
    while sight.changed().await.is_ok() {
        let Some(progress) = sight.borrow_and_update().clone() else {
            continue;
        };
        let note = json!({
            "table": table,
            "phase": progress.phase,
            "pages": progress.pages,
            "scanned": progress.scanned,
        });
        if let Ok(note) = Payload::of(&note)
            && let Err(error) = task.progress(note).await
        {
            tracing::debug!(%error, "a vacuum's progress is not noted");
        }
    }
    // Nobody tells any more; the vacuum itself says how it ended.
    std::future::pending::<()>().await;
}
