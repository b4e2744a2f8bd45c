//! Trees of a database, put together from its pages without the engine.
//!
//! For: every key and value of a database that nobody has open, and what is missing between them.
//! Not for: finding pages (`pages`). Read [`Leaves::of`] first.
//!
//! Source of the format: sled 0.34.7, `serialization` and `node`. Page 0 lists the trees: names and
//! numbers of their roots. A page of a tree: next page or 0, child that is being merged, u8 whether
//! it is merged, u8 length of the prefix that its keys lack, its lowest key, the end of its keys
//! (empty: none), u8 0 for a leaf or 1 for an index, how many, keys, then values or numbers of pages.
//! A change: u8 0 set (key, value), 1 delete (key), 2 to 4 steps of a merge. Keys and values have
//! their length before them; lengths and pages are numbers (`segments`).
//!
//! The leaves of a tree follow each other without a gap, each beginning where the one before it
//! ends: so a leaf that does not read is noticed, with the keys that it may have held.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::codec::{Damaged, Reader};
use super::pages::Pages;
use super::segments::number;

/// The page that lists the trees.
const LIST: u64 = 0;
/// Trees of the engine itself.
const OWN: &str = "__sled";

/// Keys from the first up to, but without, the second that no leaf answers for; an empty second
/// is the end.
pub(super) type Hole = (Vec<u8>, Vec<u8>);

/// A page of a tree.
struct Node {
    next: Option<u64>,
    lo: Vec<u8>,
    hi: Vec<u8>,
    body: Body,
}

enum Body {
    Leaf(BTreeMap<Vec<u8>, Vec<u8>>),
    Index(Vec<u64>),
}

/// The leaves of one tree, by their lowest key.
#[derive(Debug, Default)]
struct Tree {
    leaves: BTreeMap<Vec<u8>, Vec<(Vec<u8>, u64)>>,
}

/// All trees of a database.
#[derive(Debug)]
pub(super) struct Leaves {
    pages: Pages,
    trees: BTreeMap<String, Tree>,
    /// Leaves that belong to no tree that is known.
    orphans: Vec<u64>,
    /// Whether the list of trees does not read, or not as it was last.
    pub(super) lost_list: bool,
}

impl Leaves {
    /// Finds the leaves of all trees.
    pub(super) fn of(pages: Pages) -> Result<Self> {
        let list = pages
            .page(LIST)?
            .and_then(|(bytes, _)| read_list(&bytes).ok());
        let lost_list = list.is_none() || pages.is_stale(LIST);
        let mut trees = BTreeMap::new();
        let mut seen = BTreeSet::from([LIST]);
        for (name, root) in list.unwrap_or_default() {
            let mut tree = Tree::default();
            walk(&pages, root, &mut tree, &mut seen)?;
            if let Ok(name) = String::from_utf8(name) {
                trees.insert(name, tree);
            }
        }
        let mut orphans = Vec::new();
        for page in pages.numbers() {
            if !seen.contains(&page)
                && let Some(node) = read_page(&pages, page)?
                && matches!(&node.body, Body::Leaf(entries) if !entries.is_empty())
            {
                orphans.push(page);
            }
        }
        Ok(Self {
            pages,
            trees,
            orphans,
            lost_list,
        })
    }

    /// The pages.
    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Names of the trees that hold data, sorted.
    pub(super) fn trees(&self) -> Vec<String> {
        let names = self.trees.keys().filter(|name| !name.starts_with(OWN));
        names.cloned().collect()
    }

