//! What every page must hold: closed tags, no network, nothing unescaped, the same bytes again.

use super::*;
use crate::report::fixture::{self, HOSTILE};
use crate::report::jobs::fixture::queues;

/// Walks the tags; gives the first that is not closed in its place.
fn badly_nested(page: &str) -> Option<String> {
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap_or(page);
    let mut open: Vec<&str> = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>')?;
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}>"));
            }
        } else if !tag.ends_with('/') {
            let name = tag.split_whitespace().next()?;
            open.push(name);
            if name == "style" {
                rest = &rest[rest.find("</style>")?..];
            }
        }
        if tag.matches('"').count() % 2 == 1 {
            return Some(format!("quotes in <{tag}>"));
        }
    }
    open.pop().map(|name| format!("<{name}> is never closed"))
}

fn pages() -> [(&'static str, String); 8] {
    [
        ("report-odd", page(&fixture::odd())),
        ("dashboard-odd", dashboard(&fixture::odd(), &queues())),
        ("report", page(&fixture::rich())),
        ("report-calm", page(&fixture::calm())),
        ("report-fresh", page(&fixture::fresh())),
        ("dashboard", dashboard(&fixture::rich(), &queues())),
        ("dashboard-calm", dashboard(&fixture::calm(), &queues())),
        ("dashboard-fresh", dashboard(&fixture::fresh(), &queues())),
    ]
}

#[test]
fn every_page_is_well_formed() {
    for (name, page) in pages() {
        assert_eq!(badly_nested(&page), None, "{name}");
    }
}

#[test]
fn the_report_asks_nothing_of_any_network() {
    let page = page(&fixture::rich());
    for call in [
        "http://", "https://", "src=", "<link", "@import", "<script", "url(\"", "url(h",
    ] {
        assert!(!page.contains(call), "{call}");
    }
}

#[test]
fn the_dashboard_loads_its_two_files_and_holds_nothing_inline() {
    let page = dashboard(&fixture::rich(), &queues());
    assert!(page.contains("href=\"/ui/style.css\"") && page.contains("src=\"/ui/app.js\""));
    for inline in [
        "style=",
        "<style",
        "onclick=",
        "onload=",
        "onerror=",
        "javascript:",
    ] {
        assert!(!page.contains(inline), "{inline}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    let bytes = page.len() + STYLE.len() + SCRIPT.len();
    assert!(bytes < 150_000, "{bytes}");
    assert!(!SCRIPT.contains("http") && !STYLE.contains("http"));
}

#[test]
fn hostile_names_are_shown_and_harm_nothing() {
    for (name, page) in pages().into_iter().filter(|(name, _)| !name.contains('-')) {
        assert!(
            page.contains("Robert&quot;); DROP TABLE students"),
            "{name}"
        );
        assert!(page.contains("&lt;script&gt;alert(1)"), "{name}");
        assert!(
            !page.contains(HOSTILE) && !page.contains("<script>"),
            "{name}"
        );
    }
}

#[test]
fn a_hostile_target_name_is_escaped_everywhere() {
    let mut input = fixture::rich();
    HOSTILE.clone_into(&mut input.targets[0].name);
    for projection in &mut input.targets[0].projections {
        HOSTILE.clone_into(&mut projection.target);
    }
    for page in [page(&input), dashboard(&input, &queues())] {
        assert!(!page.contains("<script>"));
        assert_eq!(badly_nested(&page), None);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(page(&fixture::rich()), page(&fixture::rich()));
    assert_eq!(
        dashboard(&fixture::rich(), &queues()),
        dashboard(&fixture::rich(), &queues())
    );
}

#[test]
fn the_fragment_is_what_stands_in_main() {
    let input = fixture::rich();
    let main = format!(
        "<main id=\"main\">{}</main>",
        dashboard_main(&input, &queues())
    );
    assert!(dashboard(&input, &queues()).contains(&main));
}

#[test]
fn made_up_history_is_marked_in_the_table_the_chart_and_in_words() {
    let page = page(&fixture::rich());
    assert!(page.matches(">synthetic</span>").count() >= 3);
    assert!(page.contains(">synthetic</text>"));
    assert!(page.contains("made up for the demo, not recorded"));
}

#[test]
fn ids_in_a_page_are_unique() {
    let page = page(&fixture::rich());
    let mut ids: Vec<_> = page
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn nothing_at_all_still_makes_a_page() {
    let mut input = fixture::rich();
    input.targets.clear();
    let page = page(&input);
    assert_eq!(badly_nested(&page), None);
    assert!(page.contains("No target is watched yet"));
}

/// For the eye: `target/pages/` holds every page after a test run.
#[test]
fn pages_are_left_to_look_at() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, page) in pages() {
        let linked = "<link rel=\"stylesheet\" href=\"/ui/style.css\"/>";
        let page = page.replace(linked, &format!("<style>{STYLE}</style>"));
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}

#[test]
fn the_page_tells_of_queues_and_schedules_and_of_none_where_there_are_none() {
    let page = dashboard(&fixture::rich(), &queues());
    for shown in [
        "<h2>Jobs</h2>",
        "1,204",
        "12.5",
        "1.24 s",
        "; 2 queues more not shown",
        "2026-05-02 03:00:00 +02:00",
        "completed</span>, 10 min ago",
        ">ended<",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    let warned = page.split("Dead letters\"><span>").nth(1).unwrap();
    assert!(
        warned.starts_with("<span class=\"badge warning\">"),
        "{warned:.80}"
    );
    let none = dashboard(&fixture::rich(), &JobsReport::default());
    assert!(!none.contains("<h2>Jobs</h2>"));
}
