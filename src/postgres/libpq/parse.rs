//! The two spellings of a connection string: `postgres://…` and `key=value …`.
//!
//! Errors never quote the string: any part of it may be a piece of a password.

use crate::postgres::{Error, Result};

/// Keys and values in the order written; later ones win.
pub(super) fn pairs(conninfo: &str) -> Result<Vec<(String, String)>> {
    let conninfo = conninfo.trim();
    for scheme in ["postgres://", "postgresql://"] {
        if let Some(rest) = conninfo.strip_prefix(scheme) {
            return url(rest);
        }
    }
    if let Some((scheme, _)) = conninfo.split_once("://")
        && !scheme.contains(['=', ' '])
    {
        return Err(syntax("begins with another scheme than postgres://", 0));
    }
    key_values(conninfo)
}

fn syntax(what: &'static str, at: usize) -> Error {
    Error::Syntax { what, at: at + 1 }
}

/// `[user[:password]@][host[:port],…][/dbname][?key=value&…]`, each part percent-decoded.
fn url(rest: &str) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, dbname) = before_query.split_once('/').unwrap_or((before_query, ""));
    let hosts = if let Some((user_info, hosts)) = authority.rsplit_once('@') {
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        push(&mut out, "user", user)?;
        push(&mut out, "password", password)?;
        hosts
    } else {
        authority
    };
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = host_port(host)?;
        names.push(decode(name)?);
        ports.push(decode(port)?);
    }
    if names.iter().any(|name| !name.is_empty()) {
        out.push(("host".to_owned(), names.join(",")));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        out.push(("port".to_owned(), ports.join(",")));
    }
    push(&mut out, "dbname", dbname)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(syntax("has a parameter without `=` after the `?`", 0));
        };
        match (decode(key)?.as_str(), decode(value)?) {
            // The spelling of JDBC drivers; libpq takes it, too.
            ("ssl", value) if value == "true" => {
                out.push(("sslmode".to_owned(), "require".to_owned()));
            }
            (key, value) => out.push((key.to_owned(), value)),
        }
    }
    Ok(out)
}

fn push(out: &mut Vec<(String, String)>, key: &str, value: &str) -> Result<()> {
    if !value.is_empty() {
        out.push((key.to_owned(), decode(value)?));
    }
    Ok(())
}

/// Splits `host:port`; IPv6 addresses stand in brackets.
fn host_port(host: &str) -> Result<(&str, &str)> {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return Err(syntax("has an IPv6 address without its closing `]`", 0));
        };
        return Ok((address, port.strip_prefix(':').unwrap_or(port)));
    }
    Ok(host.split_once(':').unwrap_or((host, "")))
}

fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = |digit: Option<u8>| digit.and_then(|d| char::from(d).to_digit(16));
        match (hex(rest.next()), hex(rest.next())) {
            (Some(high), Some(low)) if high + low > 0 => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
            }
            _ => {
                return Err(syntax(
                    "has a `%` that is not followed by two hex digits",
                    0,
                ));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| syntax("is not UTF-8 once decoded", 0))
}

/// `key = 'value'` with `\'` and `\\` inside and outside of quotes.
fn key_values(text: &str) -> Result<Vec<(String, String)>> {
    let mut out = Vec::new();
    let mut chars = text.char_indices().peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some(&(start, _)) = chars.peek() else {
            return Ok(out);
        };
        let mut key = String::new();
        while let Some((_, c)) = chars.next_if(|(_, c)| !c.is_whitespace() && *c != '=') {
            key.push(c);
        }
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        if chars.next_if(|(_, c)| *c == '=').is_none() || key.is_empty() {
            return Err(syntax("has a word that is not `key=value`", start));
        }
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if(|(_, c)| *c == '\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                Some((_, '\'')) if quoted => break,
                Some((_, c)) if !quoted && c.is_whitespace() => break,
                Some((_, c)) => value.push(c),
                None if quoted => return Err(syntax("has a quote that is never closed", start)),
                None => break,
            }
        }
        out.push((key, value));
    }
}
