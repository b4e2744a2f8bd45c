//! The demo's story: start a throw-away server, fill it, make up its past, drive it, stop it all.
//!
//! For: the order of things. Not for: how each is done (`demo`).

mod readers;

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Stopwatch;
use crate::config::{self, Config, Origin, Secret};
use crate::demo::binaries::{Binaries, find_binaries};
use crate::demo::cluster::{Cluster, ClusterOptions};
use crate::demo::leadgen::{self, Filled, Indexes};
use crate::demo::past::{self, Anchor, PastSeries};
use crate::demo::scratch::Scratch;
use crate::demo::traffic::{Counts, Traffic, TrafficOptions};
use crate::host::Host;
use crate::model::capacity::{Limit, LimitOrigin, Resource};
use crate::model::maintenance::WriteClass;
use crate::model::series::{Kind, Sample};
use crate::model::units::{Millis, Timestamp};
use crate::postgres::Observer;
use crate::store::{Bucket, Tier};
use crate::work::app::App;
use crate::work::stop::StopSignal;
use crate::work::targets::WatchedTarget;
use crate::work::{Result, on_rayon};

/// The name of the watched target.
const TARGET: &str = "leadgen";

/// What the demo lets its databases grow to, as a multiple of today: a throw-away database on a
/// large disk would never be full, and a limit that is never met shows nothing.
const ROOM: f64 = 1.25;

/// Seed of the made-up past.
const SEED: u64 = 144;

/// Series of tables that get a past: the largest, so that about fifty series have one in all.
const TABLES: usize = 6;

/// Metrics that get a past; of tables, only the largest.
const WITH_A_PAST: [&str; 29] = [
    "host_cpu_busy_seconds_total",
    "host_cpu_cores",
    "host_cpu_seconds_total",
    "host_load1",
    "host_memory_available_bytes",
    "host_memory_limit_bytes",
    "host_memory_used_bytes",
    "host_filesystem_available_bytes",
    "host_filesystem_size_bytes",
    "host_filesystem_used_bytes",
    "host_network_receive_bytes_total",
    "host_network_speed_bytes",
    "host_network_transmit_bytes_total",
    "pg_connections",
    "pg_connections_used",
    "pg_database_blks_hit_total",
    "pg_database_blks_read_total",
    "pg_database_size_bytes",
    "pg_database_temp_bytes_total",
    "pg_database_tup_deleted_total",
    "pg_database_tup_inserted_total",
    "pg_database_tup_returned_total",
    "pg_database_tup_updated_total",
    "pg_database_xact_commit_total",
    "pg_database_xact_rollback_total",
    "pg_settings_max_connections",
    "pg_settings_superuser_reserved_connections",
    "pg_wal_bytes_total",
    "pg_table_total_bytes",
];

/// Between the two readings that give counters their present rate.
const RATE_OVER: std::time::Duration = std::time::Duration::from_secs(2);

/// What the demo is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// 1 is 200,000 leads.
    pub scale: f64,
    /// Statements per second.
    pub rate: f64,
    /// Folders that hold server binaries, looked in first.
    pub binaries: Vec<PathBuf>,
    /// Whether the history outlives the demo, in the folder that the settings name.
    pub keep_folder: bool,
}

/// A running demo.
#[derive(Debug)]
pub struct Demo {
    /// What watches it.
    pub app: Arc<App>,
    /// What was started; `None` without server binaries.
    pub platform: Option<RunningPlatform>,
    /// The folder of its history, if it is thrown away.
    scratch: Option<Scratch>,
}

/// The throw-away server and its traffic.
#[derive(Debug)]
pub struct RunningPlatform {
    cluster: Cluster,
    traffic: Traffic,
    /// Where a monitor connects, password included.
    monitor_url: String,
    owner_url: String,
    /// Rows made.
    pub filled: Filled,
}

impl RunningPlatform {
    /// Starts a server, fills it, and drives it.
    async fn start(
        binaries: Binaries,
        options: &Options,
        progress: &mut impl FnMut(f64, &str),
    ) -> Result<Self> {
        progress(0.0, &format!("starting PostgreSQL {}", binaries.major()));
        let settings = leadgen::SERVER_SETTINGS.iter();
        let cluster = settings.fold(ClusterOptions::new(binaries), |options, (name, value)| {
            options.with(name, value)
        });
        let cluster = Cluster::start(cluster).await?;
        progress(0.15, "creating the lead-generation platform");
        let platform = leadgen::create(&cluster).await?;
        let filled = leadgen::fill(&platform, options.scale, Indexes::Base, |share, what| {
            progress(0.2 + 0.4 * share, what);
        })
        .await?;
        leadgen::forget_setup(&cluster).await?;
        let mut drive = TrafficOptions::new(platform.url.clone())?;
        drive.rate = options.rate;
        Ok(Self {
            traffic: Traffic::start(drive).await?,
            cluster,
            monitor_url: platform.monitor_url,
            owner_url: platform.url,
            filled,
        })
    }

