//! From history to projections: what each resource uses, where its limit is, and when they meet.
//!
//! For: the daily run that fits, and the half-minute refresh that only looks at present use. Not
//! for: requests: they read the board.

mod due;
mod fit;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch::Receiver;

use crate::clock::Clock;
use crate::config::Config;
use crate::diagnose;
use crate::host::Host;
use crate::model::capacity::{Limit, Projection, Resource};
use crate::model::outcome::Promise;
use crate::model::series::{Kind, Labels, SeriesKey, Window};
use crate::model::units::{Millis, Timestamp};
use crate::queue::Queues;
use crate::report::sqlite::SeriesWindow;
use crate::store::Store;
use crate::work::board::{Board, TargetState};
use crate::work::evidence;
use crate::work::fault::{News, Part};
use crate::work::outcome::{self, Kept};
use crate::work::targets::WatchedTarget;
use crate::work::usage::Reader;
use crate::work::{Result, on_rayon, tasks};

pub(crate) use fit::Asked;
use fit::fit;

/// How much of the past a forecast looks at: two yearly seasons.
const PAST: Millis = Millis(2 * 365 * Millis::DAY.0);

/// Between two looks at present use, alerts and bottlenecks.
const REFRESH: Duration = Duration::from_secs(30);

/// Between two looks whether the first readings have come, after a start.
const IMPATIENT: Duration = Duration::from_millis(500);

/// Seed of the simulated paths: fixed, so that the same history gives the same report.
pub(crate) const SEED: u64 = 0x706c_696d_736f_6c6c;

/// The kind that projections are recorded under.
const KIND: &str = "projection";

/// What the operator set, by resource.
pub(crate) type Limits = BTreeMap<Resource, Limit>;

/// Everything that a run needs.
#[derive(Debug, Clone)]
pub(crate) struct Projector {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<Store>,
    pub(crate) board: Arc<Board>,
    pub(crate) targets: Vec<WatchedTarget>,
}

/// Puts recorded projections on the board, so that a restart shows what was known before it.
///
/// # Errors
/// When the records cannot be read.
pub(crate) fn recall(store: &Store, board: &Board) -> Result<()> {
    let mut by_target = BTreeMap::<String, Vec<Projection>>::new();
    for (_, projection) in store.records().list::<Projection>(KIND)? {
        by_target
            .entry(projection.target.clone())
            .or_default()
            .push(projection);
    }
    for name in board.names() {
        if let Some(mut projections) = by_target.remove(&name) {
            projections.sort_by_key(|projection| projection.resource);
            board.update(&name, |state| state.projections = projections.into());
        }
    }
    Ok(())
}

/// Runs when a run is due and refreshes between runs, until `stop` turns true.
pub(crate) async fn keep(projector: Projector, queues: Arc<Queues>, mut stop: Receiver<bool>) {
    let mut pause = IMPATIENT;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => return,
        }
        let mut waiting = false;
        for target in &projector.targets {
            let done = projector.round(target, &queues).await;
            match &done {
                // What becomes of a run tells its task.
                Ok(Round::Asked) => {}
                other => {
                    let fault = other.as_ref().err().map(ToString::to_string);
                    projector.tell(&target.name, fault);
                }
            }
            waiting |= matches!(done, Ok(Round::NotRead));
        }
        pause = if waiting { IMPATIENT } else { REFRESH };
    }
}

/// Whether a target has been read since the start: a forecast needs its limits.
pub(crate) fn is_read(target: &WatchedTarget, state: &TargetState) -> bool {
    match target.options {
        Some(_) => state.snapshot.is_some(),
        None => state.scrape.is_some(),
    }
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// The target has not been read yet.
    NotRead,
    /// A run is asked for.
    Asked,
    /// It is done.
    Done,
}

impl Projector {
    /// Notes whether forecasts can be made.
    pub(crate) fn tell(&self, target: &str, fault: Option<String>) {
        let error = fault.clone().unwrap_or_default();
        match self.board.set_fault(Part::Forecast, Some(target), fault) {
            News::Broke => tracing::error!(target, error, "no forecast"),
            News::Mended => tracing::info!(target, "forecasts are made again"),
            News::Same => {}
        }
    }

