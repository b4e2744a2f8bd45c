//! Plans of others' statements, with indexes that are there and with hypothetical ones.
//!
//! For: `EXPLAIN` without running anything, on sessions of our own, and what the catalog knows of the
//! tables in a plan. Not for: choosing indexes (`advise`) or our own readings (`collect`).
//!
//! Nothing is executed: each text is checked to be one statement that has a plan, the extended
//! protocol takes no second one, and every transaction is read-only and rolled back. A hypothetical
//! index lives in the memory of one backend and goes with it. Read [`WhatIf`] first.

mod backend;
mod examine;
pub(super) mod explain;
mod learn;
mod partitions;
mod recorded;
mod relations;
mod safe;
mod sample;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use self::backend::Backend;
pub use self::recorded::{Record, Recorded};
use super::observer::Manner;
use super::scratch::{self, Identity};
use super::{Options, Result};
use crate::advise::cost::{Ask, IndexSet, Planned, Planner, PlannerError};
use crate::advise::relation::Relation;
use crate::model::plan::PlanNode;

pub use examine::{Checked, Examined, NotRun, Run, STATEMENT, Values};
pub use learn::{Lesson, Seen};

/// What the server can do for an advisor.
#[derive(Debug, Clone, PartialEq)]
pub struct Ability {
    /// As `SHOW server_version_num`.
    pub version_num: u32,
    /// Version of HypoPG in this database, if it is there.
    pub hypopg: Option<String>,
    /// Schema of HypoPG, quoted.
    hypopg_schema: String,
    /// A standby.
    pub in_recovery: bool,
    /// Seconds since the database's statistics were reset, if that is known.
    pub statistics_age_s: Option<f64>,
    /// Bytes of one page.
    block_size: u64,
}

/// Sessions that plan the statements of one workload.
pub struct WhatIf {
    backends: Vec<Mutex<Backend>>,
    ability: Ability,
    runtime: Handle,
    statements: Vec<String>,
    candidates: Vec<String>,
}

/// Most tables that are looked into: a plan over partitions can name thousands, and of hundreds that
/// are alike each says the same.
const TABLES_MAX: usize = 300;

/// Questions that one session takes at a time.
const PORTION: usize = 6;

impl WhatIf {
    /// Opens `sessions` sessions, at least one; `options` say where, how long a plan may take and how
    /// long a lock may be waited for.
    ///
    /// # Errors
    /// Those of connecting, and [`Error::Pooled`](super::Error::Pooled) behind a pooler.
    pub async fn open(options: &Options, sessions: usize) -> Result<Self> {
        let mut options = options.clone();
        options.manner = Manner::Planning;
        let mut first = Backend::open(&options).await?;
        let ability = first.ability().await?;
        let mut backends = vec![Mutex::new(first)];
        for _ in 1..sessions {
            // One is enough to go on with.
            let Ok(next) = Backend::open(&options).await else {
                break;
            };
            backends.push(Mutex::new(next));
        }
        Ok(Self {
            backends,
            ability,
            runtime: Handle::current(),
            statements: Vec::new(),
            candidates: Vec::new(),
        })
    }

    /// What the server can do.
    pub fn ability(&self) -> &Ability {
        &self.ability
    }

    /// Plans one statement as it is, with every detail.
    ///
    /// # Errors
    /// Those of the server, such as a table that is not there; those of the line.
    pub async fn explain(&self, statement: &str) -> Result<PlanNode> {
        let Some(backend) = self.backends.first() else {
            return Err(super::Error::NotConnected);
        };
        backend.lock().await.explain(statement).await
    }

    /// What the server has recorded of its statements, at most `limit` of them.
    ///
    /// # Errors
    /// Where `pg_stat_statements` is missing or may not be read, with the cure.
    pub async fn recorded(&self, limit: u32) -> Result<Record> {
        let Some(backend) = self.backends.first() else {
            return Err(super::Error::NotConnected);
        };
        recorded::read(&mut *backend.lock().await, limit).await
    }

