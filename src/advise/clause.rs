//! Reads the conditions of a plan, as the server writes them, into what an index could serve.
//!
//! For: finding out which columns are compared, how, and with what. Not for: SQL as people write
//! it: the server has resolved names, views and aliases before this is asked. What is not
//! understood becomes [`Expression::Other`] and keeps its columns.

/// A column as a plan names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnRef {
    /// The relation's alias in the plan.
    pub alias: String,
    /// The column, unquoted.
    pub column: String,
}

/// A condition or a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A column; `cast` is the type that it is read as, where that is said.
    Column {
        /// Which.
        column: ColumnRef,
        /// The type after `::`.
        cast: Option<String>,
    },
    /// A constant as it stands in the plan, such as `'F'::bpchar`.
    Constant(String),
    /// A parameter or the result of another part of the plan, such as `$1`.
    Parameter(String),
    /// All must hold.
    And(Vec<Expression>),
    /// One must hold.
    Or(Vec<Expression>),
    /// `left op right`; `any` is true for `= ANY (…)`.
    Compare {
        /// The operator's name.
        operator: String,
        /// Left of it.
        left: Box<Expression>,
        /// Right of it.
        right: Box<Expression>,
        /// Compared with each member of an array.
        any: bool,
    },
    /// `IS NULL`, or `IS NOT NULL`.
    Null {
        /// What is looked at.
        of: Box<Expression>,
        /// `IS NOT NULL`.
        not: bool,
    },
    /// `NOT …`.
    Not(Box<Expression>),
    /// Anything else.
    Other {
        /// The columns that it reads.
        columns: Vec<ColumnRef>,
    },
}

impl Expression {
    /// Every column that is read, in order of appearance, with repetitions.
    pub fn columns(&self) -> Vec<&ColumnRef> {
        match self {
            Self::Column { column, .. } => vec![column],
            Self::Constant(_) | Self::Parameter(_) => Vec::new(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::columns).collect(),
            Self::Compare { left, right, .. } => {
                let mut columns = left.columns();
                columns.extend(right.columns());
                columns
            }
            Self::Null { of, .. } | Self::Not(of) => of.columns(),
            Self::Other { columns } => columns.iter().collect(),
        }
    }
}

/// Reads one condition or one expression. Never fails: see [`Expression::Other`].
pub fn read(text: &str) -> Expression {
    let tokens = tokens(text);
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let mut expression = parser.infix();
    while parser.peek().is_some() {
        // A tail that was not understood: its columns still count.
        parser.at += usize::from(matches!(parser.peek(), Some(Token::Sign(")" | "]" | ","))));
        let rest = parser.infix();
        expression = mixed(&[expression, rest]);
    }
    expression
}

/// A sort key: its expression, and whether it descends and where nulls stand, as in `DESC NULLS LAST`.
pub fn read_sort_key(text: &str) -> (Expression, String) {
    let mut rest = text.trim_end();
    let mut order: Vec<&str> = Vec::new();
    for suffix in [" NULLS LAST", " NULLS FIRST", " DESC", " ASC"] {
        if let Some(shorter) = rest.strip_suffix(suffix) {
            order.push(suffix);
            rest = shorter;
        }
    }
    order.reverse();
    (read(rest), order.concat())
}

/// Longest nesting that is followed.
const MAX_DEPTH: usize = 200;