    /// Where the server listens, for people: no password in it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.cluster.port())
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.cluster.binaries().major()
    }

    /// What the traffic did so far.
    pub fn counts(&self) -> Counts {
        self.traffic.counts()
    }

    fn target(&self) -> config::Target {
        config::Target {
            name: TARGET.to_owned(),
            url: Secret::new(self.monitor_url.clone()),
            pooler: None,
            // It is a throw-away server of our own.
            writes: Some(config::Writes {
                classes: WriteClass::ALL.to_vec(),
                writer: Secret::new(self.owner_url.clone()),
            }),
            limits: std::collections::BTreeMap::default(),
            origin: Origin::Default(Some("the demo")),
        }
    }
}

/// Starts the demo; `None` if `stop` came before it was up.
///
/// `config` gives the address, and the folder to keep the history in or to make a throw-away one
/// in. `progress` hears how far it is, from 0 to 1, and what is going on.
///
/// # Errors
/// When a step fails. Then, as after `stop`, what was started is stopped and removed.
pub async fn start(
    mut config: Config,
    options: &Options,
    stop: &StopSignal,
    mut progress: impl FnMut(f64, &str),
) -> Result<Option<Demo>> {
    config.targets.clear();
    config.queries.clear();
    let mut scratch = None;
    if !options.keep_folder {
        let made = Scratch::make_in(&config.data_dir)?;
        made.folder().clone_into(&mut config.data_dir);
        scratch = Some(made);
    }
    let (mut app, platform) = if let Ok(binaries) = find_binaries(&options.binaries) {
        // Dropped half-way it leaves nothing: the cluster goes with its value.
        let platform = tokio::select! {
            started = RunningPlatform::start(binaries, options, &mut progress) => started?,
            () = stop.heard() => return Ok(None),
        };
        config.targets.push(platform.target());
        config.queries = config::queries("data/leadgen/queries.toml", leadgen::QUERIES)?;
        (App::open(config)?, Some(platform))
    } else {
        let told = "no PostgreSQL server found: showing a recorded history";
        progress(0.5, told);
        (App::recorded(config, TARGET)?, None)
    };
    // From here on files are being written, so whatever ends early ends in the order of a stop.
    let past = match &platform {
        Some(_) => make_up_past(&mut app, stop, &mut progress).await,
        None => replay_past(&app, stop).await,
    };
    let demo = Demo {
        app: Arc::new(app),
        platform,
        scratch,
    };
    if past.is_err() || stop.is_heard() {
        let stopped = demo.stop().await;
        return past.and(stopped).map(|()| None);
    }
    demo.app.start();
    demo.app.spawn(readers::ask(
        Arc::clone(demo.app.cache()),
        demo.app.stopping(),
    ));
    progress(1.0, "watching");
    Ok(Some(demo))
}

impl Demo {
    /// Stops everything that was started and removes what was made.
    ///
    /// # Errors
    /// When something does not stop or cannot be removed; the rest is tried all the same.
    pub async fn stop(self) -> Result<()> {
        let stopped = self.app.stop().await;
        let mut ended = Ok(());
        if let Some(platform) = self.platform {
            platform.traffic.stop().await;
            ended = platform.cluster.stop().await;
        }
        let removed = self.scratch.map_or(Ok(()), Scratch::remove);
        stopped?;
        ended?;
        Ok(removed?)
    }
}

/// Reads what is there now and makes up how it came to be; `stop` ends it early.
async fn make_up_past(
    app: &mut App,
    stop: &StopSignal,
    progress: &mut impl FnMut(f64, &str),
) -> Result<()> {
    progress(0.65, "taking the first readings");
    let (anchors, database) = tokio::select! {
        present = present(app) => present?,
        () = stop.heard() => return Ok(()),
    };
    progress(0.75, "making up 180 days of history");
    if let Some(bytes) = database {
        app.set_limit(TARGET, Resource::Database, &room_for(bytes));
    }
    back_fill(app, anchors, stop).await
}

/// Shows the recorded history as if it ended now; `stop` ends it early.
async fn replay_past(app: &App, stop: &StopSignal) -> Result<()> {
    back_fill(app, past::recorded()?, stop).await
}

fn room_for(bytes: f64) -> Limit {
    let origin = LimitOrigin::Configured("the demo: a quarter more than there is".to_owned());
    Limit {
        value: (bytes * ROOM).round(),
        origin,
    }
}