    /// One round for one target: a run when one is due, a refresh otherwise.
    async fn round(&self, target: &WatchedTarget, queues: &Queues) -> Result<Round> {
        let Some(state) = self.board.target(&target.name) else {
            return Ok(Round::Done);
        };
        if !is_read(target, &state) {
            let is_done = state.projections.is_empty() && state.scrape.is_some();
            return Ok(if is_done { Round::Done } else { Round::NotRead });
        }
        let now = self.clock.now();
        if !due::is_due(&state.projections, self.config.forecast_every, now)
            && !self.is_outdated(target, &state, now)
        {
            self.refresh(target, now)?;
            return Ok(Round::Done);
        }
        let data = json!({ "target": target.name });
        match tasks::ask(queues, tasks::FORECAST, &data).await {
            Ok(()) => Ok(Round::Asked),
            Err(error) => {
                tracing::warn!(target = target.name, %error, "no task can be queued; it is done at once");
                self.run(target).await?;
                Ok(Round::Done)
            }
        }
    }

    /// Whether a forecast was made for other limits or thresholds than are there now.
    fn is_outdated(&self, target: &WatchedTarget, state: &TargetState, now: Timestamp) -> bool {
        let mountpoint = self.mountpoint(target);
        let reader = self.reader(target, mountpoint.as_deref(), now);
        let shares = self.shares();
        state.projections.iter().any(|projection| {
            let limit = reader.limit(projection.resource);
            limit.is_some_and(|limit| due::has_other_thresholds(projection, &limit, &shares, now))
        })
    }

    /// Shares of a limit that are asked about.
    fn shares(&self) -> [(&'static str, f64); 3] {
        [
            ("warn", self.config.thresholds.warn.get()),
            ("critical", self.config.thresholds.critical.get()),
            ("limit", 1.0),
        ]
    }

    /// Fits every resource of one target, records the projections and shows them.
    ///
    /// # Errors
    /// When the history or the records fail.
    pub(crate) async fn run(&self, target: &WatchedTarget) -> Result<()> {
        let now = self.clock.now();
        let (projector, watched) = (self.clone(), target.clone());
        let (asked, kept) = beside(move || {
            let asked = projector.read(&watched, now)?;
            let kept = projector.kept(&watched.name);
            Ok((Arc::new(asked), kept))
        })
        .await?;
        let all = Arc::clone(&asked);
        let (fitted, kept) = on_rayon(move || {
            let reviews = outcome::reviews(&all, &kept);
            (fit(&all, reviews), kept)
        })
        .await;
        for projection in &fitted.projections {
            let id = format!("{}/{}", projection.target, projection.resource);
            self.store.records().put(KIND, &id, projection)?;
        }
        let forecasts = fitted.promises.len();
        tracing::info!(target = target.name, forecasts, "forecasts made");
        self.show(target, fitted.projections, now)?;
        outcome::show(&self.store, &self.board, &target.name, fitted.reviews)?;
        self.keep_promises(&asked, kept, fitted.promises).await
    }

    /// What was promised of a target; nothing, and a line in the log, where that does not read: a
    /// damaged record must not end the forecasts.
    fn kept(&self, target: &str) -> Kept {
        Kept::recall(&self.store, target).unwrap_or_else(|error| {
            tracing::error!(target, %error, "past forecasts cannot be read; none is learnt from");
            Kept::default()
        })
    }

    /// Keeps what was just promised. A made-up past has no promises of its own: those that it would
    /// have had are made up for once, and reviewed, after everything else is shown.
    async fn keep_promises(
        &self,
        asked: &Arc<Vec<Asked>>,
        mut kept: Kept,
        mut promises: Vec<Promise>,
    ) -> Result<()> {
        let Some(first) = asked.first() else {
            return Ok(());
        };
        let (target, now) = (first.target.clone(), first.now);
        let looks_back = kept.is_empty() && first.synthetic.is_some();
        if looks_back {
            let past = Arc::clone(asked);
            promises.extend(on_rayon(move || outcome::looking_back(&past)).await);
        }
        let (store, name) = (Arc::clone(&self.store), target.clone());
        let kept = beside(move || {
            kept.add(&store, &name, promises, now)?;
            Ok(kept)
        })
        .await?;
        if looks_back {
            let past = Arc::clone(asked);
            let reviews = on_rayon(move || outcome::reviews(&past, &kept)).await;
            outcome::show(&self.store, &self.board, &target, reviews)?;
        }
        Ok(())
    }

    /// Looks at present use again and keeps the outlooks.
    fn refresh(&self, target: &WatchedTarget, now: Timestamp) -> Result<()> {
        let Some(state) = self.board.target(&target.name) else {
            return Ok(());
        };
        let mountpoint = self.mountpoint(target);
        let reader = self.reader(target, mountpoint.as_deref(), now);
        let mut projections = state.projections.to_vec();
        for projection in &mut projections {
            if let Some(usage) = reader.current(projection.resource)? {
                projection.usage = Some(usage);
            }
            projection.lead_time = self.config.forecast_lead_time;
            projection.limit = reader
                .limit(projection.resource)
                .or(projection.limit.take());
        }
        self.show(target, projections, now)
    }

    fn show(
        &self,
        target: &WatchedTarget,
        projections: Vec<Projection>,
        now: Timestamp,
    ) -> Result<()> {
        let Some(state) = self.board.target(&target.name) else {
            return Ok(());
        };
        let targets = diagnose::Targets::default();
        let bottlenecks = diagnose::bottlenecks(
            &diagnose::Evidence {
                projections: &projections,
                snapshot: state.snapshot.as_deref(),
                wait_shares: &state.wait_shares,
                rates: evidence::rates(self.store.history(), &target.name, &state, now)?,
            },
            &targets,
        );
        let alerts = diagnose::alerts(&projections, &targets, now);
        let own_cost = evidence::own_cost(self.store.history(), &target.name, now)?;
        self.board.update(&target.name, |state| {
            state.own_cost = own_cost;
            state.projections = projections.into();
            state.bottlenecks = bottlenecks.into();
            state.alerts = alerts.into();
        });
        Ok(())
    }

    /// Reads what the fits need; touches the disk, so it runs beside the sockets.
    fn read(&self, target: &WatchedTarget, now: Timestamp) -> Result<Vec<Asked>> {
        let mountpoint = self.mountpoint(target);
        let reader = self.reader(target, mountpoint.as_deref(), now);
        let from = now.minus(PAST.as_duration()).floor_to(Millis::DAY);
        let synthetic = self.store.history().synthetic(&target.name);
        let mut asked = Vec::new();
        for resource in Resource::ALL {
            let Some(window) = reader.window(resource, from)? else {
                continue;
            };
            let window = without_leading_gap(window);
            asked.push(Asked {
                target: target.name.clone(),
                resource,
                now,
                usage: reader.current(resource)?.or_else(|| window.last()),
                limit: reader.limit(resource),
                thresholds: self.shares(),
                synthetic,
                lead_time: self.config.forecast_lead_time,
                window,
            });
        }
        Ok(asked)
    }

    /// Hourly use of every resource of every target, as series `resource_usage{resource="…"}`.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(crate) fn resource_windows(&self) -> Result<Vec<SeriesWindow>> {
        let now = self.clock.now();
        let mut windows = Vec::new();
        for target in &self.targets {
            for asked in self.read(target, now)? {
                let labels = Labels::none().with("resource", asked.resource.name());
                windows.push(SeriesWindow {
                    target: target.name.clone(),
                    series: SeriesKey {
                        metric: "resource_usage".into(),
                        labels,
                    },
                    kind: Kind::Gauge,
                    window: asked.window,
                });
            }
        }
        Ok(windows)
    }

