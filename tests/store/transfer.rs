//! Export and import: everything comes back, and what is cut or changed is refused.

use plimsoll::model::series::{Kind, SeriesKey};
use plimsoll::store::{Bucket, Error, Options, Selector, Store, Tier};

use crate::support::*;

pub(crate) fn export(store: &Store) -> Vec<u8> {
    let mut text = Vec::new();
    store.export(&mut text).unwrap();
    text
}

pub(crate) fn full_store(dir: &tempfile::TempDir) -> Store {
    let store = open(dir);
    let past: Vec<Bucket> = (0..48)
        .map(|i| Bucket::gauge(at(-hours(48) + hours(i)), [1.0, 2.0, f64::INFINITY, 2.0], 3))
        .collect();
    store
        .history()
        .append_rollups(
            TARGET,
            Tier::Hour,
            &SeriesKey::bare("old"),
            Kind::Gauge,
            &past,
        )
        .unwrap();
    fill(&store, 0, hours(2) + minutes(10));
    put(
        &store,
        hours(3),
        f64::NAN,
        f64::from_bits(0x7ff8_0000_0000_1234),
    );
    store.tick(at(hours(3))).unwrap();
    store
        .records()
        .put("projection", "primary/cpu", &[0.1, 0.2])
        .unwrap();
    store
}

#[test]
fn an_import_is_the_store_that_was_exported() {
    let (from, to) = (folder(), folder());
    let store = full_store(&from);
    let text = export(&store);
    let dir = to.path().join("copy");
    Store::import(Options::in_dir(&dir), &text[..]).unwrap();
    let copy = Store::open(Options::in_dir(&dir)).unwrap();
    assert_eq!(
        copy.history().series(&Selector::default()),
        store.history().series(&Selector::default())
    );
    assert_eq!(
        copy.records()
            .get::<Vec<f64>>("projection", "primary/cpu")
            .unwrap(),
        Some(vec![0.1, 0.2])
    );
    let again = export(&copy);
    assert_eq!(
        String::from_utf8(again).unwrap(),
        String::from_utf8(text).unwrap()
    );
    put(&copy, hours(4), 1.0, 1.0);
    drop(copy);
    let copy = Store::open(Options::in_dir(&dir)).unwrap();
    assert_eq!(raw(&copy, &LOAD, hours(4), hours(5)), [(hours(4), 1.0)]);
}

#[test]
fn a_cut_or_changed_export_is_refused_and_leaves_nothing() {
    let (from, to) = (folder(), folder());
    let text = export(&full_store(&from));
    let dir = to.path().join("copy");
    let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
    let mut changed = text.clone();
    let at = text.len() / 2;
    changed[at] = if text[at] == b'1' { b'2' } else { b'1' };
    for wrong in [
        &b""[..],
        b"hello\n",
        &text[..text.len() / 2],
        &lines[..lines.len() - 1].concat(),
        &lines[1..].concat(),
        &[lines[0], lines[lines.len() - 1]].concat(),
        &changed,
    ] {
        let error = Store::import(Options::in_dir(&dir), wrong).unwrap_err();
        assert!(
            matches!(error, Error::Export { .. } | Error::NoSuchSeries(_)),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    }
    Store::import(Options::in_dir(&dir), &text[..]).unwrap();
    let error = Store::import(Options::in_dir(&dir), &text[..]).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
}
