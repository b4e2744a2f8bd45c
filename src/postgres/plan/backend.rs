//! One session that plans: its transactions and the hypothetical indexes in its memory.

#![expect(
    clippy::disallowed_types,
    reason = "a session for plans is not shared with our own queries"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use super::{Ability, explain, used};
use crate::advise::cost::{Ask, IndexSet, Planned};
use crate::model::plan::PlanNode;
use crate::model::units::Millis;
use crate::postgres::connect;
use crate::postgres::error::root_cause;
use crate::postgres::read::Cells;
use crate::postgres::session::Param;
use crate::postgres::{Error, Options, Result};

/// How much longer than its own `statement_timeout` a server may take before the line counts as dead.
const NETWORK_SLACK: Duration = Duration::from_secs(2);
/// The part that asks whether two sessions see each other's locks.
const LOCK: &str = "locks";
/// Sessions that may be lost while planning before it is given up.
const LOSSES: usize = 2;

/// One session.
pub(super) struct Backend {
    client: Client,
    driver: JoinHandle<()>,
    options: Options,
    address: String,
    /// Hypothetical indexes of this backend: the server's number to the candidate's, and back.
    known: BTreeMap<u32, usize>,
    numbers: BTreeMap<usize, u32>,
    /// Candidates that the server does not take.
    refused: IndexSet,
    losses: usize,
    /// Indexes that are there and hidden from this backend's plans.
    hidden: Vec<String>,
}

/// What questions are about.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    pub(super) schema: &'q str,
    pub(super) statements: &'q [String],
    pub(super) candidates: &'q [String],
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Candidates of a set that store columns beside their keys.
fn with_include(question: Question<'_>, set: &IndexSet) -> IndexSet {
    IndexSet::of(set.iter().filter(|candidate| {
        let ddl = question.candidates.get(*candidate);
        ddl.is_some_and(|ddl| ddl.contains(" INCLUDE ("))
    }))
}

impl Backend {
    /// Connects; a pooler is refused, since what is hypothetical lives in one backend.
    pub(super) async fn open(options: &Options) -> Result<Self> {
        let opened = connect::open(options).await?;
        if opened.pooled {
            return Err(Error::Pooled {
                address: opened.address,
            });
        }
        let mut backend = Self {
            client: opened.client,
            driver: opened.driver,
            options: options.clone(),
            address: opened.address,
            known: BTreeMap::new(),
            numbers: BTreeMap::new(),
            refused: IndexSet::default(),
            losses: 0,
            hidden: Vec::new(),
        };
        let sql =
            "select /* plimsoll */ pg_catalog.current_setting('default_transaction_read_only')";
        let rows = backend.rows("session", sql, &[]).await?;
        let value: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
        if value.as_deref() == Some("on") {
            Ok(backend)
        } else {
            // Some poolers take the startup packet's settings and forget them.
            let address = backend.address.clone();
            Err(Error::Pooled { address })
        }
    }

    pub(super) async fn ability(&mut self) -> Result<Ability> {
        let sql = "select /* plimsoll */ pg_catalog.current_setting('server_version_num')::pg_catalog.int8, \
             pg_catalog.current_setting('block_size')::pg_catalog.int8, pg_catalog.pg_is_in_recovery(), \
             e.extversion, pg_catalog.quote_ident(n.nspname), \
             (select extract(epoch from pg_catalog.clock_timestamp() - s.stats_reset)::pg_catalog.float8 \
              from pg_catalog.pg_stat_database s where s.datname = pg_catalog.current_database()) \
             from (values (1)) one left join pg_catalog.pg_extension e on e.extname = 'hypopg' \
             left join pg_catalog.pg_namespace n on n.oid = e.extnamespace";
        let rows = self.rows("ability", sql, &[]).await?;
        let Some(row) = rows.first() else {
            return Err(Error::Shape {
                part: "ability",
                detail: "no row".to_owned(),
            });
        };
        let cells = Cells::new("ability", row);
        Ok(Ability {
            version_num: u32::try_from(cells.count(0)?).unwrap_or(u32::MAX),
            block_size: cells.count(1)?.max(1),
            in_recovery: cells.get::<bool>(2)?,
            hypopg: cells.get(3)?,
            hypopg_schema: cells.text(4)?,
            statistics_age_s: cells.number(5)?,
        })
    }