#[derive(Debug, Clone, PartialEq)]
enum Token<'t> {
    Word(&'t str),
    Quoted(String),
    Text(&'t str),
    Number(&'t str),
    Parameter(&'t str),
    Operator(&'t str),
    Sign(&'t str),
    Cast,
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            c if c.is_whitespace() => c.len_utf8(),
            '\'' => string_length(rest),
            '"' => quoted_length(rest),
            '$' => 1 + run(tail(rest, 1), |c| c.is_ascii_digit()),
            ':' if rest.starts_with("::") => 2,
            '(' | ')' | '[' | ']' | ',' | '.' => 1,
            c if c.is_ascii_digit() => run(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            c if c.is_alphabetic() || c == '_' => {
                run(rest, |c| c.is_alphanumeric() || c == '_' || c == '$')
            }
            _ => run(rest, |c| "+-*/<>=~!@#%^&|`?:".contains(c)).max(c.len_utf8()),
        };
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        match c {
            c if c.is_whitespace() => {}
            '\'' => found.push(Token::Text(piece)),
            '"' => found.push(Token::Quoted(unquoted(piece))),
            '$' => found.push(Token::Parameter(piece)),
            ':' if piece == "::" => found.push(Token::Cast),
            '(' | ')' | '[' | ']' | ',' | '.' => found.push(Token::Sign(piece)),
            c if c.is_ascii_digit() => found.push(Token::Number(piece)),
            c if c.is_alphabetic() || c == '_' => found.push(Token::Word(piece)),
            _ => found.push(Token::Operator(piece)),
        }
        rest = after;
    }
    found
}

fn tail(text: &str, from: usize) -> &str {
    text.get(from..).unwrap_or("")
}

fn run(text: &str, inside: impl Fn(char) -> bool) -> usize {
    text.find(|c| !inside(c)).unwrap_or(text.len())
}

/// The server writes strings with doubled quotes, and `E''` where there is a backslash.
fn string_length(text: &str) -> usize {
    closing(text, '\'')
}

fn quoted_length(text: &str) -> usize {
    closing(text, '"')
}

fn closing(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

fn unquoted(piece: &str) -> String {
    let inner = piece.strip_prefix('"').unwrap_or(piece);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    inner.replace("\"\"", "\"")
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'t Token<'t>> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let taken = matches!(self.peek(), Some(Token::Sign(s)) if *s == sign);
        self.at += usize::from(taken);
        taken
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let taken = matches!(self.peek(), Some(Token::Word(w)) if *w == word);
        self.at += usize::from(taken);
        taken
    }

    /// Operands with what stands between them, up to a closing sign, a comma or the end.
    fn infix(&mut self) -> Expression {
        self.depth += 1;
        let expression = if self.depth > MAX_DEPTH {
            self.skip_group()
        } else {
            self.infix_bounded()
        };
        self.depth -= 1;
        expression
    }

    fn infix_bounded(&mut self) -> Expression {
        let mut left = self.comparison();
        loop {
            let all = self.takes_word("AND");
            if !all && !self.takes_word("OR") {
                return left;
            }
            let right = self.comparison();
            left = match (left, all) {
                (Expression::And(mut parts), true) => {
                    parts.push(right);
                    Expression::And(parts)
                }
                (Expression::Or(mut parts), false) => {
                    parts.push(right);
                    Expression::Or(parts)
                }
                (left, true) => Expression::And(vec![left, right]),
                (left, false) => Expression::Or(vec![left, right]),
            };
        }
    }

    fn comparison(&mut self) -> Expression {
        if self.takes_word("NOT") {
            return Expression::Not(Box::new(self.comparison()));
        }
        let mut left = self.operand();
        loop {
            match self.peek() {
                Some(Token::Word("IS")) => {
                    self.at += 1;
                    let not = self.takes_word("NOT");
                    if self.takes_word("NULL") {
                        let of = Box::new(left);
                        left = Expression::Null { of, not };
                    } else {
                        // IS TRUE, IS DISTINCT FROM and their kin.
                        while matches!(self.peek(), Some(Token::Word(w)) if *w != "AND" && *w != "OR")
                        {
                            self.at += 1;
                        }
                        left = mixed(&[left]);
                    }
                }
                Some(Token::Operator(operator)) => {
                    self.at += 1;
                    let any = self.takes_word("ANY");
                    let all = !any && self.takes_word("ALL");
                    let right = self.operand();
                    left = if all {
                        mixed(&[left, right])
                    } else {
                        Expression::Compare {
                            operator: (*operator).to_owned(),
                            left: Box::new(left),
                            right: Box::new(right),
                            any,
                        }
                    };
                }
                // `COLLATE "C"`, `AT TIME ZONE` and the like: no plain comparison any more.
                Some(Token::Word(word)) if *word != "AND" && *word != "OR" => {
                    self.at += 1;
                    let right = self.operand();
                    left = mixed(&[left, right]);
                }
                Some(Token::Sign("[")) => {
                    self.at += 1;
                    let inside = self.list("]");
                    left = mixed(&[left, inside]);
                }
                Some(Token::Sign(".")) => {
                    // A field of a row: `(x).field`.
                    self.at += 2;
                    left = mixed(&[left]);
                }
                Some(Token::Cast) => left = self.cast(left),
                Some(Token::Sign(_) | Token::Word(_)) | None => return left,
                Some(_) => {
                    let right = self.operand();
                    left = mixed(&[left, right]);
                }
            }
        }
    }

    fn operand(&mut self) -> Expression {
        let plain = match self.next() {
            Some(Token::Sign("(")) => {
                let inside = self.list(")");
                return if self.peek() == Some(&Token::Cast) {
                    self.cast(inside)
                } else {
                    inside
                };
            }
            Some(Token::Sign("[")) => self.list("]"),
            // Left for whoever opened the group.
            Some(Token::Sign(_)) => {
                self.at -= 1;
                Expression::Other {
                    columns: Vec::new(),
                }
            }
            Some(Token::Text(text) | Token::Number(text)) => {
                Expression::Constant((*text).to_owned())
            }
            Some(Token::Parameter(name)) => Expression::Parameter((*name).to_owned()),
            // A sign before a number.
            Some(Token::Operator(sign)) => match self.operand() {
                Expression::Constant(number) => Expression::Constant(format!("{sign}{number}")),
                other => mixed(&[other]),
            },
            Some(Token::Word(word)) => return self.named((*word).to_owned(), false),
            Some(Token::Quoted(name)) => return self.named(name.clone(), true),
            Some(Token::Cast) | None => Expression::Other {
                columns: Vec::new(),
            },
        };
        if self.peek() == Some(&Token::Cast) {
            self.cast(plain)
        } else {
            plain
        }
    }

    /// What begins with a name: a column, a call, a keyword.
    fn named(&mut self, name: String, quoted: bool) -> Expression {
        let known = !quoted && name.chars().all(|c| c.is_ascii_uppercase());
        let expression = match (known, name.as_str()) {
            (true, "CASE") => self.until_end(),
            (true, "ARRAY" | "ROW") => {
                let inside = self.operand();
                mixed(&[inside])
            }
            _ if !quoted && (name == "true" || name == "false" || name == "NULL") => {
                Expression::Constant(name)
            }
            _ if self.takes_sign(".") => match self.next() {
                Some(Token::Word(column)) => self.column_or_call(name, (*column).to_owned()),
                Some(Token::Quoted(column)) => self.column_or_call(name, column.clone()),
                // A whole row: `alias.*`.
                Some(Token::Operator(star)) => Expression::Column {
                    column: ColumnRef {
                        alias: name,
                        column: (*star).to_owned(),
                    },
                    cast: None,
                },
                _ => Expression::Other {
                    columns: Vec::new(),
                },
            },
            _ if self.takes_sign("(") => {
                let inside = self.list(")");
                mixed(&[inside])
            }
            _ => Expression::Other {
                columns: Vec::new(),
            },
        };
        if self.peek() == Some(&Token::Cast) {
            self.cast(expression)
        } else {
            expression
        }
    }

    fn column_or_call(&mut self, alias: String, column: String) -> Expression {
        if self.takes_sign("(") {
            let inside = self.list(")");
            return mixed(&[inside]);
        }
        let column = ColumnRef { alias, column };
        Expression::Column { column, cast: None }
    }

    /// What stands in a group whose opening sign is taken: one expression, or the columns of many.
    fn list(&mut self, close: &str) -> Expression {
        let mut parts = Vec::new();
        loop {
            if self.takes_sign(close) || self.peek().is_none() {
                break;
            }
            let before = self.at;
            parts.push(self.infix());
            let _ = self.takes_sign(",");
            self.at += usize::from(self.at == before);
        }
        match <[Expression; 1]>::try_from(parts) {
            Ok([one]) => one,
            Err(parts) => mixed(&parts),
        }
    }

    fn until_end(&mut self) -> Expression {
        let mut parts = Vec::new();
        while !self.takes_word("END") && self.peek().is_some() {
            let before = self.at;
            parts.push(self.infix());
            self.at += usize::from(self.at == before);
        }
        mixed(&parts)
    }

    /// The rest of a group that is nested too deeply, unread.
    fn skip_group(&mut self) -> Expression {
        let mut open = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Sign("(" | "[") => open += 1,
                Token::Sign(")" | "]") if open == 0 => break,
                Token::Sign(")" | "]") => open -= 1,
                _ => {}
            }
            self.at += 1;
        }
        Expression::Other {
            columns: Vec::new(),
        }
    }

    /// `::type` after what was read; the type's name may have several words.
    fn cast(&mut self, of: Expression) -> Expression {
        self.at += 1;
        let mut name = String::new();
        match self.next() {
            Some(Token::Word(word)) => name.push_str(word),
            Some(Token::Quoted(word)) => name = crate::advise::sql::name(word),
            _ => {}
        }
        if self.takes_sign(".") {
            match self.next() {
                Some(Token::Word(word)) => name = format!("{name}.{word}"),
                Some(Token::Quoted(word)) => {
                    name = format!("{name}.{}", crate::advise::sql::name(word));
                }
                _ => {}
            }
        }
        while let Some(Token::Word(word)) = self.peek() {
            if !["varying", "precision", "without", "with", "time", "zone"].contains(word) {
                break;
            }
            name = format!("{name} {word}");
            self.at += 1;
        }
        if self.takes_sign("(") {
            let _ = self.list(")");
        }
        while self.takes_sign("[") {
            let _ = self.takes_sign("]");
            name.push_str("[]");
        }
        match of {
            Expression::Column { column, .. } => Expression::Column {
                column,
                cast: Some(name),
            },
            Expression::Constant(text) => Expression::Constant(format!("{text}::{name}")),
            Expression::Parameter(text) => Expression::Parameter(text),
            other => mixed(&[other]),
        }
    }
}

fn mixed(parts: &[Expression]) -> Expression {
    let columns = parts.iter().flat_map(Expression::columns).cloned();
    Expression::Other {
        columns: columns.collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(alias: &str, column: &str) -> Expression {
        Expression::Column {
            column: ColumnRef {
                alias: alias.to_owned(),
                column: column.to_owned(),
            },
            cast: None,
        }
    }

    fn names(expression: &Expression) -> Vec<String> {
        let columns = expression.columns();
        columns
            .iter()
            .map(|c| format!("{}.{}", c.alias, c.column))
            .collect()
    }

    #[test]
    fn a_filter_is_read_as_its_comparisons() {
        let read = read(
            "((l.shipdate >= '1996-01-01'::date) AND (l.shipdate < '1996-04-01 00:00:00'::timestamp \
             without time zone) AND ((l.\"zipCode\")::text = ANY ('{a,b}'::text[])))",
        );
        let Expression::And(parts) = read else {
            panic!("{read:?}")
        };
        assert_eq!(parts.len(), 3);
        let Expression::Compare {
            operator,
            left,
            right,
            any,
        } = &parts[1]
        else {
            panic!("{:?}", parts[1])
        };
        assert_eq!((operator.as_str(), *any), ("<", false));
        assert_eq!(**left, column("l", "shipdate"));
        let late = "'1996-04-01 00:00:00'::timestamp without time zone";
        assert_eq!(**right, Expression::Constant(late.to_owned()));
        let Expression::Compare { left, any, .. } = &parts[2] else {
            panic!("{:?}", parts[2])
        };
        assert!(*any);
        assert!(matches!(&**left, Expression::Column { cast: Some(c), .. } if c == "text"));
    }

    #[test]
    fn arms_of_or_are_kept_apart() {
        let read = read(
            "(((n1.name = 'A'::bpchar) AND (n2.name = 'B'::bpchar)) OR (n1.name = 'B'::bpchar))",
        );
        let Expression::Or(arms) = &read else {
            panic!("{read:?}")
        };
        assert!(matches!(&arms[0], Expression::And(parts) if parts.len() == 2));
        assert_eq!(names(&read), ["n1.name", "n2.name", "n1.name"]);
    }

    #[test]
    fn calls_cases_and_subplans_keep_their_columns() {
        for (text, want) in [
            (
                "(SUBSTRING(c.phone FROM 1 FOR 2) = ANY ('{1}'::text[]))",
                vec!["c.phone"],
            ),
            (
                "sum((l.price * ('1'::numeric - l.discount)))",
                vec!["l.price", "l.discount"],
            ),
            ("(NOT (hashed SubPlan 1))", vec![]),
            (
                "CASE WHEN (a.x > 1) THEN a.y ELSE 'z'::text END",
                vec!["a.x", "a.y"],
            ),
            ("(PARTIAL count(*))", vec![]),
            ("((m.data ->> 'k'::text) = 'v'::text)", vec!["m.data"]),
            ("(ARRAY[a.x, b.y] && '{1}'::integer[])", vec!["a.x", "b.y"]),
            ("date_trunc('day'::text, e.at)", vec!["e.at"]),
        ] {
            assert_eq!(names(&read(text)), want, "{text}");
        }
    }

    #[test]
    fn nulls_and_directions_are_told() {
        let read = read("(a.x IS NOT NULL)");
        assert!(
            matches!(read, Expression::Null { not: true, .. }),
            "{read:?}"
        );
        let (key, order) = read_sort_key("o.at DESC NULLS LAST");
        assert_eq!(key, column("o", "at"));
        assert_eq!(order, " DESC NULLS LAST");
    }

    proptest! {
        #[test]
        fn no_text_hangs_or_panics(text in "[a-c.()\\[\\]'\"$0-9:=<> ,ANDORT]{0,60}|\\PC{0,60}") {
            let _ = read(&text).columns();
            let _ = read_sort_key(&text);
        }

        #[test]
        fn deep_nesting_is_survived(depth in 0_usize..5_000) {
            let text = format!("{}a.x{}", "(".repeat(depth), ")".repeat(depth));
            let _ = read(&text);
        }
    }
}
