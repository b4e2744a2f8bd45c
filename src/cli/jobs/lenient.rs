//! The server's answers, also where a payload is JSON that no value can hold.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Levels of an answer down to the payloads in it, with some to spare.
const DEPTH: usize = 8;

/// Reads an answer; what a value cannot hold (a number that is too large, arrays without end)
/// becomes the text that it is. `None` where it is no JSON.
pub(super) fn read(text: &str) -> Option<Value> {
    read_within(text, DEPTH)
}

fn read_within(text: &str, depth: usize) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let part = |part: &RawValue| {
        let inner = depth
            .checked_sub(1)
            .and_then(|depth| read_within(part.get(), depth));
        inner.unwrap_or_else(|| Value::String(part.get().to_owned()))
    };
    if let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        let fields = fields.into_iter();
        return Some(fields.map(|(name, value)| (name, part(value))).collect());
    }
    let items = serde_json::from_str::<Vec<&RawValue>>(text).ok()?;
    Some(items.into_iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_payload_that_no_value_holds_does_not_hide_the_others() {
        let text =
            r#"{"items":[{"id":"a","data":1e999},{"id":"b","data":{"n":2}}],"nextCursor":null}"#;
        let a = json!({"id": "a", "data": "1e999"});
        let b = json!({"id": "b", "data": {"n": 2}});
        let whole = json!({"items": [a, b], "nextCursor": null});
        assert_eq!(read(text), Some(whole));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let job = read(&format!("{{\"data\":{deep}}}")).unwrap();
        assert!(job.to_string().contains("[[["), "{job}");
        assert_eq!(read("<html>"), None);
    }
}
