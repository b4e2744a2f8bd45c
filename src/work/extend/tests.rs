//! Many series through few threads.

use std::fmt::Write as _;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// Remembers all that it hears.
#[derive(Default)]
struct Heard {
    answers: Vec<String>,
    left_out: Vec<String>,
    full_after: Option<usize>,
}

impl Taker<String> for Heard {
    fn take(&mut self, answer: String) -> io::Result<()> {
        if self.full_after == Some(self.answers.len()) {
            return Err(io::Error::other("full"));
        }
        self.answers.push(answer);
        Ok(())
    }

    fn leave_out(&mut self, why: &Refusal) {
        self.left_out.push(why.to_string());
    }

    fn tell(&mut self, _: Progress) {}
}

fn run(file: &str, order: Order, heard: &mut Heard) -> Result<Done, Error> {
    let from = Cursor::new(file.to_owned().into_bytes());
    let shape = |answer: &Answer<'_>| {
        let name = &answer.sequence.name;
        format!("{name} {:?} {:?}", answer.extension, answer.meetings)
    };
    extend(Sequences::new(from, None)?, order, shape, heard)
}

fn order() -> Order {
    Order {
        horizon: 3,
        levels: vec![Level::P80],
        ..Order::default()
    }
}

fn file(lengths: &[usize]) -> String {
    let mut file = "series,step,y\n".to_owned();
    for (series, length) in lengths.iter().enumerate() {
        for step in 0..*length {
            writeln!(file, "s{series},{step},{}", series * 7 + step % 5).unwrap();
        }
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_grouping_gives_the_same_answers_in_the_same_order(
        lengths in prop::collection::vec(1_usize..12, 1..60),
        batch_series in 1_usize..20,
        batch_bytes in 0_usize..2_000,
        under_way_bytes in 0_usize..5_000,
    ) {
        let file = file(&lengths);
        let mut whole = Heard::default();
        run(&file, order(), &mut whole).unwrap();
        let mut parts = Heard::default();
        let limits = Limits { batch_series, batch_bytes, under_way_bytes };
        let done = run(&file, Order { limits, ..order() }, &mut parts).unwrap();
        prop_assert_eq!(done.series, lengths.len() as u64);
        prop_assert_eq!(&whole.answers, &parts.answers);
        for (series, answer) in parts.answers.iter().enumerate() {
            let name = format!("s{series} ");
            prop_assert!(answer.starts_with(&name));
        }
    }
}

#[test]
fn the_first_fault_of_the_file_ends_the_run() {
    // The series without a value is found out later, by another thread, and comes first.
    let file = "series,step,y\na,0,1\nb,0,\nc,0,x\n";
    let mut heard = Heard::default();
    let error = run(file, order(), &mut heard).unwrap_err().to_string();
    assert_eq!(
        error,
        "series \"b\", from line 3: no value is a number; give at least one, or leave the series out"
    );
    assert_eq!(heard.answers.len(), 1);
}

#[test]
fn who_keeps_going_leaves_out_what_is_bad_and_names_it() {
    let file = "series,step,y\na,0,1\nb,0,\nc,0,x\nd,0,2\n";
    let keep_going = Order {
        keep_going: true,
        ..order()
    };
    let mut heard = Heard::default();
    let done = run(file, keep_going.clone(), &mut heard).unwrap();
    assert_eq!((done.series, done.left_out), (2, 2));
    assert!(heard.answers[1].starts_with("d "));
    assert!(heard.left_out[0].contains("\"b\"") && heard.left_out[1].contains("line 4"));
    // Mixed rows mean that what was answered before is wrong.
    let mixed = "series,step,y\na,0,1\nb,0,1\na,1,2\n";
    let error = run(mixed, keep_going, &mut Heard::default()).unwrap_err();
    assert!(error.to_string().contains("together"), "{error}");
}

#[test]
fn thresholds_find_their_series_or_are_named() {
    let mut asked = order();
    asked.thresholds.insert("s1".to_owned(), vec![1e9, -1.0]);
    let mut heard = Heard::default();
    run(&file(&[3, 3]), asked.clone(), &mut heard).unwrap();
    assert!(heard.answers[0].ends_with(" []"));
    assert!(heard.answers[1].contains("quantiles: [Some(0.0), Some(0.0), Some(0.0)]"));
    asked.thresholds.insert("t".to_owned(), vec![1.0]);
    asked.thresholds.insert("r".to_owned(), vec![1.0]);
    let error = run(&file(&[3, 3]), asked, &mut heard)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("series \"r\"") && error.contains("nor 1 others"),
        "{error}"
    );
}