    /// Which database this is.
    ///
    /// # Errors
    /// Those of the line.
    pub async fn identity(&self) -> Result<Identity> {
        let Some(backend) = self.backends.first() else {
            return Err(super::Error::NotConnected);
        };
        let mut backend = backend.lock().await;
        let rows = backend.rows("identity", scratch::IDENTITY, &[]).await?;
        scratch::identity(&rows)
    }

    /// Why a statement must not be run; `None` where it reads and does nothing else. It is planned, not
    /// run.
    ///
    /// # Errors
    /// Those of the server, such as a table that is not there; those of the line.
    pub async fn objection(&self, statement: &str) -> Result<Option<String>> {
        let Some(backend) = self.backends.first() else {
            return Err(super::Error::NotConnected);
        };
        examine::objection(&mut *backend.lock().await, statement).await
    }

    /// Whether another session is on another server, or in another database of this one: a lock that is
    /// held here is free there.
    ///
    /// # Errors
    /// Those of either server.
    pub async fn is_elsewhere(&self, other: &Self) -> Result<bool> {
        let (Some(ours), Some(theirs)) = (self.backends.first(), other.backends.first()) else {
            return Err(super::Error::NotConnected);
        };
        let (mut ours, mut theirs) = (ours.lock().await, theirs.lock().await);
        let key = ours.lock_any().await?;
        let is_free = theirs.try_lock(key).await?;
        for backend in [&mut ours, &mut theirs] {
            backend.unlock_all().await?;
        }
        Ok(is_free)
    }

    /// The types of a statement's parameters, and its plan with the parameters left in it.
    ///
    /// # Errors
    /// Those of the server, such as a parameter whose type nobody can tell.
    pub async fn generic(&self, text: &str) -> Result<(Vec<String>, PlanNode)> {
        let Some(backend) = self.backends.first() else {
            return Err(super::Error::NotConnected);
        };
        let mut backend = backend.lock().await;
        let types = recorded::parameter_types(&mut backend, text).await?;
        let plan = recorded::generic_plan(&mut backend, &self.ability, text, types.len()).await?;
        Ok((types, plan))
    }

    /// What the catalog knows of these relations (schema, name), of the first 300 that
    /// differ; those that have vanished are left out.
    ///
    /// # Errors
    /// Those of the server or the line.
    pub async fn relations(&self, names: &[(String, String)]) -> Result<Vec<Relation>> {
        let Some(backend) = self.backends.first() else {
            return Err(super::Error::NotConnected);
        };
        let mut seen = BTreeSet::new();
        let differing = names.iter().filter(|name| seen.insert(*name));
        let names: Vec<(String, String)> = differing.take(TABLES_MAX).cloned().collect();
        let mut backend = backend.lock().await;
        relations::read(&mut backend, &names, self.ability.block_size).await
    }

