//! Functions and operators of single numbers, as Go's library answers them.

/// A function of each value by itself; the parameters of `clamp` and `round` come beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Abs,
    Ceil,
    Floor,
    Exp,
    Ln,
    Log2,
    Log10,
    Sqrt,
    Sgn,
    Round,
    Clamp,
    ClampMin,
    ClampMax,
}

impl Unary {
    const NAMES: [(&'static str, Self); 13] = [
        ("abs", Self::Abs),
        ("ceil", Self::Ceil),
        ("floor", Self::Floor),
        ("exp", Self::Exp),
        ("ln", Self::Ln),
        ("log2", Self::Log2),
        ("log10", Self::Log10),
        ("sqrt", Self::Sqrt),
        ("sgn", Self::Sgn),
        ("round", Self::Round),
        ("clamp", Self::Clamp),
        ("clamp_min", Self::ClampMin),
        ("clamp_max", Self::ClampMax),
    ];

    /// The function of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, unary)| *unary)
    }

    /// The value of the function; `None` where it gives none (`clamp` with ends that are crossed).
    ///
    /// `parameters` are those after the vector; what is not given of them is NaN.
    pub(super) fn of(self, value: f64, parameters: [f64; 2]) -> Option<f64> {
        let [first, second] = parameters;
        Some(match self {
            Self::Abs => value.abs(),
            Self::Ceil => value.ceil(),
            Self::Floor => value.floor(),
            Self::Exp => value.exp(),
            Self::Ln => value.ln(),
            Self::Log2 => value.log2(),
            Self::Log10 => value.log10(),
            Self::Sqrt => value.sqrt(),
            Self::Sgn if value < 0.0 => -1.0,
            Self::Sgn if value > 0.0 => 1.0,
            Self::Sgn => value,
            Self::Round => {
                // As the inverse, so that 0.1 is met as well as it can be.
                let inverse = 1.0 / first;
                (value * inverse + 0.5).floor() / inverse
            }
            Self::Clamp if first > second => return None,
            Self::Clamp => larger(first, smaller(second, value)),
            Self::ClampMin => larger(first, value),
            Self::ClampMax => smaller(first, value),
        })
    }
}

/// The larger of two; NaN if one is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The smaller of two; NaN if one is.
fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// An operator between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

impl Operator {
    const NAMES: [(&'static str, Self); 13] = [
        ("+", Self::Add),
        ("-", Self::Sub),
        ("*", Self::Mul),
        ("/", Self::Div),
        ("%", Self::Mod),
        ("^", Self::Pow),
        ("atan2", Self::Atan2),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        (">", Self::Greater),
        ("<", Self::Less),
        (">=", Self::GreaterOrEqual),
        ("<=", Self::LessOrEqual),
    ];

    /// The operator as it is written.
    pub(super) fn written(text: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == text);
        found.map(|(_, operator)| *operator)
    }

    /// Whether it compares.
    pub(super) const fn compares(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::Less
                | Self::GreaterOrEqual
                | Self::LessOrEqual
        )
    }

    /// Whether a comparison holds; false for what is none.
    #[expect(
        clippy::float_cmp,
        reason = "`==` of the language is equality of bits but NaN and zero"
    )]
    pub(super) fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Greater => a > b,
            Self::Less => a < b,
            Self::GreaterOrEqual => a >= b,
            Self::LessOrEqual => a <= b,
            _ => false,
        }
    }

    /// The result of an operation; of a comparison 1 or 0.
    pub(super) fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Mod => a % b,
            Self::Pow => a.powf(b),
            Self::Atan2 => a.atan2(b),
            comparison => f64::from(u8::from(comparison.holds(a, b))),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "worked by hand in numbers that are exact")]
mod tests {
    use super::*;

    #[test]
    fn rounding_goes_up_from_the_middle_also_below_zero() {
        let round = |value, to| Unary::Round.of(value, [to, f64::NAN]).unwrap();
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(7.0, 5.0), 5.0);
    }

    #[test]
    fn clamping_keeps_nan_and_gives_nothing_between_crossed_ends() {
        assert_eq!(Unary::Clamp.of(5.0, [1.0, 3.0]), Some(3.0));
        assert_eq!(Unary::Clamp.of(5.0, [3.0, 1.0]), None);
        assert!(
            Unary::ClampMin
                .of(f64::NAN, [0.0, f64::NAN])
                .unwrap()
                .is_nan()
        );
    }

    #[test]
    fn operators_follow_the_sign_of_the_left_and_the_ways_of_nan() {
        assert_eq!(Operator::Mod.of(-5.0, 3.0), -2.0);
        assert_eq!(Operator::Pow.of(2.0, 10.0), 1024.0);
        assert_eq!(Operator::NotEqual.of(f64::NAN, f64::NAN), 1.0);
        assert_eq!(Operator::Equal.of(f64::NAN, f64::NAN), 0.0);
        assert_eq!(Operator::Div.of(1.0, 0.0), f64::INFINITY);
    }
}
