//! Keeps the queues on time: what is due is done when it is due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::queue::Queues;

/// The longest between two looks: retention and clocks that were set are seen by then.
const EVERY: Duration = Duration::from_secs(1);

/// Does what is due until `stop` turns true.
pub(crate) async fn keep(queues: Arc<Queues>, mut stop: Receiver<bool>) {
    let mut failing = false;
    // Who listens hears of what was wrong before the start, too.
    queues.alarms().await;
    loop {
        let next = match queues.tick().await {
            Ok(next) => {
                failing = false;
                next
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "what is due in the queues cannot be done");
                }
                failing = true;
                None
            }
        };
        let pause = next.map_or(EVERY, |next| next.since(queues.now()).min(EVERY));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = queues.sooner(), if !failing => {}
            _ = stop.changed() => return,
        }
    }
}
