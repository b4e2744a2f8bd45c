//! What a statement's text says of its shape: tables, conditions, order, how much it may return.
//!
//! For: hints that need no plan, on normalised texts. Not for: advice that must be right of joins,
//! views or subselects: those are read from plans. Only a statement over one table with conditions
//! at its top is taken to be understood ([`Shape::is_plain`]); a text that was cut is not.
//!
//! Source: PostgreSQL manual, sections 4.1 "Lexical Structure" and the pages of SELECT and UPDATE.

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Verb {
    Select,
    Insert,
    Update,
    Delete,
    #[default]
    Other,
}

/// How a condition compares its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Compare {
    /// `=`, `IN`, `IS NULL`.
    Equal,
    /// `<`, `>`, `BETWEEN`.
    Range,
    /// `LIKE`, `ILIKE` and their operators.
    Like,
    /// Contains or overlaps: arrays, documents.
    Contains,
    /// A key of a document, `->>`.
    Key,
}

/// A statement as far as its text tells.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a mark of the text that stands for itself"
)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shape {
    pub(super) verb: Verb,
    /// Names after FROM, JOIN, UPDATE and INTO, without their schemas.
    pub(super) tables: Vec<String>,
    /// Conditions at the top, in order; a column may come twice.
    pub(super) filters: Vec<(String, Compare)>,
    /// Columns of ORDER BY while they are plain, with their direction.
    pub(super) order: Vec<(String, bool)>,
    /// Columns that UPDATE sets.
    pub(super) set: Vec<String>,
    pub(super) has_limit: bool,
    /// OFFSET with a parameter or a number, at the top.
    pub(super) has_offset: bool,
    pub(super) has_order: bool,
    /// OR or NOT among the conditions.
    pub(super) has_or: bool,
    /// Groups, aggregates or DISTINCT: what it returns says nothing of what it must read.
    pub(super) is_folded: bool,
    /// A join, a subselect, WITH or a set operation.
    pub(super) is_composed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A key word or an unquoted name.
    Word,
    /// A quoted name.
    Quoted,
    /// A parameter or a literal.
    Value,
    Symbol,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    text: String,
    /// Parentheses around it.
    depth: u32,
}

impl Token {
    fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }
}

const OPERATORS: &str = "+-*/<>=~!@#%^&|`?";
const AGGREGATES: [&str; 9] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "json_agg",
    "jsonb_agg",
    "string_agg",
];

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut depth = 0_u32;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut taken = String::new();
        let kind = match c {
            c if c.is_whitespace() => continue,
            '"' => {
                while let Some(c) = chars.next() {
                    if c == '"' && chars.next_if_eq(&'"').is_none() {
                        break;
                    }
                    taken.push(c);
                }
                Kind::Quoted
            }
            '\'' => {
                while let Some(c) = chars.next() {
                    if c == '\'' && chars.next_if_eq(&'\'').is_none() {
                        break;
                    }
                }
                Kind::Value
            }
            '$' | '0'..='9' => {
                while chars
                    .next_if(|c| c.is_alphanumeric() || *c == '.')
                    .is_some()
                {}
                Kind::Value
            }
            c if c.is_alphabetic() || c == '_' => {
                taken.extend(c.to_lowercase());
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    taken.extend(c.to_lowercase());
                }
                Kind::Word
            }
            c if OPERATORS.contains(c) => {
                taken.push(c);
                while let Some(c) = chars.next_if(|c| OPERATORS.contains(*c)) {
                    taken.push(c);
                }
                // What was masked is a value, not an operator.
                if taken == "?" {
                    Kind::Value
                } else {
                    Kind::Symbol
                }
            }
            c => {
                taken.push(c);
                Kind::Symbol
            }
        };
        if c == ')' {
            depth = depth.saturating_sub(1);
        }
        tokens.push(Token {
            kind,
            text: taken,
            depth,
        });
        if c == '(' {
            depth = depth.saturating_add(1);
        }
    }
    tokens
}

/// Which clause of the top a token stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Head,
    Set,
    From,
    Where,
    Order,
    Rest,
}

