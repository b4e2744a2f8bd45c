//! The history of a data folder that no server holds.

use std::io::{BufRead, Read};

use anyhow::bail;

use super::{Taken, tell};
use crate::config::Config;
use crate::exchange::csv::Records;
use crate::exchange::openmetrics::Lines;
use crate::store::{Error, Store};
use crate::work::import::import as import_rows;
use crate::work::store_options;

/// Opens the store, or makes one; `None` while a server holds it.
pub(super) fn open(config: &Config) -> anyhow::Result<Option<Store>> {
    match Store::open(store_options(config)) {
        Ok(store) => Ok(Some(store)),
        Err(Error::Locked { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens a store that must be there; `None` while a server holds it.
pub(super) fn open_known(config: &Config) -> anyhow::Result<Option<Store>> {
    if !Store::is_in(&config.data_dir) {
        bail!(
            "{} holds no history; name the folder of one with --data-dir",
            config.data_dir.display()
        );
    }
    open(config)
}

/// Reads samples into a store.
pub(super) fn import(
    mut store: Store,
    format: Taken,
    from: Box<dyn BufRead>,
    resolution: Option<f64>,
) -> anyhow::Result<u64> {
    Ok(if format == Taken::Openmetrics {
        import_rows(&mut store, &mut Lines::new(from), resolution, tell)?
    } else {
        let mut rows = Records::new(from as Box<dyn Read>)?;
        import_rows(&mut store, &mut rows, resolution, tell)?
    })
}

/// Reads a whole store into an empty data folder.
pub(super) fn import_store(config: &Config, from: Box<dyn BufRead>) -> anyhow::Result<()> {
    Ok(Store::import(store_options(config), from)?)
}
