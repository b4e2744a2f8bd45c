//! Which indexes need not be kept: what another one answers as well, there already or advised.
//!
//! For: duplicates, prefixes of longer indexes, and existing indexes that a new one takes over from.
//! Not for: whether an index is used at all: that takes months of counting (`checks`).
//!
//! Uniqueness, constraints, replica identity and foreign keys are duties that only an index with the
//! same duty can take over; a prefix of a key serves a foreign key as well as the key does.

use super::candidates::Candidate;
use super::relation::{Existing, Relation};
use crate::model::advice::Drop;

/// What is to go, with whatever stays in its stead.
#[derive(Debug, Clone, PartialEq)]
pub struct Redundant {
    /// Place of the table among the relations.
    pub relation: usize,
    /// Place of the index among the table's.
    pub index: usize,
    /// What is to be shown.
    pub drop: Drop,
}

/// Indexes of `relations` that another one there, or one of `new`, answers as well.
pub fn redundant(relations: &[Relation], new: &[&Candidate]) -> Vec<Redundant> {
    let mut found = Vec::new();
    for (place, relation) in relations.iter().enumerate() {
        let mut gone = vec![false; relation.indexes.len()];
        for (at, index) in relation.indexes.iter().enumerate() {
            if index.is_constraint {
                continue;
            }
            let stays = relation
                .indexes
                .iter()
                .enumerate()
                .find(|(other_at, other)| {
                    *other_at != at
                    && gone.get(*other_at) == Some(&false)
                    && answers(index, other)
                    // Of two equal ones the better stays; of two as good, the first.
                    && (!answers(other, index) || worth(other, *other_at) > worth(index, at))
                });
            let reason = if let Some((_, other)) = stays {
                let is_whole = other.key_texts.len() == index.key_texts.len();
                let word = if is_whole {
                    "is the same as"
                } else {
                    "is the beginning of"
                };
                Some(format!("{} {word} {}, which stays", index.name, other.name))
            } else {
                let newer = new
                    .iter()
                    .find(|candidate| candidate.relation == place && takes_over(index, candidate));
                newer.map(|candidate| {
                    format!(
                        "{} is the beginning of the advised {}; drop it once that is built",
                        index.name,
                        candidate.what_if(relation).trim_start_matches("CREATE ")
                    )
                })
            };
            if let Some(reason) = reason {
                if let Some(slot) = gone.get_mut(at) {
                    *slot = true;
                }
                found.push(Redundant {
                    relation: place,
                    index: at,
                    drop: Drop {
                        ddl: format!("DROP INDEX CONCURRENTLY {}", index.quoted),
                        table: format!("{}.{}", relation.schema, relation.name),
                        reason,
                        frees_bytes: index.size_bytes,
                    },
                });
            }
        }
    }
    found.sort_by_key(|redundant| std::cmp::Reverse(redundant.drop.frees_bytes));
    found
}

/// Whether `other` answers every search that `index` does, and has its duties.
fn answers(index: &Existing, other: &Existing) -> bool {
    let is_whole = other.key_texts.len() == index.key_texts.len();
    index.method == other.method
        && index.predicate == other.predicate
        && (is_whole || index.method == "btree")
        && other.key_texts.starts_with(&index.key_texts)
        && other.key_forms.starts_with(&index.key_forms)
        && index.include.iter().all(|column| {
            other.include.contains(column) || other.keys.contains(&Some(*column))
        })
        // A longer unique index says nothing of its beginning.
        && (!index.is_unique || (other.is_unique && is_whole))
}

/// Which of two equal indexes is better kept: the one with duties, then the busier, then the first.
fn worth(index: &Existing, at: usize) -> (bool, bool, u64, std::cmp::Reverse<usize>) {
    (
        index.is_constraint,
        index.is_unique,
        index.scans,
        std::cmp::Reverse(at),
    )
}

