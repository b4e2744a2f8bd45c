//! The weighted statement mix, and what its placeholders are filled with.
//!
//! For: choosing the next statement and its parameters. Not for: sending it (`traffic`).
#![expect(
    clippy::disallowed_types,
    reason = "the demo drives the cluster that it made itself"
)]

use std::fmt::Write as _;

use serde::Deserialize;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::dice::Dice;
use super::{Error, Result, refused};

const STATEMENTS: &str = include_str!("../../data/leadgen/statements.toml");

/// Ids that `{ids}` stands for.
const LIST: usize = 1_000;

/// Leads and assignments that parameters are drawn from: the newest.
const KNOWN_MAX: i64 = 5_000;

const SOURCES: [&str; 6] = [
    "web_form",
    "partner_api",
    "referral",
    "phone",
    "email",
    "manual",
];
const STATES: [&str; 10] = ["CA", "TX", "FL", "NY", "PA", "IL", "OH", "GA", "NC", "MI"];
const TYPES: [&str; 5] = ["AUTO", "HOME", "LIFE", "HEALTH", "COMMERCIAL"];
const SPECIALIZATIONS: [&str; 5] = ["auto", "home", "life", "health", "commercial"];
const LEAD_STATUSES: [&str; 6] = [
    "ROUTED",
    "REJECTED",
    "QUALIFIED",
    "CONVERTED",
    "RECEIVED",
    "PROCESSING",
];
const ASSIGNMENT_STATUSES: [&str; 4] = ["ACCEPTED", "REJECTED", "PENDING", "TIMEOUT"];
const EVENT_TYPES: [&str; 6] = [
    "lead.created",
    "lead.updated",
    "lead.scored",
    "lead.assigned",
    "assignment.accepted",
    "lead.converted",
];

/// A value bound to a placeholder.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// What a placeholder is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parameter {
    NewId,
    NewLead,
    NewAssignment,
    NewEmail,
    NewPhone,
    Lead,
    Email,
    Phone,
    Agent,
    Assignment,
    Carrier,
    Source,
    FirstName,
    LastName,
    State,
    Zip,
    Insurance,
    Specialization,
    LeadStatus,
    AssignmentStatus,
    EventType,
    Document,
    Campaign,
    Fragment,
    Score,
    Days,
    Offset,
    DeepOffset,
}

/// One statement of the mix.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Entry {
    /// Such as `R05`.
    pub(super) id: String,
    /// Share of all calls, in percent.
    pub(super) weight: f64,
    /// With `$1`, `$2`, …
    pub(super) sql: String,
    params: Vec<Parameter>,
    /// Whether a list of ids follows the parameters.
    #[serde(skip)]
    list: bool,
}

#[derive(Deserialize)]
struct File {
    statement: Vec<Entry>,
}

/// The statements and their weights.
#[derive(Debug)]
pub(super) struct Mix {
    pub(super) entries: Vec<Entry>,
    total: f64,
}

impl Mix {
    /// Reads the mix that is compiled in.
    pub(super) fn built_in() -> Result<Self> {
        let file: File = toml::from_str(STATEMENTS).map_err(|source| Error::BuiltIn {
            file: "leadgen/statements.toml",
            source,
        })?;
        let mut entries = file.statement;
        for entry in &mut entries {
            entry.list = entry.sql.contains("{ids}");
            if entry.list {
                let mut list = String::new();
                for i in 0..LIST {
                    let comma = if i == 0 { "" } else { ", " };
                    // Writing to a String cannot fail.
                    let _ = write!(list, "{comma}${}", entry.params.len() + 1 + i);
                }
                entry.sql = entry.sql.replace("{ids}", &list);
            }
        }
        let total = entries.iter().map(|entry| entry.weight).sum();
        Ok(Self { entries, total })
    }

    /// The index of the next statement, by weight.
    pub(super) fn choose(&self, dice: &mut Dice) -> usize {
        let mut left = dice.unit() * self.total;
        for (i, entry) in self.entries.iter().enumerate() {
            left -= entry.weight;
            if left < 0.0 {
                return i;
            }
        }
        self.entries.len().saturating_sub(1)
    }
}

