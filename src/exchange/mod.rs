//! Samples in the formats of others: what senders send and what files hold, read and written.
//!
//! For: bytes and lines to series and samples, and back; every limit of size is checked before
//! memory is taken. Not for: keeping samples (`store`) or deciding whether to (`work`). Read
//! [`remote`] for Prometheus remote write, [`csv`] and [`openmetrics`] for files, [`name`] for how a
//! series is written as text. Series without labels that are to be forecast come by [`sequence`] and
//! leave by [`projection`].

mod blocks;
pub mod csv;
pub mod gzip;
pub mod labels;
pub mod name;
pub mod openmetrics;
pub mod projection;
pub mod remote;
pub mod sequence;
pub mod sheet;
pub mod thresholds;
pub mod value;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read further.
    #[error("the samples cannot be read further")]
    Io(#[from] std::io::Error),
    /// The body is not snappy's block format.
    #[error("the body is not in snappy's block format; send Content-Encoding: snappy, not framed")]
    Snappy,
    /// The body says that it is longer than is taken, unpacked.
    #[error(
        "the body unpacks to {size} bytes, at most {limit} are taken; send fewer samples at once"
    )]
    TooLong {
        /// What it says.
        size: u64,
        /// What is taken.
        limit: u64,
    },
    /// The body is no write request.
    #[error("the body is no remote-write request (1.0): {0}")]
    Protobuf(&'static str),
    /// A line of a file.
    #[error("line {line} {what}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    fn line(line: u64, what: impl Into<String>) -> Self {
        Self::Line {
            line,
            what: what.into(),
        }
    }
}

/// One sample of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// The series as it stands in the file.
    pub series: &'a [u8],
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The value.
    pub value: f64,
}

/// A file of samples, read one by one.
pub trait Rows {
    /// The next sample; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Line`] for what does not read.
    fn next(&mut self) -> Result<Option<Row<'_>>>;

    /// The line that the last sample began on, from 1.
    fn line(&self) -> u64;

    /// The series that stands in the file so.
    ///
    /// # Errors
    /// Text for people, to be put after the number of the line.
    fn name(&self, series: &[u8]) -> std::result::Result<name::Named, String>;
}

/// What a fallible call of this module returns.
pub type Result<T> = std::result::Result<T, Error>;