#[test]
fn periods_longer_than_the_data_are_told_and_not_used() {
    let asked = Order {
        periods: vec![4, 24],
        ..order()
    };
    let done = run(&file(&[5, 3, 30]), asked, &mut Heard::default()).unwrap();
    let wanted = [(4, (1, "s1".to_owned())), (24, (2, "s0".to_owned()))];
    assert_eq!(done.too_long, BTreeMap::from(wanted));
}

/// Keeps the last answer.
struct Last<T>(Option<T>);

impl<T> Taker<T> for Last<T> {
    fn take(&mut self, answer: T) -> io::Result<()> {
        self.0 = Some(answer);
        Ok(())
    }

    fn leave_out(&mut self, _: &Refusal) {}

    fn tell(&mut self, _: Progress) {}
}

/// What is looked at of the one answer to a file.
fn shaped<T: Send + 'static>(file: &str, order: Order, shape: fn(&Answer<'_>) -> T) -> T {
    let from = Cursor::new(file.to_owned().into_bytes());
    let mut last = Last(None);
    extend(Sequences::new(from, None).unwrap(), order, shape, &mut last).unwrap();
    last.0.unwrap()
}

/// A file of one series of so many values.
fn one(n: usize, f: impl Fn(usize) -> f64) -> String {
    let mut file = "series,step,y\n".to_owned();
    for i in 0..n {
        writeln!(file, "s,{i},{}", f(i)).unwrap();
    }
    file
}

#[test]
fn where_all_told_periods_are_too_long_no_others_are_looked_for() {
    let week = one(70, |i| if i % 7 > 4 { 2.0 } else { 9.0 });
    let periods = |periods: Vec<usize>| {
        let asked = Order {
            horizon: 14,
            periods,
            ..order()
        };
        shaped(&week, asked, |answer| answer.extension.periods.clone())
    };
    assert_eq!(periods(Vec::new()), [7]);
    assert_eq!(periods(vec![365]), [] as [usize; 0]);
}

#[test]
fn what_was_never_negative_does_not_become_so() {
    let falls = |low: f64| one(60, |i| (60.0 - i as f64) + low);
    let lowest = |file: &str| {
        let asked = Order {
            horizon: 40,
            ..order()
        };
        shaped(file, asked, |answer| {
            let lows = answer.extension.bands.iter().flat_map(|band| &band.lo);
            lows.chain(&answer.extension.mean)
                .copied()
                .fold(f64::INFINITY, f64::min)
        })
    };
    assert!((lowest(&falls(0.0))).abs() < f64::EPSILON);
    // One that was below zero may be so again, and nothing is known of one that was never above.
    assert!(lowest(&falls(-30.0)) < -30.0);
    assert!(!never_negative(&[0.0, 0.0]) && never_negative(&[f64::NAN, 0.0, 1.0]));
    assert!(!never_negative(&[1.0, -0.5]) && !never_negative(&[f64::NAN]));
}

#[test]
fn a_full_disk_ends_the_run() {
    let mut heard = Heard {
        full_after: Some(2),
        ..Heard::default()
    };
    let error = run(&file(&[2; 500]), order(), &mut heard).unwrap_err();
    assert!(matches!(error, Error::Write(_)), "{error}");
}
