//! Where commands enter the rest of the house: one call each, nothing else.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::bail;

use super::demo::Demo;
use crate::config::Config;
use crate::http::ReportFormat;
use crate::http::wire::TargetFindings;

/// Watches the targets and serves until a stop signal: `work::serve`.
#[expect(clippy::unused_async, reason = "the call that awaits is not wired yet")]
pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    bail!("serving on {} is not wired into this build", config.listen)
}

/// Runs the demo until a stop signal or its time is over: `work::demo`.
#[expect(clippy::unused_async, reason = "the call that awaits is not wired yet")]
pub(super) async fn demo(config: Config, demo: Demo) -> anyhow::Result<()> {
    bail!(
        "a demo of scale {} on {} is not wired into this build",
        demo.scale,
        config.listen
    )
}

/// Looks at every target once, without a server and without a history: `work::check_once`.
#[expect(clippy::unused_async, reason = "the call that awaits is not wired yet")]
pub(super) async fn check_once(config: &Config) -> anyhow::Result<Vec<TargetFindings>> {
    bail!(
        "a look at {} targets without a server is not wired into this build",
        config.targets.len()
    )
}

/// Reads an archive and writes it as a report: `report::sqlite::read`, then the format's writer.
pub(super) fn report_from(archive: &Path, format: ReportFormat) -> anyhow::Result<Vec<u8>> {
    bail!(
        "a {} report from {} is not wired into this build",
        format.name(),
        archive.display()
    )
}

/// Writes the history of a stopped server as JSON lines: `store::Store::export`.
pub(super) fn history_export(config: &Config, _to: &mut dyn Write) -> anyhow::Result<()> {
    bail!(
        "exporting {} is not wired into this build",
        config.data_dir.display()
    )
}

/// Reads JSON lines into an empty data folder: `store::Store::import`.
pub(super) fn history_import(config: &Config, _from: &mut dyn BufRead) -> anyhow::Result<()> {
    bail!(
        "importing into {} is not wired into this build",
        config.data_dir.display()
    )
}
