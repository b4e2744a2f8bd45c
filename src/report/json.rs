//! The report as JSON: the summary beside everything that it rests on.
//!
//! For: programs. Field names are those of the records, in camelCase; units are the resource's.

use serde::Serialize;

use super::{Error, HeadroomRow, ReportInput, Result, Verdict, verdict};

/// The document's shape; the input itself stands beside what was concluded from it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    verdict: Verdict,
    headroom: Vec<HeadroomRow>,
    #[serde(flatten)]
    input: &'a ReportInput,
}

/// Writes the report as indented JSON with a newline at its end.
///
/// # Errors
/// [`Error::Json`] if a number cannot be written.
pub fn write(input: &ReportInput) -> Result<String> {
    let document = Document {
        verdict: verdict::verdict(input),
        headroom: verdict::rows(input),
        input,
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(Error::Json)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_summary_reads_as_agreed() {
        let text = write(&fixture::rich()).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        insta::assert_json_snapshot!(serde_json::json!({
            "verdict": document["verdict"],
            "headroom": document["headroom"],
            "keys": document.as_object().unwrap().keys().collect::<Vec<_>>(),
            "target": document["targets"][1],
        }));
    }

    #[test]
    fn the_input_is_read_back_from_the_document() {
        let text = write(&fixture::fresh()).unwrap();
        let back: ReportInput = serde_json::from_str(&text).unwrap();
        assert_eq!(back, fixture::fresh());
    }
}
