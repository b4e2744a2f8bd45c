//! Targets: what is watched, and whether it answers.

use serde::{Deserialize, Serialize};

use super::units::Timestamp;

/// Whether a target answers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Reach {
    /// Not tried yet.
    #[default]
    Starting,
    /// The last scrape succeeded.
    Up,
    /// The last scrape failed; the history has a gap since then.
    #[serde(rename_all = "camelCase")]
    Down {
        /// When it began to fail.
        since: Timestamp,
        /// Why, with the cure at the end.
        reason: String,
    },
}
