//! Values that were taken from a column's statistics are not shown: they are somebody's data.

use crate::advise::query::text;
use crate::model::explain::{Analysis, Node};

/// Puts `$n` for each constant of the plan that stands for a parameter, and `'?'` for any other that the
/// caller did not write.
pub(super) fn values(analysis: &mut Analysis, sampled: &[Option<String>]) {
    let written: Vec<String> = text::constants(&analysis.query)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let by = |constant: &str| {
        let bare = constant
            .trim_start_matches('E')
            .trim_matches('\'')
            .replace("''", "'");
        let place = sampled
            .iter()
            .position(|value| value.as_ref() == Some(&bare));
        place.map_or_else(|| "'?'".to_owned(), |place| format!("${}", place + 1))
    };
    node(&mut analysis.plan, &|text: &mut String| {
        *text = text::masked(text, &written, by);
    });
}

fn node(node: &mut Node, mask: &impl Fn(&mut String)) {
    let conditions = node
        .conditions
        .iter_mut()
        .map(|condition| &mut condition.text);
    let lists = [&mut node.sort_key, &mut node.group_key, &mut node.output];
    conditions.chain(lists.into_iter().flatten()).for_each(mask);
    for child in &mut node.plans {
        self::node(child, mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::explain::Condition;

    #[test]
    fn only_what_the_caller_wrote_stays() {
        let mut analysis = Analysis {
            query: "select from t where a = $1 and b = 'mine' and c > 5".to_owned(),
            plan: Node {
                conditions: vec![Condition {
                    kind: "Filter".to_owned(),
                    text: "((t.a = 'Ann''s'::text) AND (t.b = 'mine'::text) AND (t.c > 5) AND (t.d = 77))"
                        .to_owned(),
                }],
                ..Node::default()
            },
            ..Analysis::default()
        };
        values(&mut analysis, &[Some("Ann's".to_owned())]);
        assert_eq!(
            analysis.plan.condition("Filter"),
            Some("((t.a = $1::text) AND (t.b = 'mine'::text) AND (t.c > 5) AND (t.d = '?'))")
        );
    }
}
