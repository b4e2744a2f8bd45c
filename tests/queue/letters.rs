//! Dead letters: what is in them, who finds it, and how it is taken up again.

use plimsoll::model::job::JobState;
use plimsoll::queue::{Filter, PageAsk, Retry};
use serde_json::json;

use crate::conformance::Case;
use crate::support::*;

pub(crate) const CASES: &[Case] = &[
    (
        "letters are found",
        letters_are_found_by_name_error_and_time,
    ),
    (
        "letters are replayed",
        letters_are_replayed_at_a_bounded_rate_with_their_priority,
    ),
    (
        "rates are exact",
        a_rate_that_divides_no_millisecond_is_kept_all_the_same,
    ),
    (
        "own ages",
        what_a_job_says_of_its_age_counts_before_its_queue,
    ),
    (
        "letters have bounds",
        letters_have_a_size_and_an_age_of_their_own,
    ),
];

fn kill(ask: &Ask<'_>, name: &str, why: &str, ms: i64) -> String {
    let id = ask.add(name, json!({"attempts": 1, "priority": 4}), ms).id;
    ask.fail(&ask.one(ms), json!({"name": "E", "message": why}), ms);
    id
}

fn found(ask: &Ask<'_>, filter: Filter) -> Vec<String> {
    let ask_for = PageAsk {
        state: JobState::Dead,
        cursor: None,
        limit: 100,
        filter,
    };
    let page = now(ask.0.page(&bar(), &ask_for)).unwrap();
    page.jobs.into_iter().map(|job| job.name).collect()
}

fn letters_are_found_by_name_error_and_time(ask: &Ask<'_>) {
    for (n, why) in ["Timed out", "refused", "timed OUT again"]
        .iter()
        .enumerate()
    {
        kill(ask, &format!("j{n}"), why, i64::try_from(n).unwrap() * 100);
    }
    assert_eq!(
        found(ask, Filter::default()),
        ["j2", "j1", "j0"],
        "newest first"
    );
    let error = |text: &str| Filter {
        error: Some(text.to_owned()),
        ..Filter::default()
    };
    assert_eq!(found(ask, error("timed out")), ["j2", "j0"]);
    assert_eq!(
        found(ask, error("e")).len(),
        3,
        "the error's name counts, too"
    );
    let named = Filter {
        name: Some("j1".to_owned()),
        ..Filter::default()
    };
    assert_eq!(found(ask, named), ["j1"]);
    let between = Filter {
        from: Some(at(100)),
        until: Some(at(200)),
        ..Filter::default()
    };
    assert_eq!(found(ask, between), ["j1"]);
}

fn letters_are_replayed_at_a_bounded_rate_with_their_priority(ask: &Ask<'_>) {
    let ids: Vec<_> = (0..4).map(|n| kill(ask, "j", "m", n)).collect();
    let replay = Retry {
        state: JobState::Dead,
        filter: Filter::default(),
        limit: 3,
        rate: 20,
        first: at(1000),
        taken: 0,
    };
    assert_eq!(now(ask.0.retry(&bar(), &replay, at(1000))).unwrap(), 3);
    let runs: Vec<_> = ids.iter().map(|id| ask.job(id)).collect();
    assert_eq!(runs[0].state, JobState::Waiting);
    assert_eq!(runs[2].run_at, at(1100), "oldest first, one each 50 ms");
    assert_eq!((runs[2].priority, runs[2].attempts_made), (4, 0));
    assert_eq!(runs[3].state, JobState::Dead);
    assert_eq!(ask.claim(9, 1050).len(), 2);
}

fn a_rate_that_divides_no_millisecond_is_kept_all_the_same(ask: &Ask<'_>) {
    let ids: Vec<_> = (0..4).map(|n| kill(ask, "j", "m", n)).collect();
    let mut replay = Retry {
        state: JobState::Dead,
        filter: Filter::default(),
        limit: 3,
        rate: 600,
        first: at(1000),
        taken: 0,
    };
    now(ask.0.retry(&bar(), &replay, at(999))).unwrap();
    // As a second call that goes on where others were taken up before.
    (replay.rate, replay.taken) = (4_000, 6);
    now(ask.0.retry(&bar(), &replay, at(999))).unwrap();
    let runs = ids.iter().map(|id| ask.job(id).run_at);
    let wanted = [1000, 1001, 1003, 1001].map(at);
    assert_eq!(runs.collect::<Vec<_>>(), wanted);
}

fn what_a_job_says_of_its_age_counts_before_its_queue(ask: &Ask<'_>) {
    ask.set(
        json!({"removeOnComplete": {"age": 5}, "removeOnFail": {"age": 5}, "attempts": 1,
        "onMaxRetriesExceeded": "fail"}),
    );
    let end = |keep: serde_json::Value, is_done: bool| {
        let id = ask
            .add(
                "j",
                json!({"removeOnComplete": keep, "removeOnFail": keep}),
                0,
            )
            .id;
        let held = ask.one(0);
        if is_done {
            ask.complete(&held, 0);
        } else {
            ask.fail(&held, json!({"message": "m"}), 0);
        }
        id
    };
    for is_done in [true, false] {
        let usual = end(json!(null), is_done);
        let short = end(json!({"age": 1}), is_done);
        let long = end(json!({"age": 9}), is_done);
        let kept = end(json!(false), is_done);
        ask.expire(999);
        assert!(!ask.is_gone(&short));
        ask.expire(1_000);
        assert!(ask.is_gone(&short) && !ask.is_gone(&usual), "its own age");
        ask.expire(5_000);
        assert!(
            ask.is_gone(&usual) && !ask.is_gone(&long),
            "the queue's age"
        );
        ask.expire(9_000);
        assert!(ask.is_gone(&long) && !ask.is_gone(&kept));
        ask.act(&kept, plimsoll::queue::Verb::Remove, 9_001)
            .unwrap();
    }
    assert_eq!((ask.counts().completed, ask.counts().failed), (0, 0));
}

fn letters_have_a_size_and_an_age_of_their_own(ask: &Ask<'_>) {
    ask.set(json!({"deadLetter": {"maxSize": 2, "ttl": 1000}, "removeOnFail": true}));
    let ids: Vec<_> = (0..3).map(|n| kill(ask, "j", "m", n)).collect();
    assert!(ask.is_gone(&ids[0]), "the oldest goes first");
    assert_eq!(ask.counts().dead, 2);
    ask.expire(1001);
    assert!(ask.is_gone(&ids[1]) && !ask.is_gone(&ids[2]));
}
