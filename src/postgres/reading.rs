//! The two readings, part by part: the quick one of each scrape, the slow one of the catalogs.
//!
//! Both run inside of a transaction that the caller begins and ends.

use super::Result;
use super::capability::Capability;
use super::collect::relations::{Reader, Relations};
use super::collect::{self, BlindSpots};
use super::observer::Options;
use super::session::Session;
use crate::model::database::{Server, Snapshot};
use crate::model::series::Sample;
use crate::model::units::Timestamp;
use collect::{
    SCRAPED, activity, horizon, locks, replication, rising, sequences, server, settings, sizes,
    statements, structure, wal, wraparound,
};

/// What is remembered from one reading to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    blind: BlindSpots,
    /// Counts slow readings.
    cycle: u64,
    connections: activity::Memory,
    locks: locks::Memory,
    texts: statements::Texts,
    /// As of the last scrape, until the next slow reading.
    top: Option<statements::Top>,
    relations: collect::relations::Memory,
    databases: sizes::DatabaseSizes,
    sequences: sequences::Sequences,
    settings: settings::Settings,
    structure: structure::Memory,
    rising: rising::Rising,
}

impl Memory {
    /// A connection was made: another server may answer under the same name now.
    pub(super) fn reconnected(&mut self, able: &Capability) {
        able.note(&mut self.blind);
        self.settings.forget();
        self.sequences.forget();
        self.structure.forget();
    }
}

/// Reads what changes from second to second.
pub(super) async fn scrape(
    session: &mut Session,
    able: &Capability,
    options: &Options,
    memory: &mut Memory,
) -> Result<(server::Server, Vec<Sample>)> {
    let blind = &mut memory.blind;
    let (server, mut out) = server::read(session, able).await?;
    for view in SCRAPED {
        let read = view.read(session, able).await;
        out.extend(blind.settle(view.part, read)?);
    }
    let connections = activity::connections(session).await;
    let connections = blind.settle("activity", connections)?;
    out.extend(connections.samples(&mut memory.connections));
    let held = locks::read(session, &mut memory.locks).await;
    out.extend(blind.settle("locks", held)?);
    let position = wal::position(session).await;
    out.extend(blind.settle("wal position", position)?);
    let standbys = replication::read(session).await;
    out.extend(blind.settle("replication", standbys)?.samples());
    let horizon = wraparound::read(session).await;
    out.extend(blind.settle("wraparound", horizon)?);
    if let Some(extension) = &able.statements {
        let followed = memory.rising.followed();
        let wanted = (&memory.texts, options.top_statements, &followed[..]);
        let top = statements::read(session, extension, wanted).await;
        let top = statements::settle(top, able, blind)?;
        let rising = &mut memory.rising;
        out.extend(top.samples(&memory.texts, |id| rising.begins(id)));
        memory.top = Some(top);
    }
    Ok((server, out))
}

/// Reads what changes slowly, at an instant. The snapshot's target is left for the caller to fill in.
pub(super) async fn catalog(
    session: &mut Session,
    able: &Capability,
    options: &Options,
    memory: &mut Memory,
    at: Timestamp,
) -> Result<(Vec<Sample>, Snapshot)> {
    able.note(&mut memory.blind);
    let (server, _) = server::read(session, able).await?;
    let mut out = Vec::new();
    let mut snapshot = empty_snapshot(able, &server);
    snapshot.taken_at = at;
    read_server(session, able, memory, (&server, &mut snapshot), &mut out).await?;
    let relations = read_relations(session, able, options, memory, &server).await?;
    out.extend(relations.samples);
    snapshot.tables = relations.tables;
    snapshot.indexes = relations.indexes;
    out.extend(memory.sequences.samples(able));
    snapshot.sequences = memory.sequences.list().to_vec();
    if let Some(extension) = &able.statements {
        // The last scrape's counters are seconds old; only without one they are read here.
        let top = if let Some(top) = memory.top.take() {
            top
        } else {
            let followed = memory.rising.followed();
            let wanted = (&memory.texts, options.top_statements, &followed[..]);
            let top = statements::read(session, extension, wanted).await;
            statements::settle(top, able, &mut memory.blind)?
        };
        // What cannot be read at all is said once.
        let is_readable = !memory.blind.has("statements");
        let texts = memory.texts.complete(session, extension, (&top, at)).await;
        memory.blind.settle("statement texts", texts)?;
        let mut ids = top.ids();
        ids.retain(|id| !memory.rising.is_followed(*id));
        if is_readable {
            let risen = memory.rising.refresh(session, extension, &ids).await;
            memory.blind.settle("rising statements", risen)?;
        }
        snapshot.statements = top.statements(&memory.texts, able);
    }
    let due = (memory.cycle, at);
    let structure = &mut memory.structure;
    structure
        .refresh(session, able, &mut memory.blind, due)
        .await?;
    snapshot.structure = structure.last().clone();
    memory.cycle += 1;
    snapshot.blind_spots = memory.blind.all();
    Ok((out, snapshot))
}

