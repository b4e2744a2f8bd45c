//! A scenario as a JSON body: each field is read by itself, so that a wrong one is named.
//!
//! For: `POST …/what-if`. Not for: what the fields mean (`model::scenario`).

use serde_json::{Map, Value};

use super::{AMOUNT, DATE, FACTOR, Wrong, date};
use crate::model::scenario::{Archive, Event, Migration, Scenario, SeasonFactor};
use crate::model::units::Timestamp;

/// Reads the scenario out of a JSON body; fields that are not its own are left in place.
///
/// # Errors
/// [`Wrong`] names the first field that cannot be read.
pub(in crate::http) fn from_json(body: &mut Map<String, Value>) -> Result<Scenario, Wrong> {
    let mut scenario = Scenario::default();
    let mut fields = Fields(body);
    scenario.growth = fields.number("growth", "growth", FACTOR)?.unwrap_or(1.0);
    scenario.load = fields.number("load", "load", FACTOR)?.unwrap_or(1.0);
    scenario.limit = fields.number("limit", "limit", AMOUNT)?;
    if let Some(mut season) = fields.object("season", "season")? {
        let mut own = Fields(&mut season);
        scenario.season = Some(SeasonFactor {
            factor: own.needed("factor", "season.factor", FACTOR)?,
            from: own.date("from", "season.from")?,
        });
        own.empty("season")?;
    }
    for mut event in fields.objects("events")? {
        let mut own = Fields(&mut event);
        let missing = |field| Wrong::new(field, "missing", DATE);
        scenario.events.push(Event {
            from: own
                .date("from", "events.from")?
                .ok_or_else(|| missing("events.from"))?,
            to: own
                .date("to", "events.to")?
                .ok_or_else(|| missing("events.to"))?,
            factor: own.needed("factor", "events.factor", FACTOR)?,
        });
        own.empty("events")?;
    }
    for mut migration in fields.objects("migrations")? {
        let mut own = Fields(&mut migration);
        scenario.migrations.push(Migration {
            at: own.date("at", "migrations.at")?,
            amount: own.needed(
                "amount",
                "migrations.amount",
                "a number in the resource's unit",
            )?,
        });
        own.empty("migrations")?;
    }
    for mut archive in fields.objects("archives")? {
        let mut own = Fields(&mut archive);
        let wanted = "a share from 0 to 1, such as 0.2";
        scenario.archives.push(Archive {
            at: own.date("at", "archives.at")?,
            share: own.needed("share", "archives.share", wanted)?,
        });
        own.empty("archives")?;
    }
    scenario.check()?;
    Ok(scenario)
}

/// Fields of an object, taken out one by one. Null is as good as missing.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn number(
        &mut self,
        name: &str,
        field: &'static str,
        wanted: &str,
    ) -> Result<Option<f64>, Wrong> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let number = value.as_f64();
        number
            .map(Some)
            .ok_or_else(|| Wrong::new(field, shown(&value), wanted))
    }

    fn needed(&mut self, name: &str, field: &'static str, wanted: &str) -> Result<f64, Wrong> {
        self.number(name, field, wanted)?
            .ok_or_else(|| Wrong::new(field, "missing", wanted))
    }

    fn date(&mut self, name: &str, field: &'static str) -> Result<Option<Timestamp>, Wrong> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_str().and_then(date) {
            Some(at) => Ok(Some(at)),
            None => Err(Wrong::new(field, shown(&value), DATE)),
        }
    }

    fn object(
        &mut self,
        name: &str,
        field: &'static str,
    ) -> Result<Option<Map<String, Value>>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(Wrong::new(field, shown(&other), "an object")),
        }
    }

    fn objects(&mut self, name: &'static str) -> Result<Vec<Map<String, Value>>, Wrong> {
        let items = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(Wrong::new(name, shown(&other), "a list of objects")),
        };
        let object = |item| match item {
            Value::Object(object) => Ok(object),
            other => Err(Wrong::new(name, shown(&other), "a list of objects")),
        };
        items.into_iter().map(object).collect()
    }

    fn empty(&self, field: &'static str) -> Result<(), Wrong> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(stranger) => Err(Wrong::new(
                field,
                cut(stranger),
                "no field but those described",
            )),
        }
    }
}

fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_to_the_same_scenario() {
        let body = r#"{"growth":2,"season":{"factor":2},"events":[{"from":"2026-11-20",
            "to":"2026-12-01","factor":3}],"migrations":[{"at":"2027-03-01","amount":5e10}],
            "limit":2e12,"archives":[{"share":0.2,"at":null}],"resource":"database"}"#;
        let mut body: Map<String, Value> = serde_json::from_str(body).unwrap();
        let scenario = from_json(&mut body).unwrap();
        assert_eq!((scenario.growth, scenario.limit), (2.0, Some(2e12)));
        assert_eq!(
            scenario.archives,
            [Archive {
                at: None,
                share: 0.2
            }]
        );
        assert_eq!(body.keys().collect::<Vec<_>>(), ["resource"]);
    }

    #[test]
    fn a_wrong_field_of_json_is_named() {
        for (body, field) in [
            (r#"{"growth":"2"}"#, "growth"),
            (r#"{"growth":-2}"#, "growth"),
            (r#"{"load":1e308}"#, "load"),
            (r#"{"limit":[]}"#, "limit"),
            (r#"{"season":2}"#, "season"),
            (r#"{"season":{}}"#, "season.factor"),
            (r#"{"season":{"factor":1,"form":"x"}}"#, "season"),
            (r#"{"events":{}}"#, "events"),
            (
                r#"{"events":[{"from":"2026-11-20","factor":1}]}"#,
                "events.to",
            ),
            (r#"{"migrations":[3]}"#, "migrations"),
            (r#"{"migrations":[{"at":5,"amount":1}]}"#, "migrations.at"),
            (r#"{"archives":[{"share":20}]}"#, "archives.share"),
        ] {
            let mut body: Map<String, Value> = serde_json::from_str(body).unwrap();
            assert_eq!(from_json(&mut body).unwrap_err().field, field);
        }
    }
}
