//! The requests of a scenario, made beforehand as far as they can be.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};

use super::{Error, Plan, Result};

/// What becomes the number of the arrival.
const NUMBER: &str = "{{n}}";

/// All requests that a scenario may send.
#[derive(Debug)]
pub(super) struct Set {
    requests: Vec<Template>,
    /// For each request, the share of the draw at which it ends.
    ends: Vec<f64>,
    seed: u64,
}

#[derive(Debug)]
struct Template {
    method: Method,
    path: Text<Uri>,
    headers: HeaderMap,
    body: Text<Bytes>,
    /// Method and path as written.
    shown: String,
}

/// A text that is the same each time, or has the number of the arrival in it.
#[derive(Debug)]
enum Text<T> {
    Same(T),
    Numbered(String),
}

impl Set {
    /// The requests of a plan.
    ///
    /// # Errors
    /// [`Error::Header`] for one that cannot be sent.
    pub(super) fn of(plan: &Plan) -> Result<Self> {
        let mut common = HeaderMap::new();
        let host = plan.origin.authority();
        common.insert(HOST, value(HOST.as_str(), &host)?);
        common.insert(USER_AGENT, HeaderValue::from_static("plimsoll-loadtest"));
        common.insert(ACCEPT, HeaderValue::from_static("*/*"));
        add(&mut common, &plan.headers)?;
        let (mut requests, mut ends, mut sum) = (Vec::new(), Vec::new(), 0.0);
        let scenario = &plan.scenario;
        for endpoint in &scenario.endpoints {
            let mut headers = common.clone();
            add(&mut headers, &endpoint.headers)?;
            let path = format!("{}{}", plan.base, endpoint.path);
            let bad = || Error::Factor(format!("path {path:?} cannot be sent"));
            let body = endpoint.body.clone().unwrap_or_default();
            requests.push(Template {
                method: endpoint.method.parse().map_err(|_| bad())?,
                path: if path.contains(NUMBER) {
                    Text::Numbered(path.clone())
                } else {
                    Text::Same(path.parse().map_err(|_| bad())?)
                },
                headers,
                body: if body.contains(NUMBER) {
                    Text::Numbered(body)
                } else {
                    Text::Same(Bytes::from(body))
                },
                shown: format!("{} {}", endpoint.method, endpoint.path),
            });
            sum += endpoint.weight;
            ends.push(sum);
        }
        for end in &mut ends {
            *end /= sum;
        }
        Ok(Self {
            requests,
            ends,
            seed: scenario.seed,
        })
    }

    /// Which request an arrival is; the same for the same number and seed.
    pub(super) fn draw(&self, number: u64) -> usize {
        let share = unit(mix(self.seed ^ mix(number)));
        let found = self.ends.partition_point(|end| *end <= share);
        found.min(self.requests.len().saturating_sub(1))
    }

    /// The request of an arrival; `None` for one that there is not.
    pub(super) fn make(&self, index: usize, number: u64) -> Option<Request<Full<Bytes>>> {
        let template = self.requests.get(index)?;
        let uri = match &template.path {
            Text::Same(uri) => uri.clone(),
            Text::Numbered(text) => text.replace(NUMBER, &number.to_string()).parse().ok()?,
        };
        let body = match &template.body {
            Text::Same(body) => body.clone(),
            Text::Numbered(text) => Bytes::from(text.replace(NUMBER, &number.to_string())),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = template.method.clone();
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(&template.headers);
        Some(request)
    }

    /// Those that may be asked to look whether a server is there: indices of GET and HEAD.
    pub(super) fn harmless(&self) -> impl Iterator<Item = usize> {
        let all = self.requests.iter().enumerate();
        all.filter(|(_, template)| [Method::GET, Method::HEAD].contains(&template.method))
            .map(|(index, _)| index)
    }

    /// Method and path as written.
    pub(super) fn shown(&self, index: usize) -> &str {
        self.requests.get(index).map_or("", |one| &one.shown)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }
}

fn add(headers: &mut HeaderMap, more: &[(String, String)]) -> Result<()> {
    for (name, text) in more {
        let known: HeaderName = name
            .parse()
            .map_err(|_| Error::Header { name: name.clone() })?;
        let mut value = value(name, text)?;
        value.set_sensitive(known == AUTHORIZATION);
        headers.insert(known, value);
    }
    Ok(())
}

fn value(name: &str, text: &str) -> Result<HeaderValue> {
    text.parse().map_err(|_| Error::Header {
        name: name.to_owned(),
    })
}

/// Spreads the bits of a number over all of it: the finalizer of `SplitMix64` (Steele, Lea and Flood
/// 2014, "Fast splittable pseudorandom number generators", OOPSLA).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A share from 0 on, below 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::load::tests::plan;

    fn set(scenario: &str) -> Set {
        let mut plan = plan("http://127.0.0.1:1/base", scenario);
        plan.headers = vec![("authorization".to_owned(), "Bearer x".to_owned())];
        Set::of(&plan).unwrap()
    }

    const TWO: &str = "
name = \"two\"
[[stage]]
name = \"s\"
duration_s = 1
rate = 10
[[endpoint]]
path = \"/a?n={{n}}\"
weight = 70
[[endpoint]]
method = \"POST\"
path = \"/b\"
weight = 30
headers = { accept = \"text/plain\", host = \"other\" }
body = \"<{{n}}>\"
";

    #[tokio::test]
    async fn the_number_of_the_arrival_is_put_in_and_own_headers_win() {
        let set = set(TWO);
        assert_eq!(set.make(0, 7).unwrap().uri(), "/base/a?n=7");
        let post = set.make(1, 41).unwrap();
        assert_eq!(post.method(), Method::POST);
        let headers = post.headers();
        assert_eq!(headers["accept"], "text/plain");
        assert_eq!(headers["host"], "other");
        assert_eq!(headers["authorization"], "Bearer x");
        assert!(headers["authorization"].is_sensitive());
        let body = post.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "<41>");
        assert!(set.make(2, 0).is_none());
        assert_eq!(set.harmless().collect::<Vec<_>>(), [0]);
        assert_eq!(set.shown(1), "POST /b");
    }

    #[test]
    fn endpoints_are_drawn_by_weight_and_the_same_each_time() {
        let (one, two) = (set(TWO), set(TWO));
        let draws: Vec<usize> = (0..100_000).map(|n| one.draw(n)).collect();
        assert!((0..100_000).map(|n| two.draw(n)).eq(draws.iter().copied()));
        let first = draws.iter().filter(|index| **index == 0).count() as f64;
        // Six standard deviations of a binomial count.
        let spread = 6.0 * (100_000.0 * 0.7 * 0.3_f64).sqrt();
        assert!((first - 70_000.0).abs() < spread, "{first}");
        let other = set(&TWO.replace("name = \"two\"", "name = \"two\"\nseed = 9"));
        assert!((0..1_000).any(|n| other.draw(n) != one.draw(n)));
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named() {
        let mut plan = plan("http://a", TWO);
        for wrong in [("a b", "x"), ("x", "a\nb")] {
            plan.headers = vec![(wrong.0.to_owned(), wrong.1.to_owned())];
            assert!(
                matches!(Set::of(&plan), Err(Error::Header { .. })),
                "{wrong:?}"
            );
        }
    }
}
