//! The running program: handles to all adapters, and the loops that keep them at work.
//!
//! For: opening everything in its order, starting the loops, stopping them again. Not for: what the
//! loops do (`collect`, `project`, `upkeep`) nor for answering anybody (`http`, `cli`).

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::advise::checks::{self, Thresholds};
use crate::cache::Cache;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::hook::Sender;
use crate::host::Host;
use crate::model::capacity::{Limit, Resource};
use crate::model::database::{BlindSpot, Snapshot};
use crate::model::series::{Metric, SampleSink};
use crate::model::units::Millis;
use crate::postgres::Observer;
use crate::queue::{self, Embedded, Queues};
use crate::store::{self, Store};
use crate::work::activity;
use crate::work::advise::strategy;
use crate::work::agenda::Pace;
use crate::work::board::Board;
use crate::work::bursts::Bursts;
use crate::work::collect::{self, Source, Watcher};
use crate::work::explain::Analyst;
use crate::work::latency::Statements;
use crate::work::maintain::Maintainer;
use crate::work::outcome;
use crate::work::own::{self, OwnSource};
use crate::work::project::{self, Projector};
use crate::work::query::Queries;
use crate::work::scrape::{self, Asker};
use crate::work::source::{self, HistorySink, HostSource, PostgresSource};
use crate::work::targets::{WatchedTarget, watched_targets};
use crate::work::{Result, beside, cache, jobs, push, silence, statements, tasks, upkeep};

/// The name that this process's own readings go by.
const OWN_TARGET: &str = "plimsoll";

/// Handles to everything that runs.
#[derive(Debug)]
pub struct App {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    store: Arc<Store>,
    board: Arc<Board>,
    queues: Arc<Queues>,
    analyst: Arc<Analyst>,
    maintainer: Arc<Maintainer>,
    cache: Arc<Cache>,
    targets: Vec<WatchedTarget>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl App {
    /// Opens the store and puts what it remembers on the board. Nothing is watched yet.
    ///
    /// # Errors
    /// When the store cannot be opened, or a connection string cannot be read.
    pub fn open(config: Config) -> Result<Self> {
        let targets = watched_targets(&config)?;
        Self::open_with(config, targets, Arc::new(SystemClock))
    }

    /// As [`App::open`], for a history that nothing adds to: a recorded one.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub(crate) fn recorded(mut config: Config, name: &str) -> Result<Self> {
        // There is no server to run them on.
        config.queries.clear();
        let target = WatchedTarget {
            name: name.to_owned(),
            options: None,
            has_host: false,
            limits: project::Limits::default(),
            mountpoint: Some("/".to_owned()),
        };
        Self::open_with(config, vec![target], Arc::new(SystemClock))
    }

    fn open_with(
        config: Config,
        targets: Vec<WatchedTarget>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let cache = cache::open(&config, &targets, Arc::clone(&clock))?;
        let store = Arc::new(Store::open(store_options(&config))?);
        let board = Arc::new(Board::new(
            targets.iter().map(|t| t.name.clone()),
            metrics(),
        ));
        project::recall(&store, &board)?;
        outcome::recall(&store, &board)?;
        strategy::recall(&store, &board)?;
        let durability = config.jobs_durability;
        let keeper = Embedded::open(&store, queue::Options { durability })?;
        let queues = Arc::new(Queues::new(Arc::new(keeper), Arc::clone(&clock)));
        let analyst = Arc::new(Analyst::of(&targets, &config, Arc::clone(&clock)));
        let maintainer = Maintainer::of(
            &targets,
            &config,
            Arc::clone(&store),
            Arc::clone(&queues),
            Arc::clone(&clock),
        )?;
        Ok(Self {
            config: Arc::new(config),
            clock,
            store,
            board,
            queues,
            analyst,
            maintainer: Arc::new(maintainer),
            cache,
            targets,
            stop: watch::channel(false).0,
            tasks: Mutex::default(),
        })
    }

    /// Sets a limit of one target, unless the operator did.
    pub(crate) fn set_limit(&mut self, name: &str, resource: Resource, limit: &Limit) {
        for target in self.targets.iter_mut().filter(|target| target.name == name) {
            target
                .limits
                .entry(resource)
                .or_insert_with(|| limit.clone());
        }
    }