/// What the watched series are now, and how large all databases are together.
async fn present(app: &App) -> Result<(Vec<Anchor>, Option<f64>)> {
    let Some(target) = app.targets().first() else {
        return Ok((Vec::new(), None));
    };
    let since = Stopwatch::start();
    let before = readings(target, app.clock().now()).await?;
    tokio::time::sleep(RATE_OVER).await;
    let after = readings(target, app.clock().now()).await?;
    // From the middle of one look to the middle of the other: looking takes its time, too.
    let seconds = f64::midpoint(RATE_OVER.as_secs_f64(), since.elapsed().as_secs_f64());
    let databases = after
        .iter()
        .filter(|s| s.series.metric == "pg_database_size_bytes");
    let database = databases.map(|sample| sample.value).reduce(|a, b| a + b);
    let rate_of = |sample: &Sample| {
        let earlier = before.iter().find(|s| s.series == sample.series)?;
        Some((sample.value - earlier.value).max(0.0) / seconds)
    };
    let cores = after
        .iter()
        .find(|s| s.series.metric == "host_cpu_cores")
        .map(|s| s.value);
    let mut tables = 0;
    let mut anchors = Vec::new();
    for sample in &after {
        let name = sample.series.metric.as_ref();
        let is_table = name == "pg_table_total_bytes";
        tables += usize::from(is_table);
        if !WITH_A_PAST.contains(&name) || (is_table && tables > TABLES) || is_noise(sample) {
            continue;
        }
        let (series, value) = (sample.series.clone(), sample.value);
        let mut anchor = match sample.kind {
            Kind::Counter => Anchor::counter(series, value, rate_of(sample).unwrap_or(0.0)),
            Kind::Gauge => Anchor::gauge(series, value),
        };
        if let Some(cores) = cores.filter(|_| name.starts_with("host_cpu_")) {
            anchor.shape = anchor.shape.under(cores);
        }
        anchors.push(anchor);
    }
    Ok((anchors, database))
}

/// Counters of databases that nobody uses, and of modes that are always zero.
fn is_noise(sample: &Sample) -> bool {
    let labels = &sample.series.labels;
    let is_template = matches!(labels.get("datname"), Some("template0" | "template1"));
    (is_template && sample.kind == Kind::Counter)
        || matches!(
            labels.get("mode"),
            Some("irq" | "steal" | "nice" | "guest" | "guest_nice")
        )
}

async fn readings(target: &WatchedTarget, at: Timestamp) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    if let Some(options) = &target.options {
        let mut observer = Observer::new(options.clone());
        samples.extend(observer.scrape(at).await?);
        samples.extend(observer.catalog(at).await?.0);
    }
    if target.has_host {
        samples.extend(Host::new(crate::host::Options::default()).read(at)?);
    }
    Ok(samples)
}

/// Makes up the past of `anchors` and writes it straight into the 5 min and 1 h tiers.
///
/// After `stop` it comes back within a series; it is never left behind, still writing.
async fn back_fill(app: &App, anchors: Vec<Anchor>, stop: &StopSignal) -> Result<()> {
    let (store, now) = (Arc::clone(app.store()), app.clock().now());
    let stop = stop.clone();
    store.history().mark_synthetic(TARGET, past::span(now))?;
    on_rayon(move || {
        for series in past::back_fill(now, &anchors, SEED) {
            if stop.is_heard() {
                break;
            }
            let tier = if series.step == Millis::HOUR {
                Tier::Hour
            } else {
                Tier::FiveMinutes
            };
            let buckets = buckets(&series);
            let history = store.history();
            history.append_rollups(TARGET, tier, &series.series, series.kind, &buckets)?;
        }
        store.history().settle()
    })
    .await?;
    Ok(())
}

/// The store's buckets: of a counter they hold what it grew by since the bucket before.
fn buckets(series: &PastSeries) -> Vec<Bucket> {
    let mut before: Option<(Timestamp, f64)> = None;
    let mut all = Vec::with_capacity(series.buckets.len());
    for past in &series.buckets {
        let within = past.max - past.min;
        let since = before.filter(|(at, _)| at.plus(series.step.as_duration()) == past.at);
        let growth = since
            .map(|(_, last)| past.last - last)
            .filter(|growth| *growth >= within);
        let is_counter = series.kind == Kind::Counter;
        all.push(Bucket {
            at: past.at,
            min: past.min,
            max: past.max,
            sum: if is_counter {
                growth.unwrap_or(within)
            } else {
                past.sum
            },
            count: past.count,
            last: past.last,
            max_increase: past.max_increase,
            covered: if is_counter { series.step } else { Millis(0) },
        });
        before = Some((past.at, past.last));
    }
    all
}
