//! From the parser's tree to ours: names become enums, and what is not understood is named.
//!
//! For: everything that can be decided without values. Not for: values (`eval`). The tree is as
//! deep as `guard` lets it be.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use promql_parser::label::MatchOp;
use promql_parser::parser::{
    self as syntax, AtModifier, Expr, LabelModifier, Offset, VectorMatchCardinality as Cardinality,
};
use regex::Regex;

use super::binary::{Matching, Relation, Set, Side};
use super::labels::{Keep, is_name, pattern};
use super::math::{Operator, Unary};
use super::window::Fold;
use super::{Error, Matcher, NAME, Result};
use crate::model::series::{Compare, Labels};

/// Which series, and where in time.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    /// How far back it looks, in ms.
    pub(super) offset: i64,
    pub(super) at: Option<At>,
}

/// An instant that does not move with the steps.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Start,
    End,
    Instant(i64),
}

/// An aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
}

/// A part of an expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Number(f64),
    Text(String),
    Instant(Selector),
    Range {
        selector: Selector,
        length: i64,
    },
    Fold {
        fold: Fold,
        selector: Selector,
        length: i64,
        parameter: Option<Box<Node>>,
    },
    Map {
        unary: Unary,
        of: Box<Node>,
        parameters: Vec<Node>,
    },
    Negate(Box<Node>),
    Time,
    /// When the samples of a selector were taken.
    SampleTime(Selector),
    /// `timestamp` of anything else: the step.
    StepTime(Box<Node>),
    ToScalar(Box<Node>),
    ToVector(Box<Node>),
    Sort {
        of: Box<Node>,
        descending: bool,
    },
    Absent {
        of: Box<Node>,
        labels: Labels,
    },
    Replace {
        of: Box<Node>,
        target: String,
        template: String,
        source: String,
        pattern: Regex,
    },
    Aggregate {
        aggregation: Aggregation,
        of: Box<Node>,
        keep: Keep,
        parameter: Option<Box<Node>>,
    },
    Binary {
        operator: Operator,
        /// Comparisons give 0 or 1 instead of choosing.
        as_bool: bool,
        matching: Matching,
        left: Box<Node>,
        right: Box<Node>,
    },
    Set {
        set: Set,
        keep: Keep,
        left: Box<Node>,
        right: Box<Node>,
    },
}

/// Reads the parser's tree.
pub(super) fn plan(expression: &Expr) -> Result<Node> {
    match expression {
        Expr::NumberLiteral(number) => Ok(Node::Number(number.val)),
        Expr::StringLiteral(text) => Ok(Node::Text(text.val.clone())),
        Expr::Paren(inner) => plan(&inner.expr),
        Expr::Unary(inner) => Ok(match plan(&inner.expr)? {
            Node::Number(number) => Node::Number(-number),
            node => Node::Negate(Box::new(node)),
        }),
        Expr::VectorSelector(vector) => Ok(Node::Instant(selector(vector)?)),
        Expr::MatrixSelector(matrix) => Ok(Node::Range {
            selector: selector(&matrix.vs)?,
            length: millis(matrix.range)?,
        }),
        Expr::Call(call) => self::call(call),
        Expr::Aggregate(aggregate) => self::aggregate(aggregate),
        Expr::Binary(binary) => self::binary(binary),
        Expr::Subquery(_) => Err(unsupported("a subquery, `[range:step]`,")),
        Expr::Extension(_) => Err(unsupported("an extension")),
    }
}

fn unsupported(what: impl Into<String>) -> Error {
    Error::Unsupported(what.into())
}

fn boxed(expression: &Expr) -> Result<Box<Node>> {
    plan(expression).map(Box::new)
}

/// A duration in ms.
fn millis(length: Duration) -> Result<i64> {
    i64::try_from(length.as_millis())
        .ok()
        .filter(|ms| *ms < i64::MAX / 4)
        .ok_or_else(|| Error::Parse("a duration is out of range".to_owned()))
}

fn selector(vector: &syntax::VectorSelector) -> Result<Selector> {
    if !vector.matchers.or_matchers.is_empty() {
        return Err(unsupported("`or` between matchers"));
    }
    let mut matchers: Vec<Matcher> = vector.matchers.matchers.iter().map(matcher).collect();
    if let Some(name) = &vector.name
        && !matchers
            .iter()
            .any(|known| known.label == NAME && known.value == *name)
    {
        matchers.push(Matcher {
            label: NAME.to_owned(),
            compare: Compare::Equal,
            value: name.clone(),
        });
    }
    let offset = match vector.offset {
        None => 0,
        Some(Offset::Pos(back)) => millis(back)?,
        Some(Offset::Neg(ahead)) => -millis(ahead)?,
    };
    let at = match vector.at {
        None => None,
        Some(AtModifier::Start) => Some(At::Start),
        Some(AtModifier::End) => Some(At::End),
        Some(AtModifier::At(instant)) => Some(At::Instant(since_1970(instant)?)),
    };
    Ok(Selector {
        matchers,
        offset,
        at,
    })
}

