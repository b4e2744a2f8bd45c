//! From the store and the board to what a report shows.
//!
//! For: gathering. Not for: showing (`report`).

use crate::report::sqlite::SeriesWindow;
use crate::report::{DataExtent, ReportInput, TargetReport};
use crate::store::Selector;
use crate::work::Result;
use crate::work::app::App;
use crate::work::board::TargetState;
use crate::work::own;

/// Who wrote a report.
const GENERATOR: &str = concat!("plimsoll ", env!("CARGO_PKG_VERSION"));

impl App {
    /// Everything that a report shows, of one target or of all.
    pub fn report_input(&self, target: Option<&str>) -> ReportInput {
        let board = self.board();
        let names = board
            .names()
            .into_iter()
            .filter(|name| target.is_none_or(|t| t == name));
        let targets = names.filter_map(|name| {
            let state = board.target(&name)?;
            Some(self.target_report(name, state))
        });
        ReportInput {
            made_at: self.clock().now(),
            generator: GENERATOR.to_owned(),
            targets: targets.collect(),
        }
    }

    /// Hourly use of every resource of every target, for a portable archive.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn archived_windows(&self) -> Result<Vec<SeriesWindow>> {
        self.projector().resource_windows()
    }

    fn target_report(&self, name: String, state: TargetState) -> TargetReport {
        let history = self.store().history();
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
                samples: self.samples(),
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
    fn samples(&self) -> u64 {
        let own = self.board().own();
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
}
