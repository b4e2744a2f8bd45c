//! What if: a change to a forecast, as a person puts it.
//!
//! For: [`Scenario`], which edges read and the engine applies. Not for: applying it
//! (`forecast::what_if`).

use serde::{Deserialize, Serialize};

use super::units::Timestamp;

/// The largest factor that may be asked for; more is a slip of the pen.
pub const FACTOR_MAX: f64 = 1_000.0;
/// The largest amount or limit, in the resource's unit: an exabyte.
pub const AMOUNT_MAX: f64 = 1e18;
/// Events, migrations and archivals, of each kind.
pub const LIST_MAX: usize = 16;

/// What is asked to be different. Parts are applied in the order of the fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    /// Growth on top of the present level, times this.
    pub growth: f64,
    /// All of the load, times this.
    pub load: f64,
    /// Seasons that swing more or less.
    pub season: Option<SeasonFactor>,
    /// Times of more or less load.
    pub events: Vec<Event>,
    /// Amounts that come or go for good.
    pub migrations: Vec<Migration>,
    /// Shares that are freed.
    pub archives: Vec<Archive>,
    /// Another limit, in the resource's unit.
    pub limit: Option<f64>,
}

/// Seasons that swing more or less from a date on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeasonFactor {
    /// Their deviations from the level, times this.
    pub factor: f64,
    /// From when on; `None` is at once.
    pub from: Option<Timestamp>,
}

/// A time of more or less load, such as a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// First instant.
    pub from: Timestamp,
    /// First instant that is as usual again.
    pub to: Timestamp,
    /// The load, times this.
    pub factor: f64,
}

/// An amount that comes or goes for good, such as a migration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// When; `None` is at once.
    pub at: Option<Timestamp>,
    /// In the resource's unit; negative is taken away.
    pub amount: f64,
}

/// A share that is freed, such as by archiving old rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// When; `None` is at once.
    pub at: Option<Timestamp>,
    /// Share of the level at that time, 0 to 1.
    pub share: f64,
}

/// A number or a date that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} is {given}; write {wanted}")]
pub struct Unfit {
    /// Which field.
    pub field: &'static str,
    /// What was given.
    pub given: String,
    /// What would be taken.
    pub wanted: &'static str,
}

impl Default for Scenario {
    /// As it is.
    fn default() -> Self {
        Self {
            growth: 1.0,
            load: 1.0,
            season: None,
            events: Vec::new(),
            migrations: Vec::new(),
            archives: Vec::new(),
            limit: None,
        }
    }
}

const FACTOR: &str = "a factor from 0 to 1000, such as 2";

impl Scenario {
    /// Whether it asks for nothing to be different.
    pub fn is_neutral(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every number and date.
    ///
    /// # Errors
    /// [`Unfit`] names the first field that makes no sense.
    pub fn check(&self) -> Result<(), Unfit> {
        factor("growth", self.growth)?;
        factor("load", self.load)?;
        if let Some(season) = &self.season {
            factor("season.factor", season.factor)?;
        }
        few("events", self.events.len())?;
        for event in &self.events {
            factor("events.factor", event.factor)?;
            if event.to <= event.from {
                return Err(Unfit {
                    field: "events.to",
                    given: event.to.to_string(),
                    wanted: "a time after the event's beginning",
                });
            }
        }
        few("migrations", self.migrations.len())?;
        for migration in &self.migrations {
            let fits = migration.amount.abs() <= AMOUNT_MAX;
            number(
                "migrations.amount",
                migration.amount,
                fits,
                "an amount in the resource's unit, at most 1e18",
            )?;
        }
        few("archives", self.archives.len())?;
        for archive in &self.archives {
            let fits = (0.0..=1.0).contains(&archive.share);
            let wanted = "a share from 0 to 1, such as 0.2 (20 %)";
            number("archives.share", archive.share, fits, wanted)?;
        }
        if let Some(limit) = self.limit {
            let fits = limit > 0.0 && limit <= AMOUNT_MAX;
            let wanted = "a limit above 0 in the resource's unit, at most 1e18";
            number("limit", limit, fits, wanted)?;
        }
        Ok(())
    }
}

fn factor(field: &'static str, value: f64) -> Result<(), Unfit> {
    number(field, value, (0.0..=FACTOR_MAX).contains(&value), FACTOR)
}

fn number(field: &'static str, value: f64, fits: bool, wanted: &'static str) -> Result<(), Unfit> {
    if fits {
        return Ok(());
    }
    Err(Unfit {
        field,
        given: value.to_string(),
        wanted,
    })
}

fn few(field: &'static str, count: usize) -> Result<(), Unfit> {
    if count <= LIST_MAX {
        return Ok(());
    }
    Err(Unfit {
        field,
        given: format!("a list of {count}"),
        wanted: "at most 16 of them",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_000);

    fn field(change: impl FnOnce(&mut Scenario)) -> Option<&'static str> {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        scenario.check().err().map(|unfit| unfit.field)
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_field() {
        assert_eq!(field(|_| {}), None);
        for bad in [-1.0, 1e308, f64::NAN, f64::INFINITY] {
            assert_eq!(field(|s| s.growth = bad), Some("growth"), "{bad}");
            assert_eq!(field(|s| s.load = bad), Some("load"), "{bad}");
            assert_eq!(field(|s| s.limit = Some(bad)), Some("limit"), "{bad}");
            let archive = Archive {
                at: None,
                share: bad,
            };
            let archived = field(|s| s.archives.push(archive));
            assert_eq!(archived, Some("archives.share"), "{bad}");
            let season = SeasonFactor {
                factor: bad,
                from: None,
            };
            let swung = field(|s| s.season = Some(season));
            assert_eq!(swung, Some("season.factor"), "{bad}");
        }
        let moved = |amount| Migration { at: None, amount };
        assert_eq!(field(|s| s.migrations.push(moved(-5.0))), None);
        assert_eq!(
            field(|s| s.migrations.push(moved(f64::NAN))),
            Some("migrations.amount")
        );
        assert_eq!(
            field(|s| s.migrations = vec![moved(1.0); 17]),
            Some("migrations")
        );
        let event = |to, factor| Event {
            from: AT,
            to,
            factor,
        };
        assert_eq!(field(|s| s.events.push(event(AT, 2.0))), Some("events.to"));
        let later = Timestamp::from_millis(2_000);
        let unfit = field(|s| s.events.push(event(later, f64::NAN)));
        assert_eq!(unfit, Some("events.factor"));
    }
}
