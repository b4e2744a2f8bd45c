//! What is shown below a node: of thousands of partitions the few that matter.

use crate::model::explain::Node;

/// Children up to which all are shown.
const ALL: usize = 24;
/// Children that are shown of more.
const SOME: usize = 12;

/// Children of a node.
#[derive(Debug)]
pub struct Below<'n> {
    /// Those that are shown, in the plan's order.
    pub shown: Vec<&'n Node>,
    /// What is not, in words.
    pub rest: Option<String>,
}

/// The children that are shown: all, or of very many those that take most.
pub fn below(node: &Node) -> Below<'_> {
    if node.plans.len() <= ALL {
        return Below {
            shown: node.plans.iter().collect(),
            rest: None,
        };
    }
    let share = |child: &Node| child.nodes().iter().map(|n| n.share).sum::<f64>();
    let mut places: Vec<(usize, f64)> = node.plans.iter().map(share).enumerate().collect();
    places.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let left = places.split_off(SOME);
    places.sort_by_key(|(place, _)| *place);
    let together: f64 = left.iter().map(|(_, share)| share).sum();
    Below {
        shown: places
            .iter()
            .filter_map(|(place, _)| node.plans.get(*place))
            .collect(),
        rest: Some(format!(
            "… and {} more, {:.1} % together",
            super::count(left.len() as f64),
            together * 100.0
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(children: usize) -> Node {
        let child = |place: usize| Node {
            alias: Some(format!("p{place}")),
            share: if place == 77 { 0.5 } else { 0.004 },
            ..Node::default()
        };
        Node {
            plans: (0..children).map(child).collect(),
            ..Node::default()
        }
    }

    #[test]
    fn of_many_children_those_that_take_most_are_shown_in_their_order() {
        let all = append(ALL);
        assert_eq!((below(&all).shown.len(), below(&all).rest), (ALL, None));
        let many = append(101);
        let below = below(&many);
        let shown: Vec<&str> = below
            .shown
            .iter()
            .filter_map(|n| n.alias.as_deref())
            .collect();
        assert_eq!(shown.len(), SOME);
        assert_eq!((shown[0], shown[SOME - 1]), ("p0", "p77"));
        let rest = below.rest.unwrap();
        assert_eq!(rest, "… and 89 more, 35.6 % together");
    }
}
