//! How a made-up series moves: which trend, seasons, peak and step it has.
//!
//! For: choosing a plausible past for a series by its name. Not for: the arithmetic of buckets and
//! counters (`past`), nor for forecasts, which see only the outcome.

use crate::model::series::{Kind, SeriesKey};

/// Milliseconds of a day.
const DAY: f64 = 86_400_000.0;

/// Days before now: height of the open-enrolment peak, half its length, and the migration.
const PEAK_AGE: f64 = 100.0;
const PEAK_HALF: f64 = 21.0;
const STEP_AGE: f64 = 62.0;

/// Hour (UTC) at which a day is busiest.
const BUSIEST: f64 = 14.0 / 24.0;

/// 1970 began on a Thursday; weekdays are counted from Monday, which is 0.
const THURSDAY: f64 = 3.0;

/// Length of the made-up past, in days; trends are stated over it.
pub(super) const SPAN_DAYS: u64 = 180;

/// What a series follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Always the same: a limit, a setting.
    Constant,
    /// The demand of the day: connections, rates.
    Demand,
    /// What demand leaves behind: bytes on disk. Smooth, with neither day nor night.
    Stock,
}

/// How a made-up series moves. Shares are of the value now; 0.1 is a tenth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// What it follows.
    pub pattern: Pattern,
    /// [`Pattern::Demand`]: growth over 180 days, 0.4 is from 100 to 140. [`Pattern::Stock`]: share
    /// of today's value that came in that time. Below zero it shrinks.
    pub growth: f64,
    /// Swing of a day around its mean; below zero the night is the busy time.
    pub daily: f64,
    /// What a weekend lacks.
    pub weekly: f64,
    /// What the height of open enrolment adds.
    pub peak: f64,
    /// What the migration, 62 days ago, added; below zero it took away.
    pub step: f64,
    /// Size of random deviations.
    pub noise: f64,
    /// Values are whole: connections, waiting sessions.
    pub whole: bool,
    /// No value (for a counter: no rate per second) lies above this.
    pub ceiling: f64,
}

/// Shapes of gauges by parts of their names; the first that fits counts.
const GAUGES: [(&[&str], Shape); 8] = [
    // Loads and ratios have no scale of their own to grow on; they stay where they are.
    (
        &[
            "_cores",
            "_limit",
            "memory_total",
            "swap_total",
            "filesystem_size",
            "_speed_",
            "_up",
            "pg_settings_",
            "_time_seconds",
            "_info",
            "_recovery",
            "_ratio",
            "_load",
        ],
        Shape::CONSTANT,
    ),
    (&["filesystem_used"], Shape::DISK),
    (&["filesystem_available"], Shape::DISK.inverse()),
    (
        &["_size_bytes", "relation_", "table_", "index_", "tuples"],
        Shape::STOCK,
    ),
    (&["memory_available"], Shape::MEMORY.inverse()),
    (&["memory_"], Shape::MEMORY),
    (&["waiting", "depth", "delayed", "locks"], Shape::QUEUE),
    (
        &["connections", "sessions", "numbackends", "activity"],
        Shape::SESSIONS,
    ),
];

impl Shape {
    /// Neither trend nor season.
    pub const CONSTANT: Self = Self {
        pattern: Pattern::Constant,
        growth: 0.0,
        daily: 0.0,
        weekly: 0.0,
        peak: 0.0,
        step: 0.0,
        noise: 0.0,
        whole: false,
        ceiling: f64::INFINITY,
    };

    /// Follows the working day of a growing platform.
    pub const DEMAND: Self = Self {
        pattern: Pattern::Demand,
        growth: 0.40,
        daily: 0.35,
        weekly: 0.25,
        peak: 0.60,
        noise: 0.08,
        ..Self::CONSTANT
    };

    /// Grows with what the platform keeps.
    pub const STOCK: Self = Self {
        pattern: Pattern::Stock,
        growth: 0.42,
        step: 0.06,
        peak: 1.5,
        ..Self::DEMAND
    };

    /// The same, with no value above `ceiling`.
    #[must_use]
    pub fn under(self, ceiling: f64) -> Self {
        Self { ceiling, ..self }
    }

    /// The host's disk, which holds more than the database.
    const DISK: Self = Self {
        growth: 0.18,
        step: 0.03,
        ..Self::STOCK
    };

    /// Memory without the page cache.
    const MEMORY: Self = Self {
        growth: 0.15,
        daily: 0.06,
        weekly: 0.03,
        peak: 0.10,
        noise: 0.01,
        ..Self::DEMAND
    };

    /// Sessions: few, and whole.
    const SESSIONS: Self = Self {
        whole: true,
        ..Self::DEMAND
    };

    /// What waits: little of it, and in bursts.
    const QUEUE: Self = Self {
        daily: 0.45,
        noise: 0.45,
        ..Self::SESSIONS
    };

    /// Processor time; the migration went to faster processors.
    const PROCESSOR: Self = Self {
        step: -0.15,
        ..Self::DEMAND
    };

