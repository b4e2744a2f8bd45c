//! What a log that is closed hands on to the next: a span that is still being filled.
//!
//! For: sealing each span from one log. A span that lies in two logs is sealed in two pieces, and the
//! second comes between pages that are full already, which the engine must then write anew: bytes on
//! disk grow by a third. Not for: when a log is closed (`rotation`). Read [`Coming`] first.
//!
//! Senders are out of step by seconds at the border of a span. So a log is closed when what comes lies
//! well inside of the next span, and what came of that span by then is written again, into the new
//! log. The old log holds it, too, until it is sealed: a crash in between costs a second piece, and
//! never a sample.

use super::Result;
use super::catalogue::SeriesId;
use super::history::{Head, History};
use super::keys::{SPAN, span_of, span_start};
use super::push::{Batch, put_push};
use super::segment::Segment;
use super::wal::{self, Log};
use crate::model::units::{Millis, Timestamp};

/// Late samples of the span before are awaited for so long.
pub(super) const SETTLED: Millis = Millis(5 * Millis::MINUTE.0);
/// A log with less of the past than this is not worth closing at the border of a span.
const PAST_MIN: u64 = 8 << 20;
/// A log that holds this much of many spans of the past is closed wherever it is: they come series
/// by series, and each piece holds other series.
const PAST_MAX: u64 = 24 << 20;
const MANY_SPANS: usize = 6;
/// Samples that are handed on at most: they are written while nobody else can write.
const CARRY_MAX: u64 = 1 << 19;

/// What is about to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coming {
    /// The latest span that is touched.
    pub(super) span: u32,
    /// All of it lies well inside of that span.
    pub(super) is_inside: bool,
}

impl Coming {
    /// Of samples between two instants.
    pub(super) fn of(oldest: Timestamp, newest: Timestamp) -> Option<Self> {
        let span = span_of(newest, SPAN)?;
        let settled = span_start(span, SPAN).plus(SETTLED.as_duration());
        Some(Self {
            span,
            is_inside: oldest >= settled,
        })
    }

    /// Whether the spans before it are complete in the open log, and it is time to close it.
    fn completes(self, head: &Head) -> bool {
        let Some(begun) = head.open.begun else {
            return false;
        };
        // Who sends whole spans at once is never well inside of one.
        let is_far = self.span > begun.saturating_add(1);
        let is_past = self.span < begun;
        let is_worth_it = head.log.len() > PAST_MIN && head.open.holds_before(self.span);
        is_far || self.is_inside && (self.span > begun || is_past && is_worth_it)
    }
}

impl Head {
    /// Whether the open log is to be closed before this is taken.
    pub(super) fn is_full(&self, coming: Option<Coming>, log_max: u64) -> bool {
        let len = self.log.len();
        let is_scattered =
            len > PAST_MAX && self.open.holds_past() && self.open.all_spans().len() >= MANY_SPANS;
        len > log_max || is_scattered || coming.is_some_and(|coming| coming.completes(self))
    }
}

impl History {
    /// Closes the open log before `coming` is taken; what it holds of that span and later ones goes
    /// on in the next log, if `coming` lies well inside of it.
    pub(super) fn rotate_before(&self, head: &mut Head, coming: Coming) -> Result<()> {
        let has_whole = coming.is_inside && head.open.holds_before(coming.span);
        let spans = if has_whole {
            head.open.spans_from(coming.span, CARRY_MAX)
        } else {
            Vec::new()
        };
        self.rotate(head, &spans)
    }

    /// The next log and segment, with what is handed on of some spans.
    pub(super) fn next_log(&self, open: &mut Segment, spans: &[u32]) -> Result<(Segment, Log)> {
        let number = open.number.saturating_add(1);
        let mut log = Log::create(self.logs(), number)?;
        let mut next = Segment::new(number);
        let batch = batch_of(open, spans);
        if !batch.is_empty() {
            let mut frames = Vec::with_capacity(batch.len() * 4 + 64);
            put_push(&mut frames, &mut next, &batch, batch.values());
            if let Err(error) = log.append(&frames) {
                drop(log);
                wal::remove(self.logs(), number)?;
                return Err(error);
            }
        }
        for span in spans {
            next.adopt(*span, open.split_off(*span, number));
        }
        Ok((next, log))
    }
}

