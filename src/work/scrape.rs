//! A scrape out of its turn: asking a watcher for one, and hearing what came of it.
//!
//! For: tasks that want a target's readings now. Not for: the regular ones, whose time the loop in
//! `work::collect` owns.

use tokio::sync::{mpsc, oneshot};

/// More who ask at the same time wait.
const WAITING: usize = 16;

/// What one scrape gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scraped {
    /// Values that were read.
    pub(crate) samples: usize,
    /// Why the target or the history counts as failed: text for people.
    pub(crate) failed: Option<String>,
}

/// Asks one watcher.
#[derive(Debug, Clone)]
pub(crate) struct Asker(mpsc::Sender<oneshot::Sender<Scraped>>);

/// Who asked a watcher and waits for its answer.
#[derive(Debug)]
pub(crate) struct Requests(mpsc::Receiver<oneshot::Sender<Scraped>>);

/// Both ends.
pub(crate) fn channel() -> (Asker, Requests) {
    let (to, from) = mpsc::channel(WAITING);
    (Asker(to), Requests(from))
}

impl Asker {
    /// Has the watcher read now, after what it is doing; nothing where it has stopped.
    pub(crate) async fn scrape(&self) -> Option<Scraped> {
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        answer.await.ok()
    }
}

impl Requests {
    /// Those who have asked.
    pub(crate) fn waiting(&mut self) -> impl Iterator<Item = oneshot::Sender<Scraped>> {
        std::iter::from_fn(|| self.0.try_recv().ok())
    }

    /// The next who asks; nothing when nobody can any more.
    pub(crate) async fn next(&mut self) -> Option<oneshot::Sender<Scraped>> {
        self.0.recv().await
    }
}
