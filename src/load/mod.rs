//! Load tests: requests sent when they are due, and what became of them.
//!
//! For: sending a scenario's requests to a server by an open model, and counting. Not for: what is
//! good enough by default, which servers may be loaded, or where results are kept (`work::load`).
//! Read [`run`] first, then `crew`, which sends, and `pace`, which says when.
//!
//! An arrival is due whether or not the server has kept up. Its latency counts from that instant,
//! so that a server that stalls shows what its callers would have waited; where as many requests as
//! allowed are under way, arrivals wait, and their waiting counts.
//!
//! A run has a thread of its own with a timer that the kernel keeps to microseconds, and one
//! request costs it some ten of them. What it keeps does not grow with the number of requests:
//! sketches for each stage and endpoint, and at most 240 points of time.

mod built_in;
mod client;
mod crew;
mod own;
mod pace;
mod probe;
mod request;
mod results;
mod scenario;
mod tally;
mod timer;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::{Clock as _, SystemClock};
use crate::model::load::{Ended, LoadTestResults, Origin, Scenario, Thresholds};
use crate::model::units::Millis;

pub use built_in::{names, text};
pub use scenario::{read, scaled};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A scenario that cannot be used.
    #[error("{file}:{line}: {message}")]
    Scenario {
        /// The file, or the built-in scenario.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what to write.
        message: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A factor, or what becomes of the scenario under it, is out of bounds.
    #[error("{0}")]
    Factor(String),
    /// A URL that cannot be used.
    #[error(transparent)]
    Url(#[from] crate::model::load::BadUrl),
    /// A header that cannot be sent.
    #[error("header {name:?} cannot be sent; write 'Name: value' in plain characters")]
    Header {
        /// Its name, or all of it.
        name: String,
    },
    /// Nobody answers.
    #[error("{origin} cannot be reached ({reason}); start it, or name another server")]
    Unreachable {
        /// Who was asked.
        origin: String,
        /// Why.
        reason: String,
    },
    /// Somebody listens and says nothing.
    #[error(
        "the server at {origin} takes connections, but did not answer {request} within {} s; no load was sent", limit.as_secs_f64()
    )]
    Silent {
        /// Who was asked.
        origin: String,
        /// What was asked.
        request: String,
        /// How long an answer was waited for.
        limit: Duration,
    },
    /// It was stopped before anything was sent.
    #[error("stopped before any load was sent")]
    Stopped,
    /// This machine cannot send.
    #[error("the load generator cannot start: {0}")]
    Generator(String),
}

/// The result of preparing or running a load test.
pub type Result<T> = std::result::Result<T, Error>;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The result's name.
    pub id: String,
    /// As it is run: factors are applied.
    pub scenario: Scenario,
    /// By how much rates were multiplied; told in the result.
    pub rate_factor: f64,
    /// By how much lengths were multiplied; told in the result.
    pub time_factor: f64,
    /// Who is loaded.
    pub origin: Origin,
    /// What stands before each endpoint's path.
    pub base: String,
    /// Headers of every request; an endpoint's own win.
    pub headers: Vec<(String, String)>,
    /// What is good enough; `None` in a field asks nothing.
    pub thresholds: Thresholds,
}

/// How far a run is; told once a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Length of all stages.
    pub total: Millis,
    /// The stage that is now.
    pub stage: String,
    /// Requests whose end is known.
    pub done: u64,
    /// Those that failed.
    pub failed: u64,
    /// Requests that ended in the last second.
    pub last_second: u64,
    /// Requests under way.
    pub in_flight: usize,
    /// Arrivals that are due and wait for a slot.
    pub waiting: u64,
    /// Median of the last second from the intended start, in ms.
    pub p50: Option<f64>,
    /// 99 % quantile of the last second, in ms.
    pub p99: Option<f64>,
}

/// Runs a load test on a thread of its own; ends early when `stop` comes, and then tells what was
/// measured until then. `told` is called once a second on that thread and must return at once.
///
/// # Errors
/// [`Error`], before any load is sent: where nobody answers, or something cannot be sent.
pub async fn run(
    plan: Plan,
    stop: impl Future<Output = ()> + Send + 'static,
    told: impl Fn(&Progress) + Send + 'static,
) -> Result<LoadTestResults> {
    let (done, result) = oneshot::channel();
    // Whoever waits no longer is noticed by the end of this.
    let (_waits, gone) = oneshot::channel::<()>();
    let work = move || {
        let outcome = on_this_thread(plan, stop, gone, &told);
        // Nobody waits any more: then there is nobody to tell.
        let _ = done.send(outcome);
    };
    std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(work)
        .map_err(|error| Error::Generator(error.to_string()))?;
    result
        .await
        .map_err(|_| Error::Generator("its thread panicked".to_owned()))?
}

fn on_this_thread(
    plan: Plan,
    stop: impl Future<Output = ()>,
    gone: oneshot::Receiver<()>,
    told: &dyn Fn(&Progress),
) -> Result<LoadTestResults> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Generator(error.to_string()))?;
    let local = tokio::task::LocalSet::new();
    let outcome = local.block_on(&runtime, async {
        let stop = async {
            tokio::select! {
                () = stop => {}
                _ = gone => {}
            }
        };
        whole(plan, stop, told).await
    });
    // A resolver that does not answer would else hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn whole(
    mut plan: Plan,
    stop: impl Future<Output = ()>,
    told: &dyn Fn(&Progress),
) -> Result<LoadTestResults> {
    let mut stop = std::pin::pin!(stop);
    let wanted = plan.scenario.max_in_flight;
    plan.scenario.max_in_flight = own::connections(wanted);
    let set = request::Set::of(&plan)?;
    let prepared = async {
        let target = client::Target::resolve(&plan.origin).await?;
        let notes = probe::ask(&target, &set, plan.scenario.timeout.as_duration()).await?;
        Ok::<_, Error>((target, notes))
    };
    let (target, mut notes) = tokio::select! {
        prepared = prepared => prepared?,
        () = &mut stop => return Err(Error::Stopped),
    };
    if plan.scenario.max_in_flight < wanted {
        notes.push(format!(
            "{} requests may be under way in place of {wanted}: no more files may be open here \
             (ulimit -n)",
            plan.scenario.max_in_flight
        ));
    }
    let clock = SystemClock;
    let started = clock.now();
    let own = own::Usage::now();
    let ran = crew::run(&plan.scenario, target, set, stop, told).await?;
    let usage = own::Usage::since(own, ran.took);
    let reason = match &ran.ended {
        crew::End::Finished => None,
        crew::End::Stopped => Some("it was stopped".to_owned()),
        crew::End::Aborted(why) => Some(why.clone()),
    };
    if ran.ended == crew::End::Stopped {
        notes.push("it was stopped early: the figures are of what had ended by then".to_owned());
    }
    Ok(results::of(
        &plan,
        &ran,
        results::Frame {
            started,
            ended_at: started.plus(ran.took),
            ended: match ran.ended {
                crew::End::Finished => Ended::Finished,
                crew::End::Stopped => Ended::Stopped,
                crew::End::Aborted(_) => Ended::Aborted,
            },
            reason,
            usage,
            notes,
        },
    ))
}

#[cfg(test)]
mod tests;
