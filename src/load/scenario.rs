//! A scenario's file: TOML, each complaint with its line.

use std::collections::BTreeMap;
use std::ops::Range;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use toml::Spanned;

use super::{Error, Result};
use crate::model::load::{Abort, Endpoint, Scenario, Stage, Thresholds};
use crate::model::units::Millis;

/// Arrivals per second, at most.
const RATE_MAX: f64 = 1e6;
/// Seconds of a stage, and of all together: a week.
const SECONDS_MAX: f64 = 604_800.0;
/// Arrivals of all stages.
const ARRIVALS_MAX: f64 = 1e10;
/// Stages, and endpoints.
const PARTS_MAX: usize = 100;
/// Bytes of a body.
const BODY_MAX: usize = 1 << 20;
/// Requests under way at once: a process may not have more sockets on most systems.
const IN_FLIGHT_MAX: u64 = 60_000;
const IN_FLIGHT: u64 = 1_000;
/// How long an answer may take, in ms.
const TIMEOUT_MAX: u64 = 600_000;
const TIMEOUT: u64 = 10_000;
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    #[serde(default)]
    description: String,
    timeout_ms: Option<Spanned<u64>>,
    max_in_flight: Option<Spanned<u64>>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    stage: Vec<Spanned<WrittenStage>>,
    #[serde(default)]
    endpoint: Vec<Spanned<WrittenEndpoint>>,
    #[serde(default)]
    thresholds: BTreeMap<Spanned<String>, Spanned<f64>>,
    abort: Option<Spanned<WrittenAbort>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStage {
    name: String,
    duration_s: Spanned<f64>,
    rate: Option<Spanned<f64>>,
    from: Option<Spanned<f64>>,
    to: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEndpoint {
    method: Option<Spanned<String>>,
    path: Spanned<String>,
    weight: Spanned<f64>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, Spanned<String>>,
    body: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAbort {
    error_ratio: Option<f64>,
    seconds: Option<u32>,
}

/// A complaint and its place in the text.
struct Complaint(Range<usize>, String);

type Checked<T> = std::result::Result<T, Complaint>;

/// Reads a scenario; `file` is what it is called in complaints.
///
/// # Errors
/// [`Error::Scenario`] for what is no TOML, unknown, missing or out of bounds.
pub fn read(file: &str, text: &str) -> Result<Scenario> {
    let told = |Complaint(span, message): Complaint| Error::Scenario {
        file: file.to_owned(),
        line: 1 + text
            .bytes()
            .take(span.start)
            .filter(|b| *b == b'\n')
            .count(),
        message,
    };
    let written: Written = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        told(Complaint(span, error.message().to_owned()))
    })?;
    check(&written).map_err(told)
}

fn check(written: &Written) -> Checked<Scenario> {
    let name = written.name.get_ref();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(Complaint(
            written.name.span(),
            format!("name {name:?}: write 1 to 64 lower case letters, digits and dashes"),
        ));
    }
    let scenario = Scenario {
        name: name.clone(),
        description: written.description.clone(),
        stages: stages(&written.stage)?,
        endpoints: endpoints(&written.endpoint)?,
        thresholds: thresholds(&written.thresholds)?,
        abort: abort(written.abort.as_ref())?,
        timeout: Millis(whole(
            "timeout_ms",
            written.timeout_ms.as_ref(),
            TIMEOUT,
            TIMEOUT_MAX,
        )?),
        max_in_flight: usize::try_from(whole(
            "max_in_flight",
            written.max_in_flight.as_ref(),
            IN_FLIGHT,
            IN_FLIGHT_MAX,
        )?)
        .unwrap_or(usize::MAX),
        seed: written.seed,
    };
    check_whole(&scenario).map_err(|message| Complaint(written.name.span(), message))?;
    Ok(scenario)
}

/// What no single line is to blame for.
fn check_whole(scenario: &Scenario) -> std::result::Result<(), String> {
    let seconds = scenario.duration().0 as f64 / 1e3;
    if seconds > SECONDS_MAX {
        return Err(format!(
            "all stages together take {seconds} s; a week ({SECONDS_MAX} s) is the most"
        ));
    }
    let arrivals = scenario.arrivals();
    if arrivals < 1.0 {
        return Err(
            "less than one request is due in all stages together; raise rates or lengths"
                .to_owned(),
        );
    }
    if arrivals > ARRIVALS_MAX {
        return Err(format!(
            "{arrivals:.0} requests are due in all stages together; {ARRIVALS_MAX:.0} are the most"
        ));
    }
    Ok(())
}