    /// The server's version, as a number.
    pub(super) async fn version(&mut self) -> Result<u32> {
        let sql = "select /* plimsoll */ pg_catalog.current_setting('server_version_num')::pg_catalog.int8";
        let rows = self.rows("version", sql, &[]).await?;
        let number = rows.first().map(|row| Cells::new("version", row).count(0));
        Ok(u32::try_from(number.transpose()?.unwrap_or(0)).unwrap_or(u32::MAX))
    }

    /// Locks a number that nobody else has locked, and gives it.
    pub(super) async fn lock_any(&mut self) -> Result<i64> {
        let sql = "select /* plimsoll */ (pg_catalog.random() * 9e18)::pg_catalog.int8";
        loop {
            let rows = self.rows(LOCK, sql, &[]).await?;
            let Some(row) = rows.first() else {
                return Err(Error::NotConnected);
            };
            let key = Cells::new(LOCK, row).get(0)?;
            if self.try_lock(key).await? {
                return Ok(key);
            }
        }
    }

    /// Locks a number in this database, unless another session has.
    pub(super) async fn try_lock(&mut self, key: i64) -> Result<bool> {
        let sql = "select /* plimsoll */ pg_catalog.pg_try_advisory_lock($1)";
        let rows = self.rows(LOCK, sql, &[(&key, Type::INT8)]).await?;
        let Some(row) = rows.first() else {
            return Err(Error::NotConnected);
        };
        Cells::new(LOCK, row).get(0)
    }

    /// Gives all such locks back.
    pub(super) async fn unlock_all(&mut self) -> Result<()> {
        let sql = "select /* plimsoll */ pg_catalog.pg_advisory_unlock_all()";
        self.rows(LOCK, sql, &[]).await?;
        Ok(())
    }

    /// Types of the parameters of one statement, by number; more than one statement is refused.
    pub(super) async fn parameter_oids(&mut self, text: &str) -> Result<Vec<u32>> {
        let statement = self
            .bounded("a statement", self.client.prepare(text))
            .await?;
        Ok(statement.params().iter().map(Type::oid).collect())
    }

    /// A transaction that writes nothing.
    pub(super) async fn begin(&self) -> Result<()> {
        self.simple("begin /* plimsoll */ read only").await
    }

    /// Answers in the simple protocol, for what takes no parameters of its own.
    pub(super) async fn messages(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
        self.bounded("a plan", self.client.simple_query(sql)).await
    }

    /// Plans one statement with every detail.
    pub(super) async fn explain(&mut self, statement: &str) -> Result<PlanNode> {
        self.begin().await?;
        let sql = format!("explain /* plimsoll */ (format json, verbose) {statement}");
        let plan = self.planned(&sql).await;
        self.end().await?;
        plan
    }

    /// Rows of one of our own queries, in a transaction of its own.
    pub(super) async fn rows(
        &mut self,
        part: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        self.bounded(part, self.client.query_typed(sql, params))
            .await
    }

    /// The first cell of one statement's answer as text, by the simple protocol: for a statement that
    /// the server has checked to be one.
    pub(super) async fn text(&mut self, part: &'static str, sql: &str) -> Result<Option<String>> {
        let messages = self.bounded(part, self.client.simple_query(sql)).await?;
        let cell = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(cell.map(str::to_owned))
    }

