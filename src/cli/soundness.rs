//! `plimsoll history verify` and `plimsoll history repair`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;

use super::client::{self, Client};
use super::output::{Format, json};
use super::table::Tone;
use super::{FAILED, OK, Outcome, World};
use crate::model::units::counted;
use crate::store::{self, Loss, Problem, Repair, Verification};

/// Checks the store in the data folder, through the server that has it open if there is one.
pub(super) fn verify(format: Format, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let found = if client::answers(&config) {
        let client = Client::new(&config.socket());
        let mut body = Vec::new();
        client::wait(client.download("/local/verify", &mut body))?;
        let found: Result<Verification, String> = serde_json::from_slice(&body)?;
        found.map_err(|error| anyhow!(error))?
    } else {
        store::verify(&config.data_dir)?
    };
    let text = match format {
        Format::Json => json(&found)?,
        Format::Text => verified(&found, world),
    };
    Ok(Outcome {
        text: text.into_bytes(),
        code: if found.is_sound() { OK } else { FAILED },
    })
}

/// Copies what reads into a new folder.
pub(super) fn repair(out: &Path, format: Format, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let done = store::repair(&config.data_dir, out)?;
    let text = match format {
        Format::Json => json(&done)?,
        Format::Text => repaired(&done, out, world),
    };
    Ok(Outcome {
        text: text.into_bytes(),
        code: if done.losses.is_empty() { OK } else { FAILED },
    })
}

fn verified(found: &Verification, world: &World<'_>) -> String {
    let mut text = format!(
        "{} databases, {} trees, {} keys, {} logs, {} frames, {} sealed samples, {} bytes\n",
        found.databases,
        found.trees,
        found.keys,
        found.logs,
        found.frames,
        found.samples,
        found.bytes
    );
    for problem in &found.problems {
        let _ = writeln!(text, "  {}", shown(problem));
    }
    for note in &found.notes {
        let _ = writeln!(text, "  {note}");
    }
    let count = found.problems.len() as u64 + found.more_problems;
    let verdict = match count {
        0 => world.paint.tone("sound", Tone::Good),
        count => format!(
            "{}; `plimsoll history repair --out NEWDIR` keeps what reads",
            world.paint.tone(&counted(count, "problem"), Tone::Critical)
        ),
    };
    let _ = writeln!(text, "{verdict}");
    text
}

fn shown(problem: &Problem) -> String {
    let parts = [
        Some(problem.database.as_str()),
        problem.tree.as_deref(),
        problem.key.as_deref(),
    ];
    let place: Vec<&str> = parts.into_iter().flatten().collect();
    format!("{}: {}", place.join(" "), problem.what)
}

fn repaired(done: &Repair, out: &Path, world: &World<'_>) -> String {
    let mut text = format!(
        "kept {} keys of {} databases, {} sealed samples, {} frames of logs in {}\n",
        done.keys,
        done.databases,
        done.samples,
        done.frames,
        out.display()
    );
    if done.rebuilt > 0 {
        let _ = writeln!(text, "made {} values of buckets anew", done.rebuilt);
    }
    for loss in &done.losses {
        text.push_str(&lost(loss));
    }
    let verdict = match done.losses.len() {
        0 => world.paint.tone("nothing is lost", Tone::Good),
        count => world
            .paint
            .tone(&format!("{} lost", counted(count, "thing")), Tone::Warning),
    };
    let _ = writeln!(text, "{verdict}");
    text
}

fn lost(loss: &Loss) -> String {
    let tree = loss.tree.as_deref().unwrap_or_default();
    let mut text = format!("  lost: {} {tree}: {}\n", loss.database, loss.what);
    if let Some(span) = &loss.span {
        let _ = writeln!(text, "        {span}");
    }
    for series in &loss.series {
        let _ = writeln!(text, "        {series}");
    }
    text
}