fn whole(name: &str, given: Option<&Spanned<u64>>, usual: u64, max: u64) -> Checked<u64> {
    match given {
        None => Ok(usual),
        Some(given) if (1..=max).contains(given.get_ref()) => Ok(*given.get_ref()),
        Some(given) => Err(Complaint(
            given.span(),
            format!("{name} is {}; write 1 to {max}", given.get_ref()),
        )),
    }
}

fn stages(written: &[Spanned<WrittenStage>]) -> Checked<Vec<Stage>> {
    if written.is_empty() || written.len() > PARTS_MAX {
        let message = format!(
            "there are {} stages; write [[stage]] 1 to {PARTS_MAX} times",
            written.len()
        );
        return Err(Complaint(0..0, message));
    }
    written.iter().map(stage).collect()
}

fn stage(written: &Spanned<WrittenStage>) -> Checked<Stage> {
    let (span, written) = (written.span(), written.get_ref());
    let seconds = *written.duration_s.get_ref();
    if !(0.001..=SECONDS_MAX).contains(&seconds) {
        return Err(Complaint(
            written.duration_s.span(),
            format!("duration_s is {seconds}; write 0.001 to {SECONDS_MAX} seconds"),
        ));
    }
    let (from, to) = match (&written.rate, &written.from, &written.to) {
        (Some(rate), None, None) => {
            let rate = rate_of("rate", rate, f64::MIN_POSITIVE)?;
            (rate, rate)
        }
        (None, Some(from), Some(to)) => {
            let (from, to) = (rate_of("from", from, 0.0)?, rate_of("to", to, 0.0)?);
            if from == 0.0 && to == 0.0 {
                return Err(Complaint(
                    span,
                    "from and to are both 0; nothing would be sent".to_owned(),
                ));
            }
            (from, to)
        }
        _ => {
            return Err(Complaint(
                span,
                "a stage has a rate, or from and to, in arrivals per second".to_owned(),
            ));
        }
    };
    Ok(Stage {
        name: written.name.clone(),
        duration: millis(seconds),
        from,
        to,
    })
}

fn rate_of(name: &str, rate: &Spanned<f64>, min: f64) -> Checked<f64> {
    let value = *rate.get_ref();
    if value >= min && value <= RATE_MAX {
        return Ok(value);
    }
    let above = if min > 0.0 { "above 0" } else { "0" };
    Err(Complaint(
        rate.span(),
        format!("{name} is {value}; write {above} to {RATE_MAX} arrivals per second"),
    ))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds were checked to be positive and at most a week"
)]
fn millis(seconds: f64) -> Millis {
    Millis(((seconds * 1e3).round() as u64).max(1))
}

fn endpoints(written: &[Spanned<WrittenEndpoint>]) -> Checked<Vec<Endpoint>> {
    if written.is_empty() || written.len() > PARTS_MAX {
        let message = format!(
            "there are {} endpoints; write [[endpoint]] 1 to {PARTS_MAX} times",
            written.len()
        );
        return Err(Complaint(0..0, message));
    }
    let endpoints: Vec<Endpoint> = written.iter().map(endpoint).collect::<Checked<_>>()?;
    let sum: f64 = endpoints.iter().map(|endpoint| endpoint.weight).sum();
    if (sum - 100.0).abs() > 0.01 {
        let span = written
            .last()
            .map_or(0..0, |last| last.get_ref().weight.span());
        return Err(Complaint(
            span,
            format!(
                "the weights of all endpoints sum to {sum}; they are percentages and must sum to 100"
            ),
        ));
    }
    Ok(endpoints)
}

