//! A plan as a tree for the terminal: each node with its own share, worst first to the eye.

use std::fmt::Write as _;

use crate::cli::table::{Paint, Tone};
use crate::model::explain::{Analysis, Impact, Node, Recommendation};
use crate::report::explain::{self as words, count};

/// Cells of a bar that stands for the whole.
const BAR: usize = 12;
/// Shares from which on a node is marked.
const MUCH: f64 = 0.3;
const MOST: f64 = 0.5;
/// Signs of a line of advice, without its indentation.
const WIDTH: usize = 92;
/// Longest condition that is shown whole.
const LINE: usize = 140;

/// Everything that is known of the statement.
pub(super) fn show(analysis: &Analysis, paint: Paint) -> String {
    let mut text = head(analysis, paint);
    text.push('\n');
    let heading = if analysis.analyzed {
        "own time        what"
    } else {
        "own cost        what"
    };
    let _ = writeln!(text, "{}", paint.tone(heading, Tone::Faint));
    node(&analysis.plan, &Branch::root(), paint, &mut text);
    advice(analysis, paint, &mut text);
    text
}

fn head(analysis: &Analysis, paint: Paint) -> String {
    let mut text = String::new();
    let name = paint.tone(&analysis.target, Tone::Strong);
    let _ = writeln!(text, "{name}  {}", words::headline(analysis));
    for (label, value) in words::facts(analysis) {
        let _ = writeln!(
            text,
            "  {}  {}",
            paint.tone(&format!("{label:<10}"), Tone::Faint),
            plain(&value)
        );
    }
    text
}

/// What stands before a node and before what is below it.
struct Branch {
    own: String,
    below: String,
}

impl Branch {
    fn root() -> Self {
        Self {
            own: String::new(),
            below: String::new(),
        }
    }

    fn child(&self, is_last: bool) -> Self {
        let (own, below) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        Self {
            own: format!("{}{own}", self.below),
            below: format!("{}{below}", self.below),
        }
    }
}

fn node(node: &Node, branch: &Branch, paint: Paint, text: &mut String) {
    let tone = if node.share >= MOST {
        Tone::Critical
    } else if node.share >= MUCH {
        Tone::Warning
    } else {
        Tone::Plain
    };
    let share = format!("{:>5.1} %", node.share * 100.0);
    let _ = writeln!(
        text,
        "{} {}  {}{}  {}",
        paint.tone(&share, tone),
        paint.tone(&bar(node.share), tone),
        paint.tone(&branch.own, Tone::Faint),
        paint.tone(&plain(&words::title(node)), Tone::Strong),
        words::figures(node).join(", ")
    );
    let pad = " ".repeat(8 + BAR + 2);
    let trunk = if node.plans.is_empty() {
        format!("{}  ", branch.below)
    } else {
        format!("{}│ ", branch.below)
    };
    for line in words::details(node) {
        let line = shortened(&line);
        let shown = format!("{pad}{trunk}{line}");
        let _ = writeln!(text, "{}", paint.tone(&shown, Tone::Faint));
    }
    for warning in words::warnings(node) {
        let shown = format!("{pad}{trunk}");
        let _ = writeln!(
            text,
            "{}{}",
            paint.tone(&shown, Tone::Faint),
            paint.tone(&warning, Tone::Warning)
        );
    }
    let below = words::below(node);
    let last = below.shown.len().saturating_sub(1);
    for (place, child) in below.shown.iter().enumerate() {
        let is_last = place == last && below.rest.is_none();
        self::node(child, &branch.child(is_last), paint, text);
    }
    if let Some(rest) = below.rest {
        let shown = format!("{pad}{}{rest}", branch.child(true).own);
        let _ = writeln!(text, "{}", paint.tone(&shown, Tone::Faint));
    }
}