impl Shape {
    /// Reads a text; one that makes no sense gives [`Verb::Other`].
    pub(super) fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut shape = Self {
            verb: match tokens.first().map(|t| t.text.as_str()) {
                Some("select") => Verb::Select,
                Some("insert") => Verb::Insert,
                Some("update") => Verb::Update,
                Some("delete") => Verb::Delete,
                _ => Verb::Other,
            },
            ..Self::default()
        };
        shape.is_composed = tokens.first().is_some_and(|t| t.is_word("with"));
        if shape.is_composed {
            shape.verb = Verb::Other;
        }
        shape.walk(&tokens);
        shape
    }

    /// One table, conditions at its top, nothing else: understood.
    pub(super) fn is_plain(&self) -> bool {
        self.tables.len() == 1 && !self.is_composed && self.verb != Verb::Other
    }

    /// Whether it names a table.
    pub(super) fn names(&self, table: &str) -> bool {
        self.tables.iter().any(|name| name == table)
    }

    fn walk(&mut self, tokens: &[Token]) {
        let mut clause = Clause::Head;
        for (i, token) in tokens.iter().enumerate() {
            let before = i.checked_sub(1).and_then(|i| tokens.get(i));
            if token.kind == Kind::Word {
                self.note(token, before, tokens.get(i + 1));
                if let ("from" | "join" | "update" | "into", Some(name)) =
                    (token.text.as_str(), table_after(tokens, i))
                    // `EXTRACT(x FROM y)`, `IS DISTINCT FROM`, `DO UPDATE SET`, `FOR UPDATE`.
                    && !before.is_some_and(|t| ["distinct", "do", "for"].contains(&&*t.text))
                    && (token.depth == 0 || !is_in_call(tokens, i))
                {
                    self.tables.push(name);
                }
            }
            if token.depth == 0 && token.kind == Kind::Word {
                clause = match token.text.as_str() {
                    "set" if self.verb == Verb::Update => Clause::Set,
                    "from" | "using" => Clause::From,
                    "where" => Clause::Where,
                    "order" => Clause::Order,
                    "group" | "having" | "limit" | "offset" | "for" | "returning" | "union"
                    | "fetch" | "window" | "on" | "values" => Clause::Rest,
                    _ => clause,
                };
            }
            match clause {
                Clause::Set if token.depth == 0 => self.set_column(tokens, i),
                Clause::Where => self.filter(tokens, i),
                Clause::Order if token.depth == 0 => self.order_column(tokens, i),
                _ => {}
            }
        }
    }

    fn note(&mut self, token: &Token, before: Option<&Token>, after: Option<&Token>) {
        let is_top = token.depth == 0;
        match token.text.as_str() {
            "limit" | "fetch" if is_top => self.has_limit = true,
            "offset" if is_top => {
                self.has_offset = after.is_some_and(|t| t.kind == Kind::Value);
            }
            "order" if is_top => self.has_order = true,
            "or" | "not" => self.has_or = true,
            "group" | "distinct" if is_top => self.is_folded = true,
            "union" | "intersect" | "except" | "join" => self.is_composed = true,
            "select" if before.is_some() => self.is_composed = true,
            word if AGGREGATES.contains(&word) && after.is_some_and(|t| t.is_symbol("(")) => {
                self.is_folded = true;
            }
            _ => {}
        }
    }

    fn set_column(&mut self, tokens: &[Token], i: usize) {
        let before = i.checked_sub(1).and_then(|i| tokens.get(i));
        let is_start = before.is_some_and(|t| t.is_word("set") || t.is_symbol(","));
        if let (true, Some(token)) = (is_start, tokens.get(i).filter(|t| t.is_name()))
            && tokens.get(i + 1).is_some_and(|t| t.is_symbol("="))
        {
            self.set.push(token.text.clone());
        }
    }

    fn filter(&mut self, tokens: &[Token], i: usize) {
        let Some(token) = tokens.get(i).filter(|t| t.is_name()) else {
            return;
        };
        let Some(operator) = tokens.get(i + 1) else {
            return;
        };
        // A column on its own counts: what stands behind AND, OR or a parenthesis.
        let compare = match (operator.kind, operator.text.as_str()) {
            (Kind::Symbol, "=") | (Kind::Word, "in" | "is") => Compare::Equal,
            (Kind::Symbol, "<" | ">" | "<=" | ">=") | (Kind::Word, "between") => Compare::Range,
            (Kind::Symbol, "~~" | "~~*" | "~" | "~*") | (Kind::Word, "like" | "ilike") => {
                Compare::Like
            }
            (Kind::Symbol, "@>" | "&&" | "?|") => Compare::Contains,
            (Kind::Symbol, "->>" | "->") => Compare::Key,
            _ => return,
        };
        if token.kind == Kind::Word && ["and", "or", "not", "where", "null"].contains(&&*token.text)
        {
            return;
        }
        self.filters.push((token.text.clone(), compare));
    }

    fn order_column(&mut self, tokens: &[Token], i: usize) {
        let Some(token) = tokens.get(i).filter(|t| t.is_name()) else {
            return;
        };
        let words = ["order", "by", "asc", "desc", "nulls", "first", "last"];
        let is_word = token.kind == Kind::Word && words.contains(&&*token.text);
        let next = tokens.get(i + 1);
        // The part before a dot is the table; a function is no column.
        if is_word || next.is_some_and(|t| t.is_symbol(".") || t.is_symbol("(")) {
            return;
        }
        let is_descending = next.is_some_and(|t| t.is_word("desc"));
        self.order.push((token.text.clone(), is_descending));
    }
}