    /// Looks at some pages of each relation, in the columns and with the predicates asked for.
    /// Where that is not allowed or takes too long, there is no sample.
    ///
    /// # Errors
    /// When the line breaks.
    pub async fn sample(
        &self,
        relations: &mut [Relation],
        wanted: &BTreeMap<usize, (Vec<usize>, Vec<String>)>,
    ) -> Result<()> {
        let total: usize = wanted.values().map(|(columns, _)| columns.len()).sum();
        let next = AtomicUsize::new(0);
        let places: Vec<usize> = wanted.keys().copied().collect();
        let known: &[Relation] = relations;
        let taken = join_all(self.backends.iter().map(|backend| {
            let (next, places) = (&next, &places);
            async move {
                let mut backend = backend.lock().await;
                let mut samples = Vec::new();
                while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (Some(relation), Some(asked)) = (known.get(*place), wanted.get(place))
                    else {
                        continue;
                    };
                    match sample::take(&mut backend, relation, asked, total).await {
                        Ok(sample) => samples.push((*place, sample)),
                        Err(error) if error.is_fatal() => return Err(error),
                        Err(error) => {
                            tracing::debug!(relation = relation.quoted, %error, "no sample");
                        }
                    }
                }
                Ok(samples)
            }
        }))
        .await;
        for samples in taken {
            for (place, sample) in samples? {
                if let Some(relation) = relations.get_mut(place) {
                    relation.sample = Some(sample);
                }
            }
        }
        Ok(())
    }

    /// Sets what [`Planner::plan`] is asked about: statements and candidates by number.
    pub fn prepare(&mut self, statements: Vec<String>, candidates: Vec<String>) {
        self.statements = statements;
        self.candidates = candidates;
    }

    /// Takes every hypothetical index away and ends the sessions.
    pub async fn close(self) {
        for backend in self.backends {
            backend.into_inner().close(&self.ability).await;
        }
    }

    async fn answer(&self, asks: &[Ask]) -> Result<Vec<Option<Planned>>> {
        let portions: Vec<&[Ask]> = asks.chunks(PORTION).collect();
        let next = AtomicUsize::new(0);
        let done = join_all(self.backends.iter().map(|backend| {
            let (next, portions) = (&next, &portions);
            async move {
                let mut backend = backend.lock().await;
                let mut answers = Vec::new();
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(portion) = portions.get(place) else {
                        return Ok(answers);
                    };
                    let question = backend::Question {
                        schema: &self.ability.hypopg_schema,
                        statements: &self.statements,
                        candidates: &self.candidates,
                    };
                    answers.push((place, backend.answer(question, portion).await?));
                }
            }
        }))
        .await;
        let mut portions: Vec<(usize, Vec<Option<Planned>>)> = Vec::new();
        for answers in done {
            portions.extend(answers?);
        }
        portions.sort_by_key(|(place, _)| *place);
        Ok(portions
            .into_iter()
            .flat_map(|(_, answers)| answers)
            .collect())
    }
}

impl WhatIf {
    /// From HypoPG 1.4 on, indexes that are there can be hidden from the planner.
    fn can_hide(&self) -> bool {
        let version = self.ability.hypopg.as_deref().unwrap_or("0");
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0_u32));
        (parts.next(), parts.next()) >= (Some(1), Some(4))
    }

    async fn answer_hiding(&self, hidden: &[String], asks: &[Ask]) -> Result<Vec<Option<Planned>>> {
        let Some(backend) = self.backends.first() else {
            return Err(super::Error::NotConnected);
        };
        let mut backend = backend.lock().await;
        let question = backend::Question {
            schema: &self.ability.hypopg_schema,
            statements: &self.statements,
            candidates: &self.candidates,
        };
        backend.hide(question, hidden).await?;
        let answers = backend.answer(question, asks).await;
        backend.show_all(question).await?;
        answers
    }
}

impl Planner for WhatIf {
    fn plan_hiding(
        &self,
        hidden: &[String],
        asks: &[Ask],
    ) -> std::result::Result<Option<Vec<Option<Planned>>>, PlannerError> {
        if !self.can_hide() {
            return Ok(None);
        }
        let answers = self.runtime.block_on(self.answer_hiding(hidden, asks));
        let answers = answers.map_err(|error| PlannerError(error.to_string()))?;
        Ok(Some(answers))
    }

    fn plan(&self, asks: &[Ask]) -> std::result::Result<Vec<Option<Planned>>, PlannerError> {
        let answers = self.runtime.block_on(self.answer(asks));
        answers.map_err(|error| PlannerError(error.to_string()))
    }
}

/// The candidates among the indexes that a plan uses, by the numbers that HypoPG gave them.
fn used(plan: &PlanNode, known: &BTreeMap<u32, usize>) -> IndexSet {
    let names = plan
        .nodes()
        .into_iter()
        .filter_map(|node| node.index.as_ref());
    IndexSet::of(names.filter_map(|name| {
        let number = name.strip_prefix('<')?.split_once('>')?.0.parse().ok()?;
        known.get(&number).copied()
    }))
}