/// Eighths of cells, so that a few per cent are seen, too.
fn bar(share: f64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a small number of cells"
    )]
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let mut cells = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        cells.extend(EIGHTHS.get(eighths % 8));
    }
    let drawn = cells.chars().count();
    cells.push_str(&" ".repeat(BAR.saturating_sub(drawn)));
    cells
}

/// Without signs that would move the cursor or change colours.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// Broken between words, with the lines that follow under the first.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        if let Some(line) = lines.last_mut() {
            let fits = line.chars().count() + word.chars().count() < WIDTH;
            if fits || line.is_empty() {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
                continue;
            }
        }
        lines.push(word.to_owned());
    }
    lines.join("\n        ")
}

fn shortened(line: &str) -> String {
    let line = plain(line);
    if line.chars().count() <= LINE {
        return line;
    }
    let head: String = line.chars().take(LINE).collect();
    format!("{head}…")
}

fn advice(analysis: &Analysis, paint: Paint, text: &mut String) {
    text.push('\n');
    if analysis.recommendations.is_empty() {
        let _ = writeln!(text, "nothing to mend was found");
    }
    for one in &analysis.recommendations {
        recommendation(one, paint, text);
    }
    let _ = writeln!(
        text,
        "{}",
        paint.tone(&format!("indexes: {}", analysis.index_basis), Tone::Faint)
    );
}

fn recommendation(one: &Recommendation, paint: Paint, text: &mut String) {
    let tone = match one.impact {
        Impact::High => Tone::Critical,
        Impact::Medium => Tone::Warning,
        Impact::Low => Tone::Plain,
    };
    let _ = writeln!(
        text,
        "{}  {}",
        paint.tone(&format!("{:<6}", one.impact.name()), tone),
        wrapped(&plain(&one.description))
    );
    if let Some(how) = &one.implementation {
        let _ = writeln!(text, "        {}", wrapped(&plain(how)));
    }
    if let Some(proof) = one.proof {
        let line = format!(
            "        proof: the planner's cost goes from {} to {}",
            count(proof.cost_before),
            count(proof.cost_after)
        );
        let _ = writeln!(text, "{}", paint.tone(&line, Tone::Good));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_wide_as_the_share_and_always_as_long() {
        assert_eq!(bar(1.0), "█".repeat(BAR));
        assert_eq!(bar(0.0), " ".repeat(BAR));
        assert_eq!(bar(0.5), format!("{}{}", "█".repeat(6), " ".repeat(6)));
        for share in 0..=100 {
            assert_eq!(bar(f64::from(share) / 100.0).chars().count(), BAR);
        }
    }

    #[test]
    fn advice_is_broken_between_words_and_no_word_is_lost() {
        let text = "a long word ".repeat(30) + &"x".repeat(200);
        let lines = wrapped(&text);
        for line in lines.lines().filter(|line| !line.contains("xx")) {
            assert!(line.trim_start().chars().count() <= WIDTH, "{line}");
        }
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&lines), words(&text));
    }

    #[test]
    fn a_tree_is_drawn_with_its_branches_and_advice() {
        let leaf = |name: &str, share: f64| Node {
            node_type: "Seq Scan".to_owned(),
            relation: Some(name.to_owned()),
            share,
            plan_rows: 1_234.0,
            ..Node::default()
        };
        let mut root = leaf("", 0.1);
        root.node_type = "Hash Join".to_owned();
        root.relation = None;
        root.plans = vec![leaf("a", 0.7), leaf("b", 0.2)];
        let analysis = Analysis {
            target: "main".to_owned(),
            plan: root,
            index_basis: "hypopg 1.4".to_owned(),
            ..Analysis::default()
        };
        let shown = show(&analysis, Paint::new(false));
        assert!(
            shown.contains(" 70.0 % ████████▍     ├─ Seq Scan on a"),
            "{shown}"
        );
        assert!(shown.contains("└─ Seq Scan on b"), "{shown}");
        assert!(shown.contains("1,234 rows"), "{shown}");
        assert!(shown.contains("nothing to mend"), "{shown}");
    }
}
