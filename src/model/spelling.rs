//! Which known name a misspelt one was probably meant to be.

/// The name among `known` that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| is_near(*distance, candidate))
        .map(|(_, candidate)| candidate)
}

/// The names among `known` that `name` was probably meant to be or begin, the nearest first, at most
/// `most` of them.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut ranked: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            is_near(*distance, candidate) || (!name.is_empty() && candidate.contains(name))
        })
        .collect();
    ranked.sort_unstable();
    ranked.truncate(most);
    ranked.into_iter().map(|(_, candidate)| candidate).collect()
}

fn is_near(distance: usize, candidate: &str) -> bool {
    distance <= 2.max(candidate.len() / 4)
}

/// Levenshtein's distance: insertions, deletions and replacements from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_agree_with_the_textbook() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn near_names_come_nearest_first_and_a_stranger_has_none() {
        let known = ["agents:active", "agents:availability", "leads:recent"];
        assert_eq!(near("agents:activ", known, 3), ["agents:active"]);
        assert_eq!(near("agents", known, 3), known[..2]);
        assert_eq!(near("agents", known, 1), ["agents:active"]);
        assert!(near("zebra", known, 3).is_empty());
        assert!(near("", known, 3).is_empty());
    }
}
