//! Servers that jobs may send load to.

use super::Problem;
use super::load::Settings;
use crate::model::load::Origin;

const KEY: &str = "load.origins";

/// Those that are listed; `check` has told of the others.
pub(super) fn read(settings: &Settings) -> Vec<Origin> {
    let written = settings.list(KEY);
    let read = written.iter().filter_map(|text| text.parse().ok());
    read.collect()
}

/// What is listed and is no origin.
pub(super) fn check(settings: &Settings) -> impl Iterator<Item = Problem> {
    let written = settings.list(KEY).into_iter();
    written.filter_map(|text| {
        let error = text.parse::<Origin>().err()?;
        Some(settings.problem(KEY, &error.to_string()))
    })
}
