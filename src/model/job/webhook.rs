//! Where a queue's jobs are sent, if they are not fetched.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Error;
use super::options::within;
use crate::model::units::Millis;

/// What stands for a secret where settings are shown; sent back, it leaves the secret as it is.
pub const MASK: &str = "********";

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Jobs of a queue are posted to a URL, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Where to: `https://…`.
    pub url: String,
    /// What the target verifies the signature with.
    pub secret: Secret,
    /// The longest that an answer may take, in ms.
    #[serde(default = "Webhook::usual_timeout")]
    pub timeout: Millis,
    /// Requests at once.
    #[serde(default = "Webhook::usual_concurrency")]
    pub concurrency: u32,
}

const URL_MAX: usize = 2_048;
/// Shorter keys can be guessed.
const SECRET_MIN: usize = 16;
const SECRET_MAX: usize = 256;

impl Webhook {
    const fn usual_timeout() -> Millis {
        Millis(10_000)
    }

    const fn usual_concurrency() -> u32 {
        4
    }

    /// Whether nobody needs a certificate to read what is sent.
    pub fn is_plain(&self) -> bool {
        self.url.starts_with("http://")
    }

    /// The host in the URL, in lower case and without brackets.
    pub fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(""),
            None => authority.split(':').next().unwrap_or(""),
        }
    }

    /// Looks at the bounds of each field.
    ///
    /// # Errors
    /// [`Error::Bounds`], naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let scheme = self.url.split("://").next().unwrap_or("");
        let is_web = ["https", "http"].contains(&scheme) && self.url.contains("://");
        let authority = self.url.split('/').nth(2).unwrap_or("");
        // Who logs a URL would log a password in it.
        let has_user = authority.contains('@');
        let is_plain_text = self.url.chars().all(|c| c.is_ascii_graphic());
        if !is_web
            || self.host().is_empty()
            || has_user
            || !is_plain_text
            || self.url.len() > URL_MAX
        {
            return Err(Error::Bounds {
                field: "webhook.url",
                given: format!("{:?}", self.url.chars().take(80).collect::<String>()),
                wanted: "https://host/path of at most 2048 plain characters, without a user",
            });
        }
        let length = self.secret.expose().len();
        if !(SECRET_MIN..=SECRET_MAX).contains(&length) {
            return Err(Error::Bounds {
                field: "webhook.secret",
                given: format!("{length} bytes long"),
                wanted: "16 to 256 bytes, such as from openssl rand -hex 32",
            });
        }
        let timeout = Some(self.timeout.0);
        within(
            "webhook.timeout",
            timeout,
            (100, 300_000),
            "100 ms to 5 minutes, in ms",
        )?;
        let many = Some(u64::from(self.concurrency));
        within("webhook.concurrency", many, (1, 100), "1 to 100")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str) -> Webhook {
        Webhook {
            url: url.to_owned(),
            secret: Secret::new("0123456789abcdef"),
            timeout: Webhook::usual_timeout(),
            concurrency: 1,
        }
    }

    #[test]
    fn a_url_names_its_host_and_no_user() {
        for (url, host) in [
            ("https://hooks.example/a?b", "hooks.example"),
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("https://[2001:db8::1]:9/x", "2001:db8::1"),
        ] {
            hook(url).check().unwrap();
            assert_eq!(hook(url).host(), host);
        }
        for wrong in [
            "",
            "ftp://a/",
            "https://",
            "https:///x",
            "https://u:p@a/",
            "https://a/ b",
            "file:///etc",
            "https://ä/",
        ] {
            assert!(hook(wrong).check().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_is_not_shown_and_not_short() {
        let one = hook("https://a/");
        assert!(!format!("{one:?}").contains("0123"), "{one:?}");
        let short = Webhook {
            secret: Secret::new("short"),
            ..one
        };
        assert!(
            short
                .check()
                .unwrap_err()
                .to_string()
                .starts_with("webhook.secret")
        );
    }
}
