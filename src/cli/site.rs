//! Puts a running program behind the HTTP edge, and takes it down again.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::exchange::csv::Records;
use crate::http::{self, Compat, ExporterName, Hooks, PageAsk, Site};
use crate::report::{Format, ReportInput, html, sqlite};
use crate::work::export::export;
use crate::work::{App, intake, with_causes};

/// Where the program is reached.
pub(super) struct Doors {
    tcp: TcpListener,
    socket: tokio::net::UnixListener,
    path: PathBuf,
}

impl Doors {
    /// Opens the socket of the command line beside `tcp`, the door to the network.
    ///
    /// The data folder must be locked by then, so that a stale socket is known to be one.
    pub(super) async fn open(tcp: TcpListener, config: &Config) -> anyhow::Result<Self> {
        let path = config.socket();
        let socket = http::bind_socket(&path).await?;
        Ok(Self { tcp, socket, path })
    }

    /// Serves until `stop` comes.
    pub(super) async fn serve(self, app: &Arc<App>, stop: impl Future<Output = ()> + Send) {
        let hooks = hooks(app);
        let site = Site::new(
            Arc::clone(app.board()),
            Arc::clone(app.clock()),
            app.config(),
            hooks,
        );
        let stop = async {
            stop.await;
            // Claims that wait and streams of events would hold up the end.
            app.queues().close();
        };
        http::serve(site, Some(self.tcp), Some((self.socket, &self.path)), stop).await;
    }
}

fn hooks(app: &Arc<App>) -> Hooks {
    let (pages, reports) = (Arc::clone(app), Arc::clone(app));
    Hooks {
        page: Arc::new(move |ask: &PageAsk| {
            let input = pages.report_input(ask.target.as_deref());
            match ask.fragment.as_deref() {
                Some("main") => html::dashboard_main(&input, &ask.jobs),
                _ => html::dashboard(&input, &ask.jobs),
            }
        }),
        report: Arc::new(move |format| {
            let app = Arc::clone(&reports);
            Box::pin(async move {
                // An archive reads the history and writes a file: not beside the sockets.
                let written = tokio::task::spawn_blocking(move || live_report(&app, format)).await;
                written
                    .map_err(|panic| panic.to_string())?
                    .map_err(|error| format!("{error:#}"))
            })
        }),
        write: {
            let app = Arc::clone(app);
            Arc::new(move |body| intake::remote_write(app.store(), body, app.clock().now()))
        },
        import: {
            let app = Arc::clone(app);
            Arc::new(move |body, resolution| {
                let mut rows = Records::new(body)?;
                intake::rows(app.store(), &mut rows, resolution, app.clock().now())
            })
        },
        export: {
            let app = Arc::clone(app);
            Arc::new(move |order, to| {
                export(app.store(), order, to).map_err(|error| with_causes(&error))
            })
        },
        census: {
            let app = Arc::clone(app);
            Arc::new(move |top| app.store().census(top).map_err(|error| with_causes(&error)))
        },
        queries: Some(Arc::new(app.queries())),
        analyst: Some(Arc::clone(app.analyst())),
        maintainer: Some(Arc::clone(app.maintainer())),
        cache: Some(Arc::clone(app.cache())),
        queues: Some(Arc::clone(app.queues())),
        compat: exporter_names(),
        store: Some(Arc::clone(app.store())),
        script: html::SCRIPT,
        style: html::STYLE,
    }
}

/// What `/metrics?names=compat` calls our metrics.
fn exporter_names() -> Compat {
    let mut names = Compat::new();
    for (own, theirs, factor) in crate::work::compat_names() {
        names
            .entry(own)
            .or_default()
            .push(ExporterName { theirs, factor });
    }
    names
}

/// A report of the live history.
pub(super) fn live_report(app: &App, format: Format) -> anyhow::Result<Vec<u8>> {
    let input = app.report_input(None);
    match format.text(&input)? {
        Some(text) => Ok(text.into_bytes()),
        None => archive(&input, &app.archived_windows()?),
    }
}

/// An archive as bytes: SQLite writes files only, so it goes through one of its own.
pub(super) fn archive(
    input: &ReportInput,
    windows: &[sqlite::SeriesWindow],
) -> anyhow::Result<Vec<u8>> {
    let name = format!("plimsoll-archive-{}.sqlite", std::process::id());
    let path = std::env::temp_dir().join(name);
    let written = sqlite::write(&path, input, windows).map_err(anyhow::Error::from);
    let bytes = written.and_then(|()| std::fs::read(&path).context("cannot read the archive"));
    // Whatever happened above is the error to tell, not what is left of the file.
    let _ = std::fs::remove_file(&path);
    bytes
}
