//! A statistics view as a table of fields: which column feeds which series.

use tokio_postgres::Row;

use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::capability::Capability;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

/// One column and the series that it feeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(super) metric: Metric,
    /// The expression to select; null gives no sample.
    pub(super) sql: &'static str,
    /// The sample is the column times this.
    pub(super) scale: f64,
    /// What the exporter calls it.
    pub(super) compat: Option<&'static str>,
    /// The exporter has our unit, whatever Postgres has.
    pub(super) keeps_unit: bool,
    /// First server version that has the column.
    since: u32,
    /// First server version that lacks it again.
    until: u32,
}

impl Field {
    /// A column that is read as it is.
    pub(super) const fn new(sql: &'static str, metric: Metric) -> Self {
        Self {
            metric,
            sql,
            scale: 1.0,
            compat: None,
            keeps_unit: false,
            since: 0,
            until: u32::MAX,
        }
    }

    /// A column in milliseconds, read in seconds, exact to a microsecond.
    pub(super) const fn millis(sql: &'static str, metric: Metric) -> Self {
        Self {
            scale: 1e-3,
            ..Self::new(sql, metric.exact_to(1e-6))
        }
    }

    /// The exporter's name.
    pub(super) const fn like(self, name: &'static str) -> Self {
        Self {
            compat: Some(name),
            ..self
        }
    }

    /// The exporter's name, for the same unit as ours.
    pub(super) const fn same_unit(self, name: &'static str) -> Self {
        Self {
            compat: Some(name),
            keeps_unit: true,
            ..self
        }
    }

    /// Only from this version on.
    pub(super) const fn since(self, version: u32) -> Self {
        Self {
            since: version,
            ..self
        }
    }

    /// Only before this version.
    pub(super) const fn until(self, version: u32) -> Self {
        Self {
            until: version,
            ..self
        }
    }

    fn is_in(&self, version: u32) -> bool {
        (self.since..self.until).contains(&version)
    }
}

/// A view, or a join of the functions beneath one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// Names it in errors and blind spots.
    pub(crate) part: &'static str,
    /// Label name and the text expression behind it.
    pub(super) labels: &'static [(&'static str, &'static str)],
    /// What follows `from`.
    pub(super) from: &'static str,
    pub(super) fields: &'static [Field],
}

impl View {
    /// The columns of this version, for a select list.
    pub(super) fn columns(&self, version: u32) -> Vec<&'static str> {
        self.fields_of(version).map(|field| field.sql).collect()
    }

    pub(super) fn fields_of(&self, version: u32) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().filter(move |field| field.is_in(version))
    }

    /// Reads the view as it is.
    pub(crate) async fn read(
        &self,
        session: &mut Session,
        able: &Capability,
    ) -> Result<Vec<Sample>> {
        let labels = self.labels.iter().map(|(_, sql)| *sql);
        let columns = self.columns(able.version_num);
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<&str> = labels.chain(columns).collect();
        let sql = format!("select {MARKER} {} from {}", list.join(", "), self.from);
        let rows = session.rows(self.part, &sql, &[]).await?;
        let mut out = Vec::new();
        for row in &rows {
            let cells = Cells::new(self.part, row);
            let mut labels = Labels::none();
            for (column, (name, _)) in self.labels.iter().enumerate() {
                labels = labels.with(*name, cells.text(column)?);
            }
            self.samples(
                row,
                (able.version_num, self.labels.len()),
                &labels,
                &mut out,
            )?;
        }
        Ok(out)
    }

    /// Samples of one row whose fields begin at a column, in the order of [`Self::columns`].
    pub(super) fn samples(
        &self,
        row: &Row,
        (version, first_column): (u32, usize),
        labels: &Labels,
        out: &mut Vec<Sample>,
    ) -> Result<()> {
        let cells = Cells::new(self.part, row);
        for (i, field) in self.fields_of(version).enumerate() {
            if let Some(value) = cells.number(first_column + i)? {
                out.push(field.metric.sample(labels.clone(), value * field.scale));
            }
        }
        Ok(())
    }
}
