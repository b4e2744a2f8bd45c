//! The statements that advice is for, and how often they run.
//!
//! For: reading a workload file. Not for: planning its statements (`postgres::plan`).
//!
//! A file holds statements ended by `;`. A comment before a statement may name it and say how often
//! it runs: `-- name: funnel calls=120 mean_ms=35`; or just `-- funnel`. Without a name it is called
//! by its place; without calls it counts once.

use super::script;

/// Most statements of a workload: each is planned many times.
pub const MAX_STATEMENTS: usize = 1_000;

/// A statement with its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// How it is called in the answer; unique in its workload.
    pub name: String,
    /// One statement, without a `;`.
    pub text: String,
    /// How often it runs; only its share of all matters.
    pub calls: f64,
    /// Mean time of one run, where it was measured.
    pub mean_ms: Option<f64>,
    /// Values in its text that stand for parameters nobody knows: no condition may rest on them.
    pub made_up: Vec<String>,
}

/// A statement that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// How it is called.
    pub name: String,
    /// Why it cannot be planned, with the cure where there is one.
    pub reason: String,
}

/// Reads a workload file: the statements that can be planned, and those that cannot.
pub fn read(text: &str) -> (Vec<Statement>, Vec<Skipped>) {
    let (mut statements, mut skipped) = (Vec::<Statement>::new(), Vec::new());
    for (place, piece) in script::split(text).into_iter().enumerate() {
        let note = Note::of(&piece.comments);
        let mut name = note.name.unwrap_or_else(|| (place + 1).to_string());
        while statements.iter().any(|s| s.name == name) {
            name.push('\'');
        }
        match script::single(piece.text) {
            Err(refusal) => skipped.push(Skipped {
                name,
                reason: refusal.to_string(),
            }),
            Ok(_) if statements.len() >= MAX_STATEMENTS => skipped.push(Skipped {
                name,
                reason: format!("a workload has at most {MAX_STATEMENTS} statements"),
            }),
            Ok(text) => statements.push(Statement {
                name,
                text: text.to_owned(),
                calls: note.calls.unwrap_or(1.0),
                mean_ms: note.mean_ms,
                made_up: Vec::new(),
            }),
        }
    }
    (statements, skipped)
}

/// What one unit of each statement's planner cost counts: its calls, times how its unit compares with
/// the others' in time where times were measured.
///
/// A unit of the statement in the middle counts as often as it is called, so that weighted costs stay
/// planner units. Statements without a time count as those in the middle do.
pub fn weights(statements: &[Statement], costs: &[f64]) -> Vec<f64> {
    let pace = |statement: &Statement, cost: f64| {
        let measured = statement.mean_ms.filter(|ms| *ms > 0.0 && cost > 0.0);
        measured.map(|ms| ms / cost)
    };
    let mut paces: Vec<f64> = statements
        .iter()
        .zip(costs)
        .filter_map(|(statement, cost)| pace(statement, *cost))
        .collect();
    paces.sort_by(f64::total_cmp);
    let middle = paces.get(paces.len() / 2).copied();
    let each = statements.iter().zip(costs);
    each.map(|(statement, cost)| {
        let pace = pace(statement, *cost).zip(middle);
        statement.calls * pace.map_or(1.0, |(pace, middle)| pace / middle)
    })
    .collect()
}

#[derive(Debug, Default)]
struct Note {
    name: Option<String>,
    calls: Option<f64>,
    mean_ms: Option<f64>,
}

impl Note {
    /// Longest name that is kept.
    const MAX_NAME: usize = 80;

    /// The last comment that says anything names the statement.
    fn of(comments: &[&str]) -> Self {
        let mut note = Self::default();
        let Some(comment) = comments.iter().rev().find(|c| !c.is_empty()) else {
            return note;
        };
        let mut words = Vec::new();
        for word in comment.split_whitespace() {
            let number = |text: &str| {
                text.parse()
                    .ok()
                    .filter(|n: &f64| n.is_finite() && *n >= 0.0)
            };
            match word.split_once('=') {
                Some(("calls", text)) if number(text).is_some() => note.calls = number(text),
                Some(("mean_ms", text)) if number(text).is_some() => note.mean_ms = number(text),
                _ if word == "name:" => words.clear(),
                _ => words.push(word),
            }
        }
        let name: String = words.join(" ").chars().take(Self::MAX_NAME).collect();
        note.name = (!name.is_empty()).then_some(name);
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_a_slow_statement_counts_more() {
        let statement = |calls: f64, mean_ms: Option<f64>| Statement {
            name: String::new(),
            text: String::new(),
            calls,
            mean_ms,
            made_up: Vec::new(),
        };
        let statements = [
            statement(1.0, Some(10.0)),
            statement(2.0, Some(20.0)),
            statement(3.0, Some(400.0)),
            statement(4.0, None),
        ];
        let weights = weights(&statements, &[100.0, 100.0, 1_000.0, 100.0]);
        assert_eq!(weights, [0.5, 2.0, 6.0, 4.0]);
        assert_eq!(super::weights(&statements[3..], &[100.0]), [4.0]);
    }

    #[test]
    fn names_and_weights_stand_in_the_comment_before() {
        let text = "-- name: funnel calls=120 mean_ms=35\nselect 1;\n-- 5\nselect 2;\nselect 3;\n\
                    -- 5\nselect 4; -- calls=-1\nvacuum;";
        let (statements, skipped) = read(text);
        let seen: Vec<(&str, f64, Option<f64>)> = statements
            .iter()
            .map(|s| (s.name.as_str(), s.calls, s.mean_ms))
            .collect();
        let want = [
            ("funnel", 120.0, Some(35.0)),
            ("5", 1.0, None),
            ("3", 1.0, None),
            ("5'", 1.0, None),
        ];
        assert_eq!(seen, want);
        assert_eq!(skipped.len(), 1);
        assert!(skipped[0].reason.starts_with("VACUUM has no plan"));
    }
}