    /// Starts the loops: a watcher a target, our own readings, the store's upkeep, the forecasts,
    /// and what is due in the queues.
    pub fn start(&self) {
        let mut watchers = Vec::new();
        for target in &self.targets {
            let (asker, requests) = scrape::channel();
            watchers.push((target.name.clone(), asker));
            let (watcher, pace) = (self.watcher(target), self.pace());
            self.spawn(collect::watch(
                watcher,
                pace,
                requests,
                self.stop.subscribe(),
            ));
        }
        let own = OwnSource::new(Arc::clone(&self.store), Arc::clone(&self.cache));
        let watcher = self
            .watcher_of(OWN_TARGET, vec![Box::new(own)])
            .of_this_process();
        let pace = Pace {
            look: Millis(0),
            ..self.pace()
        };
        // Nobody asks for our own readings out of their turn.
        let (_, requests) = scrape::channel();
        self.spawn(collect::watch(
            watcher,
            pace,
            requests,
            self.stop.subscribe(),
        ));
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let board = Arc::clone(&self.board);
        self.spawn(upkeep::keep(store, board, clock, self.stop.subscribe()));
        let queues = Arc::clone(&self.queues);
        self.spawn(project::keep(
            self.projector(),
            queues,
            self.stop.subscribe(),
        ));
        self.start_queues(watchers);
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let (board, queues) = (Arc::clone(&self.board), Arc::clone(&self.queues));
        let stop = self.stop.subscribe();
        self.spawn(statements::keep(store, board, clock, queues, stop));
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let (board, targets) = (Arc::clone(&self.board), self.targets.clone());
        let stop = self.stop.subscribe();
        self.spawn(strategy::keep(targets, store, board, clock, stop));
    }

    /// What is due in the queues, our own tasks in one of them, and webhooks.
    fn start_queues(&self, watchers: Vec<(String, Asker)>) {
        self.spawn(jobs::keep(Arc::clone(&self.queues), self.stop.subscribe()));
        let tools = tasks::Tools {
            projector: self.projector(),
            data_dir: self.config.data_dir.clone(),
            watchers: watchers.into(),
            maintainer: Arc::clone(&self.maintainer),
            cache: Arc::clone(&self.cache),
        };
        let first = Arc::clone(&self.cache);
        let (queues, mut stop) = (Arc::clone(&self.queues), self.stop.subscribe());
        self.spawn(async move {
            match tasks::start(&queues, tools) {
                Ok(runner) => {
                    cache::warm_first(&queues, &first).await;
                    // An error means that the program is gone.
                    let _ = stop.wait_for(|stop| *stop).await;
                    runner.stop().await;
                }
                Err(error) => tracing::error!(%error, "no task of ours is done"),
            }
        });
        match Sender::new(&self.config.jobs_webhook_hosts) {
            Ok(sender) => {
                let (queues, sender) = (Arc::clone(&self.queues), Arc::new(sender));
                self.spawn(push::keep(queues, sender, self.stop.subscribe()));
            }
            Err(error) => tracing::error!(%error, "webhooks are not sent"),
        }
    }

    /// Stops the loops, brings everything to the disk and closes the store.
    ///
    /// # Errors
    /// When the last writes fail; the store then recovers at its next opening.
    pub async fn stop(&self) -> Result<()> {
        self.stop.send_replace(true);
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
        let now = self.clock.now();
        Ok(self.store.close(now)?)
    }

    /// Turns true when everything is to end.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The latest of everything.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The history and the records.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The job queues.
    pub fn queues(&self) -> &Arc<Queues> {
        &self.queues
    }

    /// What explains statements.
    pub fn analyst(&self) -> &Arc<Analyst> {
        &self.analyst
    }

    /// What writes to targets, where it is allowed.
    pub fn maintainer(&self) -> &Arc<Maintainer> {
        &self.maintainer
    }

    /// Results of the settings' named queries.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// What time it is.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What answers questions about the history; an answer may take nine tenths of a request's time,
    /// so that whoever asks is told in the form that was asked for.
    pub fn queries(&self) -> Queries {
        let patience = Millis(self.config.http.request_timeout.0 / 10 * 9);
        let (store, board) = (Arc::clone(&self.store), Arc::clone(&self.board));
        Queries::new(store, board, Arc::clone(&self.clock), patience)
    }

