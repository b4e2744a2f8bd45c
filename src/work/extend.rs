//! Series that a file brings, extended: many at once, answered in the order of the file.
//!
//! For: `plimsoll forecast --input`. One thread reads, rayon's threads forecast and shape, who asked
//! writes; how much may be under way is bounded in bytes, so that files of any length pass. Not for:
//! the history's own series (`project`). Read [`extend`] first.

mod error;
mod gate;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::exchange::projection::Meeting;
use crate::exchange::sequence::{Sequence, Sequences};
use crate::exchange::thresholds::Thresholds;
use crate::forecast::{self, Ask, Detail, Extension, Series};
use crate::model::series::Window;
use crate::model::units::{Level, Millis, Timestamp};

pub use crate::forecast::Fold;
pub use error::{Error, Refusal, Uneven};

use gate::Gate;

/// Steps ahead at most.
pub const HORIZON_MAX: usize = 100_000;
/// Between two tellings of how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// A number, and its text.
const BYTES_PER_NUMBER: usize = 8 + 24;

/// What is asked of every series.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Steps ahead, from 1 to [`HORIZON_MAX`].
    pub horizon: usize,
    /// One band each.
    pub levels: Vec<Level>,
    /// Periods in steps; empty: they are looked for in each series.
    pub periods: Vec<usize>,
    /// Thresholds of some of the series.
    pub thresholds: Thresholds,
    /// Seasons and changes of the past are told, too.
    pub tells_past: bool,
    /// Finer values are taken together first; what is as coarse stays as it is.
    pub every: Option<Every>,
    /// A series that cannot be used is left out, and does not end the run.
    pub keep_going: bool,
    /// How much is under way at once.
    pub limits: Limits,
    /// Bytes of the file that are read, counted by who opened it; 0 where nobody counts.
    pub read: Arc<AtomicU64>,
}

/// What values are taken together to, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every {
    /// The length of a step afterwards.
    pub step: Millis,
    /// By what.
    pub fold: Fold,
}

/// How much is under way at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Series that one thread takes at a time: enough that handing over costs nothing, few enough
    /// that all threads end together.
    pub batch_series: usize,
    /// Bytes of them and their answers, after which no more are added.
    pub batch_bytes: usize,
    /// Bytes of all that is read and not yet written. One series alone may be larger.
    pub under_way_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_series: 16,
            batch_bytes: 1 << 20,
            under_way_bytes: 96 << 20,
        }
    }
}

/// One series and what comes after it.
#[derive(Debug)]
pub struct Answer<'a> {
    /// As it was given.
    pub sequence: &'a Sequence,
    /// What comes.
    pub extension: &'a Extension,
    /// Its thresholds, in the order of their file.
    pub meetings: Vec<Meeting>,
}

/// Who takes answers, in the order of the file.
pub trait Taker<T> {
    /// Takes one.
    ///
    /// # Errors
    /// What keeps it from being written; the run ends with it.
    fn take(&mut self, answer: T) -> io::Result<()>;

    /// Hears that a series is left out, and why.
    fn leave_out(&mut self, why: &Refusal);

    /// Hears how far it is.
    fn tell(&mut self, progress: Progress);
}

/// How far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Series that are done.
    pub series: u64,
    /// Bytes of the file in which they were.
    pub read: u64,
    /// Since the start.
    pub elapsed: Duration,
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Series that were answered.
    pub series: u64,
    /// Series that were left out.
    pub left_out: u64,
    /// Periods that were longer than a series' data: of how many, and which was the first.
    pub too_long: BTreeMap<usize, (u64, String)>,
}

/// The order, and which of its thresholds have found their series.
struct Asked {
    order: Order,
    met: HashMap<String, AtomicBool>,
}

/// What a thread of rayon makes of one series.
struct Shaped<T> {
    answer: Result<T, Error>,
    /// Of how many series a period was too long, and the name of this one.
    too_long: Option<(String, Vec<usize>)>,
}

/// Series that go through together; `results` come when they are done.
struct Batch<T> {
    bytes: usize,
    read: u64,
    results: Receiver<thread::Result<Vec<Shaped<T>>>>,
}

/// What the reader hands on.
type Found = Result<Sequence, Error>;

