//! Paths with short numbers: steps of a tenth, each told relative to the last.
//!
//! For: long lines and bands, which are most of a page's bytes; relative steps halve them. Rounding
//! does not add up, for each step is taken from the rounded place before it.

use std::fmt::Write as _;

/// Writes the `d` of an SVG path.
#[derive(Debug, Default)]
pub(crate) struct Pen {
    path: String,
    /// Where it stands, in tenths; `None` while lifted.
    at: Option<(f64, f64)>,
}

impl Pen {
    /// Draws to a place, or sets down there when lifted; a lone place becomes a dot by round caps.
    pub(crate) fn to(&mut self, x: f64, y: f64) {
        let (x, y) = ((x * 10.0).round(), (y * 10.0).round());
        if let Some((from_x, from_y)) = self.at {
            self.path.push('l');
            self.number(x - from_x);
            self.path.push(' ');
            self.number(y - from_y);
        } else {
            self.path.push('M');
            self.number(x);
            self.path.push(' ');
            self.number(y);
            self.path.push_str("h0");
        }
        self.at = Some((x, y));
    }

    /// Leaves a gap.
    pub(crate) fn lift(&mut self) {
        self.at = None;
    }

    /// The path so far.
    pub(crate) fn finish(self) -> String {
        self.path
    }

    /// Tenths as a decimal without idle zeros.
    fn number(&mut self, tenths: f64) {
        let places = usize::from(tenths % 10.0 != 0.0);
        let value = tenths / 10.0;
        // Otherwise a step of nothing could be written as "-0".
        let value = if value == 0.0 { 0.0 } else { value };
        let _ = write!(self.path, "{value:.places$}");
    }
}

/// A line through the places that have a height; gaps stay gaps.
pub(crate) fn broken_line(places: impl Iterator<Item = (f64, Option<f64>)>) -> String {
    let mut pen = Pen::default();
    for (x, y) in places {
        match y {
            Some(y) => pen.to(x, y),
            None => pen.lift(),
        }
    }
    pen.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_breaks_the_line() {
        let places = [
            (0.0, Some(1.0)),
            (1.0, None),
            (2.0, Some(3.0)),
            (3.0, Some(2.5)),
        ];
        assert_eq!(broken_line(places.into_iter()), "M0 1h0M2 3h0l1 -0.5");
    }

    #[test]
    fn rounding_does_not_add_up() {
        let places = (0..1_000_u32).map(|i| (f64::from(i) * 0.33, Some(0.0)));
        let path = broken_line(places);
        let steps = path.split('l').skip(1);
        let end: f64 = steps
            .filter_map(|step| step.split(' ').next()?.parse::<f64>().ok())
            .sum();
        assert!((end - 999.0 * 0.33).abs() < 0.06, "{end}");
    }
}
