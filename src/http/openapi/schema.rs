//! JSON schemas of the types that shapes are written in.

use serde_json::{Value, json};

/// A JSON schema of a type as `openapi` writes it.
pub(super) fn kind(written: &str) -> Value {
    if written == "any" {
        return json!({"type": ["object", "array", "string", "number", "boolean", "null"]});
    }
    if let Some(inner) = written.strip_suffix('?') {
        return match plain(inner) {
            Some((kind, None)) => json!({"type": [kind, "null"]}),
            Some((kind, Some(format))) => json!({"type": [kind, "null"], "format": format}),
            None => json!({"anyOf": [kind(inner), {"type": "null"}]}),
        };
    }
    if let Some(inner) = written
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return json!({"type": "array", "items": kind(inner)});
    }
    match plain(written) {
        Some((kind, None)) => json!({"type": kind}),
        Some((kind, Some(format))) => json!({"type": kind, "format": format}),
        None => json!({"$ref": format!("#/components/schemas/{written}")}),
    }
}

fn plain(name: &str) -> Option<(&'static str, Option<&'static str>)> {
    Some(match name {
        "text" => ("string", None),
        "time" => ("string", Some("date-time")),
        "whole" => ("integer", None),
        "number" => ("number", None),
        "flag" => ("boolean", None),
        _ => return None,
    })
}
