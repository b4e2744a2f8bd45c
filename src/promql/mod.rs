//! `PromQL`: questions about series in the language that dashboards speak, answered as Prometheus 2
//! answers them.
//!
//! For: turning an expression into values over anything that implements [`Source`]. Not for: where
//! samples lie (`store`), for threads and time limits (`work::query`), or for JSON (`http::prom`).
//! Read [`Query`] here, then `plan` (what is understood) and `eval` (how it is answered).
//!
//! **Semantics** are those of Prometheus 2.42: an instant selector takes the last sample within
//! five minutes, both ends included; a range includes both of its ends; the stale marker (NaN with
//! the bits `0x7ff0000000000002`) ends a series; `rate`, `increase` and `delta` extrapolate to the
//! ends of the range as `window` says. Sums are compensated, so that the last digits may differ
//! from those of Prometheus.
//!
//! **Limits**: [`EXPRESSION_MAX`] bytes and what `guard` counts before anything is built;
//! [`STEPS_MAX`] steps; samples looked at and values held as [`Limits`] says.
//!
//! Source: the Prometheus manual, "Querying", version 2.42.

mod aggregate;
mod binary;
mod eval;
mod guard;
mod labels;
mod math;
mod plan;
mod slide;
mod sums;
#[cfg(test)]
mod tests;
mod value;
mod window;

use std::sync::atomic::AtomicBool;

pub use guard::EXPRESSION_MAX;
pub use value::{ABSENT, Raw, Row, Value, is_absent};

use crate::model::samples::Samples;
use crate::model::series::{Compare, Labels};
use crate::model::units::Millis;

/// Steps of the longest range, as in Prometheus.
pub const STEPS_MAX: usize = 11_000;
/// How far an instant selector looks back for a value, in ms.
pub const LOOKBACK_MS: i64 = 300_000;
/// The label that holds a series' metric.
pub const NAME: &str = "__name__";

/// A length of time as expressions write it (`5m`, `1h30m`); `None` for anything else.
pub fn length(text: &str) -> Option<Millis> {
    let length = promql_parser::util::parse_duration(text).ok()?;
    u64::try_from(length.as_millis()).ok().map(Millis)
}

/// Why an expression has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not parse.
    #[error("{0}")]
    Parse(String),
    /// It is longer, deeper or richer than is looked at.
    #[error("the expression has {what}: at most {limit} {unit} are looked at; ask in parts")]
    Guard {
        /// What there is too much of.
        what: &'static str,
        /// How much may be.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// A pattern that is none, or too large a one.
    #[error("{0}")]
    Pattern(String),
    /// `PromQL`, but not of the part that is understood here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The values do not allow the operation.
    #[error("{0}")]
    Execution(String),
    /// More samples than one question may look at.
    #[error(
        "the query looks at more than {limit} samples; ask for a shorter range or fewer series"
    )]
    Samples {
        /// How many it may look at.
        limit: u64,
    },
    /// More values than one question may hold.
    #[error("the query holds more than {limit} values; use a longer step or ask for fewer series")]
    Points {
        /// How many it may hold.
        limit: usize,
    },
    /// Somebody said stop.
    #[error("the query took too long; ask for a shorter range or fewer series")]
    Stopped,
    /// The samples could not be read.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

/// What a fallible call of this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// One condition of a selector; a label that is not there is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label; [`NAME`] for the metric.
    pub label: String,
    /// How it is compared.
    pub compare: Compare,
    /// With what: a text or a pattern.
    pub value: String,
}

/// An instant in ms since 1970, and a value.
pub type Sample = (i64, f64);

/// A series that a source has.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The source's number for it.
    pub id: u32,
    /// All of its labels, [`NAME`] among them.
    pub labels: Labels,
    /// Its newest sample, if the source knows it without looking.
    pub last: Option<Sample>,
}

/// Where samples come from.
pub trait Source: Sync {
    /// All series that meet all conditions.
    ///
    /// # Errors
    /// What the source says.
    fn find(&self, matchers: &[Matcher]) -> Result<Vec<Found>>;

