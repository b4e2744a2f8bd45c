//! One way to draw: inline SVG that needs no script, no font and no network.
//!
//! For: the chart of one resource (history, forecast, bands, limit, today), bars and sparklines.
//! Not for: colours, which are the style sheet's (classes only, so that light, dark and print each
//! have theirs), and not for tables, which stand beside every chart for whoever cannot see it.
//! Read `axis` first: it maps time and value to the drawing.

pub(crate) mod axis;
mod pen;

use std::fmt::Write as _;

use super::headroom;
use super::pattern;
use super::words;
use crate::model::capacity::{Crossing, ForecastPoint, Projection};
use crate::model::units::{Millis, Timestamp};
use axis::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, View, WIDTH};
use pen::{Pen, broken_line};

/// More forecast points than this are drawn as means of seven: smaller pages, and the weekly
/// season, which the history shows, does not turn the bands into a comb.
const POINTS_MAX: usize = 150;

/// Labels of two lines nearer than this would touch.
const LABEL_GAP: f64 = 18.0;

/// Text for SVG and HTML: markup is escaped, and what neither may hold is replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if words::is_unsafe(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}');
            }
            c => safe.push(c),
        }
    }
    safe
}

/// One step of a forecast as drawn: a mean of one or seven points.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawn {
    /// Middle of the step, in ms since 1970.
    pub(crate) at: f64,
    /// Expected value.
    pub(crate) mean: f64,
    /// `(level, lo, hi)`, narrowest first.
    pub(crate) bands: Vec<(f64, f64, f64)>,
}

/// Draws usage, forecast and limit of one resource; `id` must be unique in the page.
///
/// A projection without history or forecast gives an empty frame with its limit.
pub fn projection(projection: &Projection, id: &str) -> String {
    drawing(projection, &[], id)
}

/// Draws a projection under a scenario, and what was expected without it as a broken line.
pub fn what_if(changed: &Projection, was: &Projection, id: &str) -> String {
    drawing(changed, &drawn_points(was), id)
}

fn drawing(projection: &Projection, was: &[Drawn], id: &str) -> String {
    let points = drawn_points(projection);
    let view = View::around(projection, &points);
    let mut body = String::new();
    defs(&mut body, &view, id);
    synthetic(&mut body, projection, &view, id);
    axis::draw(&mut body, &view);
    let _ = write!(body, "<g clip-path=\"url(#{id}-clip)\">");
    bands(&mut body, &points, &view);
    past(&mut body, projection, &view);
    line(&mut body, "as-is", was, &view);
    line(&mut body, "mean", &points, &view);
    body.push_str("</g>");
    changes(&mut body, projection, &view);
    today(&mut body, projection.made_at, &view);
    limits(&mut body, projection, &view);
    let name = escape(words::resource(projection.resource));
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-desc\"><title id=\"{id}-title\">{name} over time</title>\
         <desc id=\"{id}-desc\">{}</desc>{body}</svg>",
        escape(&description(projection))
    )
}

/// A small line without axes; gaps stay gaps. `label` says what it shows.
pub fn sparkline(values: &[f64], label: &str) -> String {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (lo, hi) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), value| {
        (lo.min(value), hi.max(value))
    });
    let span = if hi > lo { hi - lo } else { 1.0 };
    let across = 116.0 / (values.len().max(2) - 1) as f64;
    let places = values.iter().enumerate().map(|(i, value)| {
        let y = value.is_finite().then(|| 25.0 - 22.0 * (value - lo) / span);
        (2.0 + across * i as f64, y)
    });
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 120 28\" role=\"img\" aria-label=\"{}\">\
         <path class=\"history\" d=\"{}\"/></svg>",
        escape(label),
        broken_line(places)
    )
}

/// A bar for a share of a limit, with marks at the thresholds given as shares.
pub fn bar(share: f64, marks: &[f64], class: &str) -> String {
    let place = |share: f64| 100.0 * share.clamp(0.0, 1.0);
    let mut lines = String::new();
    for mark in marks {
        let x = place(*mark);
        let _ = write!(lines, "<path class=\"mark\" d=\"M{x:.1} 0V8\"/>");
    }
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"trough\" width=\"100\" height=\"8\"/>\
         <rect class=\"fill {class}\" width=\"{:.1}\" height=\"8\"/>{lines}</svg>",
        place(share)
    )
}

