//! JSON that is carried and not looked into.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

mod same;

/// JSON text as it was sent, one value.
#[derive(Debug, Clone)]
pub struct Payload(Box<RawValue>);

impl Payload {
    /// The value as JSON text.
    ///
    /// # Errors
    /// When it is nothing that JSON can say.
    pub fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.text().len()
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for Payload {
    /// Same text, or else the same value: spaces and the order of fields do not count, and every
    /// digit does.
    fn eq(&self, other: &Self) -> bool {
        same::is_same(self.text(), other.text())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_order_do_not_make_another_payload() {
        let read = |text| serde_json::from_str::<Payload>(text).unwrap();
        assert_eq!(read(r#"{"a":1,"b":2}"#), read(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(read("1"), read("2"));
        assert_eq!(
            read(" 12345678901234567890123 ").text(),
            "12345678901234567890123"
        );
    }
}