    /// Calls `visit` once for each of `ids` (ascending, as [`Source::find`] gave them) with its
    /// place among them and its samples from `from` to `until`, both included, in order of time.
    /// Calls may come from several threads and in any order.
    ///
    /// # Errors
    /// What the source says.
    fn scan(
        &self,
        ids: &[u32],
        from: i64,
        until: i64,
        visit: &(dyn Fn(usize, Samples<'_>) + Sync),
    ) -> Result<()>;
}

/// What one question may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples it may look at; one in several windows counts each time that it is folded.
    pub samples: u64,
    /// Values it may hold for one part of it: series times steps.
    pub points: usize,
}

impl Default for Limits {
    /// 50 million samples, as Prometheus; 10 million values, which are 80 MB.
    fn default() -> Self {
        Self {
            samples: 50_000_000,
            points: 10_000_000,
        }
    }
}

/// The instants of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first, in ms since 1970.
    pub start: i64,
    /// From one to the next, in ms; positive.
    pub step: i64,
    /// How many; at least one.
    pub count: usize,
}

impl Steps {
    /// A single instant.
    pub const fn at(instant: i64) -> Self {
        Self {
            start: instant,
            step: 1,
            count: 1,
        }
    }

    /// From `start` to at most `end`; `None` for a step that is not positive, an end before the
    /// start, or more than [`STEPS_MAX`] steps.
    pub fn between(start: i64, end: i64, step: i64) -> Option<Self> {
        let length = end.checked_sub(start).filter(|length| *length >= 0)?;
        let steps = (step > 0).then(|| length / step)?;
        let count = usize::try_from(steps).ok()?.checked_add(1)?;
        (count <= STEPS_MAX).then_some(Self { start, step, count })
    }

    /// The last instant.
    pub fn end(&self) -> i64 {
        self.instants().last().unwrap_or(self.start)
    }

    /// All instants, in order.
    pub fn instants(&self) -> impl Iterator<Item = i64> + use<> {
        let Self { start, step, count } = *self;
        (0i64..)
            .take(count)
            .map(move |i| start.saturating_add(step.saturating_mul(i)))
    }
}

/// An expression that is understood.
#[derive(Debug, Clone)]
pub struct Query {
    root: plan::Node,
}

impl Query {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`Error::Parse`], [`Error::Guard`], [`Error::Pattern`] and [`Error::Unsupported`].
    pub fn parse(text: &str) -> Result<Self> {
        guard::check(text)?;
        let expression = promql_parser::parser::parse(text).map_err(Error::Parse)?;
        Ok(Self {
            root: plan::plan(&expression)?,
        })
    }

    /// The conditions of an expression that is one instant selector, as `/series` takes them.
    pub fn matchers(&self) -> Option<&[Matcher]> {
        match &self.root {
            plan::Node::Instant(selector) => Some(&selector.matchers),
            _ => None,
        }
    }

    /// The answer at one instant: any kind of value.
    ///
    /// `stop` ends the evaluation soon after it becomes true.
    ///
    /// # Errors
    /// Every kind but those of [`Query::parse`].
    pub fn instant(
        &self,
        source: &dyn Source,
        at: i64,
        limits: Limits,
        stop: &AtomicBool,
    ) -> Result<Value> {
        eval::Run::new(source, Steps::at(at), limits, stop).top(&self.root)
    }

    /// The answer at each step: a scalar or a vector, rows in order of their labels.
    ///
    /// # Errors
    /// As [`Query::instant`]; [`Error::Parse`] for an expression that has no value at a step.
    pub fn range(
        &self,
        source: &dyn Source,
        steps: Steps,
        limits: Limits,
        stop: &AtomicBool,
    ) -> Result<Value> {
        let kind = match &self.root {
            plan::Node::Range { .. } => "range vector",
            plan::Node::Text(_) => "string",
            _ => {
                let value = eval::Run::new(source, steps, limits, stop).top(&self.root)?;
                return Ok(value.in_order());
            }
        };
        Err(Error::Parse(format!(
            "invalid expression type {kind:?} for range query, must be Scalar or instant Vector"
        )))
    }
}
