//! What keeps jobs from a target that cannot take them.
//!
//! For: opening after failures, trying one job after a pause, and staying open for a target that is
//! gone. Not for: what an answer means (`push`). Read [`Circuit::note`] first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Verdict;
use crate::model::job::QueueName;
use crate::model::units::counted;
use crate::queue::{AlarmKind, Queues};

/// Failures of the target in a row that open the circuit.
const FAILURES: u32 = 5;
/// Lets jobs through while the target can take them.
#[derive(Debug)]
pub(super) struct Circuit {
    queues: Arc<Queues>,
    queue: QueueName,
    concurrency: usize,
    /// The first pause, and the longest.
    pauses: (Duration, Duration),
    valve: watch::Sender<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The target said that it is gone: nothing else that it says is heard any more.
    is_gone: bool,
    failures: u32,
    is_open: bool,
    pause: Option<Duration>,
    closing: Option<tokio::task::JoinHandle<()>>,
}

impl State {
    /// Forgets failures, and a pause that has not ended.
    fn reset(&mut self) {
        if let Some(before) = std::mem::take(self).closing {
            before.abort();
        }
    }
}

impl Circuit {
    pub(super) fn closed(
        queues: Arc<Queues>,
        queue: QueueName,
        concurrency: usize,
        pauses: (Duration, Duration),
    ) -> (Self, watch::Receiver<usize>) {
        let (valve, through) = watch::channel(concurrency);
        let circuit = Self {
            queues,
            queue,
            concurrency,
            pauses,
            valve,
            state: Mutex::default(),
        };
        (circuit, through)
    }

    pub(super) fn is_open(&self) -> bool {
        *self.valve.borrow() == 0
    }

    pub(super) fn is_gone(&self) -> bool {
        self.lock().is_gone
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of an answer.
    pub(super) fn note(self: &Arc<Self>, verdict: &Verdict) {
        let mut state = self.lock();
        if state.is_gone {
            return;
        }
        match verdict {
            Verdict::Done(_) | Verdict::Refused(_) => {
                if state.is_open {
                    tracing::info!(queue = %self.queue, "the webhook answers again");
                    self.queues.set_alarm(&self.queue, AlarmKind::Webhook, None);
                }
                state.reset();
                self.valve.send_replace(self.concurrency);
            }
            Verdict::Later(_, asked) => {
                state.failures += 1;
                if let Some(asked) = asked {
                    self.open(&mut state, *asked);
                } else if state.failures >= FAILURES {
                    let (first, longest) = self.pauses;
                    let pause = state.pause.map_or(first, |pause| (pause * 2).min(longest));
                    state.pause = Some(pause);
                    self.open(&mut state, pause);
                }
            }
            Verdict::Gone => {
                state.reset();
                state.is_gone = true;
                let text = "the webhook answered 410: nothing is sent until the queue is set anew";
                self.alarm(text.to_owned());
                self.valve.send_replace(0);
            }
        }
    }

    fn alarm(&self, text: String) {
        self.queues
            .set_alarm(&self.queue, AlarmKind::Webhook, Some(text));
    }

    /// Lets nothing through for a while, and then one job.
    fn open(self: &Arc<Self>, state: &mut State, pause: Duration) {
        let failures = state.failures;
        self.alarm(format!(
            "the webhook failed {} in a row; jobs wait for it",
            counted(failures, "time")
        ));
        state.is_open = true;
        self.valve.send_replace(0);
        if let Some(before) = state.closing.take() {
            before.abort();
        }
        let circuit = Arc::downgrade(self);
        state.closing = Some(tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(circuit) = circuit.upgrade() {
                circuit.valve.send_replace(1);
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::{Failure, Payload};

    #[tokio::test]
    async fn a_circuit_opens_tries_one_and_waits_longer_each_time() {
        let pauses = (Duration::from_millis(2), Duration::from_millis(5));
        let keeper = Arc::new(crate::queue::Memory::empty());
        let queues = Arc::new(Queues::new(keeper, Arc::new(crate::clock::SystemClock)));
        let queue: QueueName = "bar".parse().unwrap();
        let (circuit, mut through) = Circuit::closed(Arc::clone(&queues), queue, 4, pauses);
        let circuit = Arc::new(circuit);
        let bad = Verdict::Later(Failure::default(), None);
        for _ in 0..FAILURES - 1 {
            circuit.note(&bad);
        }
        assert_eq!(*through.borrow(), 4);
        circuit.note(&bad);
        for pause in [2, 4, 5, 5] {
            assert_eq!(
                circuit.state.lock().unwrap().pause,
                Some(Duration::from_millis(pause))
            );
            let tried =
                tokio::time::timeout(Duration::from_secs(10), through.wait_for(|n| *n == 1));
            drop(tried.await.unwrap().unwrap());
            circuit.note(&bad);
            assert!(circuit.is_open());
        }
        assert_eq!(queues.alarms().await[0].kind, AlarmKind::Webhook);
        circuit.note(&Verdict::Done(Payload::default()));
        assert_eq!(*through.borrow(), 4);
        assert!(queues.alarms().await.is_empty());
        circuit.note(&Verdict::Gone);
        assert!(circuit.is_open() && circuit.state.lock().unwrap().closing.is_none());
        // What was under way and is answered after that changes nothing.
        circuit.note(&Verdict::Done(Payload::default()));
        for _ in 0..FAILURES {
            circuit.note(&bad);
        }
        assert!(circuit.is_gone() && circuit.is_open() && circuit.lock().closing.is_none());
        assert_eq!(queues.alarms().await.len(), 1);
    }
}
