//! Thresholds of series, from a file: `series,threshold`, as many a series as one likes.
//!
//! For: what `plimsoll forecast --thresholds` is given. Not for: the limits of a watched server,
//! which are measured or configured. Read [`read`] first.

use std::collections::HashMap;
use std::io::Read;

use super::sequence::{Cell, value};
use super::sheet::Sheet;
use super::{Error, Result};

/// More than this in one file are none that somebody set.
const COUNT_MAX: usize = 10_000_000;

/// Thresholds by the name of their series, in the order of the file.
pub type Thresholds = HashMap<String, Vec<f64>>;

/// Reads all of a file, in any order.
///
/// # Errors
/// [`Error::Line`] for a heading or a row that does not read, [`Error::Io`].
pub fn read(from: impl Read) -> Result<Thresholds> {
    let mut sheet = Sheet::new(from)?;
    let (Some(series), Some(threshold)) = (sheet.column("series")?, sheet.column("threshold")?)
    else {
        let what = "is no heading with series and threshold; write series,threshold above the rows";
        return Err(Error::line(sheet.line(), what));
    };
    let (mut all, mut count) = (Thresholds::new(), 0);
    while sheet.advance()? {
        let wrong = |what: String| Error::line(sheet.line(), what);
        let (has, wanted) = (sheet.count(), sheet.heading().len());
        if has != wanted {
            let what = format!("has {has} columns where the heading has {wanted}");
            return Err(wrong(what));
        }
        let name = String::from_utf8(sheet.field(series).into_owned())
            .map_err(|_| wrong("names a series that is not UTF-8".to_owned()))?;
        let Cell::Number(number) = value(&sheet.field(threshold)) else {
            let what = format!("has no finite number as threshold of series {name:?}");
            return Err(wrong(what));
        };
        count += 1;
        if count > COUNT_MAX {
            return Err(wrong(format!("is one more than {COUNT_MAX} thresholds")));
        }
        all.entry(name).or_default().push(number);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_a_series_stay_in_their_order() {
        let file = b"threshold,owner,series\n9,x,a\n\n1e3,x,\"b,c\"\n-2.5,y,a\n";
        let all = read(&file[..]).unwrap();
        assert_eq!(all["a"], [9.0, -2.5]);
        assert_eq!(all["b,c"], [1000.0]);
        assert!(read(&b"series,threshold\n"[..]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_threshold_names_line_and_series() {
        let told = |file: &[u8]| read(file).unwrap_err().to_string();
        for wrong in ["", "NaN", "inf", "1e999", "high"] {
            let file = format!("series,threshold\na,1\nb,{wrong}\n");
            let told = told(file.as_bytes());
            assert!(told.contains("line 3") && told.contains("\"b\""), "{told}");
        }
        assert!(told(b"").contains("line 1"));
        assert!(told(b"a,1\n").contains("series,threshold"));
        assert!(told(b"series,threshold\na\n").contains("line 2 has 1 columns"));
    }
}