fn since_1970(instant: SystemTime) -> Result<i64> {
    match instant.duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => millis(before.duration()).map(|ms| -ms),
    }
}

fn matcher(given: &promql_parser::label::Matcher) -> Matcher {
    Matcher {
        label: given.name.clone(),
        compare: match given.op {
            MatchOp::Equal => Compare::Equal,
            MatchOp::NotEqual => Compare::NotEqual,
            MatchOp::Re(_) => Compare::Matches,
            MatchOp::NotRe(_) => Compare::MatchesNot,
        },
        value: given.value.clone(),
    }
}

fn call(call: &syntax::Call) -> Result<Node> {
    let name = call.func.name;
    let arguments: Vec<&Expr> = call.args.args.iter().map(|argument| &**argument).collect();
    if let Some(fold) = Fold::named(name) {
        return folded(fold, &arguments);
    }
    if let Some(unary) = Unary::named(name) {
        return mapped(unary, &arguments);
    }
    match (name, &arguments[..]) {
        ("time", []) => Ok(Node::Time),
        ("vector", [of]) => Ok(Node::ToVector(boxed(of)?)),
        ("scalar", [of]) => Ok(Node::ToScalar(boxed(of)?)),
        ("timestamp", [of]) => Ok(match plan(of)? {
            Node::Instant(selector) => Node::SampleTime(selector),
            node => Node::StepTime(Box::new(node)),
        }),
        ("sort", [of]) => Ok(Node::Sort {
            of: boxed(of)?,
            descending: false,
        }),
        ("sort_desc", [of]) => Ok(Node::Sort {
            of: boxed(of)?,
            descending: true,
        }),
        ("absent", [of]) => {
            let of = plan(of)?;
            Ok(Node::Absent {
                labels: match &of {
                    Node::Instant(selector) => labels_of_none(&selector.matchers),
                    _ => Labels::none(),
                },
                of: Box::new(of),
            })
        }
        ("absent_over_time", [of]) => match plan(of)? {
            Node::Range { selector, length } => Ok(Node::Absent {
                labels: labels_of_none(&selector.matchers),
                of: Box::new(Node::Fold {
                    fold: Fold::Present,
                    selector,
                    length,
                    parameter: None,
                }),
            }),
            _ => Err(needs_range("absent_over_time")),
        },
        ("label_replace", [of, target, template, source, written]) => {
            let target = text(target)?;
            if !is_name(&target) {
                return Err(Error::Execution(format!(
                    "invalid destination label name in label_replace(): {target}"
                )));
            }
            Ok(Node::Replace {
                of: boxed(of)?,
                target,
                template: text(template)?,
                source: text(source)?,
                pattern: pattern(&text(written)?)?,
            })
        }
        _ => Err(unsupported(format!("the function {name}"))),
    }
}

fn needs_range(name: &str) -> Error {
    Error::Parse(format!("{name} needs a range of a selector, such as x[5m]"))
}

fn text(argument: &Expr) -> Result<String> {
    match argument {
        Expr::StringLiteral(text) => Ok(text.val.clone()),
        Expr::Paren(inner) => text(&inner.expr),
        _ => Err(Error::Parse("a text in quotes is needed".to_owned())),
    }
}

fn folded(fold: Fold, arguments: &[&Expr]) -> Result<Node> {
    let (range, parameter) = match (fold, arguments) {
        (Fold::Quantile, [parameter, range]) | (Fold::PredictLinear, [range, parameter]) => {
            (range, Some(boxed(parameter)?))
        }
        (_, [range]) => (range, None),
        _ => return Err(Error::Parse("a wrong number of arguments".to_owned())),
    };
    match plan(range)? {
        Node::Range { selector, length } => Ok(Node::Fold {
            fold,
            selector,
            length,
            parameter,
        }),
        _ => Err(needs_range("a function of a range")),
    }
}

fn mapped(unary: Unary, arguments: &[&Expr]) -> Result<Node> {
    let (of, given) = arguments
        .split_first()
        .ok_or_else(|| Error::Parse("a vector is needed".to_owned()))?;
    let mut parameters = given.iter().map(|p| plan(p)).collect::<Result<Vec<_>>>()?;
    if unary == Unary::Round && parameters.is_empty() {
        parameters.push(Node::Number(1.0));
    }
    Ok(Node::Map {
        unary,
        of: boxed(of)?,
        parameters,
    })
}

