//! Conditions as a server wrote them.

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
    let read =
        read("(((n1.name = 'A'::bpchar) AND (n2.name = 'B'::bpchar)) OR (n1.name = 'B'::bpchar))");
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
        let _ = comparisons(&text);
    }

    #[test]
    fn deep_nesting_is_survived(depth in 0_usize..5_000) {
        let text = format!("{}a.x{}", "(".repeat(depth), ")".repeat(depth));
        let _ = read(&text);
    }
}

#[test]
fn comparisons_keep_the_texts_of_their_sides() {
    let text = "((m.kind = 'a'::text) AND ((m.data ->> 'k'::text) = 'v'::text) AND \
                ((m.x > 1) OR (m.y > 2)) AND (lower(m.name) ~~ ANY ('{a%}'::text[])))";
    let seen: Vec<(&str, &str, &str)> = comparisons(text)
        .into_iter()
        .map(|c| (c.left, c.operator, c.right))
        .collect();
    assert_eq!(
        seen,
        [
            ("m.kind", "=", "'a'::text"),
            ("m.data ->> 'k'::text", "=", "'v'::text"),
            ("lower(m.name)", "~~", "'{a%}'::text[]"),
        ]
    );
    assert!(comparisons("").is_empty());
    assert!(comparisons(")(").is_empty());
}
