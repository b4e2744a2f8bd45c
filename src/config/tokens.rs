//! Tokens that clients send, each in a file of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::load::Settings;
use super::{Problem, Secret};

/// The least length of a token; 16 characters of base 64 hold 96 bits.
const MIN_TOKEN: usize = 16;

/// Who may do what.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// May do everything.
    pub(super) operator: Option<Secret>,
    /// May look, and sees no payloads.
    pub(super) viewer: Option<Secret>,
}

/// Reads the files of both; what is wrong with them goes to `problems`.
pub(super) fn read(settings: &Settings, problems: &mut Vec<Problem>) -> Tokens {
    let mut one = |key: &'static str| {
        let path = settings.path(key)?;
        match read_token(&path) {
            Ok(token) => Some(token),
            Err(message) => {
                problems.push(settings.problem(key, &message));
                None
            }
        }
    };
    let tokens = Tokens {
        operator: one("http.token_file"),
        viewer: one("http.viewer_token_file"),
    };
    if settings.path("http.viewer_token_file").is_some()
        && settings.path("http.token_file").is_none()
    {
        let message = "needs http.token_file, too: without it everybody may do everything";
        problems.push(settings.problem("http.viewer_token_file", message));
    }
    if let (Some(operator), Some(viewer)) = (&tokens.operator, &tokens.viewer)
        && operator.expose() == viewer.expose()
    {
        let message = "holds the same token as http.token_file";
        problems.push(settings.problem("http.viewer_token_file", message));
    }
    tokens
}

fn read_token(path: &Path) -> std::result::Result<Secret, String> {
    let shown = path.display();
    let metadata =
        std::fs::metadata(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(format!(
            "{shown} is open to every user; run chmod 600 {shown}"
        ));
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let token = text.trim();
    if token.len() < MIN_TOKEN || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!(
            "{shown} holds no token of {MIN_TOKEN} printable characters or more; \
             make one with: head -c 24 /dev/urandom | base64"
        ));
    }
    Ok(Secret::new(token))
}
