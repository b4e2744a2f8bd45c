use super::*;
use crate::model::capacity::{
    Backtest, Crossing, Estimate, Forecast, ForecastPoint, Limit, LimitOrigin, Outlook,
};
use crate::model::finding::Severity;
use crate::model::units::{Millis, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn projection(resource: Resource, usage: f64, limit: f64) -> Projection {
    Projection {
        target: "shop".into(),
        resource,
        made_at: NOW,
        usage: Some(usage),
        limit: Some(Limit {
            value: limit,
            origin: LimitOrigin::Measured("test".into()),
        }),
        outlook: None,
        history: Vec::new(),
        history_start: NOW,
        coverage: 1.0,
        synthetic: None,
        lead_time: Millis::DAY,
    }
}

fn growing(usage: f64, a_day: f64, limit: f64) -> Projection {
    let flat = Estimate {
        value: a_day,
        lo: a_day,
        hi: a_day,
    };
    let points = (0..120)
        .map(|day| ForecastPoint {
            at: NOW.plus(Millis(day * Millis::DAY.0).as_duration()),
            mean: usage + a_day * day as f64,
            bands: Vec::new(),
        })
        .collect();
    let met = ((limit - usage) / a_day).max(0.0) * Millis::DAY.0 as f64;
    #[expect(clippy::cast_possible_truncation, reason = "days of a test")]
    let p50 = Some(Timestamp::from_millis(NOW.as_millis() + met as i64));
    let crossing = Crossing {
        name: "limit".into(),
        threshold: limit,
        probability: 0.9,
        p10: p50,
        p50,
        p90: None,
        crossed: false,
    };
    Projection {
        outlook: Some(Outlook::Forecast(Box::new(Forecast {
            level: usage,
            step: Millis::DAY,
            points,
            growth_per_day: flat,
            growth_per_month: None,
            periods: Vec::new(),
            method: "test".into(),
            backtest: Backtest {
                origins: 1,
                horizon: 1,
                mae: 0.0,
                relative_mae: 0.0,
                coverage_p80: 1.0,
                coverage_p95: 1.0,
            },
            crossings: vec![crossing],
            changes: Vec::new(),
            seasons: Vec::new(),
            confidence: None,
            simulated: None,
        }))),
        ..projection(Resource::Storage, usage, limit)
    }
}

fn names(evidence: &Evidence<'_>) -> Vec<(String, Impact)> {
    bottlenecks(evidence, Targets::built_in())
        .into_iter()
        .map(|b| (b.component, b.severity))
        .collect()
}

#[test]
fn nothing_known_says_nothing() {
    assert_eq!(names(&Evidence::default()), []);
}

#[test]
fn a_calm_platform_has_no_bottleneck() {
    let projections = Resource::ALL.map(|resource| projection(resource, 50.0, 100.0));
    let waits = [("CPU".to_owned(), 0.9), ("IO".to_owned(), 0.1)];
    let evidence = Evidence {
        projections: &projections,
        wait_shares: &waits,
        rates: Rates {
            cpu_busy_ratio: Some(0.5),
            cpu_pressure_ratio: Some(0.02),
            memory_pressure_ratio: Some(0.0),
            io_pressure_ratio: Some(0.05),
            swap_used_ratio: Some(0.1),
            disk_busy_ratio: Some(0.6),
            network_busy_ratio: Some(0.3),
            buffer_hit_ratio: Some(0.99),
            temp_bytes_per_s: Some(1_000.0),
            checkpoints_requested_ratio: Some(0.1),
            replication_lag_ms: Some(200.0),
            cache_hit_ratio: Some(0.9),
            queue_depth: Some(10.0),
        },
        snapshot: None,
    };
    assert_eq!(names(&evidence), []);
}

#[test]
fn everything_in_trouble_is_told_worst_first() {
    let waits = [
        ("Lock".to_owned(), 0.5),
        ("IO".to_owned(), 0.2),
        ("Client".to_owned(), 0.9),
    ];
    let evidence = Evidence {
        wait_shares: &waits,
        rates: Rates {
            cpu_busy_ratio: Some(0.8),
            cpu_pressure_ratio: Some(0.6),
            memory_pressure_ratio: Some(0.2),
            io_pressure_ratio: Some(0.3),
            swap_used_ratio: Some(0.8),
            disk_busy_ratio: Some(0.99),
            network_busy_ratio: Some(0.95),
            buffer_hit_ratio: Some(0.5),
            temp_bytes_per_s: Some(1e9),
            checkpoints_requested_ratio: Some(0.9),
            replication_lag_ms: Some(1e6),
            cache_hit_ratio: Some(0.7),
            queue_depth: Some(2_000.0),
        },
        ..Evidence::default()
    };
    let found = bottlenecks(&evidence, Targets::built_in());
    assert_eq!(found.len(), 12, "a client that thinks is no bottleneck");
    assert!(
        found
            .windows(2)
            .all(|pair| pair[0].severity >= pair[1].severity)
    );
    assert!(
        found
            .iter()
            .all(|b| !b.evidence.is_empty() && !b.recommendation.is_empty())
    );
    let locks = found
        .iter()
        .find(|b| b.component == "Row and table locks")
        .unwrap();
    assert_eq!(locks.severity, Impact::Critical);
}

#[test]
fn a_busy_disk_that_nobody_waits_for_is_not_urgent() {
    let with = |io_pressure_ratio| Evidence {
        rates: Rates {
            disk_busy_ratio: Some(0.99),
            io_pressure_ratio,
            ..Rates::default()
        },
        ..Evidence::default()
    };
    assert_eq!(
        names(&with(Some(0.01))),
        [("Disk throughput".into(), Impact::Medium)]
    );
    assert_eq!(
        names(&with(None)),
        [("Disk throughput".into(), Impact::Critical)]
    );
}

#[test]
fn alerts_follow_the_specification_s_shares() {
    let projections = [
        projection(Resource::Cpu, 0.80, 1.0),
        projection(Resource::Memory, 95.0, 100.0),
        projection(Resource::Database, 75.0, 100.0),
        Projection {
            limit: None,
            ..projection(Resource::Bandwidth, 1e9, 1.0)
        },
    ];
    let alerts = alerts(&projections, Targets::built_in(), NOW);
    let told: Vec<_> = alerts
        .iter()
        .map(|a| (a.resource_type, a.severity))
        .collect();
    let want = [
        (Resource::Memory, Severity::Critical),
        (Resource::Cpu, Severity::Warning),
    ];
    assert_eq!(
        told, want,
        "75 % is not above 75 %, and no limit is no alert"
    );
    assert!((alerts[0].threshold - 0.9).abs() < 1e-12);
}

#[test]
fn growth_to_85_percent_within_a_month_is_a_warning() {
    let now_at_70 = growing(70.0, 0.6, 100.0);
    let told = alerts(std::slice::from_ref(&now_at_70), Targets::built_in(), NOW);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].message.contains("in a month"),
        "{}",
        told[0].message
    );
    assert!((told[0].current_value - 0.70).abs() < 1e-12);
    // A forecast from long ago does not reach that day.
    let later = NOW.plus(Millis(200 * Millis::DAY.0).as_duration());
    assert_eq!(alerts(&[now_at_70], Targets::built_in(), later), []);
    assert_eq!(
        alerts(&[growing(50.0, 0.2, 100.0)], Targets::built_in(), NOW),
        []
    );
}

#[test]
fn targets_can_be_overridden_one_by_one() {
    let mut targets = Targets::default();
    targets.capacity.warn_ratio = 0.5;
    let told = alerts(&[projection(Resource::Cpu, 0.6, 1.0)], &targets, NOW);
    assert_eq!(told.len(), 1);
}
