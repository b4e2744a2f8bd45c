//! Walking through the entries of a tree, by what is whole: a value, a span with its instants, a
//! record with all its parts.
//!
//! For: `verify` and `repair`, which both look at everything. Not for: what they make of it. Read
//! [`Walk::entry`] first.

use std::collections::BTreeMap;

use super::Result;
use super::codec::Damaged;
use super::content::{Content, Tree, check};
use super::keys::{CATALOGUE, META, RECORDS};
use super::source::Source;

/// A chunk as it lies in its tree, and what its key and head say.
pub(super) struct Chunk {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) group: u32,
    pub(super) log: u32,
    pub(super) members: Vec<u8>,
}

/// Everything of one span.
#[derive(Default)]
pub(super) struct Span {
    pub(super) number: u32,
    /// Instants, by target and log.
    pub(super) times: BTreeMap<(u32, u32), Vec<i64>>,
    pub(super) chunks: Vec<Chunk>,
}

/// What a walk comes upon.
pub(super) enum Found<'w> {
    /// A value that reads; a column of instants is told both alone and with its span.
    Value {
        key: &'w [u8],
        value: &'w [u8],
        content: Content,
    },
    /// A value that does not read.
    Damage { key: &'w [u8], damage: Damaged },
    /// A span that is over: its chunks come only here.
    Span(Span),
    /// A record that is over: keys and values of its parts, at least one.
    Record(&'w [(Vec<u8>, Vec<u8>)]),
}

/// A walk through one tree, in order of its keys.
pub(super) struct Walk<'t> {
    at: Tree<'t>,
    span: Span,
    record: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Trees of a source: the catalogue and the marks before what names their series and logs.
pub(super) fn trees(source: &Source) -> Vec<String> {
    let mut trees = source.trees();
    trees.sort_by_key(|tree| (tree != CATALOGUE && tree != META, tree.clone()));
    trees
}

/// What the parts of a record have in common; `None` for what is no key of one.
pub(super) fn record_of(key: &[u8]) -> Option<&[u8]> {
    key.split_last_chunk::<2>().map(|(record, _)| record)
}

impl<'t> Walk<'t> {
    /// A walk through a tree.
    pub(super) fn through(at: Tree<'t>) -> Self {
        Self {
            at,
            span: Span::default(),
            record: Vec::new(),
        }
    }

    /// Takes the next entry, and shows `take` what has become whole.
    ///
    /// # Errors
    /// What `take` says.
    pub(super) fn entry(
        &mut self,
        key: &[u8],
        value: &[u8],
        mut take: impl FnMut(Found<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.at.name == RECORDS {
            let first = self.record.first();
            if first.is_some_and(|(first, _)| record_of(first) != record_of(key)) {
                self.end_record(&mut take)?;
            }
            self.record.push((key.to_vec(), value.to_vec()));
            return Ok(());
        }
        let content = match check(self.at, key, value) {
            Ok(content) => content,
            Err(damage) => return take(Found::Damage { key, damage }),
        };
        if let Content::Times { span, .. } | Content::Chunk { span, .. } = content
            && span != self.span.number
        {
            self.end_span(&mut take)?;
            self.span.number = span;
        }
        match content {
            Content::Chunk {
                group,
                log,
                members,
                ..
            } => {
                self.span.chunks.push(Chunk {
                    key: key.to_vec(),
                    value: value.to_vec(),
                    group,
                    log,
                    members,
                });
                Ok(())
            }
            content => {
                if let Content::Times {
                    target, log, times, ..
                } = &content
                {
                    self.span.times.insert((*target, *log), times.clone());
                }
                take(Found::Value {
                    key,
                    value,
                    content,
                })
            }
        }
    }

    /// Shows what is left when no entry comes any more.
    ///
    /// # Errors
    /// What `take` says.
    pub(super) fn finish(mut self, mut take: impl FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        self.end_span(&mut take)?;
        self.end_record(&mut take)
    }

    fn end_span(&mut self, take: &mut impl FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        let span = std::mem::take(&mut self.span);
        if span.chunks.is_empty() && span.times.is_empty() {
            return Ok(());
        }
        take(Found::Span(span))
    }

    fn end_record(&mut self, take: &mut impl FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        let parts = std::mem::take(&mut self.record);
        if parts.is_empty() {
            return Ok(());
        }
        take(Found::Record(&parts))
    }
}