    /// Processor time that nobody wanted.
    const IDLE: Self = Self {
        growth: -0.04,
        daily: -0.04,
        weekly: -0.02,
        peak: -0.05,
        noise: 0.01,
        ..Self::DEMAND
    };

    /// A level of which the name says nothing.
    const STEADY: Self = Self {
        growth: 0.0,
        daily: 0.05,
        weekly: 0.0,
        peak: 0.0,
        noise: 0.05,
        ..Self::DEMAND
    };

    /// What is left where this is what is used.
    const fn inverse(self) -> Self {
        Self {
            growth: -self.growth,
            daily: -self.daily,
            weekly: -self.weekly,
            peak: -self.peak,
            step: -self.step,
            ..self
        }
    }

    /// A plausible shape for a series, by its name, its labels and its kind.
    pub fn of(series: &SeriesKey, kind: Kind) -> Self {
        let name = series.metric.as_ref();
        if kind == Kind::Counter {
            return match series.labels.get("mode") {
                Some("idle") => Self::IDLE,
                _ if name.contains("_cpu_") => Self::PROCESSOR,
                _ => Self::DEMAND,
            };
        }
        GAUGES
            .iter()
            .find(|(parts, _)| parts.iter().any(|part| name.contains(part)))
            .map_or(Self::STEADY, |(_, shape)| *shape)
    }

    /// The value at `at` as a multiple of an arbitrary unit, without noise. Always above zero.
    ///
    /// `at` is in milliseconds since 1970, `age` in days before now.
    pub(super) fn demand(&self, at: f64, age: f64) -> f64 {
        if self.pattern == Pattern::Constant {
            return 1.0;
        }
        let growth = if self.pattern == Pattern::Stock {
            0.3
        } else {
            self.growth
        };
        let trend = (1.0 + growth).powf(-age / SPAN_DAYS as f64);
        let hour = (at / DAY).fract() - BUSIEST;
        let daily = 1.0 + self.daily * (std::f64::consts::TAU * hour).cos();
        let weekday = ((at / DAY).floor() + THURSDAY) % 7.0;
        let weekly = if weekday >= 5.0 {
            1.0 - self.weekly
        } else {
            1.0
        };
        let from_peak = ((age - PEAK_AGE) / PEAK_HALF).abs().min(1.0);
        let bump = f64::midpoint(1.0, (std::f64::consts::PI * from_peak).cos());
        let step = match self.pattern {
            Pattern::Demand if age > STEP_AGE => 1.0 / (1.0 + self.step),
            _ => 1.0,
        };
        (trend * daily * weekly * (1.0 + self.peak * bump) * step).max(1e-6)
    }

    /// What a stock holds, as a share of today's, when `come` of the growth has come already.
    pub(super) fn stock(&self, come: f64, age: f64) -> f64 {
        let before = if age > STEP_AGE { self.step } else { 0.0 };
        (1.0 - self.growth * (1.0 - come) - before).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::Labels;

    #[test]
    fn sizes_are_stocks_limits_are_constant_and_counters_follow_demand() {
        let of = |name: &'static str, kind| Shape::of(&SeriesKey::bare(name), kind);
        assert_eq!(of("pg_database_size_bytes", Kind::Gauge), Shape::STOCK);
        for limit in [
            "host_filesystem_size_bytes",
            "pg_settings_max_connections",
            "host_cpu_cores",
        ] {
            assert_eq!(of(limit, Kind::Gauge), Shape::CONSTANT, "{limit}");
        }
        assert_eq!(
            of("pg_database_xact_commit_total", Kind::Counter),
            Shape::DEMAND
        );
        assert!(of("pg_connections_used", Kind::Gauge).whole);
        let unknown = of("something_else", Kind::Gauge);
        assert_eq!(
            (unknown.pattern, unknown.growth.to_bits()),
            (Pattern::Demand, 0)
        );
    }

    #[test]
    fn idle_processors_have_their_busy_time_at_night() {
        let series = SeriesKey {
            metric: "host_cpu_seconds_total".into(),
            labels: Labels::none().with("mode", "idle"),
        };
        let shape = Shape::of(&series, Kind::Counter);
        // 1970-01-05 was a Monday.
        let (afternoon, night) = (4.0 * DAY + 14.0 * DAY / 24.0, 4.0 * DAY + 2.0 * DAY / 24.0);
        assert!(shape.demand(afternoon, 0.0) < shape.demand(night, 0.0));
    }

    #[test]
    fn weekends_are_calmer_and_enrolment_is_busier() {
        let (friday, saturday) = (8.0 * DAY, 9.0 * DAY);
        let demand = |at: f64, age: f64| Shape::DEMAND.demand(at, age);
        assert!(demand(saturday, 0.0) < 0.8 * demand(friday, 0.0));
        assert!(demand(friday, PEAK_AGE) > 1.3 * demand(friday, PEAK_AGE + PEAK_HALF));
    }
}