/// The name after a key word at `i`, its schema left out.
fn table_after(tokens: &[Token], i: usize) -> Option<String> {
    let mut at = i + 1;
    if tokens.get(at).is_some_and(|t| t.is_word("only")) {
        at += 1;
    }
    while tokens.get(at + 1).is_some_and(|t| t.is_symbol(".")) {
        at += 2;
    }
    let name = tokens.get(at).filter(|t| t.is_name())?;
    // A function in FROM, or LATERAL before a parenthesis.
    let is_call = tokens.get(at + 1).is_some_and(|t| t.is_symbol("(")) && !is_insert(tokens, i);
    let is_key_word = name.kind == Kind::Word && ["lateral", "set"].contains(&&*name.text);
    (!is_call && !is_key_word).then(|| name.text.clone())
}

fn is_insert(tokens: &[Token], i: usize) -> bool {
    tokens.get(i).is_some_and(|t| t.is_word("into"))
}

/// Whether the parentheses around `i` are a function's: `extract(epoch from now())`.
fn is_in_call(tokens: &[Token], i: usize) -> bool {
    let Some(depth) = tokens.get(i).map(|t| t.depth) else {
        return false;
    };
    let before = tokens.get(..i).unwrap_or_default();
    let open = before
        .iter()
        .rposition(|t| t.is_symbol("(") && t.depth + 1 == depth);
    let called = open.and_then(|at| tokens.get(at.checked_sub(1)?));
    let first = open.and_then(|at| tokens.get(at + 1));
    called.is_some_and(Token::is_name) && first.is_some_and(|t| !t.is_word("select"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_of_a_list_is_understood() {
        let shape = Shape::read(
            "SELECT * FROM \"public\".\"Lead\" WHERE \"Lead\".\"zipCode\" = $1 AND \
             \"insuranceType\" = CAST($2::text AS \"InsuranceType\") \
             ORDER BY \"createdAt\" DESC LIMIT $3 OFFSET $4",
        );
        assert!(shape.is_plain() && shape.has_limit && shape.has_offset && !shape.is_folded);
        assert_eq!(shape.tables, ["Lead"]);
        let equal = |name: &str| (name.to_owned(), Compare::Equal);
        assert_eq!(shape.filters, [equal("zipCode"), equal("insuranceType")]);
        assert_eq!(shape.order, [("createdAt".to_owned(), true)]);
    }

    #[test]
    fn searches_documents_and_arrays_are_told_apart() {
        let of = |text: &str| Shape::read(text).filters;
        let like = of("SELECT * FROM t WHERE a ILIKE $1 OR b ~~* $1");
        assert!(like.iter().all(|(_, compare)| *compare == Compare::Like));
        assert!(Shape::read("SELECT 1 FROM t WHERE a = $1 OR b = $2").has_or);
        let key = of("SELECT * FROM t WHERE m ->> $1 = $2");
        assert_eq!(key, [("m".to_owned(), Compare::Key)]);
        let contains = of("SELECT * FROM t WHERE s @> ARRAY[$1] AND n >= $2");
        assert_eq!(contains[0].1, Compare::Contains);
        assert_eq!(contains[1], ("n".to_owned(), Compare::Range));
    }

    #[test]
    fn what_is_joined_nested_or_folded_is_known() {
        for composed in [
            "SELECT * FROM a JOIN b ON a.x = b.x",
            "SELECT count(*) FROM (SELECT id FROM t WHERE s = $1 OFFSET $2) sub",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "SELECT 1 FROM a UNION SELECT 2 FROM b",
            "SELECT * FROM a, b",
        ] {
            let shape = Shape::read(composed);
            assert!(
                !shape.is_plain() || composed.contains(", b"),
                "{composed}: {shape:?}"
            );
        }
        for folded in [
            "SELECT count(*) FROM t",
            "SELECT s FROM t GROUP BY s",
            "SELECT DISTINCT s FROM t",
        ] {
            assert!(Shape::read(folded).is_folded, "{folded}");
        }
        let counted = Shape::read("SELECT count(*) FROM (SELECT id FROM t OFFSET $1) sub");
        assert!(!counted.has_offset, "that one is not the page's");
    }

    #[test]
    fn what_an_update_sets_is_known() {
        let shape = Shape::read(
            "UPDATE \"Lead\" SET \"status\" = CAST($1::text AS x), m = coalesce(m, $2) || $3, \
             \"updatedAt\" = now() WHERE \"id\" = $4",
        );
        assert_eq!(shape.set, ["status", "m", "updatedAt"]);
        assert_eq!(shape.filters, [("id".to_owned(), Compare::Equal)]);
        assert_eq!(shape.tables, ["Lead"]);
    }

    #[test]
    fn from_within_a_function_names_no_table() {
        let shape =
            Shape::read("SELECT extract(epoch FROM \"at\") FROM t WHERE a IS DISTINCT FROM b");
        assert_eq!(shape.tables, ["t"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[a-z\"'$(),.=<>? \\n]{0,80}|\\PC{0,80}") {
            let shape = Shape::read(&text);
            prop_assert!(shape.filters.len() <= text.len());
        }
    }
}
