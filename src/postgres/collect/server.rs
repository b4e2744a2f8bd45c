//! The server itself: that it is up, since when, and as what.

use crate::model::series::{Labels, Metric, Sample};
use crate::model::units::Timestamp;
use crate::postgres::capability::Capability;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{Error, MARKER, Result};

/// Whether the target answered; whoever notices that it does not writes the 0.
pub const UP: Metric = Metric::gauge("pg_up", "Whether the last scrape of the server succeeded.");

pub(super) const INFO: Metric = Metric::gauge("pg_server_info", "Version of the server; always 1.");
const STARTED: Metric = Metric::gauge(
    "pg_postmaster_start_time_seconds",
    "When the server was started, in seconds since 1970.",
);
const RELOADED: Metric = Metric::gauge(
    "pg_config_reload_time_seconds",
    "When the configuration was last loaded, in seconds since 1970.",
);
const IN_RECOVERY: Metric = Metric::gauge(
    "pg_in_recovery",
    "Whether the server is a standby or recovers from a crash.",
);

pub(super) const METRICS: &[&Metric] = &[&UP, &INFO, &STARTED, &RELOADED, &IN_RECOVERY];

/// What a scrape begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    /// The backend that answered; it changes behind a transaction pooler.
    pub(crate) backend_pid: i32,
    pub(crate) in_recovery: bool,
    pub(crate) started_at: Timestamp,
    /// Settings are read again when this changes.
    pub(crate) config_loaded_at: Timestamp,
}

/// Reads the server's state.
pub(crate) async fn read(
    session: &mut Session,
    able: &Capability,
) -> Result<(Server, Vec<Sample>)> {
    const PART: &str = "server";
    let sql = format!(
        "select {MARKER} pg_backend_pid(), pg_is_in_recovery(), pg_postmaster_start_time(), \
         pg_conf_load_time()"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    let row = rows.first().ok_or(Error::Shape {
        part: PART,
        detail: "no row".to_owned(),
    })?;
    let cells = Cells::new(PART, row);
    let server = Server {
        backend_pid: cells.get(0)?,
        in_recovery: cells.get(1)?,
        started_at: cells.time(2)?.unwrap_or_default(),
        config_loaded_at: cells.time(3)?.unwrap_or_default(),
    };
    let short = able.version.split(' ').next().unwrap_or("");
    let version = Labels::none()
        .with("short_version", short)
        .with("version", able.version.as_str());
    let samples = vec![
        UP.sample(Labels::none(), 1.0),
        INFO.sample(version, 1.0),
        STARTED.sample(Labels::none(), server.started_at.as_secs_f64()),
        RELOADED.sample(Labels::none(), server.config_loaded_at.as_secs_f64()),
        IN_RECOVERY.sample(Labels::none(), f64::from(u8::from(server.in_recovery))),
    ];
    Ok((server, samples))
}
