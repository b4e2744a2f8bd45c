//! Keeps looking at one target: connects when it must, reads, and remembers what need not be read
//! again.

use std::time::Duration;

use super::capability::Capability;
use super::collect;
use super::libpq::ConnInfo;
use super::pooler::Pooler;
use super::reading::{self, Memory};
use super::session::Session;
use super::{Error, Result};
use crate::model::database::{ActivitySample, BlindSpot, Snapshot};
use crate::model::series::Sample;
use crate::model::units::{Millis, Timestamp};

/// How to look at one target.
#[derive(Debug, Clone)]
pub struct Options {
    /// The target's name, as configured.
    pub name: String,
    /// Where and how to connect.
    pub conninfo: ConnInfo,
    /// The admin console of a pooler in front, if one is configured.
    pub pooler: Option<ConnInfo>,
    /// Longest time that one query may take.
    pub statement_timeout: Millis,
    /// Longest time that one query may wait for a lock.
    pub lock_timeout: Millis,
    /// Longest time for connecting to one host, unless `connect_timeout` says otherwise.
    pub connect_timeout: Millis,
    /// How many statements are followed.
    pub top_statements: usize,
    /// How many tables have series; the snapshot has all.
    pub max_tables: usize,
    /// How many indexes have series; the snapshot has all.
    pub max_indexes: usize,
    /// What the session is for.
    pub manner: Manner,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// Our own queries: no parallel workers, no JIT, only built-in names.
    #[default]
    Reading,
    /// Statements of others are planned, with the settings and the search path that they have.
    Planning,
}

impl Options {
    /// The defaults: 5 s per query and connection, 100 ms per lock, 200 statements, 1,000 tables,
    /// 4,000 indexes.
    pub fn new(name: impl Into<String>, conninfo: ConnInfo) -> Self {
        Self {
            name: name.into(),
            conninfo,
            pooler: None,
            statement_timeout: Millis(5_000),
            lock_timeout: Millis(100),
            connect_timeout: Millis(5_000),
            top_statements: 200,
            max_tables: 1_000,
            max_indexes: 4_000,
            manner: Manner::Reading,
        }
    }
}

/// Longest pause between two attempts to connect.
const BACKOFF_CAP: Duration = Duration::from_secs(30);
/// Pause after the second failure in a row; the first is tried again at once.
const BACKOFF_BASE: Duration = Duration::from_secs(5);

/// When the next attempt to connect may be made.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
    next_try: Option<Timestamp>,
    reason: String,
}

impl Backoff {
    fn failed(&mut self, at: Timestamp, error: &Error) {
        let pause = match self.failures {
            0 => Duration::ZERO,
            n => BACKOFF_BASE
                .saturating_mul(1 << (n - 1).min(8))
                .min(BACKOFF_CAP),
        };
        self.failures = self.failures.saturating_add(1);
        self.next_try = Some(at.plus(pause));
        self.reason = error.to_string();
    }

    /// The time to wait for, if it is not there yet. A clock that was set back does not prolong it.
    fn wait(&self, at: Timestamp) -> Option<Timestamp> {
        self.next_try
            .filter(|next| *next > at && next.since(at) <= BACKOFF_CAP)
    }
}

/// Looks at one target. Holds one connection at most.
pub struct Observer {
    options: Options,
    session: Option<Session>,
    pooler: Pooler,
    capability: Option<Capability>,
    backoff: Backoff,
    memory: Memory,
    backend_pid: Option<i32>,
}

