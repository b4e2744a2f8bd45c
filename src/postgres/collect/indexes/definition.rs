//! Takes apart what `pg_get_indexdef` writes: keys, included columns, predicate.
//!
//! One call per index instead of one per column, and the keys come with operator class, collation
//! and direction, which the call for a single column leaves out.

/// The parts that checks compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) keys: Vec<String>,
    pub(super) include: Vec<String>,
    pub(super) predicate: Option<String>,
}

/// Reads `… USING method (keys) [INCLUDE (columns)] … [WHERE (predicate)]`.
pub(super) fn parts(definition: &str) -> Parts {
    let mut parts = Parts::default();
    let Some(open) = outside(definition, "(") else {
        return parts;
    };
    let mut rest = definition.get(open..).unwrap_or("");
    (parts.keys, rest) = list(rest);
    if let Some(after) = rest.trim_start().strip_prefix("INCLUDE ") {
        (parts.include, rest) = list(after);
    }
    if let Some(at) = outside(rest, " WHERE ") {
        let predicate = rest.get(at + " WHERE ".len()..).unwrap_or("").trim();
        parts.predicate = Some(predicate.to_owned());
    }
    parts
}

/// Where `needle` first stands outside of quotes and of parentheses that it did not open.
fn outside(text: &str, needle: &str) -> Option<usize> {
    let mut scan = Scan::default();
    text.char_indices().find_map(|(at, c)| {
        let found = scan.is_outside() && text.get(at..).is_some_and(|t| t.starts_with(needle));
        scan.step(c);
        found.then_some(at)
    })
}

/// The elements of a parenthesised list, and what follows it.
fn list(text: &str) -> (Vec<String>, &str) {
    let mut scan = Scan::default();
    let mut elements = Vec::new();
    let mut start = 1;
    for (at, c) in text.char_indices() {
        let at_top = scan.depth == 1 && scan.quote.is_none();
        scan.step(c);
        let ends = at_top && c == ')';
        if ends || (at_top && c == ',') {
            elements.push(text.get(start..at).unwrap_or("").trim().to_owned());
            start = at + 1;
        }
        if ends {
            return (elements, text.get(at + 1..).unwrap_or(""));
        }
    }
    (elements, "")
}

/// Knows whether a place lies inside quotes or parentheses. Doubled quotes close and open again.
#[derive(Default)]
struct Scan {
    depth: u32,
    quote: Option<char>,
}

impl Scan {
    fn is_outside(&self) -> bool {
        self.depth == 0 && self.quote.is_none()
    }

    fn step(&mut self, c: char) {
        match (self.quote, c) {
            (Some(quote), c) if quote == c => self.quote = None,
            (None, '\'' | '"') => self.quote = Some(c),
            (None, '(') => self.depth += 1,
            (None, ')') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_class_direction_and_expression() {
        let read = parts(
            "CREATE UNIQUE INDEX \"i (x\" ON public.\"t, )\" USING btree \
             (a, lower((b || ',')) text_pattern_ops DESC NULLS LAST, \"c)\" COLLATE \"C\") \
             INCLUDE (d, e) NULLS NOT DISTINCT WITH (fillfactor='70') WHERE ((f = ')'::text))",
        );
        let keys = [
            "a",
            "lower((b || ',')) text_pattern_ops DESC NULLS LAST",
            "\"c)\" COLLATE \"C\"",
        ];
        assert_eq!(read.keys, keys);
        assert_eq!(read.include, ["d", "e"]);
        assert_eq!(read.predicate.as_deref(), Some("((f = ')'::text))"));
    }

    #[test]
    fn a_plain_index_has_neither_include_nor_predicate() {
        let read = parts("CREATE INDEX i ON s.t USING gin (doc jsonb_path_ops)");
        assert_eq!(read.keys, ["doc jsonb_path_ops"]);
        assert_eq!((read.include.len(), read.predicate), (0, None));
        assert_eq!(parts("nonsense"), Parts::default());
    }
}
