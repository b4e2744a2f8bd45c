//! The page: one file, no script, no network, for screen and paper, light and dark.

use super::{details, facts, figures, headline, title, warnings};
use crate::model::explain::{Analysis, Impact, Node, Proof, Recommendation, SuggestedIndex};
use crate::report::chart::escape;
use crate::report::html::{MARK, STYLE, each};

/// What this page has beyond the report's sheet.
const OWN: &str = include_str!("explain.css");

/// The explained statement as a page of its own.
pub fn page(analysis: &Analysis) -> String {
    let verdict = format!(
        "<section class=\"verdict {}\"><h1>This statement {}</h1>{}</section>",
        tone(analysis),
        escape(&headline(analysis)),
        lead(analysis)
    );
    let statement = format!(
        "<section class=\"part\"><h3>Statement</h3><pre class=\"sql\"><code>{}</code></pre>\
         <dl class=\"known\">{}</dl></section>",
        escape(&analysis.query),
        each(facts(analysis), |(label, value)| format!(
            "<div><dt>{}</dt><dd>{}</dd></div>",
            escape(label),
            escape(&value)
        ))
    );
    let whole = if analysis.analyzed { "time" } else { "cost" };
    let plan = format!(
        "<section class=\"part\"><h3>Plan</h3><p class=\"empty\">Each bar is the whole statement's \
         {whole}: dark what the step takes by itself, light what the steps below it take.</p>\
         <ol class=\"plan\">{}</ol></section>",
        node(&analysis.plan)
    );
    let name = escape(&analysis.target);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <meta name=\"referrer\" content=\"no-referrer\"/><title>Plan: {name}</title>\
         <style>{STYLE}{OWN}</style></head><body class=\"report explained\"><header class=\"top\">\
         <p class=\"brand\">{MARK} Plimsoll</p><p class=\"made\">{name}</p></header><main>{verdict}{}\
         {plan}{statement}{}</main><footer><p>Costs are the planner's units, not time. 1 kB is 1024 \
         bytes. Indexes: {}.</p></footer></body></html>\n",
        advice(&analysis.recommendations),
        indexes(&analysis.suggested_indexes),
        escape(&analysis.index_basis)
    )
}

fn tone(analysis: &Analysis) -> &'static str {
    match analysis.recommendations.first().map(|one| one.impact) {
        Some(Impact::High) => "critical",
        Some(Impact::Medium) => "warning",
        Some(Impact::Low) | None => "fine",
    }
}

fn lead(analysis: &Analysis) -> String {
    let said = match analysis.recommendations.as_slice() {
        [] => "Nothing to mend was found.".to_owned(),
        [first, ..] => {
            let mut chars = first.description.chars();
            let start = chars.next().map(|c| c.to_uppercase().to_string());
            format!("{}{}.", start.unwrap_or_default(), chars.as_str())
        }
    };
    format!("<p class=\"next\">{}</p>", escape(&said))
}

fn advice(all: &[Recommendation]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let each = each(all, recommendation);
    format!("<section class=\"part\"><h3>What to mend</h3>{each}</section>")
}

fn recommendation(one: &Recommendation) -> String {
    let tone = match one.impact {
        Impact::High => "critical",
        Impact::Medium => "warning",
        Impact::Low => "",
    };
    let how = one.implementation.as_ref().map(|how| {
        let how = escape(how);
        format!("<pre class=\"sql\"><code>{how}</code></pre>")
    });
    format!(
        "<article class=\"finding {tone}\"><h4><span class=\"impact {tone}\">{} · {}</span> {}</h4>\
         {}{}</article>",
        one.impact.name(),
        one.kind.name(),
        escape(&one.description),
        how.unwrap_or_default(),
        one.proof.map_or_else(String::new, proof)
    )
}

/// Two bars: the cost as it is, and after.
fn proof(proof: Proof) -> String {
    let most = proof
        .cost_before
        .max(proof.cost_after)
        .max(f64::MIN_POSITIVE);
    let bar = |label: &str, cost: f64, class: &str| {
        format!(
            "<div><dt>{label}</dt><dd>{}<span>{}</span></dd></div>",
            drawn(cost / most, cost / most, class),
            super::count(cost)
        )
    };
    format!(
        "<dl class=\"proof\">{}{}</dl>",
        bar("cost now", proof.cost_before, "warning"),
        bar("after", proof.cost_after, "accent")
    )
}

fn indexes(all: &[SuggestedIndex]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let rows = each(all, |index| {
        let size = index
            .predicted_size
            .map(|bytes| format!("about {} on disk", super::bytes(bytes as f64)));
        let cost = match (index.cost_without, index.predicted_cost) {
            (Some(without), Some(with)) => format!(
                "the statement costs {} with all of these, {} without this one",
                super::count(with),
                super::count(without)
            ),
            _ => "not costed by the planner".to_owned(),
        };
        let known: Vec<String> = size.into_iter().chain([cost]).collect();
        format!(
            "<li><code>{}</code><small>{}</small></li>",
            escape(&index.ddl),
            escape(&known.join("; "))
        )
    });
    format!(
        "<section class=\"part\"><h3>Suggested indexes</h3><ul class=\"indexes\">{rows}</ul></section>"
    )
}

fn node(one: &Node) -> String {
    let share: f64 = one.nodes().iter().map(|n| n.share).sum();
    let weight = if one.share >= 0.5 {
        "critical"
    } else if one.share >= 0.3 {
        "warning"
    } else {
        "accent"
    };
    let lines = |lines: Vec<String>, class: &str| {
        each(lines, |line| {
            format!("<p class=\"{class}\">{}</p>", escape(&line))
        })
    };
    let children = super::below(one);
    let mut below = each(children.shown, node);
    below.extend(
        children
            .rest
            .map(|rest| format!("<li><p class=\"figures-of\">{}</p></li>", escape(&rest))),
    );
    let below = if below.is_empty() {
        below
    } else {
        format!("<ol>{below}</ol>")
    };
    format!(
        "<li><div class=\"step\"><div class=\"share\">{}<span>{:.1} %</span></div><div class=\"what\">\
         <p class=\"name\">{}</p><p class=\"figures-of\">{}</p>{}{}</div></div>{below}</li>",
        drawn(one.share, share.min(1.0), weight),
        one.share * 100.0,
        escape(&title(one)),
        escape(&figures(one).join(" · ")),
        lines(warnings(one), "mark"),
        lines(details(one), "condition")
    )
}

/// A bar: `own` of the whole dark, up to `all` light.
fn drawn(own: f64, all: f64, class: &str) -> String {
    let width = |share: f64| share.clamp(0.0, 1.0) * 100.0;
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"trough\" width=\"100\" height=\"6\"/>\
         <rect class=\"below\" width=\"{:.2}\" height=\"6\"/>\
         <rect class=\"fill {class}\" width=\"{:.2}\" height=\"6\"/></svg>",
        width(all),
        width(own)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_nothing_of_anybody_and_runs_nothing() {
        let analysis = Analysis {
            target: "<main>".to_owned(),
            query: "select '<script>alert(1)</script>'".to_owned(),
            plan: Node {
                node_type: "Result".to_owned(),
                share: 1.0,
                ..Node::default()
            },
            ..Analysis::default()
        };
        let page = page(&analysis);
        for bad in ["<script", "http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(bad), "{bad}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;main&gt;"));
        assert!(page.contains("Nothing to mend was found."));
    }
}
