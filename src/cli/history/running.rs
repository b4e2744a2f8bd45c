//! The history of a running server, over its socket.

use std::collections::HashMap;
use std::io::{BufRead, Read, Write};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Taken, tell};
use crate::cli::client::{Client, parameter};
use crate::config::Config;
use crate::exchange::csv::Records;
use crate::exchange::openmetrics::Lines;
use crate::exchange::{Rows, csv, name};
use crate::work::export::{Format, Order};

/// Samples and bytes of one request.
const ROWS: usize = 200_000;
const BYTES: usize = 8 << 20;
/// How often a request is made again while the server has no room, waiting as long as it says.
const TRIES: u32 = 60;

/// Writes what the server exports.
pub(super) async fn export(
    config: &Config,
    order: &Order,
    to: &mut dyn Write,
) -> anyhow::Result<()> {
    let format = Format::NAMES.iter().find(|(_, one)| *one == order.format);
    let mut parameters = vec![parameter("format", format.map_or("", |(name, _)| name))];
    for (name, at) in [("from", order.from), ("until", order.until)] {
        let is_bound = ![i64::MIN, i64::MAX].contains(&at.as_millis());
        parameters.extend(is_bound.then(|| parameter(name, &at.as_millis().to_string())));
    }
    if let Some(wanted) = &order.wanted {
        parameters.push(parameter("series", wanted.text()));
    }
    let path = format!("/local/history/export?{}", parameters.join("&"));
    Client::new(&config.socket()).download(&path, to).await
}

/// Counts what the server keeps.
pub(super) async fn stats(config: &Config, top: u16) -> anyhow::Result<Value> {
    let path = format!("/local/history/stats?top={top}");
    Client::new(&config.socket()).json(&path).await
}

/// Sends samples to the server.
pub(super) async fn import(
    config: &Config,
    format: Taken,
    from: Box<dyn BufRead>,
    resolution: Option<f64>,
) -> anyhow::Result<u64> {
    let path = match resolution {
        Some(step) => format!(
            "/local/history/import?{}",
            parameter("resolution", &step.to_string())
        ),
        None => "/local/history/import".to_owned(),
    };
    let sending = Sending {
        client: Client::new(&config.socket()),
        path,
        kept: 0,
        names: HashMap::new(),
    };
    if format == Taken::Openmetrics {
        return sending.run(&mut Lines::new(from)).await;
    }
    let mut rows = Records::new(from as Box<dyn Read>)?;
    sending.run(&mut rows).await
}

#[derive(Deserialize)]
struct Kept {
    samples: u64,
}

struct Sending {
    client: Client,
    path: String,
    kept: u64,
    /// Each series of the file as the server's CSV has it.
    names: HashMap<Box<[u8]>, Vec<u8>>,
}

impl Sending {
    async fn run(mut self, rows: &mut impl Rows) -> anyhow::Result<u64> {
        loop {
            let (chunk, stopped) = self.chunk(rows);
            let is_last = chunk.is_none();
            if let Some(chunk) = chunk {
                let sent = self.send(chunk).await;
                sent.with_context(|| {
                    format!(
                        "the {} samples before line {} are kept",
                        self.kept,
                        rows.line()
                    )
                })?;
                tell(self.kept);
            }
            if let Some(what) = stopped {
                let kept = self.kept;
                anyhow::bail!("{what}; the {kept} samples before it are kept");
            }
            if is_last {
                return Ok(self.kept);
            }
        }
    }

    /// The next lines as CSV, `None` at the end; and why there are no more, if that is a fault.
    fn chunk(&mut self, rows: &mut impl Rows) -> (Option<Vec<u8>>, Option<String>) {
        let head = format!("{}\n", csv::HEADER).into_bytes();
        let mut out = head.clone();
        let mut count = 0;
        let mut stopped = None;
        while count < ROWS && out.len() < BYTES {
            match self.put(rows, &mut out) {
                Ok(true) => count += 1,
                Ok(false) => break,
                Err(what) => {
                    stopped = Some(what);
                    break;
                }
            }
        }
        ((out.len() > head.len()).then_some(out), stopped)
    }

    fn put(&mut self, rows: &mut impl Rows, out: &mut Vec<u8>) -> Result<bool, String> {
        let Some(row) = rows.next().map_err(|error| error.to_string())? else {
            return Ok(false);
        };
        let (at_ms, value) = (row.at_ms, row.value);
        if let Some(field) = self.names.get(row.series) {
            csv::put_row(out, field, at_ms, value);
            return Ok(true);
        }
        let raw: Box<[u8]> = row.series.into();
        let named = rows.name(&raw);
        let named = named.map_err(|what| format!("line {} {what}", rows.line()))?;
        let mut field = Vec::new();
        csv::put_field(&mut field, &name::write(&named.target, &named.key));
        csv::put_row(out, &field, at_ms, value);
        self.names.insert(raw, field);
        Ok(true)
    }

    async fn send(&mut self, chunk: Vec<u8>) -> anyhow::Result<()> {
        let body = Bytes::from(chunk);
        let mut tries = 0;
        loop {
            let answer = self.client.post(&self.path, body.clone()).await?;
            match answer.retry_after_s() {
                Some(wait_s) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(wait_s)).await;
                }
                _ => {
                    let kept: Kept = serde_json::from_slice(&answer.body()?)?;
                    self.kept += kept.samples;
                    return Ok(());
                }
            }
        }
    }
}
