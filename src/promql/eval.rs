//! From a plan to values: every part of an expression is a column of values, one a step.
//!
//! For: reading each series once, in order of time, while a window slides over it; and combining
//! what comes of it. Not for: what a window or a group comes to (`window`, `aggregate`, `binary`).
//! Read [`Run::top`] first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::aggregate::{aggregate, rank};
use super::binary::{self, Matching, Side};
use super::labels::{distinct, nameless, replace};
use super::math::{Operator, Unary};
use super::plan::{At, Node, Selector};
use super::slide::{Edge, Instants, Part, Slide};
use super::value::{ABSENT, Raw, Row, Value, is_absent, only_value, present, where_none};
use super::window::{Fold, Window};
use super::{Error, Found, LOOKBACK_MS, Limits, Result, Sample, Source, Steps};
use crate::model::samples::Samples;
use crate::model::series::Labels;

/// So many parts of the most values may be held together.
const PARTS: u64 = 3;

/// One evaluation.
pub(super) struct Run<'r> {
    source: &'r dyn Source,
    steps: Steps,
    limits: Limits,
    stop: &'r AtomicBool,
    looked_at: AtomicU64,
    /// Values that all parts held so far.
    held: AtomicU64,
}

impl<'r> Run<'r> {
    pub(super) fn new(
        source: &'r dyn Source,
        steps: Steps,
        limits: Limits,
        stop: &'r AtomicBool,
    ) -> Self {
        Self {
            source,
            steps,
            limits,
            stop,
            looked_at: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }

    /// The whole expression; here alone a range may stand by itself.
    pub(super) fn top(&self, node: &Node) -> Result<Value> {
        self.check()?;
        match node {
            Node::Range { selector, length } => self.raw(selector, *length),
            node => self.value(node),
        }
    }

    fn value(&self, node: &Node) -> Result<Value> {
        self.check()?;
        match node {
            Node::Number(number) => Ok(Value::Scalar(vec![*number; self.steps.count])),
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::Time => Ok(Value::Scalar(self.times())),
            Node::ToScalar(of) => Ok(Value::Scalar(only_value(
                &self.vector(of)?,
                self.steps.count,
            ))),
            Node::Negate(of) => self.negated(of),
            Node::Range { .. } => Err(misplaced("a range")),
            Node::Binary {
                operator,
                as_bool,
                matching,
                left,
                right,
            } => {
                let sides = (self.value(left)?, self.value(right)?);
                self.binary((*operator, *as_bool), matching, sides)
            }
            node => self.rows(node).map(Value::Vector),
        }
    }

    /// The parts that are always vectors.
    fn rows(&self, node: &Node) -> Result<Vec<Row>> {
        match node {
            Node::Instant(selector) => self.latest(selector, Part::Value),
            Node::SampleTime(selector) => without_names(self.latest(selector, Part::Time)?),
            Node::Fold {
                fold,
                selector,
                length,
                parameter,
            } => self.fold(*fold, selector, *length, parameter.as_deref()),
            Node::Map {
                unary,
                of,
                parameters,
            } => self.map(*unary, of, parameters),
            Node::StepTime(of) => self.step_times(of),
            Node::ToVector(of) => Ok(vec![Row {
                labels: Labels::none(),
                values: self.scalar(of)?,
            }]),
            Node::Sort { of, descending } => {
                let mut rows = self.vector(of)?;
                let first = |row: &Row| row.values.first().copied().unwrap_or(f64::NAN);
                rows.sort_by(|a, b| rank(first(a), first(b), *descending));
                Ok(rows)
            }
            Node::Absent { of, labels } => {
                let values = where_none(&self.vector(of)?, self.steps.count);
                let labels = labels.clone();
                Ok(present([Row { labels, values }]))
            }
            Node::Replace {
                of,
                target,
                template,
                source,
                pattern,
            } => {
                let rows = self.vector(of)?.into_iter().map(|row| Row {
                    labels: replace(row.labels, target, template, source, pattern),
                    values: row.values,
                });
                distinct(rows.collect())
            }
            Node::Aggregate {
                aggregation,
                of,
                keep,
                parameter,
            } => {
                let parameter = match parameter {
                    Some(node) => self.scalar(node)?,
                    None => Vec::new(),
                };
                let count = self.steps.count;
                aggregate(*aggregation, keep, self.vector(of)?, &parameter, count)
            }
            Node::Set {
                set,
                keep,
                left,
                right,
            } => {
                let sides = (self.vector(left)?, self.vector(right)?);
                binary::set(*set, keep, sides, self.steps.count)
            }
            _ => Err(misplaced("a scalar")),
        }
    }

    fn binary(
        &self,
        (operator, as_bool): (Operator, bool),
        matching: &Matching,
        sides: (Value, Value),
    ) -> Result<Value> {
        let rows = match sides {
            (Value::Scalar(left), Value::Scalar(right)) => {
                let pairs = left.into_iter().zip(right);
                let values = pairs.map(|(a, b)| operator.of(a, b));
                return Ok(Value::Scalar(values.collect()));
            }
            (Value::Vector(rows), Value::Scalar(scalar)) => {
                binary::with_scalar((operator, as_bool), rows, &scalar, Side::Right)
            }
            (Value::Scalar(scalar), Value::Vector(rows)) => {
                binary::with_scalar((operator, as_bool), rows, &scalar, Side::Left)
            }
            (Value::Vector(left), Value::Vector(right)) => {
                let sides = (&left[..], &right[..]);
                binary::with_vector((operator, as_bool), matching, sides, self.steps.count)
            }
            _ => Err(misplaced("a text")),
        };
        rows.map(Value::Vector)
    }

    fn step_times(&self, of: &Node) -> Result<Vec<Row>> {
        let times = self.times();
        let mut rows = self.vector(of)?;
        for row in &mut rows {
            for (value, time) in row.values.iter_mut().zip(&times) {
                if !is_absent(*value) {
                    *value = *time;
                }
            }
        }
        without_names(rows)
    }

    fn vector(&self, node: &Node) -> Result<Vec<Row>> {
        match self.value(node)? {
            Value::Vector(rows) => Ok(rows),
            _ => Err(misplaced("a scalar")),
        }
    }

    fn scalar(&self, node: &Node) -> Result<Vec<f64>> {
        match self.value(node)? {
            Value::Scalar(values) => Ok(values),
            _ => Err(misplaced("a vector")),
        }
    }

    /// Each step in seconds.
    fn times(&self) -> Vec<f64> {
        self.steps
            .instants()
            .map(|ms| ms as f64 / 1_000.0)
            .collect()
    }

    fn negated(&self, of: &Node) -> Result<Value> {
        Ok(match self.value(of)? {
            Value::Scalar(values) => Value::Scalar(values.into_iter().map(|v| -v).collect()),
            Value::Vector(mut rows) => {
                for value in rows.iter_mut().flat_map(|row| &mut row.values) {
                    if !is_absent(*value) {
                        *value = -*value;
                    }
                }
                Value::Vector(without_names(rows)?)
            }
            _ => return Err(misplaced("a text")),
        })
    }

    fn map(&self, unary: Unary, of: &Node, parameters: &[Node]) -> Result<Vec<Row>> {
        let mut rows = self.vector(of)?;
        let columns: Vec<Vec<f64>> = parameters
            .iter()
            .map(|node| self.scalar(node))
            .collect::<Result<_>>()?;
        let column = |which: usize| {
            let values = columns.get(which).into_iter().flatten().copied();
            values.chain(std::iter::repeat(f64::NAN))
        };
        for row in &mut rows {
            for ((value, first), second) in row.values.iter_mut().zip(column(0)).zip(column(1)) {
                if !is_absent(*value) {
                    *value = unary.of(*value, [first, second]).unwrap_or(ABSENT);
                }
            }
        }
        without_names(present(rows))
    }

    /// The instants that a selector speaks of.
    fn instants(&self, selector: &Selector) -> Instants {
        let pinned = selector.at.map(|at| match at {
            At::Start => self.steps.start,
            At::End => self.steps.end(),
            At::Instant(instant) => instant,
        });
        Instants {
            first: pinned
                .unwrap_or(self.steps.start)
                .saturating_sub(selector.offset),
            step: if pinned.is_some() { 0 } else { self.steps.step },
            count: self.steps.count,
            distinct: if pinned.is_some() {
                1
            } else {
                self.steps.count
            },
        }
    }

    /// Fails once the evaluation should end.
    fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        if self.looked_at.load(Ordering::Relaxed) > self.limits.samples {
            return Err(Error::Samples {
                limit: self.limits.samples,
            });
        }
        Ok(())
    }

