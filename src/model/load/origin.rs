//! Scheme, host and port of a server that is loaded.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A URL that no load can be sent to; the text says why, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

/// Who is spoken to. Two that compare equal are the same server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Name or address in lower case, IPv6 without brackets.
    pub host: String,
    /// Port; 80 or 443 where none is written.
    pub port: u16,
}

impl Origin {
    /// Reads a URL: its origin, and the path that stands before those of requests, without a slash
    /// at its end.
    ///
    /// # Errors
    /// [`BadUrl`] for all but `http://host:port/path` and the same with `https`.
    pub fn of_url(url: &str) -> Result<(Self, String), BadUrl> {
        // A password in it is nobody's business.
        let bare = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
        let shown: String = bare.chars().take(200).collect();
        let bad = |why: &str| BadUrl(format!("{shown:?} {why}"));
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad("has no scheme; write http://host:port"));
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(bad("is neither http:// nor https://")),
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        if authority.contains('@') {
            return Err(bad(
                "has a user; send credentials as a header or from a token file",
            ));
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) || path.contains(['?', '#']) {
            return Err(bad(
                "may have a path and nothing after it; a scenario's endpoints have queries",
            ));
        }
        let (host, port) = split_port(authority).ok_or_else(|| bad("has no usable host"))?;
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(text) => text
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| bad("has no port from 1 to 65535"))?,
        };
        let origin = Self { tls, host, port };
        Ok((origin, path.trim_end_matches('/').to_owned()))
    }

    /// What a request's header `Host` says.
    pub fn authority(&self) -> String {
        let bracket = self.host.contains(':');
        let host = if bracket {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// Host in lower case, and port if one is written.
fn split_port(authority: &str) -> Option<(String, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':')?),
        };
        return Some((host.to_ascii_lowercase(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(plain);
    is_name.then(|| (host.to_ascii_lowercase(), port))
}

impl FromStr for Origin {
    type Err = BadUrl;

    /// Reads an origin that stands alone: no path follows it.
    fn from_str(text: &str) -> Result<Self, BadUrl> {
        match Self::of_url(text)? {
            (origin, path) if path.is_empty() => Ok(origin),
            _ => Err(BadUrl(format!(
                "{text:?} has a path; an origin is scheme, host and port, such as http://127.0.0.1:8080"
            ))),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_is_one_origin_however_it_is_written() {
        for (written, meant) in [
            ("http://Shop.example", "http://shop.example:80/"),
            ("HTTPS://shop.example:443", "https://shop.example"),
            ("http://[::1]:8080", "http://[::1]:8080/"),
        ] {
            let (written, meant): (Origin, Origin) =
                (written.parse().unwrap(), meant.parse().unwrap());
            assert_eq!(written, meant);
            assert_eq!(written.to_string().parse::<Origin>().unwrap(), meant);
        }
        let (http, https): (Origin, Origin) =
            ("http://a".parse().unwrap(), "https://a".parse().unwrap());
        assert_ne!(http, https);
    }

    #[test]
    fn a_path_before_the_endpoints_is_kept_without_its_last_slash() {
        let (origin, path) = Origin::of_url("http://a:81/base/v1/").unwrap();
        assert_eq!((origin.port, path.as_str()), (81, "/base/v1"));
    }

    #[test]
    fn what_is_no_url_of_a_server_is_told_why() {
        for (wrong, why) in [
            ("127.0.0.1:3002", "no scheme"),
            ("", "no scheme"),
            ("ftp://a", "neither http"),
            ("http://", "no usable host"),
            ("http:///x", "no usable host"),
            ("http://a:0", "no port"),
            ("http://a:99999", "no port"),
            ("http://a:x", "no port"),
            ("http://u:p@a", "has a user"),
            ("http://a/?q=1", "nothing after it"),
            ("http://a b", "no usable host"),
            ("http://[::1", "no usable host"),
            ("http://ä", "no usable host"),
        ] {
            let error = Origin::of_url(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
        assert!("http://a/x".parse::<Origin>().is_err());
    }
}
