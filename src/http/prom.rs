//! The reading half of the Prometheus HTTP API, so that dashboards take us for one.
//!
//! For: parameters as that API names them, from the query and from a posted form. Not for: what an
//! expression means (`promql`), nor for the JSON (`envelope`). Source: the Prometheus manual, "HTTP
//! API", version 2.42.
//!
//! This and its `local` sisters are the only handlers that read the history; how many do so at
//! once, and for how long, is bounded in [`Queries`].

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequest, Path, Request, State};
use bytes::Bytes;

use super::Site;
use super::body::Answer;
use super::envelope;
use super::error::Refusal;
use crate::model::series::Labels;
use crate::model::units::{Millis, Timestamp};
use crate::work::query::{self, Queries, Span};

/// The Prometheus whose answers ours follow.
const FOLLOWED: &str = "2.42.0";
/// Seconds beyond which an instant is a mistake: some 30 000 years.
const SECONDS_MAX: f64 = 1e12;

/// Parameters of a request, from its query and its form; a name may come several times.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let mut fields = decode(request.uri().query().unwrap_or(""));
        if request.method() == axum::http::Method::POST {
            let body = Bytes::from_request(request, state).await;
            let body = body.map_err(|error| bad("body", &error.body_text(), "a smaller form"))?;
            let text = std::str::from_utf8(&body)
                .map_err(|_| bad("body", "what is not UTF-8", "a form in UTF-8"))?;
            fields.extend(decode(text));
        }
        Ok(Self(fields))
    }
}

impl Fields {
    fn text(&self, name: &str) -> Option<&str> {
        let mut given = self.0.iter().filter(|(known, _)| known == name);
        given
            .next()
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn needed(&self, name: &'static str) -> Result<&str, Refusal> {
        self.text(name)
            .ok_or_else(|| bad(name, "nothing", "a value"))
    }

    fn all(&self, name: &str) -> Vec<String> {
        let given = self.0.iter().filter(|(known, _)| known == name);
        given.map(|(_, value)| value.clone()).collect()
    }

    fn instant(&self, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
        let wanted = "seconds since 1970, or a time such as 2026-03-10T12:00:00Z";
        self.text(name)
            .map(|text| instant(text).ok_or_else(|| bad(name, text, wanted)))
            .transpose()
    }

    fn needed_instant(&self, name: &'static str) -> Result<Timestamp, Refusal> {
        self.needed(name)?;
        self.instant(name)?
            .ok_or_else(|| bad(name, "nothing", "a time"))
    }
}

/// A refusal as Prometheus words it.
fn bad(name: &str, text: &str, wanted: &str) -> Refusal {
    Refusal::Query {
        kind: "bad_data",
        text: format!("invalid parameter {name:?}: it is {text:?}; write {wanted}"),
    }
}

/// Pairs of a query or a form, percent-encoded; what does not decode is left as it is.
fn decode(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

fn plain(encoded: &str) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.split_first_chunk::<2>()) {
            (b'%', Some((digits, after))) if digits.iter().all(u8::is_ascii_hexdigit) => {
                let digits = digits.map(|digit| char::from(digit).to_digit(16).unwrap_or(0));
                bytes.extend(u8::try_from(
                    digits.iter().fold(0, |all, one| all * 16 + one),
                ));
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An instant as the API takes it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "seconds are bounded before they become milliseconds"
)]
fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1_000.0).round() as i64;
        return (seconds.abs() <= SECONDS_MAX).then(|| Timestamp::from_millis(ms));
    }
    Timestamp::parse(text).ok()
}

/// A step as the API takes it: seconds, or `5m`. Zero and less come back as zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` stops at the ends of the range, and bounds are checked after it"
)]
fn step(text: &str) -> Option<Millis> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Some(Millis((seconds * 1_000.0).round() as u64)),
        Ok(_) => None,
        Err(_) => query::length(text),
    }
}

fn queries(site: &Site) -> Result<&Queries, Refusal> {
    site.hooks.queries.as_deref().ok_or(Refusal::Query {
        kind: "unavailable",
        text: "there is no history here to ask".to_owned(),
    })
}

/// `/api/v1/query`.
pub(super) async fn instant_query(
    State(site): State<Arc<Site>>,
    fields: Fields,
) -> Result<Answer, Refusal> {
    let queries = queries(&site)?;
    let expression = fields.needed("query")?;
    let at = fields.instant("time")?.unwrap_or_else(|| queries.now());
    let value = queries.instant(expression, at).await?;
    Ok(envelope::instant(&value, at))
}

