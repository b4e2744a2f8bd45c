//! Reads cells of a row: any numeric type as one number, times as times.

use std::error::Error as StdError;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, FromSqlOwned, Type};

use super::{Error, Result};
use crate::model::units::Timestamp;

/// Postgres counts microseconds from 2000-01-01; this is that instant in seconds since 1970.
const EPOCH_2000_SECONDS: f64 = 946_684_800.0;

/// A cell of any numeric, boolean or time type; times are seconds since 1970.
struct Number(f64);

impl<'a> FromSql<'a> for Number {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        let number = match *ty {
            Type::BOOL => f64::from(u8::from(bool::from_sql(ty, raw)?)),
            Type::INT2 => f64::from(i16::from_sql(ty, raw)?),
            Type::INT4 => f64::from(i32::from_sql(ty, raw)?),
            Type::INT8 => i64::from_sql(ty, raw)? as f64,
            Type::FLOAT4 => f64::from(f32::from_sql(ty, raw)?),
            Type::FLOAT8 => f64::from_sql(ty, raw)?,
            Type::TIMESTAMPTZ => {
                let micros = i64::from_sql(&Type::INT8, raw)?;
                micros as f64 / 1e6 + EPOCH_2000_SECONDS
            }
            _ => return Err(format!("a number cannot be read from {ty}").into()),
        };
        Ok(Self(number))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::BOOL
                | Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::FLOAT4
                | Type::FLOAT8
                | Type::TIMESTAMPTZ
        )
    }
}

/// A row together with the part of the scrape that it was read for.
pub(super) struct Cells<'a> {
    row: &'a Row,
    part: &'static str,
}

impl<'a> Cells<'a> {
    /// Wraps `row`.
    pub(super) fn new(part: &'static str, row: &'a Row) -> Self {
        Self { row, part }
    }

    /// The cell as a type that the driver knows.
    pub(super) fn get<T: FromSqlOwned>(&self, column: usize) -> Result<T> {
        self.row.try_get(column).map_err(|e| Error::Shape {
            part: self.part,
            detail: super::error::root_cause(&e),
        })
    }

    /// Any number; `None` for null.
    pub(super) fn number(&self, column: usize) -> Result<Option<f64>> {
        Ok(self.get::<Option<Number>>(column)?.map(|number| number.0))
    }

    /// A count; null and negative are 0.
    pub(super) fn count(&self, column: usize) -> Result<u64> {
        Ok(u64::try_from(self.get::<Option<i64>>(column)?.unwrap_or(0)).unwrap_or(0))
    }

    /// Text; null is empty.
    pub(super) fn text(&self, column: usize) -> Result<String> {
        Ok(self.get::<Option<String>>(column)?.unwrap_or_default())
    }

    /// An instant; `None` for null.
    pub(super) fn time(&self, column: usize) -> Result<Option<Timestamp>> {
        Ok(self
            .number(column)?
            .map(|seconds| Timestamp::from_millis(whole(seconds * 1e3))))
    }

    /// A length of time in whole milliseconds, from a cell in seconds; `None` for null.
    pub(super) fn millis(&self, column: usize) -> Result<Option<u64>> {
        Ok(self
            .number(column)?
            .map(|seconds| u64::try_from(whole(seconds * 1e3)).unwrap_or(0)))
    }
}

/// The nearest whole number; the ends of the range for what lies beyond.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float that does not fit stops at the end of the range, as `as` defines"
)]
pub(super) fn whole(value: f64) -> i64 {
    value.round() as i64
}
