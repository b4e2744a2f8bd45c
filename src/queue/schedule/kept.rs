//! Schedules as rows beside the jobs: one a schedule, JSON, under a prefix of their own.

use super::Schedule;
use crate::queue::{Extra, Result};

/// Rows of schedules begin so.
pub(super) const PREFIX: &[u8] = b"schedule/";

fn key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

/// The row of a schedule.
///
/// # Errors
/// A payload that does not write, which none that was read does.
pub(super) fn row(schedule: &Schedule) -> Result<Extra> {
    let failed = |_| crate::store::Error::RecordName("the row of a schedule".to_owned());
    Ok(Extra {
        key: key(&schedule.asked.name),
        value: Some(serde_json::to_vec(schedule).map_err(failed)?),
    })
}

/// The absence of one.
pub(super) fn no_row(name: &str) -> Extra {
    Extra {
        key: key(name),
        value: None,
    }
}

/// Reads a row.
///
/// # Errors
/// A row of another release.
pub(super) fn read(value: &[u8]) -> Result<Schedule> {
    let wrong = |_| crate::store::Error::RecordName("the row of a schedule".to_owned());
    Ok(serde_json::from_slice(value).map_err(wrong)?)
}
