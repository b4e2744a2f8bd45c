//! Fills the tables that are there for people.
//!
//! For: writing only; nothing reads them back, the documents beside them are exact.

use rusqlite::{Transaction, params};

use crate::model::capacity::Projection;
use crate::model::finding::{Finding, Severity};
use crate::model::units::Timestamp;
use crate::report::headroom::forecast;
use crate::report::{Reach, ReportInput, TargetReport, verdict, words};

/// Writes every table but `meta`, `documents`, `series` and `history`.
pub(super) fn write(all: &Transaction<'_>, input: &ReportInput) -> rusqlite::Result<()> {
    for target in &input.targets {
        one_target(all, target)?;
        for projection in &target.projections {
            one_projection(all, &target.name, projection)?;
        }
        for finding in &target.findings {
            one_finding(all, &target.name, finding)?;
        }
        lists(all, target)?;
    }
    summary(all, input)
}

fn one_target(all: &Transaction<'_>, target: &TargetReport) -> rusqlite::Result<()> {
    let reach = match &target.reach {
        Reach::Starting => "starting",
        Reach::Up => "up",
        Reach::Down { reason, .. } => reason,
    };
    let server = target.server.as_ref();
    all.execute(
        "INSERT OR REPLACE INTO targets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            target.name,
            server.map(|server| &server.version),
            server.map(|server| &server.database),
            server.map(|server| server.in_recovery),
            reach,
            target.data.from.map(Timestamp::as_millis),
            target.data.until.map(Timestamp::as_millis),
            signed(target.data.series),
            signed(target.data.samples),
        ],
    )?;
    Ok(())
}

fn one_projection(
    all: &Transaction<'_>,
    target: &str,
    projection: &Projection,
) -> rusqlite::Result<()> {
    let resource = projection.resource.name();
    let Some(forecast) = forecast(projection) else {
        return Ok(());
    };
    for crossing in &forecast.crossings {
        let ms = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
        all.execute(
            "INSERT INTO crossings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                target,
                resource,
                crossing.name,
                finite(crossing.threshold),
                finite(crossing.probability),
                ms(crossing.p10),
                ms(crossing.p50),
                ms(crossing.p90),
                crossing.crossed,
            ],
        )?;
    }
    let mut insert = all.prepare_cached(
        "INSERT OR REPLACE INTO forecast_points VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for point in &forecast.points {
        let band = |level: f64| {
            let band = point
                .bands
                .iter()
                .find(|b| (b.level.get() - level).abs() < 1e-9);
            (band.map(|band| band.lo), band.map(|band| band.hi))
        };
        let ((lo50, hi50), (lo80, hi80), (lo95, hi95)) = (band(0.5), band(0.8), band(0.95));
        insert.execute(params![
            target,
            resource,
            point.at.as_millis(),
            finite(point.mean),
            lo50,
            hi50,
            lo80,
            hi80,
            lo95,
            hi95,
        ])?;
    }
    Ok(())
}

fn one_finding(all: &Transaction<'_>, target: &str, finding: &Finding) -> rusqlite::Result<()> {
    all.execute(
        "INSERT INTO findings (target, id, severity, title, object, advice, cure_sql, lock) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            target,
            finding.id,
            severity(finding.severity),
            finding.title,
            finding.object,
            finding.advice,
            finding.cure.as_ref().map(|cure| &cure.sql),
            finding.cure.as_ref().map(|cure| &cure.lock),
        ],
    )?;
    let id = all.last_insert_rowid();
    for fact in &finding.evidence {
        all.execute(
            "INSERT INTO evidence VALUES (?1, ?2, ?3)",
            params![id, fact.label, fact.value],
        )?;
    }
    Ok(())
}

fn lists(all: &Transaction<'_>, target: &TargetReport) -> rusqlite::Result<()> {
    for bottleneck in &target.bottlenecks {
        all.execute(
            "INSERT INTO bottlenecks VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                target.name,
                bottleneck.component,
                format!("{:?}", bottleneck.severity).to_lowercase(),
                bottleneck.description,
                bottleneck.impact,
                bottleneck.recommendation,
            ],
        )?;
    }
    for alert in &target.alerts {
        all.execute(
            "INSERT INTO alerts VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                target.name,
                alert.resource_type.name(),
                severity(alert.severity),
                alert.message,
                alert.timestamp.as_millis(),
            ],
        )?;
    }
    for spot in &target.blind_spots {
        all.execute(
            "INSERT INTO blind_spots VALUES (?1, ?2, ?3, ?4)",
            params![target.name, spot.what, spot.why, spot.cure],
        )?;
    }
    for statement in &target.statements {
        all.execute(
            "INSERT INTO statements VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                target.name,
                statement.query_id,
                statement.query,
                signed(statement.calls),
                finite(statement.total_exec_time),
                finite(statement.mean_exec_time),
            ],
        )?;
    }
    Ok(())
}

/// The headroom of every resource: `projections`.
fn summary(all: &Transaction<'_>, input: &ReportInput) -> rusqlite::Result<()> {
    let projections = input.targets.iter().flat_map(|target| &target.projections);
    for (row, projection) in verdict::rows(input).iter().zip(projections) {
        let forecast = forecast(projection);
        all.execute(
            "INSERT OR REPLACE INTO projections VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            params![
                row.target,
                row.resource.name(),
                projection.made_at.as_millis(),
                row.usage,
                row.limit,
                row.limit_origin,
                row.utilisation,
                forecast.map(|forecast| forecast.growth_per_day.value),
                forecast.map(|forecast| words::one_line(&forecast.method, 200)),
                forecast.map(|forecast| forecast.backtest.mae),
                forecast.map(|forecast| forecast.backtest.coverage_p80),
                row.confidence.map(crate::model::capacity::Trust::word),
                row.act_by.map(Timestamp::as_millis),
                row.standing.word(),
                row.action,
                projection.synthetic.map(|span| span.from.as_millis()),
                projection.synthetic.map(|span| span.until.as_millis()),
            ],
        )?;
    }
    Ok(())
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// SQLite takes NaN for NULL, which these columns refuse.
fn finite(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

/// SQLite's integers are signed.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