fn endpoint(written: &Spanned<WrittenEndpoint>) -> Checked<Endpoint> {
    let written = written.get_ref();
    let method = match &written.method {
        None => "GET",
        Some(method) if METHODS.contains(&method.get_ref().as_str()) => method.get_ref(),
        Some(method) => {
            let message = format!(
                "method {:?} is not one of {}",
                method.get_ref(),
                METHODS.join(", ")
            );
            return Err(Complaint(method.span(), message));
        }
    };
    let path = written.path.get_ref();
    let is_path = path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        && path.replace("{{n}}", "1").parse::<Uri>().is_ok();
    if !is_path {
        return Err(Complaint(
            written.path.span(),
            format!("path {path:?}: write one such as /api/v1/leads?limit=20, percent-encoded"),
        ));
    }
    let weight = *written.weight.get_ref();
    if !(weight > 0.0 && weight <= 100.0) {
        let message = format!("weight is {weight}; write a percentage above 0 and up to 100");
        return Err(Complaint(written.weight.span(), message));
    }
    let mut headers = Vec::new();
    for (name, value) in &written.headers {
        let fits = HeaderName::try_from(name.get_ref()).is_ok()
            && HeaderValue::try_from(value.get_ref()).is_ok();
        if !fits {
            let message = format!("header {:?} cannot be sent", name.get_ref());
            return Err(Complaint(name.span(), message));
        }
        headers.push((name.get_ref().clone(), value.get_ref().clone()));
    }
    if let Some(body) = &written.body
        && body.get_ref().len() > BODY_MAX
    {
        let message = format!("body is larger than {BODY_MAX} bytes");
        return Err(Complaint(body.span(), message));
    }
    Ok(Endpoint {
        method: method.to_owned(),
        path: path.clone(),
        weight,
        headers,
        body: written.body.as_ref().map(|body| body.get_ref().clone()),
    })
}

fn thresholds(written: &BTreeMap<Spanned<String>, Spanned<f64>>) -> Checked<Thresholds> {
    let mut found = Thresholds::default();
    for (name, value) in written {
        let (field, max) = match name.get_ref().as_str() {
            "p50_ms" => (&mut found.p50_ms, 1e9),
            "p95_ms" => (&mut found.p95_ms, 1e9),
            "p99_ms" => (&mut found.p99_ms, 1e9),
            "error_ratio" => (&mut found.error_ratio, 1.0),
            "requests_per_s" => (&mut found.requests_per_s, RATE_MAX),
            other => {
                let message = format!(
                    "there is no threshold {other:?}; one of p50_ms, p95_ms, p99_ms, error_ratio, requests_per_s"
                );
                return Err(Complaint(name.span(), message));
            }
        };
        let number = *value.get_ref();
        if !(0.0..=max).contains(&number) {
            let message = format!("{} is {number}; write 0 to {max}", name.get_ref());
            return Err(Complaint(value.span(), message));
        }
        *field = Some(number);
    }
    Ok(found)
}

fn abort(written: Option<&Spanned<WrittenAbort>>) -> Checked<Abort> {
    let usual = Abort::default();
    let Some(spanned) = written else {
        return Ok(usual);
    };
    let written = spanned.get_ref();
    let abort = Abort {
        error_ratio: written.error_ratio.unwrap_or(usual.error_ratio),
        seconds: written.seconds.unwrap_or(usual.seconds),
    };
    if !(0.0..=1.0).contains(&abort.error_ratio) || !(1..=86_400).contains(&abort.seconds) {
        let message = "error_ratio is a share from 0 to 1, and seconds 1 to 86400".to_owned();
        return Err(Complaint(spanned.span(), message));
    }
    Ok(abort)
}