    /// Counts samples; whether the evaluation may go on.
    fn look_at(&self, samples: usize) -> bool {
        let before = self.looked_at.fetch_add(samples as u64, Ordering::Relaxed);
        before.saturating_add(samples as u64) <= self.limits.samples
            && !self.stop.load(Ordering::Relaxed)
    }

    fn find(&self, selector: &Selector) -> Result<Vec<Found>> {
        let found = self.source.find(&selector.matchers)?;
        let points = found.len().saturating_mul(self.steps.count);
        // What one part holds, and all parts together: an operator's left side waits for its right.
        let before = self.held.fetch_add(points as u64, Ordering::Relaxed);
        let all = before.saturating_add(points as u64);
        if points > self.limits.points || all > PARTS * self.limits.points as u64 {
            return Err(Error::Points {
                limit: self.limits.points,
            });
        }
        self.look_at(found.len());
        Ok(found)
    }

    /// The last sample within [`LOOKBACK_MS`] of each instant.
    fn latest(&self, selector: &Selector, part: Part) -> Result<Vec<Row>> {
        let instants = self.instants(selector);
        let found = self.find(selector)?;
        let single = instants.distinct == 1;
        let from = instants.first.saturating_sub(LOOKBACK_MS);
        // What memory knows to be the last is the last, if it is not after the instant.
        let known = |one: &Found| match one.last {
            Some((at, _)) if at < from => Some(ABSENT),
            Some(sample) if single && sample.0 <= instants.first => Some(part.of(sample)),
            _ => None,
        };
        let pick = |samples: Samples<'_>| {
            let mut next = Edge::default();
            let at = |instant: i64| {
                next.move_behind(samples.times(), |at| at <= instant);
                let last = next.place.checked_sub(1);
                let last = last.and_then(|place| samples.get(place));
                let near = last.filter(|(at, _)| *at >= instant.saturating_sub(LOOKBACK_MS));
                near.map_or(ABSENT, |sample| part.of(sample))
            };
            instants.iter().map(at).collect()
        };
        let columns = self.columns(&found, (from, instants.last()), known, &pick)?;
        let rows = found.into_iter().zip(columns).map(|(found, values)| Row {
            labels: found.labels,
            values: instants.spread(values),
        });
        Ok(present(rows))
    }

    /// A function of the range that ends at each instant.
    fn fold(
        &self,
        fold: Fold,
        selector: &Selector,
        length: i64,
        parameter: Option<&Node>,
    ) -> Result<Vec<Row>> {
        let mut instants = self.instants(selector);
        let parameters = match parameter {
            Some(node) => self.scalar(node)?,
            None => Vec::new(),
        };
        if !parameters.is_empty() {
            // A range that is pinned may still be asked another thing at each step.
            instants.distinct = instants.count;
        }
        let from = instants.first.saturating_sub(length);
        let known = |one: &Found| matches!(one.last, Some((at, _)) if at < from).then_some(ABSENT);
        let slide = |samples: Samples<'_>| {
            let slide = Slide::over(samples, fold);
            self.slide(&slide, fold, instants, (length, &parameters))
        };
        let found = self.find(selector)?;
        let columns = self.columns(&found, (from, instants.last()), known, &slide)?;
        let rows = found.into_iter().zip(columns).map(|(found, values)| Row {
            labels: found.labels,
            values: instants.spread(values),
        });
        let rows = present(rows);
        if fold == Fold::Last {
            Ok(rows)
        } else {
            without_names(rows)
        }
    }

    fn slide(
        &self,
        slide: &Slide<'_>,
        fold: Fold,
        instants: Instants,
        (length, parameters): (i64, &[f64]),
    ) -> Vec<f64> {
        let samples = slide.samples();
        let (mut first, mut end) = (Edge::default(), Edge::default());
        let (mut owed, mut goes_on) = (0, true);
        let at = |(instant, parameter): (i64, f64)| {
            let from = instant.saturating_sub(length);
            end.move_behind(samples.times(), |at| at <= instant);
            first.move_behind(samples.times(), |at| at < from);
            let within = samples.part(first.place..end.place);
            if fold.looks_at_all() {
                owed += within.len();
                if owed > 65_536 {
                    goes_on = self.look_at(std::mem::take(&mut owed));
                }
            }
            if within.is_empty() || !goes_on {
                return ABSENT;
            }
            let window = Window {
                samples: within,
                before_resets: slide.before_resets(first.place, end.place),
                from,
                until: instant,
                parameter,
            };
            window.fold(fold).unwrap_or(ABSENT)
        };
        let parameters = parameters.iter().copied();
        let parameters = parameters.chain(std::iter::repeat(f64::NAN));
        let values = instants.iter().zip(parameters).map(at).collect();
        self.look_at(owed);
        values
    }

    /// A column for each series: what is known of it, or what `make` makes of its samples from
    /// the first to the last of `range`.
    fn columns(
        &self,
        found: &[Found],
        (from, until): (i64, i64),
        known: impl Fn(&Found) -> Option<f64>,
        make: &(dyn Fn(Samples<'_>) -> Vec<f64> + Sync),
    ) -> Result<Vec<Vec<f64>>> {
        let slots: Vec<OnceLock<Vec<f64>>> = found.iter().map(|_| OnceLock::new()).collect();
        let mut ids = Vec::new();
        let mut wanted = Vec::new();
        for (one, slot) in found.iter().zip(&slots) {
            if let Some(value) = known(one) {
                _ = slot.set(vec![value]);
            } else {
                ids.push(one.id);
                wanted.push(slot);
            }
        }
        self.source.scan(&ids, from, until, &|place, samples| {
            if let Some(slot) = wanted.get(place)
                && self.look_at(samples.len())
            {
                _ = slot.set(make(samples));
            }
        })?;
        self.check()?;
        let slots = slots.into_iter();
        Ok(slots
            .map(|slot| slot.into_inner().unwrap_or_else(|| vec![ABSENT]))
            .collect())
    }

    /// Samples as they were recorded.
    fn raw(&self, selector: &Selector, length: i64) -> Result<Value> {
        let until = self.instants(selector).first;
        let from = until.saturating_sub(length);
        let found = self.find(selector)?;
        let ids: Vec<u32> = found.iter().map(|one| one.id).collect();
        let slots: Vec<OnceLock<Vec<Sample>>> = found.iter().map(|_| OnceLock::new()).collect();
        let held = AtomicU64::new(0);
        self.source.scan(&ids, from, until, &|place, samples| {
            let before = held.fetch_add(samples.len() as u64, Ordering::Relaxed);
            let fits = before + samples.len() as u64 <= self.limits.points as u64;
            if let Some(slot) = slots.get(place)
                && self.look_at(samples.len())
                && fits
            {
                let real = samples.iter().filter(|(_, value)| !is_absent(*value));
                _ = slot.set(real.collect());
            }
        })?;
        self.check()?;
        if held.into_inner() > self.limits.points as u64 {
            return Err(Error::Points {
                limit: self.limits.points,
            });
        }
        let rows = found.into_iter().zip(slots).map(|(found, slot)| Raw {
            labels: found.labels,
            samples: slot.into_inner().unwrap_or_default(),
        });
        Ok(Value::Matrix(
            rows.filter(|row| !row.samples.is_empty()).collect(),
        ))
    }
}

/// Rows without their metric, which the operation has made another of.
fn without_names(rows: Vec<Row>) -> Result<Vec<Row>> {
    let one = |row: Row| Row {
        labels: nameless(row.labels),
        values: row.values,
    };
    distinct(rows.into_iter().map(one).collect())
}

fn misplaced(what: &str) -> Error {
    Error::Parse(format!("{what} cannot stand here"))
}
