//! Who may ask: body size, the name that the browser used, the token; and what browsers may do.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;

use super::error::Refusal;
use super::{Site, cache, explain, jobs, maintain, write};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Operator,
    /// Looking, at all but what jobs carry and what named queries found.
    Viewer,
}

impl<S: Sync> FromRequestParts<S> for Role {
    type Rejection = Infallible;

    /// Who was not looked at may do least.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::Viewer))
    }
}

/// Everything that a request over the network must satisfy; who it is.
pub(super) fn network(site: &Site, request: &Request) -> Result<Role, Refusal> {
    size(site, request)?;
    host(site, request)?;
    origin(request)?;
    let role = token(site, request)?;
    if role == Role::Viewer && !request.method().is_safe() {
        return Err(Refusal::OnlyLooking);
    }
    Ok(role)
}

/// The same on the Unix socket, which only this user may open.
pub(super) fn socket(site: &Site, request: &Request) -> Result<Role, Refusal> {
    size(site, request).map(|()| Role::Operator)
}

/// A page of another site can make a browser send a plain POST here without asking first. Browsers
/// then say whose page it is; on paths that change something such a request is refused.
fn origin(request: &Request) -> Result<(), Refusal> {
    let path = request.uri().path();
    let costs = [
        jobs::BASE,
        cache::BASE,
        maintain::OPTIMIZE,
        maintain::ARCHIVE,
    ]
    .iter()
    .any(|base| path.starts_with(base))
        || path == explain::ANALYZE;
    if !costs || request.method().is_safe() {
        return Ok(());
    }
    let text = |name| request.headers().get(name).map(HeaderValue::to_str);
    let Some(origin) = text(header::ORIGIN) else {
        return Ok(());
    };
    let host = text(header::HOST).and_then(Result::ok).unwrap_or_default();
    match origin.ok().and_then(|origin| origin.split_once("://")) {
        Some((_, from)) if from.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Refusal::ForeignOrigin),
    }
}

/// A body that says it is too large is refused before it is sent.
fn size(site: &Site, request: &Request) -> Result<(), Refusal> {
    let limit = write::limit(request.uri().path(), site.settings.max_body_bytes);
    let said = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match said {
        Some(said) if said > limit as u64 => Err(Refusal::BodyTooLarge { limit }),
        _ => Ok(()),
    }
}

/// A page of another site can make a browser send requests here under a name of its own (DNS
/// rebinding). Such a request carries that name; we answer to ours alone.
fn host(site: &Site, request: &Request) -> Result<(), Refusal> {
    let named = match request.uri().host() {
        Some(host) => Some(host),
        None => request
            .headers()
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .map(without_port),
    };
    let Some(named) = named.filter(|name| !name.is_empty()) else {
        return Err(Refusal::NoHost);
    };
    let name = named.trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let ours = match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address == site.listen.ip(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    };
    if ours || site.settings.hosts.contains(&name) {
        Ok(())
    } else {
        Err(Refusal::ForeignHost { name })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

fn token(site: &Site, request: &Request) -> Result<Role, Refusal> {
    let Some(token) = &site.settings.token else {
        return Ok(Role::Operator);
    };
    // Liveness probes carry no secrets, and the answer holds nothing.
    if request.uri().path() == "/healthz" {
        return Ok(Role::Viewer);
    }
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    let viewer = site.settings.viewer_token.as_ref();
    if same(given.as_bytes(), token.expose().as_bytes()) {
        Ok(Role::Operator)
    } else if viewer.is_some_and(|token| same(given.as_bytes(), token.expose().as_bytes())) {
        Ok(Role::Viewer)
    } else {
        Err(Refusal::NoToken)
    }
}

/// Compares without saying, by the time it takes, how much of the start was right.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given
        .iter()
        .chain(std::iter::repeat(&0))
        .zip(wanted)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == wanted.len() && differences == 0
}

/// Headers that keep a browser from doing with an answer what it is not for.
pub(super) fn harden(headers: &mut HeaderMap) {
    const FIXED: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_same_only_in_full() {
        assert!(same(b"abc", b"abc"));
        for wrong in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!same(wrong, b"abc"));
        }
    }

    #[test]
    fn a_port_is_cut_from_names_and_from_bracketed_addresses() {
        assert_eq!(without_port("localhost:3002"), "localhost");
        assert_eq!(without_port("[::1]:3002"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("a"), "a");
    }
}
