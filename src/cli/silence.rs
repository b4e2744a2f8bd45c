//! `plimsoll check --explain`, `--silence` and `--unsilence`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{bail, ensure};
use serde_json::json;

use super::client::Client;
use super::table::second;
use super::{Outcome, World};
use crate::model::finding::{Severity, Silence, Silenced};
use crate::model::units::Timestamp;

/// What is asked of a silence.
pub(super) struct Order<'a> {
    /// `ID` or `ID:OBJECT`.
    pub(super) what: &'a str,
    pub(super) target: Option<&'a str>,
    pub(super) reason: &'a str,
    /// A day or an instant.
    pub(super) until: &'a str,
}

/// Splits `ID:OBJECT`; objects may hold colons, ids do not.
fn parts(what: &str) -> (&str, Option<&str>) {
    match what.split_once(':') {
        Some((id, object)) if !object.is_empty() => (id, Some(object)),
        _ => (what, None),
    }
}

/// A day means its start, in UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let day = format!("{text}T00:00:00Z");
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&day))
        .ok()
}

/// Silences a finding on the running server.
pub(super) async fn silence(order: &Order<'_>, world: &World<'_>) -> anyhow::Result<Outcome> {
    let (id, object) = parts(order.what);
    let known = super::calls::pages();
    ensure!(
        known.iter().any(|page| page.id == id),
        "there is no check {id:?}; `plimsoll check --explain all` lists them"
    );
    let Some(until) = instant(order.until) else {
        bail!(
            "--until is {:?}; write a day or an instant, such as 2027-03-31",
            order.until
        );
    };
    let client = Client::new(&world.load()?.socket());
    let body = json!({
        "finding": id, "object": object, "target": order.target, "reason": order.reason,
        "until": until,
    });
    let answer = client.post("/local/silences", body.to_string().into());
    let kept: Silence = serde_json::from_slice(&answer.await?.body()?)?;
    Ok(Outcome::done(format!(
        "silenced {} until {}; take it back with: plimsoll check --unsilence '{}'\n",
        kept.id(),
        second(&kept.until.to_string()),
        kept.id()
    )))
}

/// Takes a silence back.
pub(super) async fn unsilence(id: &str, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let body = json!({ "id": id }).to_string();
    client.post("/local/unsilence", body.into()).await?.body()?;
    Ok(Outcome::done(format!("{id} speaks again\n")))
}

/// What a check means.
pub(super) fn explain(id: &str) -> anyhow::Result<Outcome> {
    if id == "all" {
        return Ok(Outcome::done(super::calls::document()));
    }
    let pages = super::calls::pages();
    if let Some(page) = pages.iter().find(|page| page.id == id) {
        return Ok(Outcome::done(page.markdown()));
    }
    let known: Vec<&str> = pages.iter().map(|page| page.id.as_str()).collect();
    bail!(
        "there is no check {id:?}; all, or one of {}",
        known.join(", ")
    )
}

/// One line on what is silenced, and one for each; nothing where nothing is.
pub(super) fn told(silenced: &[Silenced]) -> String {
    if silenced.is_empty() {
        return String::new();
    }
    let count = |severity| {
        silenced
            .iter()
            .filter(|s| s.finding.severity == severity)
            .count()
    };
    let mut text = format!(
        "  {} silenced: {} critical, {} warnings, {} infos\n",
        silenced.len(),
        count(Severity::Critical),
        count(Severity::Warning),
        count(Severity::Info)
    );
    let mut named: BTreeMap<&str, Vec<&Silenced>> = BTreeMap::new();
    for one in silenced {
        named.entry(&one.by).or_default().push(one);
    }
    for (by, all) in named {
        let Some(first) = all.first() else { continue };
        // Writing to a string cannot go wrong.
        let _ = writeln!(
            text,
            "            {by} ({}) until {}: {}",
            all.len(),
            second(&first.until.to_string()),
            first.reason
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_named_by_its_id_and_maybe_its_object() {
        assert_eq!(parts("dead-rows"), ("dead-rows", None));
        assert_eq!(
            parts("unused-index:public.a:b"),
            ("unused-index", Some("public.a:b"))
        );
        assert_eq!(parts("dead-rows:"), ("dead-rows:", None));
    }

    #[test]
    fn a_day_is_its_start() {
        let day = instant("2027-03-31").unwrap();
        assert_eq!(day.to_string(), "2027-03-31T00:00:00.000Z");
        assert_eq!(
            instant("2027-03-31T12:00:00Z")
                .unwrap()
                .since(day)
                .as_secs(),
            43_200
        );
        assert_eq!(instant("next week"), None);
    }
}
