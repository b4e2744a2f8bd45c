//! Patterns over keys: `*` stands for any text, `?` for one character, all else for itself.

/// Whether `pattern` matches the whole of `key`, in time proportional to their product at most.
pub(super) fn matches(pattern: &str, key: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let key: Vec<char> = key.chars().collect();
    let (mut at, mut in_key) = (0, 0);
    // Where the last star stands, and how much of the key it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(have) = key.get(in_key) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_key));
                at += 1;
            }
            Some(want) if *want == '?' || want == have => {
                at += 1;
                in_key += 1;
            }
            _ => match &mut star {
                None => return false,
                Some((star_at, taken)) => {
                    *taken += 1;
                    at = *star_at + 1;
                    in_key = *taken;
                }
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        for (pattern, key, want) in [
            ("agents:*", "agents:active", true),
            ("agents:*", "agents:", true),
            ("agents:*", "agent:1", false),
            ("*:active", "agents:active", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("lead:?", "lead:1", true),
            ("lead:?", "lead:12", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("**", "x", true),
            ("é?", "éü", true),
            ("agents.active", "agents:active", false),
        ] {
            assert_eq!(matches(pattern, key), want, "{pattern} {key}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let (pattern, key) = ("*a".repeat(500), "a".repeat(199) + "b");
        assert!(!matches(&pattern, &key));
    }

    /// The definition, which takes exponential time.
    fn by_definition(pattern: &[char], key: &[char]) -> bool {
        match pattern.split_first() {
            None => key.is_empty(),
            Some(('*', rest)) => (0..=key.len()).any(|n| by_definition(rest, &key[n..])),
            Some((want, rest)) => key.split_first().is_some_and(|(have, left)| {
                (*want == '?' || want == have) && by_definition(rest, left)
            }),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*?]{0,7}", key in "[ab]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<char>>();
            let want = by_definition(&chars(&pattern), &chars(&key));
            prop_assert_eq!(matches(&pattern, &key), want);
        }
    }
}
