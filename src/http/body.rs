//! Answers: JSON, gzip from a threshold on, a strong `ETag` for each representation.

use std::hash::{DefaultHasher, Hasher as _};
use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

use super::error::Refusal;
use super::guard;
use crate::config::Http;

/// Headers of every answer: to copy them costs a fraction of putting them in one by one. Length and
/// type are those of an empty one, and are replaced.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::new();
    let taken = HeaderValue::from_static("accept, accept-encoding");
    headers.insert(header::VARY, taken);
    let asked_again = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, asked_again);
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    guard::harden(&mut headers);
    headers
});

/// A whole answer, not yet encoded. `front` writes it out.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    status: StatusCode,
    media: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether it is worth asking again for the same.
    lasts: bool,
}

impl Answer {
    /// JSON. Numbers that are not finite become null, integers stay integers.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Refusal> {
        let body =
            serde_json::to_vec(value).map_err(|error| Refusal::Internal(error.to_string()))?;
        Ok(Self::of("application/json", body))
    }

    /// Any other body.
    pub(super) fn of(media: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            media,
            body: body.into(),
            headers: Vec::new(),
            lasts: true,
        }
    }

    /// The same answer as one of the moment: it gets no tag, which costs a look at every byte.
    pub(super) fn fleeting(self) -> Self {
        Self {
            lasts: false,
            ..self
        }
    }

    /// The same answer with a header more; what a header cannot carry is left out of it.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        let plain: String = value
            .chars()
            .filter(|c| c.is_ascii() && !c.is_control())
            .collect();
        if let Ok(value) = HeaderValue::try_from(plain) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// The same answer as one that made something.
    pub(super) const fn created(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// The same answer as one of something that is under way.
    pub(super) const fn accepted(mut self) -> Self {
        self.status = StatusCode::ACCEPTED;
        self
    }

    /// The same answer as one of several parts that did not all go well.
    pub(super) const fn of_several(mut self) -> Self {
        self.status = StatusCode::MULTI_STATUS;
        self
    }

    /// The same answer as one for which a server behind this one was needed, and failed.
    pub(super) const fn of_bad_gateway(mut self) -> Self {
        self.status = StatusCode::BAD_GATEWAY;
        self
    }

    /// The same answer as "not now", with the time after which asking again makes sense.
    pub(super) fn unavailable(mut self, retry_after_s: u64) -> Self {
        self.status = StatusCode::SERVICE_UNAVAILABLE;
        self.with("retry-after", &retry_after_s.to_string())
    }

    /// Encodes into `response`, with all its headers: 304 where the asker has it already.
    pub(super) fn write(self, settings: &Http, wanted: &Wanted, response: &mut Response) {
        let zip = wanted.gzip && self.body.len() >= settings.compression_threshold.max(1);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = HEADERS.clone();
        headers.extend(self.headers);
        if self.status == StatusCode::OK && self.lasts {
            let tag = etag(&self.body, zip);
            insert(headers, header::ETAG, &tag);
            if wanted.has(&tag) {
                headers.remove(header::CONTENT_LENGTH);
                headers.remove(header::CONTENT_TYPE);
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                *response.body_mut() = Body::empty();
                return;
            }
        }
        let body = match zip.then(|| gzip(&self.body, settings.compression_level)) {
            Some(Ok(packed)) => {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                packed
            }
            _ => self.body,
        };
        write_body(self.media, body, wanted, response);
    }
}

impl IntoResponse for Answer {
    /// Carries itself to `front`, which knows what the asker takes.
    fn into_response(self) -> Response {
        let mut response = StatusCode::OK.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What the asker takes.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    gzip: bool,
    known: Vec<String>,
    head: bool,
}

impl Wanted {
    pub(super) fn of(request: &Request) -> Self {
        let texts = |name| {
            let values = request.headers().get_all(name).iter();
            values.filter_map(|value| value.to_str().ok())
        };
        let known = texts(header::IF_NONE_MATCH).flat_map(|text| text.split(','));
        let encodings: Vec<&str> = texts(header::ACCEPT_ENCODING).collect();
        Self {
            gzip: !encodings.is_empty() && takes_gzip(&encodings.join(",")),
            known: known.map(|tag| tag.trim().to_owned()).collect(),
            head: request.method() == Method::HEAD,
        }
    }

    /// `If-None-Match` compares weakly (RFC 9110, 13.1.2).
    fn has(&self, tag: &str) -> bool {
        self.known
            .iter()
            .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    }
}

/// Whether `Accept-Encoding` names gzip (or all) without `q=0`.
fn takes_gzip(accept: &str) -> bool {
    let weight = |wanted: &str| {
        accept.split(',').find_map(|part| {
            let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
            let weight = parameters.trim().strip_prefix("q=").unwrap_or("1");
            (name.trim().eq_ignore_ascii_case(wanted)).then(|| weight.trim().parse().unwrap_or(0.0))
        })
    };
    weight("gzip")
        .or_else(|| weight("*"))
        .is_some_and(|weight: f64| weight > 0.0)
}

/// A hash of the bytes and the encoding: each representation has a tag of its own. `SipHash` with
/// fixed keys is enough: a tag tells versions apart, it guards nothing.
fn etag(body: &[u8], zip: bool) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    let kind = if zip { "g" } else { "i" };
    format!("\"{:016x}{:x}{kind}\"", hasher.finish(), body.len())
}

fn gzip(body: &[u8], level: u32) -> std::io::Result<Bytes> {
    let room = Vec::with_capacity(body.len() / 4);
    let mut packer = flate2::write::GzEncoder::new(room, flate2::Compression::new(level));
    packer.write_all(body)?;
    packer.finish().map(Bytes::from)
}

/// Sets the body with its length and type; HEAD gets the headers alone.
pub(super) fn write_body(
    media: &'static str,
    body: Bytes,
    wanted: &Wanted,
    response: &mut Response,
) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = if wanted.head {
        Body::empty()
    } else {
        Body::from(body)
    };
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_as_the_asker_says() {
        for yes in ["gzip", "br, gzip;q=0.5", "*", "GZIP"] {
            assert!(takes_gzip(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip;q=0, *", "identity"] {
            assert!(!takes_gzip(no), "{no}");
        }
    }

    #[test]
    fn representations_have_tags_of_their_own() {
        assert_ne!(etag(b"a", false), etag(b"b", false));
        assert_ne!(etag(b"a", false), etag(b"a", true));
        assert_eq!(etag(b"a", true), etag(b"a", true));
    }
}