impl Observer {
    /// Does not connect yet: the first scrape does.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            session: None,
            pooler: Pooler::default(),
            capability: None,
            backoff: Backoff::default(),
            memory: Memory::default(),
            backend_pid: None,
        }
    }

    /// The target's name, as configured.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Where it connects to.
    pub fn conninfo(&self) -> &ConnInfo {
        &self.options.conninfo
    }

    /// What the server was found able to; `None` before the first connection.
    pub fn capability(&self) -> Option<&Capability> {
        self.capability.as_ref()
    }

    /// The process id of our own backend, for measuring what we cost a local server.
    pub fn backend_pid(&self) -> Option<i32> {
        self.backend_pid
    }

    /// Reads everything cheap: what changes from second to second.
    ///
    /// A part that fails alone becomes a blind spot of the next snapshot.
    ///
    /// # Errors
    /// When the target cannot be reached or the line breaks; the next call connects again, after
    /// a pause that grows to 30 s ([`Error::Waiting`] until then).
    pub async fn scrape(&mut self, at: Timestamp) -> Result<Vec<Sample>> {
        self.connect(at).await?;
        let outcome = self.read_scrape().await;
        self.outcome(at, outcome)
    }

    /// Reads what changes slowly: relations, sizes, settings; gives series and a snapshot.
    ///
    /// # Errors
    /// As [`Self::scrape`].
    pub async fn catalog(&mut self, at: Timestamp) -> Result<(Vec<Sample>, Snapshot)> {
        self.connect(at).await?;
        let outcome = self.read_catalog(at).await;
        let (samples, mut snapshot) = self.outcome(at, outcome)?;
        if let Some(console) = &self.options.pooler {
            match self.pooler.read(console, &self.options).await {
                Ok(read) => (snapshot.pools, snapshot.pool_totals) = read,
                Err(error) => snapshot.blind_spots.push(BlindSpot {
                    what: "pooler".to_owned(),
                    why: error.to_string(),
                    cure: "name its console in the target's pooler, as a user of stats_users \
                           or admin_users"
                        .to_owned(),
                }),
            }
        }
        Ok((samples, snapshot))
    }

    /// What runs at this moment, by wait event.
    ///
    /// # Errors
    /// [`Error::NotConnected`] before the first scrape and after a lost line, and those of the
    /// query.
    pub async fn activity(&mut self) -> Result<ActivitySample> {
        let session = self.session.as_mut().ok_or(Error::NotConnected)?;
        let outcome = async {
            if session.is_pooled() {
                session.begin().await?;
                let sample = collect::activity::sample(session).await;
                session.end().await?;
                sample
            } else {
                collect::activity::sample(session).await
            }
        }
        .await;
        if outcome.as_ref().is_err_and(Error::is_fatal) {
            self.session = None;
        }
        outcome
    }

    async fn connect(&mut self, at: Timestamp) -> Result<()> {
        if self
            .session
            .as_ref()
            .is_some_and(|session| !session.is_closed())
        {
            return Ok(());
        }
        // The old connection goes before the new one comes: never more than one and its shadow.
        self.session = None;
        self.backend_pid = None;
        if let Some(next_try) = self.backoff.wait(at) {
            return Err(Error::Waiting {
                reason: self.backoff.reason.clone(),
                next_try,
            });
        }
        let opened = async {
            let mut session = Session::open(&self.options).await?;
            let capability = Capability::read(&mut session).await?;
            Ok((session, capability))
        }
        .await;
        match opened {
            Ok((session, capability)) => {
                tracing::info!(
                    target_name = self.options.name,
                    address = self.options.conninfo.display(),
                    version = capability.version,
                    "connected"
                );
                self.memory.reconnected(&capability);
                self.session = Some(session);
                self.capability = Some(capability);
                Ok(())
            }
            Err(error) => {
                self.backoff.failed(at, &error);
                Err(error)
            }
        }
    }

    fn outcome<T>(&mut self, at: Timestamp, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => self.backoff = Backoff::default(),
            Err(error) if error.is_fatal() => {
                self.session = None;
                self.backoff.failed(at, error);
            }
            Err(_) => {}
        }
        outcome
    }

    async fn read_scrape(&mut self) -> Result<Vec<Sample>> {
        let (Some(session), Some(able)) = (self.session.as_mut(), self.capability.as_ref()) else {
            return Err(Error::NotConnected);
        };
        session.begin().await?;
        let (server, samples) =
            reading::scrape(session, able, &self.options, &mut self.memory).await?;
        if self
            .backend_pid
            .is_some_and(|pid| pid != server.backend_pid)
        {
            session.set_pooled(&self.options);
        }
        self.backend_pid = Some(server.backend_pid);
        session.end().await?;
        Ok(samples)
    }

    async fn read_catalog(&mut self, at: Timestamp) -> Result<(Vec<Sample>, Snapshot)> {
        let (Some(session), Some(able)) = (self.session.as_mut(), self.capability.as_mut()) else {
            return Err(Error::NotConnected);
        };
        session.begin().await?;
        // Rights and extensions may have been granted since.
        *able = Capability::read(session).await?;
        let memory = &mut self.memory;
        let read = reading::catalog(session, able, &self.options, memory, at).await?;
        session.end().await?;
        let (samples, mut snapshot) = read;
        snapshot.target.clone_from(&self.options.name);
        Ok((samples, snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_tried_again_at_once_and_later_ones_wait_up_to_the_cap() {
        let at = Timestamp::from_millis(1_000_000);
        let mut backoff = Backoff::default();
        backoff.failed(at, &Error::NotConnected);
        assert_eq!(backoff.wait(at), None);
        for _ in 0..20 {
            backoff.failed(at, &Error::NotConnected);
        }
        assert_eq!(backoff.wait(at), Some(at.plus(BACKOFF_CAP)));
        assert_eq!(backoff.wait(at.plus(BACKOFF_CAP)), None);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_prolong_the_wait() {
        let at = Timestamp::from_millis(10_000_000);
        let mut backoff = Backoff::default();
        backoff.failed(at, &Error::NotConnected);
        backoff.failed(at, &Error::NotConnected);
        assert!(backoff.wait(at).is_some());
        assert_eq!(backoff.wait(at.minus(Duration::from_hours(1))), None);
    }
}
