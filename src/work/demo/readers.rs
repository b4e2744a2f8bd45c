//! Those who read the demo platform's named queries: its screens, and what they hear of changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::cache::{Cache, Which};

/// Between two questions.
const EVERY: Duration = Duration::from_millis(250);
/// What the screens ask for, in turn: those of agents are looked at most.
const ASKED: [&str; 8] = [
    "agents:active",
    "agents:availability",
    "leads:recent",
    "agents:active",
    "metadata:insurance-types",
    "agents:availability",
    "leads:recent",
    "carriers:performance",
];
/// After so many questions a lead has come in, and its event drops what it makes wrong.
const QUESTIONS_A_LEAD: usize = 40;

/// Asks until the end.
pub(super) async fn ask(cache: Arc<Cache>, mut stop: Receiver<bool>) {
    if cache.is_empty() {
        return;
    }
    for (number, key) in (1_usize..).zip(ASKED.iter().cycle()) {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            // An error means that the program is gone.
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if number.is_multiple_of(QUESTIONS_A_LEAD) {
            let lead = Which::Event("lead.created".to_owned());
            if let Err(error) = cache.invalidate(&lead) {
                tracing::warn!(%error, "an event of the demo drops nothing");
            }
        }
        tokio::select! {
            // What fails is told in the log by itself.
            _ = cache.get(key) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