/// Extends every series of a file; `shape` makes of each answer, in parallel, what is to be written.
///
/// # Errors
/// The first of the file, whatever was found first: [`Error`].
pub fn extend<R, T, S>(
    sequences: Sequences<R>,
    order: Order,
    shape: S,
    taker: &mut impl Taker<T>,
) -> Result<Done, Error>
where
    R: Read + Send + 'static,
    T: Send + 'static,
    S: Fn(&Answer<'_>) -> T + Send + Sync + 'static,
{
    let names = order.thresholds.keys();
    let asked = Arc::new(Asked {
        met: names.map(|name| (name.clone(), false.into())).collect(),
        order,
    });
    let gate = Arc::new(Gate::new(asked.order.limits.under_way_bytes));
    let (to, batches) = mpsc::channel();
    let reader = Reader {
        sequences,
        asked: Arc::clone(&asked),
        gate: Arc::clone(&gate),
        shape: Arc::new(shape),
        to,
    };
    // Not joined: after an error it may wait for a pipe that brings nothing more.
    thread::Builder::new()
        .name("series".to_owned())
        .spawn(move || reader.run())
        .map_err(Error::Thread)?;
    let done = write(&batches, &asked, &gate, taker);
    gate.close();
    let done = done?;
    let unknown = asked
        .met
        .iter()
        .filter(|(_, met)| !met.load(Ordering::Relaxed));
    let mut unknown: Vec<&String> = unknown.map(|(name, _)| name).collect();
    unknown.sort_unstable();
    match unknown.first() {
        Some(series) => Err(Error::Unknown {
            series: (*series).clone(),
            others: unknown.len() - 1,
        }),
        None => Ok(done),
    }
}

/// Hands the answers over, in order.
fn write<T>(
    batches: &Receiver<Batch<T>>,
    asked: &Asked,
    gate: &Gate,
    taker: &mut impl Taker<T>,
) -> Result<Done, Error> {
    let clock = Stopwatch::start();
    let mut told = Duration::ZERO;
    let mut done = Done::default();
    for batch in batches {
        let results = match batch.results.recv() {
            Ok(Ok(results)) => results,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => std::panic::panic_any("rayon dropped a task"),
        };
        for shaped in results {
            if let Some((name, periods)) = shaped.too_long {
                for period in periods {
                    let entry = done.too_long.entry(period);
                    entry.or_insert_with(|| (0, name.clone())).0 += 1;
                }
            }
            match shaped.answer {
                Ok(answer) => {
                    taker.take(answer).map_err(Error::Write)?;
                    done.series += 1;
                }
                Err(Error::Refused(why)) if asked.order.keep_going && !why.spoils_others() => {
                    taker.leave_out(&why);
                    done.left_out += 1;
                }
                Err(error) => return Err(error),
            }
        }
        gate.leave(batch.bytes);
        let elapsed = clock.elapsed();
        if elapsed.saturating_sub(told) >= TELL_EVERY {
            told = elapsed;
            let series = done.series;
            let read = batch.read;
            taker.tell(Progress {
                series,
                read,
                elapsed,
            });
        }
    }
    Ok(done)
}

/// What the reading thread needs.
struct Reader<R, T, S> {
    sequences: Sequences<R>,
    asked: Arc<Asked>,
    gate: Arc<Gate>,
    shape: Arc<S>,
    to: Sender<Batch<T>>,
}

impl<R, T, S> Reader<R, T, S>
where
    R: Read,
    T: Send + 'static,
    S: Fn(&Answer<'_>) -> T + Send + Sync + 'static,
{
    /// Reads to the end, an error that ends all, or until nobody takes any more.
    fn run(mut self) {
        let limits = self.asked.order.limits;
        loop {
            let (mut found, mut bytes, mut is_over) = (Vec::new(), 0, false);
            while found.len() < limits.batch_series && bytes < limits.batch_bytes.max(1) {
                let one: Found = match self.sequences.read() {
                    Ok(Some(Ok(sequence))) => Ok(sequence),
                    Ok(Some(Err(bad))) => Err(Refusal::from(bad).into()),
                    Ok(None) => {
                        is_over = true;
                        break;
                    }
                    Err(error) => {
                        is_over = true;
                        Err(error.into())
                    }
                };
                bytes += self.bytes(&one);
                found.push(one);
                if is_over {
                    break;
                }
            }
            if !found.is_empty() && !self.hand_on(found, bytes) || is_over {
                return;
            }
        }
    }

    /// Bytes that a series and its answer take.
    fn bytes(&self, found: &Found) -> usize {
        let order = &self.asked.order;
        let values = found.as_ref().map_or(0, |sequence| sequence.values.len());
        let numbers = order.horizon.saturating_mul(1 + 2 * order.levels.len());
        (values * size_of::<f64>()).saturating_add(numbers.saturating_mul(BYTES_PER_NUMBER))
    }

    /// Gives a batch to rayon; `false` when nobody takes any more.
    fn hand_on(&self, found: Vec<Found>, bytes: usize) -> bool {
        if !self.gate.enter(bytes) {
            return false;
        }
        let (done, results) = mpsc::sync_channel(1);
        let (asked, shape) = (Arc::clone(&self.asked), Arc::clone(&self.shape));
        rayon::spawn(move || {
            // A panic is carried over to who waits for the batch.
            let each = || {
                let found = found.into_iter();
                found.map(|one| asked.shaped(one, &*shape)).collect()
            };
            let _nobody_may_wait = done.send(catch_unwind(AssertUnwindSafe(each)));
        });
        let read = self.asked.order.read.load(Ordering::Relaxed);
        let batch = Batch {
            bytes,
            read,
            results,
        };
        self.to.send(batch).is_ok()
    }
}

impl Asked {
    fn shaped<T>(&self, found: Found, shape: &impl Fn(&Answer<'_>) -> T) -> Shaped<T> {
        let name = match &found {
            Ok(sequence) => Some(&sequence.name),
            Err(Error::Refused(Refusal::Rows(bad))) => Some(&bad.name),
            Err(_) => None,
        };
        if let Some(met) = name.and_then(|name| self.met.get(name)) {
            met.store(true, Ordering::Relaxed);
        }
        let sequence = match found {
            Ok(sequence) => sequence,
            Err(error) => {
                return Shaped {
                    answer: Err(error),
                    too_long: None,
                };
            }
        };
        let sequence = match together(sequence, self.order.every) {
            Ok(sequence) => sequence,
            Err(why) => {
                return Shaped {
                    answer: Err(why.into()),
                    too_long: None,
                };
            }
        };
        let given = self.order.periods.iter();
        let (periods, too_long): (Vec<usize>, Vec<usize>) =
            given.partition(|period| **period <= sequence.values.len());
        // None of those that were told is none: others are not looked for.
        let periods = if periods.is_empty() && !too_long.is_empty() {
            vec![1]
        } else {
            periods
        };
        let answer = self.answer(&sequence, &periods, shape);
        Shaped {
            too_long: (!too_long.is_empty()).then(|| (sequence.name.clone(), too_long)),
            answer: answer.map_err(|why| {
                Error::Refused(Refusal::Forecast {
                    name: sequence.name,
                    line: sequence.line,
                    why,
                })
            }),
        }
    }

    fn answer<T>(
        &self,
        sequence: &Sequence,
        periods: &[usize],
        shape: &impl Fn(&Answer<'_>) -> T,
    ) -> forecast::Result<T> {
        let order = &self.order;
        let thresholds = order.thresholds.get(&sequence.name);
        let thresholds = thresholds.map_or(&[][..], Vec::as_slice);
        let series = Series {
            values: &sequence.values,
            step: sequence.step,
            periods,
        };
        let extension = forecast::extend(
            &series,
            &Ask {
                horizon: order.horizon,
                levels: &order.levels,
                thresholds,
                // What was never negative does not become so.
                floor: never_negative(&sequence.values).then_some(0.0),
                ceiling: None,
                seed: 0,
                detail: if order.tells_past {
                    Detail::Past
                } else {
                    Detail::None
                },
            },
        )?;
        let unit = sequence.step.map_or(1.0, Millis::as_days);
        let reached = thresholds.iter().zip(&extension.reached);
        let meetings = reached.map(|(threshold, reached)| Meeting {
            threshold: *threshold,
            probability: reached.probability,
            crossed: reached.crossed,
            quantiles: [reached.p10, reached.p50, reached.p90]
                .map(|steps| steps.map(|steps| steps * unit)),
        });
        Ok(shape(&Answer {
            sequence,
            meetings: meetings.collect(),
            extension: &extension,
        }))
    }
}

/// A series in longer steps, where that was asked.
fn together(sequence: Sequence, every: Option<Every>) -> Result<Sequence, Refusal> {
    let Some(Every { step, fold }) = every else {
        return Ok(sequence);
    };
    let own = sequence.step.ok_or(Uneven::Unknown);
    let times = own.and_then(|own| match own {
        Millis(own) if own >= step.0 => Ok(None),
        Millis(own) if own > 0 && step.0.is_multiple_of(own) => {
            Ok(u32::try_from(step.0 / own).ok().map(|times| (own, times)))
        }
        Millis(own) => Err(Uneven::Odd {
            step_ms: own,
            every_ms: step.0,
        }),
    });
    match times {
        Ok(None) => Ok(sequence),
        Ok(Some((own, times))) => {
            let window = Window {
                start: Timestamp::from_millis(0),
                step: Millis(own),
                values: sequence.values,
            };
            Ok(Sequence {
                values: forecast::folded(&window, step, fold).values,
                step: Some(step),
                end: sequence.end.longer(times),
                ..sequence
            })
        }
        Err(why) => Err(Refusal::Uneven {
            name: sequence.name,
            line: sequence.line,
            why,
        }),
    }
}

/// Whether no value is below zero, and one is above.
fn never_negative(values: &[f64]) -> bool {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    (0.0..f64::INFINITY).contains(&lowest) && values.iter().any(|v| *v > 0.0)
}

#[cfg(test)]
mod tests;