/// Whether a new index answers every search that `index` does.
fn takes_over(index: &Existing, new: &Candidate) -> bool {
    let is_beginning = index.keys.len() <= new.keys.len()
        && index.keys.iter().zip(&new.keys).all(|(there, key)| {
            *there == Some(key.column) && key.order.is_empty() && key.class.is_none()
        });
    let holds = |column: &usize| {
        new.include.contains(column) || new.key_columns().any(|key| key == *column)
    };
    index.method == "btree"
        && !index.is_unique
        && index.predicate.is_none()
        && new.predicate.is_none()
        && !index.keys.is_empty()
        && is_beginning
        && index.include.iter().all(holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::candidates::Key;

    fn index(name: &str, keys: &[usize]) -> Existing {
        Existing {
            quoted: format!("public.{name}"),
            name: name.to_owned(),
            method: "btree".to_owned(),
            keys: keys.iter().map(|key| Some(*key)).collect(),
            key_texts: keys.iter().map(|key| format!("c{key}")).collect(),
            key_forms: vec![String::new(); keys.len()],
            size_bytes: 8_192,
            ..Existing::default()
        }
    }

    fn names(indexes: Vec<Existing>, new: &[&Candidate]) -> Vec<String> {
        let relation = Relation {
            indexes,
            ..Relation::default()
        };
        let mut names: Vec<String> = redundant(&[relation], new)
            .into_iter()
            .map(|r| r.drop.ddl.replace("DROP INDEX CONCURRENTLY public.", ""))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn of_two_equal_indexes_one_goes_and_never_the_one_with_duties() {
        let mut unique = index("email_key", &[1]);
        unique.is_unique = true;
        assert_eq!(
            names(vec![unique.clone(), index("email_idx", &[1])], &[]),
            ["email_idx"]
        );
        // Two uniques: one is enough. A longer unique one is no stand-in.
        let mut second = unique.clone();
        second.name = "second".to_owned();
        second.quoted = "public.second".to_owned();
        assert_eq!(names(vec![unique.clone(), second.clone()], &[]), ["second"]);
        second.is_constraint = true;
        assert_eq!(names(vec![unique.clone(), second], &[]), ["email_key"]);
        let mut longer = index("longer", &[1, 2]);
        longer.is_unique = true;
        assert!(names(vec![unique, longer], &[]).is_empty());
    }

    #[test]
    fn prefixes_go_and_what_differs_stays() {
        assert_eq!(
            names(vec![index("a", &[1]), index("ab", &[1, 2])], &[]),
            ["a"]
        );
        let mut partial = index("partial", &[1, 2]);
        partial.predicate = Some("c3".to_owned());
        assert!(names(vec![index("a", &[1]), partial], &[]).is_empty());
        for form in ["DESC NULLS FIRST", "COLLATE \"C\"", "text_pattern_ops"] {
            let mut formed = index("formed", &[1, 2]);
            formed.key_forms[0] = form.to_owned();
            assert!(names(vec![index("a", &[1]), formed], &[]).is_empty());
            let mut formed = index("formed", &[1, 2]);
            formed.key_forms[1] = form.to_owned();
            assert!(names(vec![index("ab", &[1, 2]), formed.clone()], &[]).is_empty());
            assert_eq!(names(vec![index("a", &[1]), formed], &[]), ["a"]);
        }
        // Three alike: two go, whichever way round they stand for each other.
        let three = vec![index("a", &[1]), index("b", &[1]), index("c", &[1])];
        assert_eq!(names(three, &[]), ["b", "c"]);
    }

    #[test]
    fn a_new_index_takes_over_from_its_beginning() {
        let new = Candidate {
            relation: 0,
            keys: vec![Key::plain(1), Key::plain(2)],
            include: Vec::new(),
            predicate: None,
        };
        assert_eq!(
            names(vec![index("a", &[1]), index("b", &[2])], &[&new]),
            ["a"]
        );
        let mut partial = new.clone();
        partial.predicate = Some("c3".to_owned());
        assert!(names(vec![index("a", &[1])], &[&partial]).is_empty());
    }
}
