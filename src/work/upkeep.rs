//! The store's housekeeping: syncing, sealing, folding and forgetting, each when it is due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::clock::Clock;
use crate::store::Store;
use crate::work::board::Board;
use crate::work::fault::{News, Part};

/// Between two rounds: what a power cut may cost at most, with the time of the sync itself.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the store in order until `stop` turns true.
pub(crate) async fn keep(
    store: Arc<Store>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    mut stop: Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => return,
        }
        let (worker, now) = (Arc::clone(&store), clock.now());
        // Sealing compresses and syncs: it must not hold up the sockets.
        let done = tokio::task::spawn_blocking(move || worker.tick(now)).await;
        let fault = match done {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic.to_string()),
        };
        let error = fault.clone().unwrap_or_default();
        match board.set_fault(Part::Upkeep, None, fault) {
            News::Broke => tracing::error!(error, "the store cannot be kept in order"),
            News::Mended => tracing::info!("the store is in order again"),
            News::Same => {}
        }
    }
}