/// All that a segment holds of some spans, series by series, each in the order of its arrival.
fn batch_of(open: &Segment, spans: &[u32]) -> Batch {
    let mut batch = Batch::default();
    for (span, _, rows) in open.all() {
        if spans.contains(&span) {
            for (id, samples) in rows.series() {
                for (at, value) in samples {
                    batch.sample(at, value);
                }
                batch.keep(SeriesId(id));
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Kind, Labels, SeriesKey};
    use crate::store::keys::{self, DATA, GROUP};
    use crate::store::{NewSeries, Options, Store};

    const STEP: i64 = 10_000;
    const SPAN_MS: i64 = 7_200_000;

    fn start() -> i64 {
        let midnight = Timestamp::parse("2026-03-10T00:00:00Z");
        midnight.unwrap().as_millis()
    }

    fn open_at(dir: &tempfile::TempDir) -> Store {
        Store::open(Options::in_dir(dir.path().join("store"))).unwrap()
    }

    fn learn(store: &Store, number: u32) -> SeriesId {
        let key = SeriesKey {
            metric: "pushed".into(),
            labels: Labels::none().with("n", number.to_string()),
        };
        let series = NewSeries {
            target: "push:job@host",
            key: &key,
            kind: Kind::Gauge,
            resolution: None,
        };
        let now = Timestamp::from_millis(start());
        let learnt = store.history().learn(&number.to_le_bytes(), &series, now);
        learnt.unwrap().unwrap()
    }

    /// Pushes blocks of two minutes as a sender does whose clock is up to 5 ms early.
    fn push_spans(store: &Store, ids: &[SeriesId], spans: i64) {
        for block in 0..spans * 60 {
            for some in ids.chunks(2) {
                let mut batch = Batch::default();
                for id in some {
                    for row in block * 12..(block + 1) * 12 {
                        // At the border of a span, too, except for the first.
                        let early = if row == 0 { 0 } else { (row + 5) % 6 };
                        let at = start() + row * STEP - early;
                        batch.sample(at, (row * 100) as f64 + f64::from(id.number()));
                    }
                    batch.keep(*id);
                }
                let pushed = store.history().push(&batch).unwrap();
                store.history().commit(pushed).unwrap();
            }
        }
    }

    fn samples(store: &Store, id: SeriesId) -> Vec<(i64, u64)> {
        let [from, until] = [-SPAN_MS, 40 * SPAN_MS].map(|ms| start() + ms);
        let [from, until] = [from, until].map(Timestamp::from_millis);
        let raw = store.history().raw(id, from, until).unwrap();
        raw.into_iter()
            .map(|(at, value)| (at.as_millis(), value.to_bits()))
            .collect()
    }

    #[test]
    fn each_span_is_sealed_in_one_piece_though_senders_are_out_of_step() {
        let dir = tempfile::tempdir().unwrap();
        let store = open_at(&dir);
        let ids: Vec<SeriesId> = (0..6).map(|n| learn(&store, n)).collect();
        push_spans(&store, &ids, 4);
        let wanted: Vec<Vec<(i64, u64)>> = ids.iter().map(|id| samples(&store, *id)).collect();
        assert!(wanted.iter().all(|all| all.len() == 4 * 720));
        let logs = wal::numbers(store.history().logs()).unwrap();
        assert_eq!(logs.len(), 4, "a log a span");
        // What was handed on is in two logs until the first is sealed: read back, it is there once.
        drop(store);
        let store = open_at(&dir);
        for (id, wanted) in ids.iter().zip(&wanted) {
            assert_eq!(&samples(&store, *id), wanted);
        }
        drop(store);
        let dir = tempfile::tempdir().unwrap();
        let store = open_at(&dir);
        let ids: Vec<SeriesId> = (0..6).map(|n| learn(&store, n)).collect();
        push_spans(&store, &ids, 4);
        for minute in 0..7 {
            let later = start() + 8 * SPAN_MS + minute * 60_000;
            store.tick(Timestamp::from_millis(later)).unwrap();
        }
        for (id, wanted) in ids.iter().zip(&wanted) {
            assert_eq!(&samples(&store, *id), wanted);
        }
        let day = keys::raw_part(Timestamp::from_millis(start()));
        let database = store.history().databases.find(&day).unwrap().unwrap();
        let first = span_of(Timestamp::from_millis(start()), SPAN).unwrap();
        for span in first..first + 4 {
            let key = keys::group_key(span, ids[0].number() / GROUP);
            let pieces = database.find_all(DATA, &key).unwrap();
            let filled = pieces.iter().filter(|(_, value)| !value.is_empty());
            assert_eq!(filled.count(), 1, "span {}", span - first);
        }
    }

    #[test]
    fn what_is_too_much_to_hand_on_is_sealed_where_it_is() {
        let mut open = Segment::new(1);
        for span in 0..4u32 {
            let run = (0..100).map(|n| (i64::from(span) * SPAN_MS + n, n as f64));
            open.take_run(0, 7, run).unwrap();
        }
        assert_eq!(open.spans_from(1, 1_000), [1, 2, 3]);
        assert_eq!(open.spans_from(1, 250), [1, 2]);
        assert!(open.spans_from(1, 99).is_empty());
        assert_eq!(batch_of(&open, &[1, 3]).len(), 200);
    }
}
