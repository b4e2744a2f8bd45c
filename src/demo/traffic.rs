//! The platform at work: its statement mix at a modest rate, and planted faults beside it.
//!
//! For: a target that is alive while it is watched. Not for: load tests, which measure latency from
//! the intended start (`load`); here only the calls are counted.
#![expect(
    clippy::disallowed_types,
    reason = "the demo drives the cluster that it made itself"
)]

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_postgres::{Client, Statement};

use super::dice::Dice;
use super::fault::{self, Fault};
use super::mix::{Entry, Known, Mix, Value};
use super::{Error, Result, refused, session};

/// `application_name` of the platform's own services.
pub const APPLICATION: &str = "leadgen";

/// Pause before a worker tries to connect again.
const RECONNECT: Duration = Duration::from_secs(1);

/// How long a stop waits for the workers before it lets go of them.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What traffic to drive.
#[derive(Debug, Clone)]
pub struct TrafficOptions {
    /// The platform's own address, [`super::leadgen::Platform::url`].
    pub url: String,
    /// Statements per second over all connections.
    pub rate: f64,
    /// Connections that share the rate.
    pub connections: usize,
    /// The same seed gives the same choices.
    pub seed: u64,
    /// Troubles planted beside it; none leaves the mix alone.
    pub faults: Vec<Fault>,
}

impl TrafficOptions {
    /// Forty statements a second over four connections, with every planted fault.
    ///
    /// # Errors
    /// [`Error::BuiltIn`] if the fault list that is compiled in does not read.
    pub fn new(url: impl Into<String>) -> Result<Self> {
        Ok(Self {
            url: url.into(),
            rate: 40.0,
            connections: 4,
            seed: 14,
            faults: fault::built_in()?,
        })
    }
}

/// How often a statement or a fault ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Such as `R05` or `L1`.
    pub id: String,
    /// Times it was sent.
    pub calls: u64,
    /// Times it ended with an error.
    pub errors: u64,
}

/// What the traffic did so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// One a statement of the mix, in its order.
    pub statements: Vec<Count>,
    /// One a planted fault, in its order.
    pub faults: Vec<Count>,
    /// Times that no connection could be had.
    pub refused_connections: u64,
}

impl Counts {
    /// Statements of the mix sent so far.
    pub fn calls(&self) -> u64 {
        self.statements.iter().map(|count| count.calls).sum()
    }

    /// Statements of the mix that ended with an error.
    pub fn errors(&self) -> u64 {
        self.statements.iter().map(|count| count.errors).sum()
    }
}

#[derive(Debug, Default)]
struct Tally {
    calls: AtomicU64,
    errors: AtomicU64,
}

