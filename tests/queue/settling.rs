//! Ends of attempts: many at once, with a wish for later, and of jobs that carry nothing.

use plimsoll::model::job::{Failure, JobState, NewJob, Payload};
use plimsoll::queue::{Ack, Added, Claimed, Ending, Error, Outcome};
use serde_json::json;

use crate::conformance::Case;
use crate::support::*;

pub(crate) const CASES: &[Case] = &[
    ("a job may carry nothing", a_job_may_carry_nothing),
    ("many end at once", many_end_at_once_each_as_it_says),
    ("a failure may ask for time", a_failure_may_ask_for_time),
    (
        "a lease from the future ends",
        a_lease_from_the_future_is_as_long_as_it_was,
    ),
    ("a bulk is like its jobs", a_large_bulk_is_like_its_jobs),
];

fn a_job_may_carry_nothing(ask: &Ask<'_>) {
    let bare = |id: &str| NewJob {
        opts: serde_json::from_value(json!({ "jobId": id })).unwrap(),
        ..NewJob::new("bare".to_owned(), Payload::default())
    };
    let id = ask.try_add(bare("a"), 0).unwrap().id;
    assert!(ask.job(&id).data.is_null());
    assert_eq!(ask.try_add(bare("a"), 1).unwrap().added, Added::Same);
    let held = ask.one(2);
    assert!(held.job.data.is_null());
    ask.complete(&held, 3);
    assert!(ask.job(&id).data.is_null());
}

fn ending(held: &Claimed, outcome: Outcome) -> Ending {
    Ending {
        id: held.job.id.clone(),
        token: held.lease.token.clone(),
        outcome,
    }
}

fn many_end_at_once_each_as_it_says(ask: &Ask<'_>) {
    ask.set(json!({"backoff": 50, "removeOnComplete": {"count": 3}}));
    for n in 0..200 {
        ask.add(&format!("j{n}"), json!({}), n);
    }
    let held = ask.claim(200, 300);
    let mut endings: Vec<Ending> = held
        .iter()
        .enumerate()
        .map(|(n, held)| match n % 4 {
            0 => ending(held, Outcome::Fail(Failure::of("no"))),
            1 => ending(held, Outcome::Release),
            _ => ending(held, Outcome::Complete(Payload::of(&n).unwrap())),
        })
        .collect();
    // One that is another's, and one that ends twice.
    endings.push(Ending {
        token: "0".to_owned(),
        ..endings[5].clone()
    });
    endings.push(endings[3].clone());
    let settled = now(ask.0.settle_many(&bar(), endings, Ack::OnDisk, at(301))).unwrap();
    assert_eq!(settled.len(), 202);
    assert!(settled[..200].iter().all(Result::is_ok));
    assert!(matches!(settled[200], Err(Error::LeaseLost { .. })));
    assert!(settled[201].is_err());
    let counts = ask.counts();
    assert_eq!((counts.delayed, counts.waiting, counts.active), (50, 50, 0));
    assert_eq!((counts.completed, counts.completed_total), (3, 100));
    let last = ask.job(&held[199].job.id);
    assert_eq!(
        (last.state, last.result.unwrap().text()),
        (JobState::Completed, "199")
    );
    assert_eq!(ask.job(&held[4].job.id).errors[0].failure.message, "no");
    let none = now(ask
        .0
        .settle_many(&queue("none"), Vec::new(), Ack::AtOnce, at(302)));
    assert!(matches!(none, Err(Error::UnknownQueue(_))));
}

fn a_failure_may_ask_for_time(ask: &Ask<'_>) {
    ask.set(json!({"backoff": 10}));
    let id = ask.add("j", json!({}), 0).id;
    ask.fail(
        &ask.one(1),
        json!({"message": "busy", "retryAfter": 5_000}),
        2,
    );
    assert_eq!(ask.job(&id).run_at, at(5_002));
    ask.fail(
        &ask.one(5_002),
        json!({"message": "busy", "retryAfter": 1}),
        6_000,
    );
    assert_eq!(ask.job(&id).run_at, at(6_010), "a backoff is the least");
}

fn a_lease_from_the_future_is_as_long_as_it_was(ask: &Ask<'_>) {
    const HOUR: i64 = 3_600_000;
    ask.set(json!({"lease": 100, "backoff": 0}));
    let id = ask.add("j", json!({}), HOUR).id;
    ask.one(HOUR);
    ask.expire(HOUR + 1);
    // The clock is set back by an hour, and the worker is gone.
    assert_eq!(ask.expire(0), 0);
    assert_eq!(ask.expire(99), 0);
    assert_eq!(ask.expire(100), 1);
    let job = ask.job(&id);
    assert_eq!(job.errors[0].failure.name.as_deref(), Some("LeaseExpired"));
}

fn a_large_bulk_is_like_its_jobs(ask: &Ask<'_>) {
    // Large ones, a like, the same id twice in one batch and over two, and one that is too large.
    let mut jobs: Vec<NewJob> = (0..150).map(|n| job(&format!("j{n}"), json!({}))).collect();
    let large = |bytes: usize| Payload::of(&"x".repeat(bytes)).unwrap();
    for n in [3, 4, 5] {
        jobs[n].data = large(200 << 10);
    }
    jobs[6].data = large(300 << 10);
    for n in [10, 11, 140] {
        jobs[n] = job("same", json!({"jobId": "same"}));
    }
    for n in [20, 30] {
        jobs[n] = job("like", json!({"deduplication": {"id": "d"}}));
    }
    let added = now(ask.0.enqueue(&bar(), jobs, at(0))).unwrap();
    let refused: Vec<usize> = (0..150).filter(|n| added[*n].is_err()).collect();
    assert_eq!(refused, [6]);
    let what = |n: usize| added[n].as_ref().unwrap().added;
    assert_eq!(
        [10, 11, 140].map(what),
        [Added::New, Added::Same, Added::Same]
    );
    assert_eq!([20, 30].map(what), [Added::New, Added::Deduplicated]);
    assert_eq!(ask.counts().waiting, 146);
    let names = ask.names(7, 1);
    assert_eq!(
        names,
        ["j0", "j1", "j2", "j3", "j4", "j5", "j7"],
        "in their order"
    );
}