/// The same scenario with rates and lengths multiplied.
///
/// # Errors
/// [`Error::Factor`] for factors that are not above 0 and up to 1000, or what leaves the bounds.
pub fn scaled(scenario: &Scenario, rate: f64, time: f64) -> Result<Scenario> {
    for (name, factor) in [("rate", rate), ("time", time)] {
        if !(factor > 0.0 && factor <= 1_000.0) {
            let message = format!("{name} is a factor above 0 and up to 1000, not {factor}");
            return Err(Error::Factor(message));
        }
    }
    let mut scaled = scenario.clone();
    for stage in &mut scaled.stages {
        stage.from *= rate;
        stage.to *= rate;
        stage.duration = millis(stage.duration.0 as f64 / 1e3 * time);
        if stage.from.max(stage.to) > RATE_MAX {
            let message = format!(
                "stage {:?} would have more than {RATE_MAX} arrivals per second; take a smaller rate factor",
                stage.name
            );
            return Err(Error::Factor(message));
        }
    }
    check_whole(&scaled).map_err(Error::Factor)?;
    Ok(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
name = \"mine\"
timeout_ms = 500

[[stage]]
name = \"up\"
duration_s = 2.5
from = 0
to = 10

[[stage]]
name = \"hold\"
duration_s = 10
rate = 10

[[endpoint]]
path = \"/a?x={{n}}\"
weight = 75
headers = { accept = \"text/plain\" }

[[endpoint]]
method = \"POST\"
path = \"/b\"
weight = 25
body = \"hi\"

[thresholds]
p95_ms = 20
";

    #[test]
    fn a_whole_file_is_read() {
        let scenario = read("mine.toml", GOOD).unwrap();
        assert_eq!(scenario.duration(), Millis(12_500));
        assert!((scenario.arrivals() - 112.5).abs() < 1e-9);
        assert_eq!(scenario.timeout, Millis(500));
        assert_eq!(scenario.endpoints[0].method, "GET");
        assert_eq!(
            scenario.endpoints[0].headers,
            [("accept".to_owned(), "text/plain".to_owned())]
        );
        assert_eq!(scenario.thresholds.p95_ms, Some(20.0));
        assert_eq!(scenario.abort, Abort::default());
    }

    #[test]
    fn each_slip_is_told_with_its_line() {
        for (from, to, line, why) in [
            ("name = \"mine\"", "name = \"Mine!\"", 1, "lower case"),
            ("name = \"mine\"", "nam = \"mine\"", 1, "unknown field"),
            ("timeout_ms = 500", "timeout_ms = 0", 2, "write 1 to 600000"),
            ("duration_s = 2.5", "duration_s = nan", 6, "0.001"),
            ("duration_s = 2.5", "duration_s = 1e300", 6, "0.001"),
            (
                "duration_s = 2.5",
                "duration_s = \"soon\"",
                6,
                "invalid type",
            ),
            ("rate = 10", "rate = 0", 13, "above 0"),
            ("rate = 10", "rate = -3", 13, "above 0"),
            ("rate = 10", "rate = nan", 13, "above 0"),
            ("rate = 10", "rate = inf", 13, "above 0"),
            ("rate = 10", "rate = 1e12", 13, "above 0"),
            ("rate = 10", "", 10, "a rate, or from and to"),
            ("to = 10", "to = 0", 4, "both 0"),
            (
                "method = \"POST\"",
                "method = \"FETCH\"",
                21,
                "is not one of GET",
            ),
            ("path = \"/b\"", "path = \"b\"", 22, "write one such as"),
            ("path = \"/b\"", "path = \"/b c\"", 22, "write one such as"),
            ("weight = 25", "weight = 20", 23, "sum to 95"),
            ("weight = 25", "weight = -25", 23, "above 0"),
            ("accept =", "\"a b\" =", 18, "cannot be sent"),
            ("p95_ms = 20", "p95_ms = -1", 27, "write 0 to"),
            ("p95_ms = 20", "p96_ms = 20", 27, "no threshold"),
            ("p95_ms = 20", "p95_ms = ", 27, ""),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let text = GOOD.replacen(from, to, 1);
            match read("mine.toml", &text) {
                Err(Error::Scenario {
                    line: told,
                    message,
                    ..
                }) => {
                    assert_eq!(told, line, "{to}: {message}");
                    assert!(message.contains(why), "{to}: {message}");
                }
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let error = |text: &str| read("f", text).unwrap_err().to_string();
        assert!(error("name = \"x\"").contains("0 stages"));
        let stage = "name = \"x\"\n[[stage]]\nname = \"s\"\nduration_s = 1\nrate = 1\n";
        assert!(error(stage).contains("0 endpoints"));
        let slow = stage.replace("rate = 1", "rate = 0.1");
        let one = "[[endpoint]]\npath = \"/\"\nweight = 100\n";
        assert!(error(&format!("{slow}{one}")).contains("less than one request"));
        assert!(read("f", &format!("{stage}{one}")).is_ok());
        assert!(error("").contains("missing field"));
    }

    #[test]
    fn factors_multiply_and_have_bounds() {
        let scenario = read("f", GOOD).unwrap();
        let half = scaled(&scenario, 2.0, 0.5).unwrap();
        assert!((half.arrivals() - scenario.arrivals()).abs() < 1e-9);
        assert_eq!(half.stages[0].duration, Millis(1_250));
        for (rate, time) in [
            (0.0, 1.0),
            (f64::NAN, 1.0),
            (-1.0, 1.0),
            (1.0, f64::INFINITY),
            (1e-6, 1e-3),
        ] {
            assert!(
                matches!(scaled(&scenario, rate, time), Err(Error::Factor(_))),
                "{rate} {time}"
            );
        }
        let mut fast = scenario;
        fast.stages[0].to = 5e5;
        assert!(scaled(&fast, 10.0, 1.0).is_err());
    }
}
