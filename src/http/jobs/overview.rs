//! What the page tells of the queues: those that need a look, and the schedules that come next.

use super::Site;
use crate::model::job::JobState;
use crate::model::units::Timestamp;
use crate::queue::schedule::{Shown, Standing as At};
use crate::queue::{Counts, Queues, Recent};
use crate::report::Standing;
use crate::report::jobs::{JobsReport, QueueRow, RunRow, ScheduleRow};

/// Queues that are measured for one page, and rows of each table.
const LOOKS_MAX: usize = 1_000;
const ROWS: usize = 20;

/// Queues and schedules of this server.
pub(in crate::http) async fn overview(site: &Site) -> JobsReport {
    let Some(queues) = &site.hooks.queues else {
        return JobsReport::default();
    };
    let names = queues.names().await;
    let mut rows = Vec::new();
    for name in names.iter().take(LOOKS_MAX) {
        // One that was removed just now is no row.
        if let Ok((counts, recent)) = queues.measure(name).await {
            rows.push(queue(name.as_str(), &counts, &recent));
        }
    }
    rows.sort_by_key(|row| {
        let under_way = row.waiting + row.active + row.delayed;
        std::cmp::Reverse((row.alert, row.dead > 0, under_way))
    });
    rows.truncate(ROWS);
    let (schedules, more_schedules) = schedules(queues).await;
    JobsReport {
        more_queues: names.len() - rows.len(),
        queues: rows,
        schedules,
        more_schedules,
    }
}

fn queue(name: &str, counts: &Counts, recent: &Recent) -> QueueRow {
    QueueRow {
        name: name.to_owned(),
        waiting: counts.waiting,
        active: counts.active,
        delayed: counts.delayed,
        dead: counts.dead,
        alert: counts.alarming().is_some(),
        paused: counts.paused,
        throughput: recent.throughput,
        wait_p95: recent.wait.p95,
        run_p95: recent.processing.p95,
    }
}

async fn schedules(queues: &Queues) -> (Vec<ScheduleRow>, usize) {
    let mut all = match queues.schedules().await {
        Ok(all) => all,
        Err(error) => {
            tracing::error!(%error, "the page cannot show schedules");
            return (Vec::new(), 0);
        }
    };
    let next = |one: &Shown| one.schedule.next.map_or(i64::MAX, Timestamp::as_millis);
    all.sort_by_key(next);
    let rows: Vec<ScheduleRow> = all.iter().take(ROWS).map(schedule).collect();
    let more = all.len() - rows.len();
    (rows, more)
}

fn schedule(shown: &Shown) -> ScheduleRow {
    let (schedule, asked) = (&shown.schedule, &shown.schedule.asked);
    let when = match (&asked.pattern, asked.every) {
        (Some(pattern), _) => format!("{pattern} {}", asked.timezone),
        (None, Some(every)) => format!("every {} s", every.as_duration().as_secs_f64()),
        (None, None) => String::new(),
    };
    let next = shown.next_local.as_deref().map(|next| {
        let (time, ahead) = next.split_at_checked(19).unwrap_or((next, ""));
        format!("{} {ahead}", time.replace('T', " "))
    });
    let last = schedule.last.as_ref().map(|last| {
        let (state, standing) = match shown.last_state {
            _ if last.refused.is_some() => ("left out", Standing::Warning),
            Some(state @ (JobState::Dead | JobState::Failed)) => (state.name(), Standing::Critical),
            Some(state @ JobState::Completed) => (state.name(), Standing::Fine),
            Some(state) => (state.name(), Standing::Unknown),
            None => ("removed", Standing::Unknown),
        };
        RunRow {
            at: last.at,
            state: state.to_owned(),
            standing,
            reason: shown.last_reason.clone(),
        }
    });
    ScheduleRow {
        name: asked.name.clone(),
        queue: asked.job_type.to_string(),
        when,
        next,
        paused: schedule.standing() == At::Paused,
        last,
    }
}