    fn reader<'a>(
        &'a self,
        target: &'a WatchedTarget,
        mountpoint: Option<&'a str>,
        now: Timestamp,
    ) -> Reader<'a> {
        let (history, limits) = (self.store.history(), &target.limits);
        Reader {
            history,
            target: &target.name,
            mountpoint,
            limits,
            now,
        }
    }

    /// The mount point that holds the target's data: as configured, else where its data folder
    /// lies, else the root; `None` when the target runs on another machine.
    fn mountpoint(&self, target: &WatchedTarget) -> Option<String> {
        if target.mountpoint.is_some() || !target.has_host {
            return target.mountpoint.clone();
        }
        let mut host = Host::new(crate::host::Options::default());
        if let Some(path) = &self.config.host.mountpoint {
            return host.filesystem_of(path);
        }
        let snapshot = self
            .board
            .target(&target.name)
            .and_then(|state| state.snapshot);
        let folder = snapshot.and_then(|s| s.settings.get("data_directory").cloned());
        folder
            .and_then(|folder| host.filesystem_of(Path::new(&folder)))
            .or_else(|| host.filesystem_of(Path::new("/")))
    }
}

/// Runs what touches the disk beside the sockets.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Cuts the steps before the first value: they are not gaps, they are before the beginning.
fn without_leading_gap(mut window: Window) -> Window {
    let first = window
        .values
        .iter()
        .position(|v| v.is_finite())
        .unwrap_or(0);
    window.start = window.at(first);
    window.values.drain(..first);
    window
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_before_the_first_value_is_no_gap() {
        let window = without_leading_gap(Window {
            start: Timestamp::from_millis(0),
            step: Millis::HOUR,
            values: vec![f64::NAN, f64::NAN, 1.0, f64::NAN, 2.0],
        });
        assert_eq!(window.start, Timestamp::from_millis(2 * 3_600_000));
        assert_eq!(window.values.len(), 3);
        assert!((window.coverage() - 2.0 / 3.0).abs() < 1e-12);
    }
}
