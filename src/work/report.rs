//! From the store and the board to what a report shows, and to a file of it.
//!
//! For: gathering. Not for: showing (`report`).

use std::io::Write as _;
use std::path::Path;

use crate::model::units::{Bytes, Timestamp};
use crate::report::sqlite::{self, SeriesWindow};
use crate::report::{DataExtent, Format, ReportInput, TargetReport};
use crate::store::{self, Selector, Store};
use crate::work::app::App;
use crate::work::board::{Board, TargetState};
use crate::work::own;
use crate::work::project::Projector;
use crate::work::{Error, Result};

/// Who wrote a report.
const GENERATOR: &str = concat!("plimsoll ", env!("CARGO_PKG_VERSION"));

impl App {
    /// Everything that a report shows, of one target or of all.
    pub fn report_input(&self, target: Option<&str>) -> ReportInput {
        gather(self.store(), self.board(), self.clock().now(), target)
    }

    /// Hourly use of every resource of every target, for a portable archive.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn archived_windows(&self) -> Result<Vec<SeriesWindow>> {
        self.projector().resource_windows()
    }
}

/// Writes a report of all targets into a file, whole or not at all; its size. Blocks.
///
/// # Errors
/// When the history cannot be read, or the file cannot be written.
pub(crate) fn write(projector: &Projector, format: Format, path: &Path) -> Result<Bytes> {
    let now = projector.clock.now();
    let input = gather(&projector.store, &projector.board, now, None);
    let io = |source| {
        Error::Store(store::Error::Io {
            path: path.to_owned(),
            source,
        })
    };
    match format.text(&input)? {
        Some(text) => store::write_whole(path, |file| file.write_all(text.as_bytes()).map_err(io))?,
        None => sqlite::write(path, &input, &projector.resource_windows()?)?,
    }
    Ok(Bytes(std::fs::metadata(path).map_err(io)?.len()))
}

fn gather(store: &Store, board: &Board, now: Timestamp, target: Option<&str>) -> ReportInput {
    let names = board.names().into_iter();
    let names = names.filter(|name| target.is_none_or(|t| t == name));
    let targets = names.filter_map(|name| {
        let state = board.target(&name)?;
        Some(target_report(store, board, name, state))
    });
    ReportInput {
        made_at: now,
        generator: GENERATOR.to_owned(),
        targets: targets.collect(),
    }
}

fn target_report(store: &Store, board: &Board, name: String, state: TargetState) -> TargetReport {
    let history = store.history();
    let series = history.series(&Selector::default().of(&name)).len();
    let oldest = state
        .projections
        .iter()
        .map(|projection| projection.history_start)
        .min();
    let snapshot = state.snapshot.as_deref();
    TargetReport {
        server: snapshot.map(|snapshot| snapshot.server.clone()),
        reach: state.reach,
        last_scrape_at: state.last_scrape_at,
        data: DataExtent {
            from: oldest.or(state.last_scrape_at),
            until: state.last_scrape_at,
            series: series as u64,
            samples: samples(board),
        },
        projections: state.projections.to_vec(),
        reviews: state.reviews.to_vec(),
        findings: state.findings.to_vec(),
        silenced: state.silenced.to_vec(),
        bottlenecks: state.bottlenecks.to_vec(),
        alerts: state.alerts.to_vec(),
        blind_spots: snapshot.map(|s| s.blind_spots.clone()).unwrap_or_default(),
        statements: snapshot.map(|s| s.statements.clone()).unwrap_or_default(),
        wait_shares: state.wait_shares.to_vec(),
        pool: snapshot.map(|snapshot| snapshot.pool.clone()),
        own_cost: state.own_cost,
        name,
    }
}

/// Raw samples in the store, as last counted.
fn samples(board: &Board) -> u64 {
    let own = board.own();
    let counted = own.and_then(|own| {
        let samples = own.samples.iter();
        let mut found = samples.filter(|s| s.series.metric == own::SAMPLES.name);
        found.next().map(|sample| sample.value)
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count that went through a gauge: whole and not negative"
    )]
    let counted = counted.unwrap_or(0.0) as u64;
    counted
}
