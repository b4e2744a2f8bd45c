//! What the settings name to be watched, and how each server is reached.

use crate::config::Config;
use crate::postgres::{ConnInfo, Environment, Options, resolve};
use crate::work::{Error, Result, project};

/// The name that the machine's own readings go by when no target runs on it.
const HOST_TARGET: &str = "host";

/// Indexes with series of their own for each table that has them.
const INDEXES_PER_TABLE: usize = 4;

/// What is known of a target before it was ever asked.
#[derive(Debug, Clone)]
pub(crate) struct WatchedTarget {
    /// Its name.
    pub(crate) name: String,
    /// How to reach it; `None` is this machine alone.
    pub(crate) options: Option<Options>,
    /// Whether this machine's readings belong to it.
    pub(crate) has_host: bool,
    /// What the operator set.
    pub(crate) limits: project::Limits,
    /// Mount point that a recorded history speaks of; a real host is asked.
    pub(crate) mountpoint: Option<String>,
}

/// The configured targets; with none, this machine alone.
pub(crate) fn watched_targets(config: &Config) -> Result<Vec<WatchedTarget>> {
    let mut targets = Vec::new();
    for target in &config.targets {
        let conninfo =
            resolve(target.url.expose(), &postgres_environment(config)).map_err(|source| {
                Error::Target {
                    name: target.name.clone(),
                    source,
                }
            })?;
        let pooler = target.pooler.as_ref().map(|pooler| {
            resolve(pooler.expose(), &postgres_environment(config)).map_err(|source| {
                Error::Target {
                    name: format!("{}, pooler", target.name),
                    source,
                }
            })
        });
        let options = Options {
            pooler: pooler.transpose()?,
            ..observer_options(config, &target.name, conninfo.clone())
        };
        targets.push(WatchedTarget {
            name: target.name.clone(),
            has_host: config.host.watch && conninfo.is_local(),
            limits: target.limits.clone(),
            mountpoint: None,
            options: Some(options),
        });
    }
    if targets.is_empty() && config.host.watch {
        let (name, limits) = (HOST_TARGET.to_owned(), config.limits.clone());
        let target = WatchedTarget {
            name,
            options: None,
            has_host: true,
            limits,
            mountpoint: None,
        };
        targets.push(target);
    }
    Ok(targets)
}

/// How to reach a server that is not a configured target.
pub(crate) fn options_for(config: &Config, name: &str, url: &str) -> Result<Options> {
    let conninfo = resolve(url, &postgres_environment(config)).map_err(|source| Error::Target {
        name: name.to_owned(),
        source,
    })?;
    Ok(observer_options(config, name, conninfo))
}

/// What libpq would look at, as the process was given it.
fn postgres_environment(config: &Config) -> Environment {
    Environment {
        vars: config.environment.vars.clone(),
        home: config.environment.home(),
        user: config.environment.user(),
    }
}

fn observer_options(config: &Config, name: &str, conninfo: ConnInfo) -> Options {
    let collect = &config.collect;
    Options {
        statement_timeout: collect.statement_timeout,
        lock_timeout: collect.lock_timeout,
        connect_timeout: collect.connect_timeout,
        top_statements: collect.top_statements,
        max_tables: collect.max_relations,
        max_indexes: collect.max_relations.saturating_mul(INDEXES_PER_TABLE),
        ..Options::new(name, conninfo)
    }
}
