//! Named read queries: what may be kept of their results, and for how long.

use std::fmt;
use std::str::FromStr;

use super::units::Millis;

/// What is warmed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Before all others.
    Critical,
    /// Next.
    High,
    /// As most are.
    #[default]
    Medium,
    /// When the others are there.
    Low,
}

impl Priority {
    /// All of them, the first to be warmed first, by name.
    pub const NAMES: [&'static str; 4] = ["critical", "high", "medium", "low"];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no priority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no priority {0:?}; one of critical, high, medium, low")]
pub struct UnknownPriority(pub String);

impl FromStr for Priority {
    type Err = UnknownPriority;

    fn from_str(text: &str) -> Result<Self, UnknownPriority> {
        match text {
            "critical" => Ok(Self::Critical),
            "high" => Ok(Self::High),
            "medium" => Ok(Self::Medium),
            "low" => Ok(Self::Low),
            other => Err(UnknownPriority(other.chars().take(80).collect())),
        }
    }
}

/// How the result of one named query is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Its name, such as `agents:active`.
    pub key: String,
    /// The longest that a result counts as fresh.
    pub ttl: Millis,
    /// How long after that it may still be shown while it is loaded anew.
    pub stale: Millis,
    /// When it is warmed.
    pub priority: Priority,
    /// Words that drop it together with others.
    pub tags: Vec<String>,
    /// What happens outside that makes it wrong, such as `lead.created`.
    pub events: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_read_as_they_are_written_and_critical_comes_first() {
        for name in Priority::NAMES {
            assert_eq!(name.parse::<Priority>().unwrap().name(), name);
        }
        assert!(Priority::Critical < Priority::Low);
        let error = "urgent".parse::<Priority>().unwrap_err().to_string();
        assert!(error.contains("critical"), "{error}");
    }
}
