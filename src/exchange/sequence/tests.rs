//! Files as people make them, and files that are wrong.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

type Read1 = std::result::Result<Sequence, Bad>;

fn all(file: &str, step: Option<Millis>) -> Vec<Read1> {
    let mut sequences = Sequences::new(file.as_bytes(), step).unwrap();
    let mut all = Vec::new();
    while let Some(one) = sequences.read().unwrap() {
        all.push(one);
    }
    all
}

fn only(file: &str, step: Option<Millis>) -> Sequence {
    let mut all = all(file, step);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).unwrap()
}

fn wrong(file: &str) -> String {
    let found = all(file, None).into_iter().find_map(Read1::err);
    found.unwrap().to_string()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn steps_count_from_anywhere_and_skipped_ones_are_missing() {
    let file =
        "y,extra,Series,step\r\n1,x,a,-2\r\n,x,a,-1\r\n2.5,x,a,2\r\n\r\n7,x,\"b,\nc\",40\r\n";
    let read = all(file, Some(Millis::HOUR));
    let a = read[0].clone().unwrap();
    let nan = f64::NAN;
    assert_eq!(bits(&a.values), bits(&[1.0, nan, nan, nan, 2.5]));
    assert_eq!(
        (a.end, a.step, a.line),
        (End::at_step(2), Some(Millis::HOUR), 2)
    );
    let b = read[1].clone().unwrap();
    assert_eq!((b.name.as_str(), b.line), ("b,\nc", 6));
    let sequences = Sequences::new(file.as_bytes(), None).unwrap();
    assert_eq!(
        (sequences.axis(), sequences.ignored()),
        (Axis::Steps, vec!["extra"])
    );
}

#[test]
fn a_name_in_quotes_or_not_is_the_same() {
    let read = only("series,step,y\na,0,1\n\"a\",1,2\n", None);
    assert_eq!(read.values, [1.0, 2.0]);
}

#[test]
fn times_find_their_step_and_their_gaps() {
    let read = only(
        "series,ts,y\na,2026-03-01T00:00:00Z,1\na,2026-03-01T00:05:02Z,2\na,2026-03-01T00:10:00Z,3\n\
         a,2026-03-01T00:20:00Z,5\n",
        None,
    );
    assert_eq!(bits(&read.values), bits(&[1.0, 2.0, 3.0, f64::NAN, 5.0]));
    assert_eq!(read.step, Some(Millis(300_000)));
    let End::Time { last, months, .. } = read.end else {
        panic!("{:?}", read.end)
    };
    assert_eq!(last.to_string(), "2026-03-01T00:20:00.000Z");
    assert_eq!(months, None);
}

#[test]
fn a_tick_a_row_does_not_add_up() {
    // Sixty seconds, but the clock says 60.001 more often than not.
    let mut file = "series,ts,y\n".to_owned();
    let mut at = 1_700_000_000_000_i64;
    for i in 0..100_000 {
        writeln!(file, "a,{at},1").unwrap();
        at += if i % 3 == 0 { 59_998 } else { 60_001 };
    }
    assert_eq!(only(&file, None).values.len(), 100_000);
}

#[test]
fn months_are_even_although_days_are_not() {
    let mut file = "series,ts,y\n".to_owned();
    for month in 0..48 {
        writeln!(
            file,
            "a,{}-{:02}-01,{month}",
            2020 + month / 12,
            month % 12 + 1
        )
        .unwrap();
    }
    let read = only(&file, None);
    assert_eq!(read.values, (0..48).map(f64::from).collect::<Vec<_>>());
    let mut ahead = Vec::new();
    read.end.put_ahead(&mut ahead, 2);
    assert_eq!(ahead, b"2024-02-01T00:00:00Z");
}

#[test]
fn every_fault_names_series_line_and_cure() {
    let steps = |rows: &str| wrong(&format!("series,step,y\n{rows}"));
    let times = |rows: &str| wrong(&format!("series,ts,y\n{rows}"));
    for (told, line, what) in [
        (
            steps("a,0,1\na,0,2\n"),
            3,
            "not after the row before it: 0 after 0",
        ),
        (steps("a,0,1\na,2,2\na,1,2\n"), 4, "sort by series and step"),
        (
            steps("a,0,1\nb,0,2\na,1,2\n"),
            4,
            "rows of one series together",
        ),
        (
            steps("a,0,1\na,1\n"),
            3,
            "has 2 columns where the heading has 3",
        ),
        (steps("a,0,1\na,1,2,3\n"), 3, "has 4 columns"),
        (steps("a,0,one\n"), 2, "no number but \"one\""),
        (steps("a,0,inf\n"), 2, "infinite"),
        (steps("a,0,1e999\n"), 2, "infinite"),
        (steps("a,0.5,1\n"), 2, "no whole number but \"0.5\""),
        (steps("a,0,1\na,10000002,1\n"), 3, "10000001 steps after"),
        (
            steps("a,-9223372036854775808,1\na,9223372036854775807,1\n"),
            3,
            "steps after",
        ),
        (
            steps("a,0,1\na,9000000,1\na,18000000,1\n"),
            4,
            "longer than 16777216 steps",
        ),
        (times("a,noon,1\n"), 2, "no time but \"noon\""),
        (
            times("a,2026-03-01,1\na,2026-03-01,2\n"),
            3,
            "sort by series and ts",
        ),
        (times("a,2026-03-01,1\n"), 2, "give --step"),
    ] {
        let place = format!("series \"a\", line {line}: the row ");
        assert!(told.starts_with(&place) && told.contains(what), "{told}");
    }
    let file = "series,ts,y\na,0,1\n\na,3600,1\na,3700,2\n";
    let told = all(file, Some(Millis::HOUR)).remove(0).unwrap_err();
    assert!(told.to_string().contains("line 5") && told.to_string().contains("--step"));
}

#[test]
fn a_bad_series_leaves_those_around_it_whole() {
    let read = all("series,step,y\na,0,1\nb,0,x\nb,1,1\nb,0,y\nc,5,3\n", None);
    assert_eq!(read.len(), 3);
    assert_eq!(read[1].clone().unwrap_err().line, 3);
    assert_eq!(read[2].clone().unwrap().values, [3.0]);
}

#[test]
fn a_file_without_heading_or_rows_is_told_so() {
    let told = |file: &[u8]| Sequences::new(file, None).unwrap_err().to_string();
    assert!(told(b"").contains("empty"));
    assert!(told(b"\n\n").contains("empty"));
    assert!(told(b"a,0,1\n").contains("series,step,y"));
    assert!(told(b"series,step\na,0\n").contains("series,step,y"));
    assert!(told(b"series,step,y,y\n").contains("twice"));
    assert!(told(b"series,step,y\n").contains("no row follows"));
    assert!(told(b"series,step,y\n\"a,0,1").contains("line 2 is cut off within quotes"));
    assert!(told(b"series,step,y\n\"a\"x,0,1\n").contains("line 2 goes on"));
    let long = [b"series,step,y\n\"".to_vec(), vec![b'x'; 1 << 20]].concat();
    assert!(told(&long).contains("longer than"));
}

proptest! {
    #[test]
    fn any_values_under_any_name_come_back(
        series in prop::collection::btree_map(
            ".{1,12}",
            (any::<i32>(), prop::collection::vec(prop::option::of(any::<f64>()), 1..20)),
            1..8,
        ),
        at_once in 1_usize..50,
    ) {
        let mut file = b"series,step,y\n".to_vec();
        let mut wanted = Vec::new();
        for (name, (from, values)) in &series {
            let mut kept = Vec::new();
            for (i, y) in values.iter().enumerate() {
                let y = y.filter(|y| y.is_finite());
                crate::exchange::csv::put_field(&mut file, name);
                file.extend_from_slice(format!(",{},", i64::from(*from) + i64::try_from(i).unwrap()).as_bytes());
                if let Some(y) = y {
                    crate::exchange::value::put(&mut file, y);
                }
                file.push(b'\n');
                // Zero has one sign here.
                kept.push((y.unwrap_or(f64::NAN) + 0.0).to_bits());
            }
            wanted.push((name.clone(), kept));
        }
        let drops = Drops(&file, at_once);
        let mut sequences = Sequences::new(drops, None).unwrap();
        let mut read = Vec::new();
        while let Some(one) = sequences.read().unwrap() {
            let one = one.unwrap();
            let values = one.values.iter().map(|v| (v + 0.0).to_bits()).collect();
            read.push((one.name, values));
        }
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), times: bool) {
        let heading: &[u8] = if times { b"series,ts,y\n" } else { b"series,step,y\n" };
        for file in [bytes.clone(), [heading, &bytes].concat()] {
            let Ok(mut sequences) = Sequences::new(&file[..], None) else { continue };
            while let Ok(Some(_)) = sequences.read() {}
        }
    }
}

/// Gives out a few bytes at a time, so that every record is met in halves.
#[derive(Debug)]
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = self.1.min(self.0.len()).min(into.len());
        let (now, later) = self.0.split_at(len);
        into[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}
