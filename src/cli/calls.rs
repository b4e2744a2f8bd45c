//! Where commands that need no running server enter the rest of the house.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::demo::Demo;
use super::site::{self, Doors};
use crate::config::Config;
use crate::http;
use crate::http::wire::TargetFindings;
use crate::model::advice::Advice;
use crate::model::explain::Analysis;
use crate::model::load::LoadTestResults;
use crate::report::{Format, sqlite};
use crate::work::App;
use crate::work::advise::Request;
use crate::work::advise::verify::{Footprint, Order, verify};
use crate::work::check::{Look, check_once as look_once};
use crate::work::demo as story;
use crate::work::explain::{Analyst, Question};
use crate::work::load;
use crate::work::stop::StopSignal;

/// Between two looks whether the first forecasts are there.
const FORECASTS_LOOKED_FOR: Duration = Duration::from_millis(200);

/// Findings that the demo names on its one screen.
const FOUND_SHOWN: usize = 5;

/// Watches the targets and serves until a stop signal.
pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = StopSignal::install().context("cannot listen for signals")?;
    let app = Arc::new(App::open(config)?);
    let doors = Doors::open(http::bind(app.config().listen).await?, app.config()).await?;
    app.start();
    let listen = app.config().listen;
    tracing::info!(data_dir = %app.config().data_dir.display(), "serving http://{listen}");
    doors.serve(&app, stop.heard()).await;
    tracing::info!("stopping");
    Ok(app.stop().await?)
}

/// Runs the demo until a stop signal or its time is over.
pub(super) async fn demo(config: Config, demo: Demo, keep_folder: bool) -> anyhow::Result<()> {
    let stop = StopSignal::install().context("cannot listen for signals")?;
    // Before anything is started: that the address is in use is said at once.
    let tcp = http::bind(config.listen).await?;
    let mut folders: Vec<_> = demo.postgres_bin.clone().into_iter().collect();
    folders.extend(config.environment.search_path());
    let options = story::Options {
        scale: demo.scale,
        rate: f64::from(demo.rate),
        binaries: folders,
        keep_folder,
    };
    let mut steps = Steps::default();
    let told = |share: f64, what: &str| steps.tell(share, what);
    let Some(running) = story::start(config, &options, &stop, told).await? else {
        anyhow::ensure!(
            demo.report.is_none(),
            "stopped before there was anything to report; no report was written"
        );
        return Ok(());
    };
    let shown = show(&running, &demo, tcp, &stop).await;
    running.stop().await?;
    shown
}

/// Serves a running demo until its end, and writes the report that was asked for.
async fn show(
    running: &story::Demo,
    demo: &Demo,
    tcp: TcpListener,
    stop: &StopSignal,
) -> anyhow::Result<()> {
    let app = &running.app;
    let doors = Doors::open(tcp, app.config()).await?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", screen(running, demo))?;
    out.flush()?;
    drop(out);
    // The first forecasts take a second or two, and the page should not wait for them.
    let finding = tokio::spawn(tell_found(Arc::clone(app)));
    let limit = demo
        .exit_after
        .map(crate::model::units::Millis::as_duration);
    let over = async {
        match limit {
            Some(limit) => tokio::select! {
                () = tokio::time::sleep(limit) => {}
                () = stop.heard() => {}
            },
            None => stop.heard().await,
        }
    };
    doors.serve(app, over).await;
    finding.abort();
    if let Some(path) = &demo.report {
        let (app, path) = (Arc::clone(app), path.clone());
        let format = super::report::format_of(&path);
        let body = tokio::task::spawn_blocking(move || site::live_report(&app, format)).await??;
        super::report::write_whole(&path, &body)
            .with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(
            io::stdout(),
            "wrote {} ({} bytes)",
            path.display(),
            body.len()
        )?;
    }
    Ok(())
}

/// Says what was found, once the first forecasts are there.
async fn tell_found(app: Arc<App>) {
    loop {
        let first = app.board().first();
        if first.is_some_and(|(_, state)| !state.projections.is_empty()) {
            break;
        }
        tokio::time::sleep(FORECASTS_LOOKED_FOR).await;
    }
    let input = app.report_input(None);
    let verdict = crate::report::verdict(&input);
    let findings = input.targets.iter().flat_map(|target| &target.findings);
    let mut lines = vec![format!("Found: {}", verdict.headline)];
    lines.extend(
        findings
            .take(FOUND_SHOWN)
            .map(|finding| format!("  {}", finding.title)),
    );
    let (critical, warnings) = (verdict.critical, verdict.warnings);
    lines.push(format!(
        "  {critical} critical, {warnings} warnings in all; the page has the cures\n"
    ));
    // A closed standard output is no reason to stop.
    let _ = writeln!(io::stdout(), "{}", lines.join("\n"));
}

