//! One look at a target, without a store and without a running server.

use crate::advise::checks::{self, Thresholds};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::model::database::Snapshot;
use crate::model::finding::Finding;
use crate::postgres::Observer;
use crate::work::targets::watched_targets;
use crate::work::{Error, Result};

pub use crate::advise::checks::explain::{Page, document, pages};

/// What one look gave.
#[derive(Debug)]
pub struct Look {
    /// The target's name.
    pub target: String,
    /// What was seen and what the checks say of it, worst first; or why nothing was seen.
    pub outcome: std::result::Result<(Snapshot, Vec<Finding>), crate::postgres::Error>,
}

/// Looks once at every configured target, one after the other.
///
/// # Errors
/// When a connection string cannot be read. A target that does not answer is no error here: its
/// [`Look`] says so.
pub async fn check_once(config: &Config) -> Result<Vec<Look>> {
    let mut looks = Vec::new();
    for target in watched_targets(config)? {
        let Some(options) = target.options else {
            continue;
        };
        let mut observer = Observer::new(options);
        let seen = observer.catalog(SystemClock.now()).await;
        let outcome = seen.map(|(_, snapshot)| {
            let findings = checks::run(&snapshot, &Thresholds::default());
            (snapshot, findings)
        });
        looks.push(Look {
            target: target.name,
            outcome,
        });
    }
    if looks.is_empty() {
        Err(Error::NoTarget)
    } else {
        Ok(looks)
    }
}