    /// Answers a few questions. A question that fails alone, or kills the session, has no answer.
    pub(super) async fn answer(
        &mut self,
        question: Question<'_>,
        asks: &[Ask],
    ) -> Result<Vec<Option<Planned>>> {
        let mut answers = Vec::new();
        while answers.len() < asks.len() {
            let rest = asks.get(answers.len()..).unwrap_or_default();
            match self.portion(question, rest, &mut answers).await {
                Ok(()) => {}
                Err(error) if error.is_fatal() => {
                    tracing::warn!(%error, "a session that planned was lost");
                    self.losses += 1;
                    if self.losses > LOSSES {
                        return Err(Error::PlanningLost {
                            address: self.address.clone(),
                            detail: error.to_string(),
                        });
                    }
                    self.reopen(question).await?;
                    let Some(ask) = asks.get(answers.len()) else {
                        continue;
                    };
                    // HypoPG has crashed over INCLUDE before: once more without, on this new session.
                    let suspects = with_include(question, &ask.indexes);
                    self.refused = self.refused.with(&suspects);
                    let once = if suspects.is_empty() {
                        Err(error)
                    } else {
                        let mut one = Vec::new();
                        let again = self.portion(question, &[*ask], &mut one).await;
                        again.map(|()| one.pop().flatten())
                    };
                    match once {
                        Ok(answer) => answers.push(answer),
                        Err(error) if error.is_fatal() && !suspects.is_empty() => {
                            self.losses += 1;
                            self.reopen(question).await?;
                            answers.push(None);
                        }
                        Err(_) => {
                            self.end().await?;
                            answers.push(None);
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a statement was not planned");
                    self.end().await?;
                    answers.push(None);
                }
            }
        }
        Ok(answers)
    }

    /// Takes every hypothetical index away.
    pub(super) async fn close(self, ability: &Ability) {
        if ability.hypopg.is_some() {
            let sql = format!(
                "select /* plimsoll */ {}.hypopg_reset()",
                ability.hypopg_schema
            );
            // The session ends anyway, and all that is hypothetical with it.
            let _ = self.simple(&sql).await;
        }
    }

    async fn portion(
        &mut self,
        question: Question<'_>,
        asks: &[Ask],
        answers: &mut Vec<Option<Planned>>,
    ) -> Result<()> {
        self.simple("begin /* plimsoll */ read only").await?;
        for ask in asks {
            self.set(question, &ask.indexes).await?;
            let Some(statement) = question.statements.get(ask.statement) else {
                answers.push(None);
                continue;
            };
            let sql = format!("explain /* plimsoll */ (format json) {statement}");
            let plan = self.planned(&sql).await?;
            let used = used(&plan, &self.known);
            answers.push(Some(Planned { plan, used }));
        }
        self.end().await
    }

    /// Makes exactly these candidates hypothetically there.
    async fn set(&mut self, question: Question<'_>, wanted: &IndexSet) -> Result<()> {
        let wanted = wanted.without(&self.refused);
        let gone: Vec<u32> = self
            .numbers
            .iter()
            .filter(|(candidate, _)| !wanted.contains(**candidate))
            .map(|(_, number)| *number)
            .collect();
        if !gone.is_empty() {
            let sql = format!(
                "select /* plimsoll */ {}.hypopg_drop_index(o) from pg_catalog.unnest($1) o",
                question.schema
            );
            self.rows("hypothetical indexes", &sql, &[(&gone, Type::OID_ARRAY)])
                .await?;
            for number in gone {
                if let Some(candidate) = self.known.remove(&number) {
                    self.numbers.remove(&candidate);
                }
            }
        }
        let new: Vec<usize> = wanted
            .iter()
            .filter(|c| !self.numbers.contains_key(c))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.create(question, &new).await {
            if error.is_fatal() {
                return Err(error);
            }
            // One that is not taken spoils the rest: each is tried alone, from nothing.
            self.forget(question).await?;
            for candidate in wanted.iter() {
                if let Err(error) = self.create(question, &[candidate]).await {
                    if error.is_fatal() {
                        return Err(error);
                    }
                    tracing::debug!(candidate, %error, "a hypothetical index was refused");
                    self.refused.insert(candidate);
                    self.end().await?;
                    self.simple("begin /* plimsoll */ read only").await?;
                }
            }
        }
        Ok(())
    }

    async fn create(&mut self, question: Question<'_>, new: &[usize]) -> Result<()> {
        let ddl: Vec<&str> = new
            .iter()
            .filter_map(|candidate| question.candidates.get(*candidate))
            .map(String::as_str)
            .collect();
        let sql = format!(
            "select /* plimsoll */ h.indexrelid from pg_catalog.unnest($1) with ordinality d(ddl, n) \
             cross join lateral {}.hypopg_create_index(d.ddl) h order by d.n",
            question.schema
        );
        let rows = self
            .rows("hypothetical indexes", &sql, &[(&ddl, Type::TEXT_ARRAY)])
            .await?;
        for (row, candidate) in rows.iter().zip(new) {
            let number: u32 = Cells::new("hypothetical indexes", row).get(0)?;
            self.known.insert(number, *candidate);
            self.numbers.insert(*candidate, number);
        }
        Ok(())
    }

    /// Hides indexes that are there from this session's plans (HypoPG 1.4).
    pub(super) async fn hide(&mut self, question: Question<'_>, names: &[String]) -> Result<()> {
        let sql = format!(
            "select /* plimsoll */ {}.hypopg_hide_index(pg_catalog.to_regclass(i)::pg_catalog.oid) \
             from pg_catalog.unnest($1) i",
            question.schema
        );
        self.rows("hidden indexes", &sql, &[(&names, Type::TEXT_ARRAY)])
            .await?;
        self.hidden = names.to_vec();
        Ok(())
    }

    /// Hides nothing any more.
    pub(super) async fn show_all(&mut self, question: Question<'_>) -> Result<()> {
        let sql = format!(
            "select /* plimsoll */ {}.hypopg_unhide_all_indexes()",
            question.schema
        );
        self.hidden.clear();
        self.rows("hidden indexes", &sql, &[]).await?;
        Ok(())
    }

    async fn forget(&mut self, question: Question<'_>) -> Result<()> {
        self.end().await?;
        self.simple("begin /* plimsoll */ read only").await?;
        let sql = format!("select /* plimsoll */ {}.hypopg_reset()", question.schema);
        self.rows("hypothetical indexes", &sql, &[]).await?;
        self.known.clear();
        self.numbers.clear();
        Ok(())
    }

    /// A new session in the place of one that was lost, which hides what that one hid.
    async fn reopen(&mut self, question: Question<'_>) -> Result<()> {
        // A backend that crashed takes all others with it: the server starts anew.
        const TRIES: usize = 20;
        const PAUSE: Duration = Duration::from_millis(500);
        let mut last = Error::NotConnected;
        for _ in 0..TRIES {
            match Self::open(&self.options).await {
                Ok(mut fresh) => {
                    std::mem::swap(&mut self.client, &mut fresh.client);
                    std::mem::swap(&mut self.driver, &mut fresh.driver);
                    self.known.clear();
                    self.numbers.clear();
                    let hidden = std::mem::take(&mut self.hidden);
                    if !hidden.is_empty() {
                        self.hide(question, &hidden).await?;
                    }
                    return Ok(());
                }
                Err(error) => last = error,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(last)
    }

    async fn planned(&self, sql: &str) -> Result<PlanNode> {
        const PART: &str = "a plan";
        let rows = self
            .bounded(PART, self.client.query_typed(sql, &[]))
            .await?;
        let value: serde_json::Value = rows
            .first()
            .ok_or_else(|| Error::Shape {
                part: PART,
                detail: "no row".to_owned(),
            })?
            .try_get(0)
            .map_err(|e| Error::Shape {
                part: PART,
                detail: root_cause(&e),
            })?;
        explain::read(&value).ok_or_else(|| Error::Shape {
            part: PART,
            detail: "no plan in it".to_owned(),
        })
    }

    pub(super) async fn end(&self) -> Result<()> {
        self.simple("rollback /* plimsoll */").await
    }

    async fn simple(&self, sql: &str) -> Result<()> {
        self.bounded("transaction", self.client.batch_execute(sql))
            .await
    }

    async fn bounded<T>(
        &self,
        part: &'static str,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let after: Millis = self.options.statement_timeout;
        let limit = after.as_duration() + NETWORK_SLACK;
        match timeout(limit, work).await {
            Ok(outcome) => outcome.map_err(|e| Error::from_query(part, (&self.address, after), &e)),
            Err(_) => Err(Error::Lost {
                address: self.address.clone(),
                detail: format!("no answer within {} ms", limit.as_millis()),
            }),
        }
    }
}