/// What the demo says when it is up: where, what, and how to stop.
fn screen(running: &story::Demo, demo: &Demo) -> String {
    let listen = running.app.config().listen;
    let server = match &running.platform {
        Some(platform) => format!(
            "PostgreSQL {} on {}, {} leads, {} agents, {} statements a second, planted faults",
            platform.major(),
            platform.address(),
            platform.filled.leads,
            platform.filled.agents,
            demo.rate
        ),
        None => {
            "none found: a recorded history instead; install one with `apt install postgresql` \
                 (or dnf install postgresql-server) and start again"
                .to_owned()
        }
    };
    let now = match &running.platform {
        Some(_) => "real readings from now on",
        None => "nothing is added to it",
    };
    let stop = match demo.exit_after {
        Some(after) => format!("by itself after {} s, or with Ctrl-C", after.0 / 1000),
        None => "Ctrl-C; everything that was started ends, and its folder goes".to_owned(),
    };
    let folder = running.app.config().data_dir.display();
    format!(
        "\nPlimsoll demo\n\
         \x20 page     http://{listen}/\n\
         \x20 server   {server}\n\
         \x20 history  180 days, made up and marked so; {now}\n\
         \x20 ask      plimsoll status --data-dir {folder}\n\
         \x20 stop     {stop}\n"
    )
}

/// Tells the steps of a start: one line each, on a terminal with the share done.
#[derive(Default)]
struct Steps {
    last: String,
}

impl Steps {
    fn tell(&mut self, share: f64, what: &str) {
        if self.last == what && !io::stderr().is_terminal() {
            return;
        }
        let end = if io::stderr().is_terminal() {
            "\x1b[K\r"
        } else {
            "\n"
        };
        // A closed standard error is no reason to stop.
        let _ = write!(io::stderr(), "{:>3.0} %  {what}{end}", share * 100.0);
        what.clone_into(&mut self.last);
    }
}

/// What each check means.
pub(super) fn pages() -> Vec<crate::work::check::Page> {
    crate::work::check::pages()
}

/// What all checks mean, as one document.
pub(super) fn document() -> String {
    crate::work::check::document()
}

/// Looks at every target once, without a server and without a history.
pub(super) async fn check_once(config: &Config) -> anyhow::Result<Vec<TargetFindings>> {
    Ok(look_once(config).await?.into_iter().map(found).collect())
}

/// Advises on the indexes of the one configured target.
pub(super) async fn advise_indexes(config: &Config, request: Request) -> anyhow::Result<Advice> {
    Ok(crate::work::advise::indexes(config, request).await?)
}

/// Explains a statement on the one configured target.
pub(super) async fn explain(config: &Config, question: &Question) -> anyhow::Result<Analysis> {
    let analyst = Analyst::new(config)?;
    let target = analyst.first()?;
    let told = analyst.explain(target, question).await;
    Ok(told.context("the target is this machine; there is no server to ask")??)
}

/// Runs a load test; Ctrl-C ends it early, with what was measured.
pub(super) async fn loadtest(
    order: load::Order,
    told: impl Fn(&load::Progress) + Send + 'static,
) -> anyhow::Result<LoadTestResults> {
    let stop = StopSignal::install().context("cannot listen for signals")?;
    Ok(load::run(order, async move { stop.heard().await }, told).await?)
}

/// Verifies advice in a scratch database; after Ctrl-C nothing of it is left there.
pub(super) async fn advise_verify(config: &Config, order: Order) -> anyhow::Result<Advice> {
    let stop = StopSignal::install().context("cannot listen for signals")?;
    let footprint = Footprint::default();
    let outcome = tokio::select! {
        outcome = verify(config, order, &footprint) => outcome,
        () = stop.heard() => {
            let dropped = footprint.sweep().await?;
            anyhow::bail!("stopped; {dropped} indexes that had been built were dropped again");
        }
    };
    if outcome.is_err() {
        // The session may be lost, and with it the chance to tidy up on it.
        footprint.sweep().await?;
    }
    Ok(outcome?)
}

fn found(look: Look) -> TargetFindings {
    let name = look.target;
    match look.outcome {
        Ok((snapshot, findings)) => TargetFindings {
            name,
            state: "up".to_owned(),
            reason: None,
            taken_at: Some(snapshot.taken_at.to_string()),
            findings,
            silenced: Vec::new(),
            alerts: Vec::new(),
            blind_spots: snapshot.blind_spots,
        },
        Err(error) => TargetFindings {
            name,
            state: "down".to_owned(),
            reason: Some(error.to_string()),
            taken_at: None,
            findings: Vec::new(),
            silenced: Vec::new(),
            alerts: Vec::new(),
            blind_spots: Vec::new(),
        },
    }
}

/// Reads an archive and writes it as a report.
pub(super) fn report_from(path: &Path, format: Format) -> anyhow::Result<Vec<u8>> {
    let archive = sqlite::read(path)?;
    match format.text(&archive.input)? {
        Some(text) => Ok(text.into_bytes()),
        None => site::archive(&archive.input, &archive.windows),
    }
}