    /// Calls `visit` with each key and value, in order of keys; returns what is missing between
    /// them, and ranges of which a newer state does not read.
    pub(super) fn scan(
        &self,
        tree: &str,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<Vec<Hole>> {
        let Some(tree) = self.trees.get(tree) else {
            return Ok(Vec::new());
        };
        let mut holes = Vec::new();
        let mut place: Option<Vec<u8>> = Some(Vec::new());
        for (lo, leaves) in &tree.leaves {
            // Of two with one beginning, the one that reaches further is the one of before a split.
            for (hi, page) in leaves {
                let Some(from) = place.clone() else {
                    break;
                };
                if !hi.is_empty() && *hi <= from {
                    continue;
                }
                if *lo > from {
                    holes.push((from.clone(), lo.clone()));
                }
                let Some(Node {
                    body: Body::Leaf(entries),
                    ..
                }) = read_page(&self.pages, *page)?
                else {
                    continue;
                };
                for (key, value) in entries.range(from..) {
                    visit(key, value)?;
                }
                if self.pages.is_stale(*page) {
                    holes.push((lo.clone(), hi.clone()));
                }
                place = (!hi.is_empty()).then(|| hi.clone());
            }
        }
        holes.extend(place.map(|from| (from, Vec::new())));
        Ok(holes)
    }

    /// Calls `visit` with each key and value of leaves whose tree is not known.
    pub(super) fn orphans(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        for page in &self.orphans {
            if let Some(Node {
                body: Body::Leaf(entries),
                ..
            }) = read_page(&self.pages, *page)?
            {
                for (key, value) in &entries {
                    visit(key, value)?;
                }
            }
        }
        Ok(())
    }
}

/// Collects the leaves below a page and those that follow them.
fn walk(pages: &Pages, root: u64, tree: &mut Tree, seen: &mut BTreeSet<u64>) -> Result<()> {
    let mut left = vec![root];
    while let Some(page) = left.pop() {
        if !seen.insert(page) {
            continue;
        }
        let Some(node) = read_page(pages, page)? else {
            continue;
        };
        left.extend(node.next);
        match node.body {
            Body::Leaf(_) => {
                let leaves = tree.leaves.entry(node.lo).or_default();
                leaves.push((node.hi, page));
                leaves.sort();
            }
            Body::Index(children) => left.extend(children),
        }
    }
    Ok(())
}

/// A page of a tree with its changes; `None` if it is not there or does not read as one.
fn read_page(pages: &Pages, page: u64) -> Result<Option<Node>> {
    let Some((whole, changes)) = pages.page(page)? else {
        return Ok(None);
    };
    let Ok((mut node, prefix)) = read_node(&whole) else {
        return Ok(None);
    };
    if let Body::Leaf(entries) = &mut node.body {
        for change in &changes {
            // A change that does not read has matched its checksum: it is of another kind.
            let _ = apply(change, &prefix, entries);
        }
    }
    Ok(Some(node))
}

fn bytes<'a>(from: &mut Reader<'a>) -> std::result::Result<&'a [u8], Damaged> {
    let len = usize::try_from(number(from)?).map_err(|_| Damaged("a length beyond its bound"))?;
    from.take(len)
}

fn read_list(page: &[u8]) -> std::result::Result<Vec<(Vec<u8>, u64)>, Damaged> {
    let mut from = Reader::new(page);
    let mut list = Vec::new();
    while !from.is_done() {
        list.push((bytes(&mut from)?.to_vec(), number(&mut from)?));
    }
    Ok(list)
}

fn read_node(page: &[u8]) -> std::result::Result<(Node, Vec<u8>), Damaged> {
    let mut from = Reader::new(page);
    let next = Some(number(&mut from)?).filter(|next| *next > 0);
    number(&mut from)?;
    from.byte()?;
    let prefix_len = usize::from(from.byte()?);
    let lo = bytes(&mut from)?.to_vec();
    let hi = bytes(&mut from)?.to_vec();
    let prefix = lo
        .get(..prefix_len)
        .ok_or(Damaged("a prefix longer than its key"))?
        .to_vec();
    let is_index = from.byte()?;
    let count = usize::try_from(number(&mut from)?).unwrap_or(usize::MAX);
    if count > page.len() {
        return Err(Damaged("a length beyond its bound"));
    }
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        keys.push([&prefix, bytes(&mut from)?].concat());
    }
    let body = match is_index {
        0 => {
            let mut entries = BTreeMap::new();
            for key in keys {
                entries.insert(key, bytes(&mut from)?.to_vec());
            }
            Body::Leaf(entries)
        }
        1 => {
            let mut children = Vec::with_capacity(count);
            for _ in 0..count {
                children.push(number(&mut from)?);
            }
            Body::Index(children)
        }
        _ => return Err(Damaged("an unknown page")),
    };
    let node = Node { next, lo, hi, body };
    Ok((node, prefix))
}

/// Reads any bytes as the parts of a tree, for fuzzing.
pub(super) fn read_any(bytes: &[u8]) {
    let _ = read_list(bytes);
    if let Ok((
        Node {
            body: Body::Leaf(mut entries),
            ..
        },
        prefix,
    )) = read_node(bytes)
    {
        let _ = apply(bytes, &prefix, &mut entries);
    }
}