/// Shares of a whole as one stacked bar; the legend is the caller's. Classes `part-1`, `part-2`, ….
pub fn stack(shares: &[f64], label: &str) -> String {
    let mut parts = String::new();
    let mut x = 0.0;
    for (i, share) in shares.iter().enumerate() {
        let width = 100.0 * share.clamp(0.0, 1.0);
        let class = i % 6 + 1;
        let _ = write!(
            parts,
            "<rect class=\"part-{class}\" x=\"{x:.2}\" width=\"{width:.2}\" height=\"8\"/>"
        );
        x += width;
    }
    format!(
        "<svg class=\"bar stack\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{}\"><rect class=\"trough\" width=\"100\" height=\"8\"/>{parts}</svg>",
        escape(label)
    )
}

/// Forecast points inside the drawn horizon, thinned where they are many.
pub(crate) fn drawn_points(projection: &Projection) -> Vec<Drawn> {
    let Some(forecast) = headroom::forecast(projection) else {
        return Vec::new();
    };
    let until = axis::horizon(projection, forecast);
    let shown: Vec<&ForecastPoint> = forecast
        .points
        .iter()
        .take_while(|point| point.at <= until)
        .collect();
    let group = if shown.len() > POINTS_MAX { 7 } else { 1 };
    // A last group that is not whole would jump, for a part of a week is not a week's mean.
    let groups = shown.chunks_exact(group);
    groups.map(|group| mean_of(group, forecast.step)).collect()
}

fn mean_of(points: &[&ForecastPoint], step: Millis) -> Drawn {
    let n = points.len() as f64;
    let mut sum = Drawn {
        at: 0.0,
        mean: 0.0,
        bands: Vec::new(),
    };
    for point in points {
        sum.at += (point.at.as_millis() as f64 + step.0 as f64 / 2.0) / n;
        sum.mean += point.mean / n;
        for (i, band) in point.bands.iter().enumerate() {
            if let Some((_, lo, hi)) = sum.bands.get_mut(i) {
                *lo += band.lo / n;
                *hi += band.hi / n;
            } else {
                sum.bands.push((band.level.get(), band.lo / n, band.hi / n));
            }
        }
    }
    sum
}

fn defs(body: &mut String, view: &View, id: &str) {
    let (width, height) = (view.right() - LEFT, HEIGHT - TOP - BOTTOM);
    let _ = write!(
        body,
        "<defs><clipPath id=\"{id}-clip\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" \
         height=\"{height}\"/></clipPath>\
         <pattern id=\"{id}-hatch\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V7\"/></pattern></defs>"
    );
}

fn synthetic(body: &mut String, projection: &Projection, view: &View, id: &str) {
    let Some(span) = projection.synthetic else {
        return;
    };
    let from = view
        .x(span.from.as_millis() as f64)
        .clamp(LEFT, view.right());
    let until = view
        .x(span.until.as_millis() as f64)
        .clamp(LEFT, view.right());
    let height = HEIGHT - TOP - BOTTOM;
    let _ = write!(
        body,
        "<rect class=\"synthetic\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" \
         height=\"{height}\" fill=\"url(#{id}-hatch)\"/>",
        (until - from).max(0.0)
    );
    if until - from > 70.0 {
        let _ = write!(
            body,
            "<text class=\"note\" x=\"{:.1}\" y=\"{:.1}\">synthetic</text>",
            from + 6.0,
            HEIGHT - BOTTOM - 7.0
        );
    }
}

fn bands(body: &mut String, points: &[Drawn], view: &View) {
    let count = points.first().map_or(0, |point| point.bands.len());
    for rank in (0..count).rev() {
        let band = |point: &Drawn| point.bands.get(rank).copied();
        let upper = points.iter().filter_map(|p| Some((p.at, band(p)?.2)));
        let lower = points.iter().rev().filter_map(|p| Some((p.at, band(p)?.1)));
        let level = points
            .first()
            .and_then(band)
            .map_or(0.0, |(level, ..)| level);
        let class = match level {
            level if level <= 0.5 => "band narrow",
            level if level <= 0.8 => "band middle",
            _ => "band wide",
        };
        let mut pen = Pen::default();
        for (at, value) in upper.chain(lower) {
            pen.to(view.x(at), view.y(value));
        }
        let path = pen.finish();
        let _ = write!(body, "<path class=\"{class}\" d=\"{path}Z\"/>");
    }
}

fn past(body: &mut String, projection: &Projection, view: &View) {
    let start = projection.history_start.as_millis() as f64;
    let day = Millis::DAY.0 as f64;
    let places = projection.history.iter().enumerate().map(|(i, value)| {
        let at = start + (i as f64 + 0.5) * day;
        (view.x(at), value.is_finite().then(|| view.y(*value)))
    });
    let _ = write!(
        body,
        "<path class=\"history\" d=\"{}\"/>",
        broken_line(places)
    );
}