impl Tally {
    fn add(&self, failed: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    fn read(&self, id: &str) -> Count {
        Count {
            id: id.to_owned(),
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

#[derive(Debug)]
struct Shared {
    url: String,
    mix: Mix,
    statements: Vec<Tally>,
    faults: Vec<(Fault, Tally)>,
    refused_connections: AtomicU64,
}

/// Running traffic. Dropping it lets it end by itself; [`Traffic::stop`] waits for that.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Looks up rows to work with, and starts.
    ///
    /// # Errors
    /// [`Error::Rate`] for a rate or a number of connections that drives nothing, [`Error::Empty`]
    /// before the platform is filled, `Postgres` if it cannot be reached. Later errors are counted
    /// and never stop the traffic.
    pub async fn start(options: TrafficOptions) -> Result<Self> {
        let (rate, connections) = (options.rate, options.connections);
        let apart = Duration::try_from_secs_f64(connections as f64 / rate).unwrap_or_default();
        if connections == 0 || apart.is_zero() {
            return Err(Error::Rate { rate, connections });
        }
        let mix = Mix::built_in()?;
        let client = session::connect(&options.url, APPLICATION).await?;
        let known = Known::read(&client).await?;
        let shared = Arc::new(Shared {
            url: options.url,
            statements: mix.entries.iter().map(|_| Tally::default()).collect(),
            mix,
            faults: tallied(options.faults),
            refused_connections: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let mut seeds = Dice::new(options.seed);
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let worker = Worker {
                shared: Arc::clone(&shared),
                known: known.clone(),
                dice: Dice::new(seeds.bits()),
                session: None,
            };
            tasks.push(tokio::spawn(worker.run(apart, stopped.clone())));
        }
        for at in 0..shared.faults.len() {
            let shared = Arc::clone(&shared);
            tasks.push(tokio::spawn(plant(shared, at, stopped.clone())));
        }
        Ok(Self {
            shared,
            stop,
            tasks,
        })
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        let shared = &self.shared;
        let statements = shared.mix.entries.iter().zip(&shared.statements);
        let faults = shared.faults.iter();
        Counts {
            statements: statements
                .map(|(entry, tally)| tally.read(&entry.id))
                .collect(),
            faults: faults.map(|(fault, tally)| tally.read(&fault.id)).collect(),
            refused_connections: shared.refused_connections.load(Ordering::Relaxed),
        }
    }

    /// Stops and closes all connections; what was done is the answer.
    pub async fn stop(mut self) -> Counts {
        self.stop.send_replace(true);
        for mut task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout(STOP_LIMIT, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.counts()
    }
}

fn tallied(faults: Vec<Fault>) -> Vec<(Fault, Tally)> {
    faults
        .into_iter()
        .map(|fault| (fault, Tally::default()))
        .collect()
}

/// Ends when the traffic is stopped, or dropped.
async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    // The error means that the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

struct Session {
    client: Client,
    prepared: HashMap<usize, Statement>,
}

struct Worker {
    shared: Arc<Shared>,
    known: Known,
    dice: Dice,
    session: Option<Session>,
}

impl Worker {
    /// Sends a statement each `apart`, whether or not the one before took longer: a lock makes the
    /// calls pile up as clients would.
    async fn run(mut self, apart: Duration, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(apart);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            let next = async {
                ticks.tick().await;
                self.step().await;
            };
            tokio::select! {
                () = until_stopped(&mut stopped) => return,
                () = next => {}
            }
        }
    }

    async fn step(&mut self) {
        let at = self.shared.mix.choose(&mut self.dice);
        let shared = Arc::clone(&self.shared);
        let (Some(entry), Some(tally)) = (shared.mix.entries.get(at), shared.statements.get(at))
        else {
            return;
        };
        let session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => match session::connect(&shared.url, APPLICATION).await {
                Ok(client) => Session {
                    client,
                    prepared: HashMap::new(),
                },
                Err(error) => {
                    shared.refused_connections.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "the demo's traffic has no connection");
                    tokio::time::sleep(RECONNECT).await;
                    return;
                }
            },
        };
        let session = self.session.insert(session);
        let values = entry.values(&mut self.known, &mut self.dice);
        let sent = send(session, at, entry, values).await;
        if let Err(error) = &sent {
            tracing::debug!(%error, id = entry.id, "a statement of the demo's traffic failed");
        }
        tally.add(sent.is_err());
    }
}

/// Runs one statement, prepared once a connection, and lets go of the rows as they come.
async fn send(session: &mut Session, at: usize, entry: &Entry, values: Vec<Value>) -> Result<()> {
    let statement = if let Some(statement) = session.prepared.get(&at) {
        statement.clone()
    } else {
        let prepared = session.client.prepare(&entry.sql).await;
        let statement = prepared.map_err(refused("prepare a statement of the mix"))?;
        session.prepared.insert(at, statement.clone());
        statement
    };
    let rows = session.client.query_raw(&statement, values).await;
    let mut rows = pin!(rows.map_err(refused("run a statement of the mix"))?);
    while rows
        .try_next()
        .await
        .map_err(refused("read rows of the mix"))?
        .is_some()
    {}
    Ok(())
}

/// Injects one fault at its times.
async fn plant(shared: Arc<Shared>, at: usize, mut stopped: watch::Receiver<bool>) {
    let Some((fault, tally)) = shared.faults.get(at) else {
        return;
    };
    let repeat = async {
        tokio::time::sleep(fault.first_after()).await;
        loop {
            let outcome = fault::inject(fault, &shared.url).await;
            if let Err(error) = &outcome {
                tracing::debug!(%error, id = fault.id, "a planted fault failed");
            }
            tally.add(outcome.is_err());
            tokio::time::sleep(fault.every()).await;
        }
    };
    tokio::select! {
        () = until_stopped(&mut stopped) => {}
        () = repeat => {}
    }
}
