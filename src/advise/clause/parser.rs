//! Expressions out of tokens, by what binds tighter.

use super::tokens::Token;
use super::{ColumnRef, Expression};

/// Longest nesting that is followed.
const MAX_DEPTH: usize = 200;

/// Reads tokens from left to right.
pub(super) struct Parser<'t> {
    tokens: &'t [Token<'t>],
    pub(super) at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// At the first token.
    pub(super) fn new(tokens: &'t [Token<'t>]) -> Self {
        Self {
            tokens,
            at: 0,
            depth: 0,
        }
    }

    pub(super) fn peek(&self) -> Option<&'t Token<'t>> {
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
    pub(super) fn infix(&mut self) -> Expression {
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

/// What is not understood, with the columns of its parts.
pub(super) fn mixed(parts: &[Expression]) -> Expression {
    let columns = parts.iter().flat_map(Expression::columns).cloned();
    Expression::Other {
        columns: columns.collect(),
    }
}