fn line(body: &mut String, class: &str, points: &[Drawn], view: &View) {
    if points.is_empty() {
        return;
    }
    let places = points
        .iter()
        .map(|point| (view.x(point.at), Some(view.y(point.mean))));
    let _ = write!(
        body,
        "<path class=\"{class}\" d=\"{}\"/>",
        broken_line(places)
    );
}

fn today(body: &mut String, now: Timestamp, view: &View) {
    let x = view.x(now.as_millis() as f64);
    if !(LEFT..=view.right()).contains(&x) {
        return;
    }
    let floor = HEIGHT - BOTTOM;
    // Near an edge the word leans inwards, so that it is never cut.
    let anchor = if x > WIDTH - RIGHT - 24.0 {
        "end"
    } else {
        "middle"
    };
    let _ = write!(
        body,
        "<path class=\"today\" d=\"M{x:.1} {TOP}V{floor}\"/>\
         <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">today</text>",
        TOP - 6.0
    );
}

/// A mark at each change of the drawn past, with its words for whoever points at it.
fn changes(body: &mut String, projection: &Projection, view: &View) {
    let found = headroom::forecast(projection).map_or(&[][..], |f| f.changes.as_slice());
    let floor = HEIGHT - BOTTOM;
    for change in found {
        let x = view.x(change.at.as_millis() as f64);
        if !(LEFT..=view.right()).contains(&x) {
            continue;
        }
        let said = escape(&pattern::change(change, projection.resource.unit()));
        let _ = write!(
            body,
            "<g><title>{said}</title><path class=\"change\" d=\"M{x:.1} {TOP}V{floor}\"/>\
             <path class=\"change-mark\" d=\"M{:.1} {floor}h8l-4 -5Z\"/></g>",
            x - 4.0
        );
    }
}

/// The limit with the 80 % interval of reaching it, and the thresholds below.
fn limits(body: &mut String, projection: &Projection, view: &View) {
    let right = view.right();
    let Some(limit) = projection.limit.as_ref().map(|limit| limit.value) else {
        return;
    };
    let top = view.y(limit);
    let size = words::quantity(limit, projection.resource.unit());
    let _ = write!(
        body,
        "<path class=\"limit\" d=\"M{LEFT} {top:.1}H{right}\"/>\
         <text class=\"limit-label\" x=\"{:.1}\" y=\"{:.1}\">limit {}</text>",
        LEFT + 6.0,
        top - 5.0,
        escape(&size)
    );
    let crossings = headroom::forecast(projection).map_or(&[][..], |f| f.crossings.as_slice());
    let mut last = top;
    for crossing in crossings.iter().rev().filter(|c| c.name != "limit") {
        let y = view.y(crossing.threshold);
        let _ = write!(
            body,
            "<path class=\"threshold\" d=\"M{LEFT} {y:.1}H{right}\"/>"
        );
        if (y - last).abs() >= LABEL_GAP {
            let share = words::percent(crossing.threshold / limit);
            let _ = write!(
                body,
                "<text class=\"note\" x=\"{:.1}\" y=\"{:.1}\">{} {}</text>",
                LEFT + 6.0,
                y - 4.0,
                escape(&words::one_line(&crossing.name, 20)),
                escape(&share)
            );
            last = y;
        }
    }
    if let Some(crossing) = crossings.iter().find(|c| c.name == "limit") {
        whisker(body, crossing, top, view);
    }
}

fn whisker(body: &mut String, crossing: &Crossing, y: f64, view: &View) {
    let Some(p50) = crossing.p50.filter(|_| !crossing.crossed) else {
        return;
    };
    let place = |at: Timestamp| view.x(at.as_millis() as f64).clamp(LEFT, view.right());
    let early = place(crossing.p10.unwrap_or(p50));
    let late = crossing.p90.map_or(view.right(), place);
    let _ = write!(
        body,
        "<path class=\"whisker\" d=\"M{early:.1} {y:.1}H{late:.1}\"/>\
         <circle class=\"meeting\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/>",
        place(p50)
    );
}

