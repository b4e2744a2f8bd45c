//! A future that is polled again at once when it woke itself while it ran.
//!
//! For: connections. The body of a request reaches its handler through a channel within one task,
//! which so wakes itself once a request; the runtime would queue it anew and wake a thread for that.
//! Not for: futures that wake themselves to let others run, beyond [`TURNS`] in a row.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls in a row, before others have their turn.
const TURNS: usize = 8;

/// Bits: it runs; it was woken since it began to.
const WAITS: u8 = 0;
const RUNS: u8 = 1;
const WOKEN: u8 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Prompt<F> {
    inner: Pin<Box<F>>,
    state: Arc<State>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State {
    now: AtomicU8,
    task: AtomicWaker,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = self.now.fetch_or(WOKEN, Ordering::AcqRel);
        if before & RUNS == 0 {
            self.task.wake();
        }
    }
}

impl<F: Future> Prompt<F> {
    pub(super) fn new(inner: F) -> Self {
        let state = Arc::<State>::default();
        Self {
            inner: Box::pin(inner),
            waker: Waker::from(Arc::clone(&state)),
            state,
        }
    }
}

impl<F: Future> Future for Prompt<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.state.task.register(context.waker());
        for _ in 0..TURNS {
            this.state.now.swap(RUNS, Ordering::AcqRel);
            let polled = this
                .inner
                .as_mut()
                .poll(&mut Context::from_waker(&this.waker));
            if polled.is_ready() {
                return polled;
            }
            // From here on the task itself is woken.
            if this.state.now.swap(WAITS, Ordering::AcqRel) & WOKEN == 0 {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls once; whether it ended, and how often the task was woken.
    fn poll_once<F: Future + Unpin>(future: &mut F) -> (bool, usize) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let polled = Pin::new(future).poll(&mut Context::from_waker(&waker));
        (polled.is_ready(), count.0.load(Ordering::Relaxed))
    }

    /// Wakes itself so many times before it ends.
    fn waking(times: usize) -> Prompt<impl Future<Output = ()>> {
        let mut left = times;
        Prompt::new(std::future::poll_fn(move |context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    }

    #[test]
    fn who_wakes_himself_while_he_runs_goes_on_at_once() {
        assert_eq!(poll_once(&mut waking(3)), (true, 0));
    }

    #[test]
    fn who_does_so_for_ever_lets_others_run_between() {
        let mut future = waking(TURNS + 2);
        assert_eq!(poll_once(&mut future), (false, 1));
        assert_eq!(poll_once(&mut future), (true, 0));
    }

    #[tokio::test]
    async fn a_wake_from_elsewhere_reaches_the_task() {
        let (to, from) = tokio::sync::oneshot::channel();
        let waits = tokio::spawn(Prompt::new(async move { from.await.unwrap() }));
        tokio::task::yield_now().await;
        to.send(7).unwrap();
        assert_eq!(waits.await.unwrap(), 7);
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (to, mut from) = tokio::sync::mpsc::channel(1);
            let reads = tokio::spawn(Prompt::new(async move {
                let mut sum = 0_u64;
                while let Some(value) = from.recv().await {
                    sum += value;
                }
                sum
            }));
            for value in 0..20_000 {
                to.send(value).await.unwrap();
            }
            drop(to);
            assert_eq!(reads.await.unwrap(), 19_999 * 10_000);
        });
    }
}
