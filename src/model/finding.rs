//! Findings, bottlenecks and alerts: what is wrong now, and the cure.
//!
//! For: verdicts with their evidence. Not for: the rules that reach them (`advise`, `diagnose`).

use serde::{Deserialize, Serialize};

use super::capacity::Resource;
use super::units::Timestamp;

/// How bad it is; ordered, so that the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// To be mended in working hours.
    Warning,
    /// To be mended now.
    Critical,
}

/// One fact that a verdict rests on, ready to show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What was looked at, such as `idx_scan`.
    pub label: String,
    /// What was seen, with its unit.
    pub value: String,
}

impl Evidence {
    /// A fact from anything that prints.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers hand over numbers and text alike"
    )]
    pub fn new(label: impl Into<String>, value: impl ToString) -> Self {
        Self {
            label: label.into(),
            value: value.to_string(),
        }
    }
}

/// Statements that mend a finding, for a person to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cure {
    /// Exact SQL, identifiers quoted.
    pub sql: String,
    /// The strongest lock that it takes, as the Postgres manual names it.
    pub lock: String,
}

/// Something to mend in the observed server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable id of the check, such as `duplicate-index`.
    pub id: String,
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub title: String,
    /// The relation, setting or session it is about, as a person writes it.
    pub object: Option<String>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// What to do, in words.
    pub advice: String,
    /// What to run, where SQL cures it.
    pub cure: Option<Cure>,
}

/// Somebody's word that a finding is known, with a reason and an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// The check's id.
    pub finding: String,
    /// Only of this object; `None` is all.
    pub object: Option<String>,
    /// Only of this target; `None` is all.
    pub target: Option<String>,
    /// Why.
    pub reason: String,
    /// When it speaks again.
    pub until: Timestamp,
    /// When it was silenced.
    pub made_at: Timestamp,
}

impl Silence {
    /// Its name: the check, the object and the target; one of the same name takes its place.
    pub fn id(&self) -> String {
        let mut id = self.finding.clone();
        if let Some(object) = &self.object {
            id = format!("{id}:{object}");
        }
        match &self.target {
            Some(target) => format!("{id}@{target}"),
            None => id,
        }
    }

    /// Whether it covers a finding of a target.
    pub fn covers(&self, target: &str, finding: &Finding) -> bool {
        self.finding == finding.id
            && self.target.as_deref().is_none_or(|own| own == target)
            && (self.object.is_none() || self.object == finding.object)
    }
}

/// A finding that is silenced: not shown, but counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silenced {
    /// What was found.
    pub finding: Finding,
    /// Name of the silence.
    pub by: String,
    /// Why it is silenced.
    pub reason: String,
    /// When it speaks again.
    pub until: Timestamp,
}

/// The component that a bottleneck is in, as the specification names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// Processor.
    Cpu,
    /// Memory.
    Memory,
    /// Network.
    Network,
    /// File systems and block devices.
    Disk,
    /// The Postgres server.
    Database,
    /// The cache layers.
    Cache,
    /// The job queues.
    Queue,
}

/// How much a bottleneck matters, as the specification names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Impact {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// All.
    Critical,
}

/// Where the platform is held up, ranked by how much of the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bottleneck {
    /// What is held up, such as `Connections`.
    pub component: String,
    /// Which part of the platform.
    #[serde(rename = "type")]
    pub kind: Component,
    /// How much it matters.
    pub severity: Impact,
    /// What was seen.
    pub description: String,
    /// What it costs.
    pub impact: String,
    /// What to do.
    pub recommendation: String,
    /// Figures behind the description.
    pub evidence: Vec<Evidence>,
}

/// A resource that has passed a threshold, or will soon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The target's name.
    pub target: String,
    /// Which resource.
    pub resource_type: Resource,
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub message: String,
    /// The share of the limit that was passed, 0 to 1.
    pub threshold: f64,
    /// The share of the limit in use, 0 to 1 or above.
    pub current_value: f64,
    /// When it was seen.
    pub timestamp: Timestamp,
}