    /// What turns the history into forecasts.
    pub(crate) fn projector(&self) -> Projector {
        Projector {
            config: Arc::clone(&self.config),
            clock: Arc::clone(&self.clock),
            store: Arc::clone(&self.store),
            board: Arc::clone(&self.board),
            targets: self.targets.clone(),
        }
    }

    /// What is watched.
    pub(crate) fn targets(&self) -> &[WatchedTarget] {
        &self.targets
    }

    fn pace(&self) -> Pace {
        Pace {
            scrape: self.config.collect.scrape,
            look: self.config.collect.activity,
        }
    }

    fn watcher(&self, target: &WatchedTarget) -> Watcher {
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        if let Some(options) = &target.options {
            let observer = Observer::new(options.clone());
            sources.push(Box::new(PostgresSource::new(
                observer,
                self.config.collect.catalog,
            )));
        }
        if target.has_host {
            sources.push(Box::new(HostSource(Host::new(
                crate::host::Options::default(),
            ))));
        }
        self.watcher_of(&target.name, sources)
    }

    fn watcher_of(&self, target: &str, sources: Vec<Box<dyn Source>>) -> Watcher {
        let (store, board) = (&self.store, &self.board);
        let sinks: Vec<Arc<dyn SampleSink>> = vec![
            Arc::new(HistorySink {
                store: Arc::clone(store),
                board: Arc::clone(board),
            }),
            Arc::new(Statements::new(Arc::clone(store), Arc::clone(board))),
            Arc::new(Bursts::new(Arc::clone(board))),
        ];
        let (store, board) = (Arc::clone(&self.store), Arc::clone(&self.board));
        let on_snapshot =
            move |target: &str, snapshot: Snapshot| judge(&store, &board, target, snapshot);
        Watcher::new(
            target.to_owned(),
            sources,
            sinks,
            Arc::clone(&self.board),
            Arc::clone(&self.clock),
            Box::new(on_snapshot),
        )
    }

    /// Has something run beside; a stop waits for it, so that it must heed [`App::stopping`].
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(task);
    }
}

/// Runs the checks over a fresh snapshot and puts both on the board.
fn judge(store: &Store, board: &Board, target: &str, mut snapshot: Snapshot) {
    let state = board.target(target).unwrap_or_default();
    let refused = state.refused_series;
    if refused > 0 {
        snapshot.blind_spots.push(BlindSpot {
            what: format!("{refused} series"),
            why: "the history keeps as many series as collect.max_series allows".to_owned(),
            cure: "raise collect.max_series".to_owned(),
        });
    }
    // What is known beside the look.
    snapshot.machine = beside::machine(&state);
    snapshot.repeats = state.repeats.to_vec();
    snapshot.slowdowns = state.slowdowns.to_vec();
    snapshot.standby_scans = beside::standby_scans(board, target, &snapshot);
    let findings = checks::run(&snapshot, &Thresholds::default());
    let known = silence::list(store, snapshot.taken_at).unwrap_or_else(|error| {
        tracing::warn!(target, %error, "silences cannot be read; all findings speak");
        Vec::new()
    });
    let (open, quiet) = silence::part(findings, target, &known);
    board.update(target, |state| {
        state.findings = open.into();
        state.silenced = quiet.into();
        state.snapshot = Some(Arc::new(snapshot));
    });
}

/// What each metric means that any part of this program records.
fn metrics() -> Vec<&'static Metric> {
    let mut all = crate::postgres::metrics();
    all.extend(crate::host::metrics());
    all.extend(collect::METRICS);
    all.extend(activity::METRICS);
    all.extend(own::METRICS);
    all.push(&source::COST);
    all
}

/// Where the store lies and what it keeps, as configured.
pub fn store_options(config: &Config) -> store::Options {
    store::Options {
        dir: config.data_dir.clone(),
        retention: store::Retention {
            raw: config.history.raw,
            rollup_5m: config.history.rollup_5m,
            rollup_1h: config.history.rollup_1h,
            max_bytes: config.history.max_bytes,
        },
        max_series: config.collect.max_series,
    }
}