/// What `absent` says of itself: each label that is asked for to be one text, once.
fn labels_of_none(matchers: &[Matcher]) -> Labels {
    let once = |wanted: &&Matcher| {
        let same = matchers.iter().filter(|other| other.label == wanted.label);
        wanted.label != NAME && wanted.compare == Compare::Equal && same.count() == 1
    };
    let kept = matchers.iter().filter(once);
    kept.map(|matcher| (matcher.label.clone(), matcher.value.clone()))
        .collect()
}

fn names(labels: &promql_parser::label::Labels) -> std::collections::BTreeSet<String> {
    labels.labels.iter().cloned().collect()
}

fn keep(modifier: &LabelModifier) -> Keep {
    match modifier {
        LabelModifier::Include(labels) => Keep::Only(names(labels)),
        LabelModifier::Exclude(labels) => Keep::Without(names(labels)),
    }
}

fn aggregate(given: &syntax::AggregateExpr) -> Result<Node> {
    let aggregation = match given.op.to_string().as_str() {
        "sum" => Aggregation::Sum,
        "avg" => Aggregation::Avg,
        "min" => Aggregation::Min,
        "max" => Aggregation::Max,
        "count" => Aggregation::Count,
        "group" => Aggregation::Group,
        "stddev" => Aggregation::Stddev,
        "stdvar" => Aggregation::Stdvar,
        "topk" => Aggregation::Topk,
        "bottomk" => Aggregation::Bottomk,
        "quantile" => Aggregation::Quantile,
        other => return Err(unsupported(format!("the aggregation {other}"))),
    };
    Ok(Node::Aggregate {
        aggregation,
        of: boxed(&given.expr)?,
        keep: given
            .modifier
            .as_ref()
            .map_or_else(|| Keep::Only(std::collections::BTreeSet::new()), keep),
        parameter: given.param.as_deref().map(boxed).transpose()?,
    })
}

fn binary(given: &syntax::BinaryExpr) -> Result<Node> {
    let (left, right) = (boxed(&given.lhs)?, boxed(&given.rhs)?);
    let modifier = given.modifier.as_ref();
    let on = modifier.and_then(|modifier| modifier.matching.as_ref());
    let keep = on.map_or_else(
        || Keep::Without(std::collections::BTreeSet::new()),
        self::keep,
    );
    if modifier.is_some_and(|m| m.fill_values.lhs.is_some() || m.fill_values.rhs.is_some()) {
        return Err(unsupported("`fill`"));
    }
    let written = given.op.to_string();
    if let Some(set) = Set::written(&written) {
        return Ok(Node::Set {
            set,
            keep,
            left,
            right,
        });
    }
    let operator = Operator::written(&written)
        .ok_or_else(|| unsupported(format!("the operator {written}")))?;
    let relation = match modifier.map(|modifier| &modifier.card) {
        Some(Cardinality::ManyToOne(labels)) => Relation::Many(Side::Left, names(labels)),
        Some(Cardinality::OneToMany(labels)) => Relation::Many(Side::Right, names(labels)),
        _ => Relation::OneToOne,
    };
    Ok(Node::Binary {
        operator,
        as_bool: modifier.is_some_and(|modifier| modifier.return_bool),
        matching: Matching { keep, relation },
        left,
        right,
    })
}

#[cfg(test)]
mod tests {
    use crate::promql::{Error, Query};

    #[test]
    fn what_is_not_supported_is_named() {
        for (text, named) in [
            ("max_over_time(rate(x[1m])[5m:1m])", "subquery"),
            ("histogram_quantile(0.9, x)", "histogram_quantile"),
            (r#"count_values("v", x)"#, "count_values"),
            ("hour()", "hour"),
        ] {
            let error = Query::parse(text).unwrap_err();
            assert!(matches!(error, Error::Unsupported(_)), "{text}: {error}");
            assert!(error.to_string().contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            "x{",
            "rate(x)",
            "sum(x[5m])",
            "1 == 2",
            "{}",
            "x[0s]",
            "x offset",
        ] {
            let error = Query::parse(text).unwrap_err();
            assert!(matches!(error, Error::Parse(_)), "{text}: {error}");
        }
    }

    #[test]
    fn a_lone_selector_gives_its_matchers() {
        let query = Query::parse(r#"x{a!="b"}"#).unwrap();
        assert_eq!(query.matchers().unwrap().len(), 2);
        assert!(Query::parse("-x").unwrap().matchers().is_none());
    }
}