fn apply(
    change: &[u8],
    prefix: &[u8],
    entries: &mut BTreeMap<Vec<u8>, Vec<u8>>,
) -> std::result::Result<(), Damaged> {
    let mut from = Reader::new(change);
    match from.byte()? {
        0 => {
            let key = [prefix, bytes(&mut from)?].concat();
            entries.insert(key, bytes(&mut from)?.to_vec());
        }
        1 => {
            entries.remove(&[prefix, bytes(&mut from)?].concat());
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::barrier::Database;
    use crate::store::op::Op;
    use crate::store::shape::Shape;

    const SHAPE: Shape = Shape::small(1 << 20);

    fn key(n: u32) -> [u8; 8] {
        (u64::from(n) * 7).to_be_bytes()
    }

    fn value(n: u32, round: u32) -> Vec<u8> {
        let len = (n * 37 % 900) as usize;
        [vec![n.to_le_bytes()[0]; len], round.to_le_bytes().to_vec()].concat()
    }

    /// A database with splits, overwritten and deleted keys, a dropped tree and a second opening.
    fn busy(path: &std::path::Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut held = BTreeMap::new();
        for round in 0..3 {
            let database = Database::open(path, SHAPE).unwrap();
            for n in 0..2_000 {
                if n % 5 == 4 && round == 2 {
                    database
                        .write("t", vec![Op::Delete(key(n).to_vec())])
                        .unwrap();
                    held.remove(&key(n)[..]);
                } else if (n + round) % 3 != 0 {
                    let op = Op::put(key(n), value(n, round));
                    database.write("t", vec![op]).unwrap();
                    held.insert(key(n).to_vec(), value(n, round));
                }
            }
            database
                .write(
                    "gone",
                    (0..200).map(|n| Op::put(key(n), value(n, 9))).collect(),
                )
                .unwrap();
            if round == 1 {
                database.drop_tree("gone").unwrap();
            }
            database.barrier().unwrap();
        }
        held
    }

    fn read(path: &std::path::Path) -> (BTreeMap<Vec<u8>, Vec<u8>>, Vec<Hole>, usize) {
        let leaves = Leaves::of(Pages::read(path).unwrap()).unwrap();
        let mut found = BTreeMap::new();
        let holes = leaves
            .scan("t", |key, value| {
                assert!(found.insert(key.to_vec(), value.to_vec()).is_none());
                Ok(())
            })
            .unwrap();
        (found, holes, leaves.pages().tears().len())
    }

    #[test]
    fn a_sound_database_reads_without_the_engine_as_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let held = busy(&path);
        let before: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        let (found, holes, tears) = read(&path);
        assert_eq!((holes.len(), tears), (0, 0));
        assert!(found == held, "{} of {}", found.len(), held.len());
        let leaves = Leaves::of(Pages::read(&path).unwrap()).unwrap();
        assert_eq!(leaves.trees(), ["gone", "t"]);
        assert!(leaves.orphans.is_empty() && !leaves.lost_list);
        let after: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(before, after, "nothing was written");
    }

    #[test]
    fn a_flipped_byte_anywhere_costs_little_and_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let held = busy(&path);
        let good = fs::read(path.join("db")).unwrap();
        let mut noticed = 0;
        for at in (0..good.len()).step_by(good.len() / 61) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(path.join("db"), &bad).unwrap();
            let (found, holes, tears) = read(&path);
            let wrong = found
                .iter()
                .filter(|(k, v)| held.get(*k) != Some(*v))
                .count();
            let missing = held.keys().filter(|k| !found.contains_key(*k)).count();
            assert!(
                wrong + missing < 40,
                "byte {at}: {wrong} wrong, {missing} missing"
            );
            if wrong + missing > 0 {
                assert!(
                    holes.len() + tears > 0,
                    "byte {at}: {wrong} wrong, {missing} missing"
                );
                noticed += 1;
            }
        }
        assert!(noticed > 3, "the flips hit nothing: {noticed}");
    }

    #[test]
    fn a_cut_file_is_noticed_and_gives_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let held = busy(&path);
        // Opening writes down how far the log reaches.
        drop(Database::open(&path, SHAPE).unwrap());
        read(&path);
        let good = fs::read(path.join("db")).unwrap();
        for tenths in 0..10 {
            fs::write(path.join("db"), &good[..good.len() / 10 * tenths]).unwrap();
            let leaves = Leaves::of(Pages::read(&path).unwrap()).unwrap();
            let (found, holes, tears) = read(&path);
            if found != held {
                let faults = leaves.pages().faults().len() + leaves.pages().lost().len();
                assert!(
                    holes.len() + tears + faults > 0 || leaves.lost_list,
                    "{tenths}"
                );
            }
        }
    }
}