/// Settings, databases, sessions, standbys.
async fn read_server(
    session: &mut Session,
    able: &Capability,
    memory: &mut Memory,
    (server, snapshot): (&server::Server, &mut Snapshot),
    out: &mut Vec<Sample>,
) -> Result<()> {
    let blind = &mut memory.blind;
    let loaded = (server.started_at, server.config_loaded_at);
    let refreshed = memory.settings.refresh(session, loaded).await;
    blind.settle("settings", refreshed)?;
    out.extend_from_slice(memory.settings.samples());
    snapshot.settings.clone_from(memory.settings.values());
    let databases = memory
        .databases
        .read(session, able, memory.cycle, blind)
        .await;
    snapshot.databases = blind.settle("databases", databases)?;
    out.extend(sizes::database_samples(&snapshot.databases));
    let folder = wal::folder(session, able).await;
    out.extend(blind.settle("wal folder", folder)?);
    let connections = activity::connections(session).await;
    let connections = blind.settle("activity", connections)?;
    snapshot.pool = connections.pool(memory.settings.connection_limits());
    let sessions = activity::sessions(session).await;
    snapshot.sessions = blind.settle("sessions", sessions)?;
    let standbys = replication::read(session).await;
    let standbys = blind.settle("replication", standbys)?;
    let (lag, is_paused) = (standbys.lag_ms(), standbys.is_paused);
    snapshot.replicas = standbys.replicas;
    snapshot.slots = standbys.slots;
    let holders = horizon::holders(session).await;
    snapshot.horizon = blind.settle("horizon", holders)?;
    let counters = horizon::counters(session, able).await;
    (snapshot.counters, snapshot.server.stats_reset) = blind.settle("database", counters)?;
    if server.in_recovery {
        snapshot.counters.replay_lag_ms = lag;
        snapshot.counters.is_replay_paused = is_paused;
    }
    Ok(())
}

/// Tables, indexes and sequences: whatever has to be opened to be read.
async fn read_relations(
    session: &mut Session,
    able: &Capability,
    options: &Options,
    memory: &mut Memory,
    server: &server::Server,
) -> Result<Relations> {
    let cycle = memory.cycle;
    let untouchable = match locks::untouchable(session, able).await {
        Ok(untouchable) => untouchable,
        Err(error) if error.is_fatal() => return Err(error),
        // Without knowing what is locked, nothing is opened.
        Err(error) => {
            memory.blind.settle::<()>("relations", Err(error))?;
            return Ok(Relations::default());
        }
    };
    memory.blind.settle("relations", Ok(()))?;
    let due = (cycle, server.in_recovery);
    let refreshed = memory.sequences.refresh(session, due, &untouchable).await;
    memory.blind.settle("sequences", refreshed)?;
    let reader = Reader {
        session,
        able,
        options,
        blind: &mut memory.blind,
        cycle,
    };
    reader.read(&mut memory.relations, &untouchable).await
}

fn empty_snapshot(able: &Capability, server: &server::Server) -> Snapshot {
    Snapshot {
        server: Server {
            version: able.version.clone(),
            version_num: able.version_num,
            started_at: server.started_at,
            in_recovery: server.in_recovery,
            database: able.database.clone(),
            role: able.role.clone(),
            stats_reset: None,
            extensions: able.extensions.clone(),
        },
        ..Snapshot::default()
    }
}
