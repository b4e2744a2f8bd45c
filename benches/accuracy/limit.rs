//! Limits that were set for the public sets, beside which each figure is printed.

/// Bounds of one figure; either may be open.
pub(crate) type Limit = (Option<f64>, Option<f64>);

const OPEN: Limit = (None, None);

const fn most(limit: f64) -> Limit {
    (None, Some(limit))
}

const fn within(limit_low: f64, limit_high: f64) -> Limit {
    (Some(limit_low), Some(limit_high))
}

/// Limits of a set whose future is known.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) owa: Limit,
    pub(crate) rmae: Limit,
    pub(crate) in80: Limit,
    pub(crate) in95: Limit,
    pub(crate) msis: Limit,
    pub(crate) cpu_ms: Limit,
}

impl Limits {
    const NONE: Self = Self {
        owa: OPEN,
        rmae: OPEN,
        in80: OPEN,
        in95: OPEN,
        msis: OPEN,
        cpu_ms: OPEN,
    };

    /// Of one of M4's sets.
    const fn m4(owa: f64, cpu_ms: f64) -> Self {
        Self {
            owa: most(owa),
            in80: within(76.0, 87.0),
            in95: within(92.0, 97.5),
            cpu_ms: most(cpu_ms),
            ..Self::NONE
        }
    }

    /// Of a group of infrastructure series.
    const fn infra(rmae: f64) -> Self {
        Self {
            rmae: most(rmae),
            ..Self::NONE
        }
    }

    /// Of a set by its name. Small groups: 1.1 times the best peer's rMAE.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "m4 hourly" => Self {
                msis: most(6.0),
                ..Self::m4(0.37, 3.0)
            },
            "m4 weekly" => Self {
                msis: most(13.5),
                ..Self::m4(0.74, 1.5)
            },
            "m4 daily" => Self {
                in80: within(72.0, 89.0),
                in95: within(91.0, 98.5),
                ..Self::m4(0.975, 1.5)
            },
            "m4 monthly" => Self::m4(0.812, 1.5),
            "infra gitsize" => Self {
                in80: within(74.0, 92.0),
                ..Self::infra(0.96)
            },
            "infra daily" => Self::infra(0.60),
            "infra 5min_1d" => Self::infra(0.95),
            "infra hourly" => Self::infra(1.1 * 1.16),
            "infra 30min_gaps" => Self::infra(1.1 * 0.90),
            "infra 5min" => Self::infra(1.1 * 0.99),
            "infra weekly" => Self::infra(1.1 * 0.77),
            "infra monthly" => Self::infra(1.1 * 0.63),
            _ => Self::NONE,
        }
    }
}

/// Limits of all capacity series together.
pub(crate) struct OfCapacity {
    pub(crate) late_days: Limit,
    pub(crate) near: Limit,
    pub(crate) missed: Limit,
    pub(crate) false_soon: Limit,
    pub(crate) inside: Limit,
    pub(crate) in80: Limit,
}

impl OfCapacity {
    /// What was set.
    pub(crate) const ALL: Self = Self {
        late_days: most(20.0),
        near: (Some(55.0), None),
        missed: most(8.5),
        false_soon: most(2.6),
        inside: within(75.0, 86.0),
        in80: within(76.0, 85.0),
    };

    /// Single archetypes have none.
    pub(crate) const NONE: Self = Self {
        late_days: OPEN,
        near: OPEN,
        missed: OPEN,
        false_soon: OPEN,
        inside: OPEN,
        in80: OPEN,
    };
}

/// Processor time of two years of hours, in ms.
pub(crate) const TWO_YEARS_MS: Limit = most(10.0);
/// Wall time of 10,000 series on an idle machine, in s.
pub(crate) const MANY_WALL_S: Limit = most(25.0);
/// Peak memory of the same, in MB.
pub(crate) const MANY_PEAK_MB: Limit = most(300.0);

/// A figure, and its limit in brackets where there is one; a missed one is bold.
pub(crate) fn beside(value: f64, digits: usize, limit: Limit) -> String {
    if value.is_nan() {
        return "–".to_owned();
    }
    let (low, high) = limit;
    let bound = match (low, high) {
        (None, None) => return format!("{value:.digits$}"),
        (Some(low), None) => format!("≥ {low}"),
        (None, Some(high)) => format!("≤ {}", (high * 1000.0).round() / 1000.0),
        (Some(low), Some(high)) => format!("{low}–{high}"),
    };
    let missed = low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high);
    if missed {
        format!("**{value:.digits$}** ({bound})")
    } else {
        format!("{value:.digits$} ({bound})")
    }
}
