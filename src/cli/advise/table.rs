//! Advice as aligned tables for the terminal.

use std::fmt::Write as _;

use super::size;
use crate::cli::table::{Paint, Table, Tone, percent};
use crate::model::advice::Advice;

/// Everything that advice says, most useful first.
pub(super) fn show(advice: &Advice, paint: Paint) -> String {
    let mut text = headline(advice, paint);
    if !advice.indexes.is_empty() {
        let mut table = Table::new(&[">SIZE", ">GAIN", ">WRITES", "INDEX", "FOR"]);
        for index in &advice.indexes {
            let names: Vec<&str> = index.statements.iter().map(|s| s.name.as_str()).collect();
            let share = |cost: f64| percent(share(cost, advice.cost_before));
            table.row([
                size::show(index.size_bytes).into(),
                share(index.gain).into(),
                share(index.write_cost).into(),
                format!("{};", index.ddl).into(),
                names.join(", ").into(),
            ]);
        }
        let _ = write!(text, "\n{}", table.draw(paint));
    }
    for drop in &advice.drop {
        let frees = size::show(drop.frees_bytes);
        let _ = writeln!(text, "\n{};\n  frees {frees}: {}", drop.ddl, drop.reason);
    }
    for worse in &advice.worse {
        let (before, after) = (worse.before.round(), worse.after.round());
        let word = paint.tone("may get worse", Tone::Warning);
        let _ = writeln!(
            text,
            "{word}  {}: {} {before} -> {after}",
            worse.name, worse.what
        );
    }
    for other in &advice.not_costed {
        let _ = writeln!(
            text,
            "not costed, for {}: {}\n  {};",
            other.statement, other.reason, other.ddl
        );
    }
    for skipped in &advice.skipped {
        let word = paint.tone("left out", Tone::Faint);
        let _ = writeln!(text, "{word}  {}: {}", skipped.name, skipped.reason);
    }
    text
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then_some(part / whole)
}

fn headline(advice: &Advice, paint: Paint) -> String {
    let left = percent(share(advice.cost_after, advice.cost_before));
    let count = advice.indexes.len();
    let found = match count {
        0 => "no index that pays was found".to_owned(),
        1 => "1 index".to_owned(),
        _ => format!("{count} indexes"),
    };
    format!(
        "{}  {found}, {}: the workload costs {left} of what it does ({} plans, {:.1} s, {})\n",
        paint.tone(&advice.target, Tone::Strong),
        size::show(advice.size_bytes),
        advice.explains,
        advice.seconds,
        advice.basis
    )
}