impl Entry {
    /// Values for all placeholders, in order.
    pub(super) fn values(&self, known: &mut Known, dice: &mut Dice) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::with_capacity(self.params.len());
        for parameter in &self.params {
            values.push(parameter.value(known, dice));
        }
        if self.list {
            values.extend((0..LIST).map(|_| text(known.lead(dice).id)));
        }
        values
    }
}

/// A lead by which it can be found.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownLead {
    id: String,
    email: String,
    phone: String,
}

/// Rows that are there, for parameters that must hit one.
#[derive(Debug, Clone)]
pub(super) struct Known {
    leads: Vec<KnownLead>,
    assignments: Vec<String>,
    /// In the order of their rank: the first are the hot ones.
    agents: Vec<String>,
    carriers: Vec<String>,
    lead_count: i64,
}

impl Known {
    /// Looks rows up.
    ///
    /// # Errors
    /// [`Error::Empty`] if a table has none.
    pub(super) async fn read(client: &Client) -> Result<Self> {
        let rows = client
            .query(
                r#"SELECT "id", "email", "phone" FROM "Lead"
                   WHERE "phone" IS NOT NULL ORDER BY "createdAt" DESC LIMIT $1"#,
                &[&KNOWN_MAX],
            )
            .await
            .map_err(refused("list leads"))?;
        let leads = rows.iter().map(|row| KnownLead {
            id: row.get(0),
            email: row.get(1),
            phone: row.get(2),
        });
        let known = Self {
            leads: leads.collect(),
            assignments: ids(client, r#""LeadAssignment" ORDER BY "assignedAt" DESC"#).await?,
            agents: ids(client, r#""Agent" ORDER BY "id""#).await?,
            carriers: ids(client, r#""Carrier" ORDER BY "id""#).await?,
            lead_count: client
                .query_one(r#"SELECT count(*) FROM "Lead""#, &[])
                .await
                .map_err(refused("count leads"))?
                .get(0),
        };
        let lists = [&known.assignments, &known.agents, &known.carriers];
        if known.leads.is_empty() || lists.iter().any(|list| list.is_empty()) {
            return Err(Error::Empty);
        }
        Ok(known)
    }

    fn lead(&self, dice: &mut Dice) -> KnownLead {
        dice.pick(&self.leads).cloned().unwrap_or_default()
    }

    /// Takes the place of another row, so that new rows are read, too, and memory stays bounded.
    fn remember<T>(list: &mut [T], new: T, dice: &mut Dice) {
        let at = dice.below(list.len());
        if let Some(place) = list.get_mut(at) {
            *place = new;
        }
    }
}

async fn ids(client: &Client, from: &str) -> Result<Vec<String>> {
    let sql = format!(r#"SELECT "id" FROM {from} LIMIT $1"#);
    let rows = client.query(&sql, &[&KNOWN_MAX]).await;
    let rows = rows.map_err(refused("list rows"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn text(value: impl Into<String>) -> Value {
    Box::new(value.into())
}

fn one_of(items: &[&str], dice: &mut Dice) -> Value {
    text(dice.pick(items).copied().unwrap_or_default())
}

fn skewed(items: &[&str], dice: &mut Dice) -> Value {
    text(dice.pick_skewed(items).copied().unwrap_or_default())
}

/// A whole number from `from` up to, but not including, `from + count`.
fn whole(from: i64, count: i64, dice: &mut Dice) -> i64 {
    let count = usize::try_from(count).unwrap_or(0);
    from.saturating_add(i64::try_from(dice.below(count)).unwrap_or(0))
}

fn small(from: i32, count: usize, dice: &mut Dice) -> Value {
    Box::new(from.saturating_add(i32::try_from(dice.below(count)).unwrap_or(0)))
}

impl Parameter {
    fn value(self, known: &mut Known, dice: &mut Dice) -> Value {
        match self {
            Self::NewId => text(dice.uuid()),
            Self::NewLead | Self::NewAssignment => self.new_row(known, dice),
            Self::NewEmail => text(format!("lead{}@mail.example", dice.uuid())),
            Self::NewPhone => text(format!("+1666{:07}", dice.below(10_000_000))),
            Self::Lead => text(known.lead(dice).id),
            Self::Email => text(known.lead(dice).email),
            Self::Phone => text(known.lead(dice).phone),
            Self::Agent => text(dice.pick_skewed(&known.agents).cloned().unwrap_or_default()),
            Self::Assignment => text(dice.pick(&known.assignments).cloned().unwrap_or_default()),
            Self::Carrier => text(dice.pick(&known.carriers).cloned().unwrap_or_default()),
            Self::Source => skewed(&SOURCES, dice),
            Self::FirstName => text(format!("First{}", dice.below(5_000))),
            Self::LastName => text(format!("Last{}", dice.below(20_000))),
            Self::State => skewed(&STATES, dice),
            Self::Zip => text(format!("{}", 10_000 + dice.below(30_000))),
            Self::Insurance => skewed(&TYPES, dice),
            Self::Specialization => one_of(&SPECIALIZATIONS, dice),
            Self::LeadStatus => skewed(&LEAD_STATUSES, dice),
            Self::AssignmentStatus => skewed(&ASSIGNMENT_STATUSES, dice),
            Self::EventType => skewed(&EVENT_TYPES, dice),
            Self::Document => {
                let campaign = dice.below(300);
                text(format!(
                    r#"{{"campaign": "c{campaign}", "ml_score": {:.3}}}"#,
                    dice.unit()
                ))
            }
            Self::Campaign => text(format!("c{}", dice.below(300))),
            Self::Fragment => text(format!("%st{}%", 100 + dice.below(900))),
            Self::Score => small(40, 60, dice),
            Self::Days => small(30, 300, dice),
            Self::Offset => Box::new(whole(0, known.lead_count / 10, dice)),
            Self::DeepOffset => {
                let tenth = known.lead_count / 10;
                Box::new(whole(tenth, tenth / 2, dice))
            }
        }
    }

    /// The id of a row that the statement makes; later statements may read it.
    fn new_row(self, known: &mut Known, dice: &mut Dice) -> Value {
        let id = dice.uuid();
        if self == Self::NewLead {
            let mut lead = known.lead(dice);
            lead.id.clone_from(&id);
            Known::remember(&mut known.leads, lead, dice);
        } else {
            Known::remember(&mut known.assignments, id.clone(), dice);
        }
        text(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let lead = KnownLead {
            id: "lead".into(),
            ..KnownLead::default()
        };
        Known {
            leads: vec![lead; 3],
            assignments: vec!["assignment".into()],
            agents: vec!["agent".into()],
            carriers: vec!["carrier".into()],
            lead_count: 100,
        }
    }

    #[test]
    fn the_weights_are_shares_of_a_hundred_and_ids_are_unique() {
        let mix = Mix::built_in().unwrap();
        assert!((mix.total - 100.0).abs() < 1e-9, "{}", mix.total);
        let mut ids: Vec<&str> = mix.entries.iter().map(|entry| entry.id.as_str()).collect();
        ids.dedup();
        assert_eq!(ids.len(), 37);
    }

    #[test]
    fn every_placeholder_gets_a_value() {
        let (mix, mut dice) = (Mix::built_in().unwrap(), Dice::new(1));
        for entry in &mix.entries {
            let values = entry.values(&mut known(), &mut dice).len();
            let sql = &entry.sql;
            assert!(!sql.contains(&format!("${}", values + 1)), "{}", entry.id);
            assert!(
                values == 0 || sql.contains(&format!("${values}")),
                "{}",
                entry.id
            );
        }
    }

    #[test]
    fn statements_are_chosen_by_their_weight() {
        let (mix, mut dice) = (Mix::built_in().unwrap(), Dice::new(1));
        let mut seen = vec![0_usize; mix.entries.len()];
        for _ in 0..50_000 {
            seen[mix.choose(&mut dice)] += 1;
        }
        for (entry, seen) in mix.entries.iter().zip(seen) {
            let want = entry.weight * 500.0;
            // Five standard deviations of a Poisson count, and one for the rarest.
            let off = 5.0 * want.sqrt() + 1.0;
            assert!((seen as f64 - want).abs() < off, "{}: {seen}", entry.id);
        }
    }
}
