//! The wish to stop: heard once, from then on known to everybody who asks.
//!
//! For: starting, serving and ending, which share one signal, so that none is lost between them.
//! Not for: the loops of `work::app`, which end in their own order. A signal is heard from
//! [`StopSignal::install`] on, not from the first wait.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Ctrl-C or a service manager's SIGTERM. Clones hear the same.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Listens from now on, in place of the system's habit of ending the process.
    ///
    /// # Errors
    /// When the system refuses to hand the signals over.
    pub fn install() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let (tell, told) = watch::channel(false);
        tokio::spawn(listen(terminate, interrupt, tell));
        Ok(Self(told))
    }

    /// Comes when the process is asked to stop, at once if it was already.
    pub async fn heard(&self) {
        let mut told = self.0.clone();
        if told.wait_for(|stop| *stop).await.is_err() {
            // Who would tell is gone with the runtime; then nobody waits here much longer.
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has come.
    pub fn is_heard(&self) -> bool {
        *self.0.borrow()
    }
}

async fn listen(mut terminate: Signal, mut interrupt: Signal, tell: watch::Sender<bool>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tell.send_replace(true);
    // Those who ask later must still be told.
    tell.closed().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_late_is_told_at_once() {
        let (tell, told) = watch::channel(false);
        let stop = StopSignal(told);
        assert!(!stop.is_heard());
        let early = tokio::spawn({
            let stop = stop.clone();
            async move { stop.heard().await }
        });
        tell.send_replace(true);
        early.await.unwrap();
        assert!(stop.is_heard());
        stop.heard().await;
        stop.clone().heard().await;
    }
}
