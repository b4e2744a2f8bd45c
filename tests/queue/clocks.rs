//! Schedules where clocks are put forward or back, held to instants that others worked out.

use plimsoll::model::units::Timestamp;
use plimsoll::queue::schedule::Recurrence;

const TABLE: &str = include_str!("../golden/clocks.txt");

fn instant(text: &str) -> Timestamp {
    Timestamp::parse(&text.replace('Z', ":00Z")).unwrap()
}

#[test]
fn every_instant_of_the_table_comes_and_no_other() {
    let (mut rows, mut zones) = (0, std::collections::BTreeSet::new());
    for row in TABLE.lines() {
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        let [zone, pattern, after, instants] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let expected: Vec<String> = instants
            .split(' ')
            .map(|text| instant(text).to_string())
            .collect();
        let recurrence = Recurrence::cron(pattern, zone).unwrap();
        let found = recurrence.after(instant(after)).take(expected.len());
        let found: Vec<String> = found.map(|at| at.to_string()).collect();
        assert_eq!(found, expected, "{row}");
        rows += 1;
        zones.insert(zone);
    }
    assert!(rows > 60 && zones.len() > 15, "{rows} rows, {zones:?}");
}

/// Whatever instant one asks from, the answer is the first of the same sequence.
#[test]
fn no_instant_is_passed_over_or_given_twice_from_wherever_one_asks() {
    for (pattern, zone, from) in [
        ("30 0,2 * * *", "America/Sao_Paulo", "2018-11-03T00:00Z"),
        ("*/20 * * * *", "Australia/Lord_Howe", "2026-04-04T10:00Z"),
        ("15 1,2,3 * * *", "America/New_York", "2026-10-31T12:00Z"),
        ("0 */6 * * *", "Pacific/Apia", "2011-12-29T00:00Z"),
    ] {
        let recurrence = Recurrence::cron(pattern, zone).unwrap();
        let begin = instant(from);
        let all: Vec<Timestamp> = recurrence.after(begin).take(12).collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        let end = all[11].as_millis();
        for ms in (begin.as_millis()..end).step_by(7 * 60_000 + 1_234) {
            let at = Timestamp::from_millis(ms);
            let first = all.iter().find(|tick| **tick > at);
            assert_eq!(recurrence.next_after(at).as_ref(), first, "{pattern} {at}");
        }
        for tick in &all {
            let before = Timestamp::from_millis(tick.as_millis() - 1);
            assert_eq!(recurrence.next_after(before), Some(*tick));
        }
    }
}