/// What the chart shows, in words, for whoever does not see it.
pub(crate) fn description(projection: &Projection) -> String {
    let unit = projection.resource.unit();
    let mut text = match projection.usage {
        Some(usage) => format!("Usage is {}", words::quantity(usage, unit)),
        None => "Usage is not measured".to_owned(),
    };
    if let Some(limit) = &projection.limit {
        let _ = write!(text, " of {}", words::quantity(limit.value, unit));
    }
    let row = headroom::headroom(projection);
    let _ = write!(
        text,
        ". Limit reached: {}.",
        headroom::when_words(&row.full)
    );
    if let Some(growth) = headroom::forecast(projection).map(|f| f.growth_per_day) {
        let month = |per_day: f64| words::change(per_day * 30.44, unit);
        let (lo, hi) = (month(growth.lo), month(growth.hi));
        let _ = write!(
            text,
            " Change per month: {} (80 %: {lo} to {hi}).",
            month(growth.value)
        );
    }
    if let Some(forecast) = headroom::forecast(projection) {
        text.push_str(&pattern::sentences(forecast, unit));
    }
    if let Some(span) = projection.synthetic {
        let span = words::date_range(span.from, span.until);
        let _ = write!(text, " History of {span} is synthetic.");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::fixture;

    #[test]
    fn bands_nest_in_the_drawing_and_the_limit_lies_inside_it() {
        let (rich, odd) = (fixture::rich(), fixture::odd());
        let targets = rich.targets.iter().chain(&odd.targets);
        for projection in targets.flat_map(|target| &target.projections) {
            let points = drawn_points(projection);
            let view = View::around(projection, &points);
            for point in &points {
                for pair in point.bands.windows(2) {
                    let ((_, lo, hi), (_, wide_lo, wide_hi)) = (pair[0], pair[1]);
                    assert!(view.y(wide_hi) <= view.y(hi) && view.y(lo) <= view.y(wide_lo));
                }
            }
            if let Some(limit) = &projection.limit {
                let y = view.y(limit.value);
                assert!((TOP..=HEIGHT - BOTTOM).contains(&y), "{y}");
            }
        }
    }

    #[test]
    fn a_made_up_past_is_hatched_and_named() {
        let input = fixture::rich();
        let made_up = input.targets[0]
            .projections
            .iter()
            .find(|p| p.synthetic.is_some());
        let svg = projection(made_up.unwrap(), "x");
        assert!(svg.contains("url(#x-hatch)") && svg.contains(">synthetic<"));
        assert!(svg.contains("is synthetic."));
    }

    #[test]
    fn changes_are_marked_where_they_were_and_said_in_words() {
        let mut changed = fixture::rich().targets[0].projections[2].clone();
        let svg = projection(&changed, "x");
        assert_eq!(svg.matches("class=\"change\"").count(), 1);
        assert!(svg.contains("<title>jumped by +4 GB on 26 Feb 2026</title>"));
        assert!(svg.contains("It jumped by +4 GB"));
        let Some(crate::model::capacity::Outlook::Forecast(forecast)) = &mut changed.outlook else {
            panic!("it has a forecast");
        };
        // Before what is drawn: not marked, but still said.
        forecast.changes[0].at = Timestamp::from_millis(0);
        let svg = projection(&changed, "x");
        assert!(!svg.contains("class=\"change\"") && svg.contains("1 Jan 1970"));
    }

    #[test]
    fn a_projection_of_nothing_still_draws() {
        let mut empty = fixture::rich().targets[0].projections[0].clone();
        empty.history.clear();
        empty.outlook = None;
        empty.usage = None;
        empty.limit = None;
        let svg = projection(&empty, "x");
        assert!(svg.starts_with("<svg") && !svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn no_value_leaves_the_drawing_or_breaks_it() {
        let base = fixture::rich().targets[0].projections[0].clone();
        let value = prop_oneof![Just(f64::NAN), Just(1e308), Just(0.0), -1e9..1e12];
        let limit = prop_oneof![Just(1e-9), Just(1e300), 0.1..1e12];
        proptest!(|(history in proptest::collection::vec(value, 0..60), limit in limit)| {
            let mut odd = base.clone();
            odd.history = history;
            odd.limit.as_mut().unwrap().value = limit;
            let svg = projection(&odd, "x");
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
            let y = View::around(&odd, &drawn_points(&odd)).y(limit);
            prop_assert!((TOP..=HEIGHT - BOTTOM).contains(&y), "{}", y);
        });
    }

    proptest! {
        #[test]
        fn escaped_text_holds_no_markup(text in ".*") {
            let markup = ['<', '>', '"', '\'', '\0', '\u{1b}'];
            prop_assert!(!escape(&text).contains(markup));
        }
    }
}