/// `/api/v1/query_range`.
pub(super) async fn range_query(
    State(site): State<Arc<Site>>,
    fields: Fields,
) -> Result<Answer, Refusal> {
    let queries = queries(&site)?;
    let expression = fields.needed("query")?;
    let text = fields.needed("step")?;
    let span = Span {
        from: fields.needed_instant("start")?,
        until: fields.needed_instant("end")?,
        step: step(text).ok_or_else(|| bad("step", text, "seconds, or a length such as 5m"))?,
    };
    let (value, steps) = queries.range(expression, span).await?;
    Ok(envelope::range(
        &value,
        &steps.instants().collect::<Vec<_>>(),
    ))
}

/// Label sets of what `match[]` names; of all series where it names nothing.
async fn asked_series(site: &Site, fields: &Fields) -> Result<BTreeSet<Labels>, Refusal> {
    let queries = queries(site)?;
    let since = fields.instant("start")?;
    fields.instant("end")?;
    let selectors = fields.all("match[]");
    Ok(if selectors.is_empty() {
        queries.all_series(since).await?
    } else {
        queries.series(&selectors, since).await?
    })
}

/// `/api/v1/series`.
pub(super) async fn series(
    State(site): State<Arc<Site>>,
    fields: Fields,
) -> Result<Answer, Refusal> {
    if fields.all("match[]").is_empty() {
        return Err(bad("match[]", "nothing", "at least one selector"));
    }
    let series = asked_series(&site, &fields).await?;
    Ok(envelope::label_sets(&series))
}

/// `/api/v1/labels`.
pub(super) async fn labels(
    State(site): State<Arc<Site>>,
    fields: Fields,
) -> Result<Answer, Refusal> {
    let series = asked_series(&site, &fields).await?;
    let names: BTreeSet<&str> = series
        .iter()
        .flat_map(Labels::iter)
        .map(|(name, _)| name)
        .collect();
    Ok(envelope::texts(names))
}

/// `/api/v1/label/{name}/values`.
pub(super) async fn label_values(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Answer, Refusal> {
    let series = asked_series(&site, &fields).await?;
    let values: BTreeSet<&str> = series
        .iter()
        .filter_map(|labels| labels.get(&name))
        .collect();
    Ok(envelope::texts(values))
}

/// `/api/v1/metadata`.
pub(super) async fn metadata(
    State(site): State<Arc<Site>>,
    fields: Fields,
) -> Result<Answer, Refusal> {
    let mut metrics = queries(&site)?.metrics().await?;
    if let Some(wanted) = fields.text("metric") {
        metrics.retain(|known| known.metric == wanted);
    }
    if let Some(text) = fields.text("limit") {
        let limit = text.parse();
        metrics.truncate(limit.map_err(|_| bad("limit", text, "a whole number"))?);
    }
    Ok(envelope::metadata(&metrics))
}

/// `/api/v1/status/buildinfo`.
pub(super) async fn build() -> Answer {
    envelope::build(FOLLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_and_names_may_repeat() {
        let fields = Fields(decode(
            "match[]=a%7Bb%3D%22c+d%22%7D&match%5B%5D=%C3%A9&x=%zz&y&=&",
        ));
        assert_eq!(fields.all("match[]"), ["a{b=\"c d\"}", "é"]);
        assert_eq!(fields.text("x"), Some("%zz"));
        assert_eq!(fields.text("y"), None);
    }

    #[test]
    fn instants_are_seconds_or_written_out_and_nothing_else() {
        let ms = |text| instant(text).map(Timestamp::as_millis);
        assert_eq!(ms("1435781430.781"), Some(1_435_781_430_781));
        assert_eq!(ms("-1"), Some(-1_000));
        assert_eq!(ms("1970-01-01T00:00:01Z"), Some(1_000));
        for wrong in ["NaN", "inf", "-Inf", "1e300", "", "now"] {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn steps_are_seconds_or_lengths() {
        assert_eq!(step("0.5"), Some(Millis(500)));
        assert_eq!(step("1m30s"), Some(Millis(90_000)));
        assert_eq!(step("0"), Some(Millis(0)));
        assert_eq!(step("-5"), Some(Millis(0)));
        for wrong in ["NaN", "inf", "x", ""] {
            assert_eq!(step(wrong), None, "{wrong}");
        }
    }
}
