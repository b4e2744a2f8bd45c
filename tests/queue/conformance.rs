//! What every keeper of jobs does: order, leases, attempts, keys, bounds, operators' verbs.

use plimsoll::model::job::{JobState, Payload};
use plimsoll::queue::{Added, Claim, Clear, Error, Extra, Note, Outcome, PageAsk, Setting, Verb};
use serde_json::json;

use crate::support::*;

/// A keeper's test.
pub(crate) type Case = (&'static str, fn(&Ask<'_>));

/// All cases of this file.
pub(crate) const CASES: &[Case] = &[
    (
        "lower numbers first, then age",
        lower_numbers_run_first_then_the_older,
    ),
    (
        "a delayed job runs from its instant on",
        a_delayed_job_runs_from_its_instant_on,
    ),
    (
        "the same job twice is one",
        the_same_job_twice_is_one_and_another_is_refused,
    ),
    (
        "a window of likes",
        jobs_that_count_as_the_same_are_left_out_in_their_window,
    ),
    ("a bulk is atomic job by job", a_bulk_is_atomic_job_by_job),
    ("a lease ends exactly then", a_lease_ends_exactly_at_its_end),
    (
        "heartbeats and notes",
        heartbeats_keep_a_job_and_notes_stay_with_it,
    ),
    (
        "attempts and waits",
        attempts_wait_longer_each_time_and_end_in_the_dead_letters,
    ),
    (
        "errors that are not worth more",
        an_error_that_is_not_worth_more_ends_the_job,
    ),
    ("timeouts", timeouts_end_attempts_and_jobs),
    ("keys", jobs_of_one_key_run_in_order_one_at_a_time),
    (
        "a retry keeps its place",
        a_job_that_is_tried_again_keeps_its_keys_place,
    ),
    (
        "bounds of a queue",
        a_queue_bounds_what_runs_and_what_begins,
    ),
    ("operators", operators_pause_promote_cancel_and_remove),
    ("draining", a_queue_is_drained_and_obliterated),
    ("retention", ended_jobs_are_kept_by_count_and_age),
    ("pages", pages_give_every_job_once),
    ("hostile input", what_cannot_be_taken_is_refused_by_name),
    ("extras", an_extra_is_written_with_its_job),
];

fn lower_numbers_run_first_then_the_older(ask: &Ask<'_>) {
    ask.add("b", json!({"priority": 5}), 0);
    ask.add("c", json!({"priority": 5}), 0);
    ask.add("last", json!({"priority": 2_097_151}), 0);
    ask.add("a", json!({}), 1);
    assert_eq!(ask.counts().waiting, 4);
    assert_eq!(ask.names(2, 2), ["a", "b"]);
    assert_eq!(ask.names(9, 2), ["c", "last"]);
    assert_eq!(ask.counts().active, 4);
}

fn a_delayed_job_runs_from_its_instant_on(ask: &Ask<'_>) {
    let late = ask.add("late", json!({"delay": 500}), 0);
    assert_eq!(late.state, Some(JobState::Delayed));
    ask.add("soon", json!({"delay": 100, "priority": 9}), 0);
    assert_eq!(now(ask.0.next_due()), Some(at(100)));
    assert!(ask.claim(9, 99).is_empty());
    assert_eq!(ask.names(9, 100), ["soon"]);
    assert_eq!(ask.names(9, 500), ["late"]);
}

fn the_same_job_twice_is_one_and_another_is_refused(ask: &Ask<'_>) {
    let id = json!({"jobId": "a/ü🦀"});
    assert_eq!(ask.add("x", id.clone(), 0).added, Added::New);
    let again = ask.add("x", id.clone(), 5);
    assert_eq!((again.added, again.id.as_str()), (Added::Same, "a/ü🦀"));
    let other = ask.try_add(job("y", id), 5);
    assert!(matches!(other, Err(Error::Conflict { .. })), "{other:?}");
    assert_eq!(ask.counts().waiting, 1);
    let first = ask.one(6);
    ask.complete(&first, 7);
    assert_eq!(
        ask.add("x", json!({"jobId": "a/ü🦀"}), 8).state,
        Some(JobState::Completed)
    );
}

fn jobs_that_count_as_the_same_are_left_out_in_their_window(ask: &Ask<'_>) {
    let open = json!({"deduplication": {"id": "lead-7"}});
    let first = ask.add("x", open.clone(), 0);
    let second = ask.add("y", open.clone(), 0);
    assert_eq!((second.added, &second.id), (Added::Deduplicated, &first.id));
    let held = ask.one(1);
    assert_eq!(
        ask.add("y", open.clone(), 1).added,
        Added::Deduplicated,
        "while it runs, too"
    );
    ask.complete(&held, 2);
    assert_eq!(ask.add("y", open, 3).added, Added::New);
    let window = json!({"deduplication": {"id": "w", "ttl": 100}, "removeOnComplete": true});
    assert_eq!(ask.add("z", window.clone(), 10).added, Added::New);
    let held: Vec<_> = ask.claim(9, 11);
    for held in &held {
        ask.complete(held, 12);
    }
    let left_out = ask.add("z", window.clone(), 109);
    assert_eq!(
        (left_out.added, left_out.state),
        (Added::Deduplicated, None)
    );
    assert_eq!(ask.add("z", window, 110).added, Added::New);
}

fn a_bulk_is_atomic_job_by_job(ask: &Ask<'_>) {
    let mut jobs: Vec<_> = (0..300).map(|n| job(&format!("j{n}"), json!({}))).collect();
    jobs[7].opts.job_id = Some("12".to_owned());
    jobs[9].opts.job_id = Some("same".to_owned());
    jobs[10].opts.job_id = Some("same".to_owned());
    let answers = now(ask.0.enqueue(&bar(), jobs, at(0))).unwrap();
    let refused: Vec<usize> = (0..300).filter(|n| answers[*n].is_err()).collect();
    assert_eq!(
        refused,
        [7, 10],
        "a bare number, and another job of the same id"
    );
    assert_eq!(ask.counts().waiting, 298);
    assert_eq!(ask.names(1, 1), ["j0"]);
}

fn a_lease_ends_exactly_at_its_end(ask: &Ask<'_>) {
    ask.set(json!({"lease": 1000, "backoff": 0}));
    ask.add("x", json!({}), 0);
    let first = ask.one(10);
    assert_eq!(first.lease.until, at(1010));
    assert_eq!(now(ask.0.next_due()), Some(at(1010)));
    assert_eq!(ask.expire(1009), 0);
    assert_eq!(ask.expire(1010), 1);
    let job = ask.job(&first.job.id);
    assert_eq!((job.state, job.attempts_made), (JobState::Waiting, 1));
    assert_eq!(job.errors[0].failure.message, "lease expired");
    let second = ask.one(1011);
    assert_ne!(first.lease.token, second.lease.token);
    let late = ask.settle(&first, Outcome::Complete(Payload::default()), 1012);
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    ask.complete(&second, 1013);
    assert_eq!(ask.job(&second.job.id).attempts_started, 2);
}

fn heartbeats_keep_a_job_and_notes_stay_with_it(ask: &Ask<'_>) {
    ask.set(json!({"lease": 100, "timeout": 250}));
    ask.add("x", json!({}), 0);
    let held = ask.one(0);
    let (queue, id, token) = (
        &held.job.queue,
        held.job.id.as_str(),
        held.lease.token.as_str(),
    );
    let until = |ms, lease| {
        let extended = now(ask.0.extend(queue, id, token, lease, at(ms))).unwrap();
        extended.until
    };
    assert_eq!(until(90, None), at(190));
    assert_eq!(
        until(180, Some(millis(1_000))),
        at(250),
        "no attempt is longer than its timeout"
    );
    let progress = Payload::of(&json!({"done": 40})).unwrap();
    for note in [
        Note::Progress(progress.clone()),
        Note::Log("half".to_owned()),
    ] {
        now(ask.0.note(queue, id, token, note, at(190))).unwrap();
    }
    let result = Payload::of(&json!([1, 2])).unwrap();
    ask.settle(&held, Outcome::Complete(result.clone()), 200)
        .unwrap();
    let job = ask.job(id);
    assert_eq!((job.progress, job.result), (Some(progress), Some(result)));
    assert_eq!(
        (job.logs[0].at, job.logs[0].text.as_str()),
        (at(190), "half")
    );
    let stale = now(ask.0.extend(queue, id, token, None, at(201)));
    assert!(matches!(stale, Err(Error::LeaseLost { .. })));
}

fn attempts_wait_longer_each_time_and_end_in_the_dead_letters(ask: &Ask<'_>) {
    let opts = json!({"attempts": 3, "backoff": {"type": "exponential", "delay": 100}});
    let id = ask.add("x", opts, 0).id;
    ask.fail(&ask.one(0), json!({"name": "E", "message": "first"}), 10);
    assert_eq!(ask.job(&id).run_at, at(110));
    assert!(ask.claim(1, 109).is_empty());
    ask.fail(&ask.one(110), json!({"message": "second"}), 120);
    assert_eq!(ask.job(&id).run_at, at(320));
    ask.fail(&ask.one(320), json!({"message": "third"}), 330);
    let job = ask.job(&id);
    assert_eq!((job.state, job.attempts_made), (JobState::Dead, 3));
    let said: Vec<_> = job
        .errors
        .iter()
        .map(|error| error.failure.message.as_str())
        .collect();
    assert_eq!(said, ["first", "second", "third"]);
    assert_eq!(ask.counts().failed_total, 1);
    ask.act(&id, Verb::Retry, 400).unwrap();
    let job = ask.job(&id);
    assert_eq!(
        (job.state, job.attempts_made, job.errors.len()),
        (JobState::Waiting, 0, 3)
    );
    ask.fail(&ask.one(400), json!({"message": "fourth"}), 401);
    assert_eq!(
        ask.job(&id).state,
        JobState::Delayed,
        "it has all its attempts again"
    );
}

fn an_error_that_is_not_worth_more_ends_the_job(ask: &Ask<'_>) {
    ask.set(json!({"retryableErrors": ["Timeout"], "onMaxRetriesExceeded": "fail"}));
    let listed = ask.add("listed", json!({"backoff": 0}), 0).id;
    ask.fail(&ask.one(0), json!({"name": "Timeout", "message": "m"}), 1);
    assert_eq!(ask.job(&listed).state, JobState::Waiting);
    ask.fail(&ask.one(1), json!({"name": "Other", "message": "m"}), 2);
    assert_eq!(ask.job(&listed).state, JobState::Failed);
    let told = ask
        .add("told", json!({"onMaxRetriesExceeded": "archive"}), 3)
        .id;
    let hopeless = json!({"name": "Timeout", "message": "m", "retryable": false});
    ask.fail(&ask.one(3), hopeless, 4);
    assert_eq!(ask.job(&told).state, JobState::Failed);
    let all = plimsoll::queue::Retry {
        state: JobState::Failed,
        filter: plimsoll::queue::Filter::default(),
        limit: 10,
        rate: 0,
        first: at(5),
        taken: 0,
    };
    assert_eq!(now(ask.0.retry(&bar(), &all, at(5))).unwrap(), 1);
    assert_eq!(
        ask.job(&told).state,
        JobState::Failed,
        "what is archived stays"
    );
}

fn timeouts_end_attempts_and_jobs(ask: &Ask<'_>) {
    ask.set(json!({"backoff": 0, "lease": 1000}));
    let id = ask
        .add("slow", json!({"timeout": 50, "totalTimeout": 120}), 0)
        .id;
    assert_eq!(ask.one(0).lease.until, at(50));
    ask.expire(50);
    assert_eq!(
        ask.job(&id).errors[0].failure.name.as_deref(),
        Some("Timeout")
    );
    assert_eq!(
        ask.one(100).lease.until,
        at(120),
        "the total time ends the second sooner"
    );
    ask.expire(120);
    assert_eq!(ask.job(&id).state, JobState::Dead);
    let waits = ask.add("waits", json!({"totalTimeout": 100}), 200).id;
    assert_eq!(now(ask.0.next_due()), Some(at(300)));
    assert!(ask.claim(1, 300).is_empty(), "too late to begin");
    ask.expire(300);
    let job = ask.job(&waits);
    assert_eq!((job.state, job.attempts_started), (JobState::Dead, 0));
}

fn jobs_of_one_key_run_in_order_one_at_a_time(ask: &Ask<'_>) {
    for (name, key) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")] {
        ask.add(name, json!({"key": key}), 0);
    }
    ask.add("free", json!({}), 0);
    let first = ask.claim(9, 1);
    let names: Vec<_> = first.iter().map(|held| held.job.name.as_str()).collect();
    assert_eq!(names, ["a1", "b1", "free"]);
    assert_eq!(
        ask.counts().waiting,
        2,
        "those that wait for their key are waiting"
    );
    assert!(ask.claim(9, 2).is_empty());
    ask.complete(&first[0], 3);
    assert_eq!(ask.names(9, 4), ["a2"]);
    ask.set(json!({"keyConcurrency": 2}));
    assert_eq!(ask.names(9, 5), ["a3"]);
}

fn a_job_that_is_tried_again_keeps_its_keys_place(ask: &Ask<'_>) {
    let opts = json!({"key": "k", "backoff": 100});
    ask.add("first", opts.clone(), 0);
    ask.add("second", opts, 0);
    ask.fail(&ask.one(1), json!({"message": "m"}), 2);
    assert!(
        ask.claim(9, 50).is_empty(),
        "the second waits for the first"
    );
    assert_eq!(ask.names(9, 102), ["first"]);
}

fn a_queue_bounds_what_runs_and_what_begins(ask: &Ask<'_>) {
    ask.set(json!({"concurrency": 2}));
    for n in 0..9 {
        ask.add(&format!("j{n}"), json!({}), 0);
    }
    let held = ask.claim(9, 1);
    assert_eq!(held.len(), 2);
    assert!(ask.claim(9, 1).is_empty());
    ask.complete(&held[0], 2);
    assert_eq!(ask.claim(9, 2).len(), 1);
    ask.set(json!({"limiter": {"max": 3, "duration": 1000}}));
    assert_eq!(ask.claim(2, 10).len(), 2);
    assert_eq!(ask.claim(9, 20).len(), 1);
    assert!(ask.claim(9, 1009).is_empty());
    assert_eq!(ask.claim(9, 1010).len(), 3);
}

fn operators_pause_promote_cancel_and_remove(ask: &Ask<'_>) {
    let late = ask.add("late", json!({"delay": 9000}), 0).id;
    now(ask.0.configure(&bar(), Setting::Pause)).unwrap();
    ask.act(&late, Verb::Promote, 1).unwrap();
    assert!(ask.claim(9, 1).is_empty());
    assert!(ask.counts().paused);
    now(ask.0.configure(&bar(), Setting::Resume)).unwrap();
    let held = ask.one(2);
    let promoted = ask.act(&late, Verb::Promote, 3);
    assert!(
        matches!(promoted, Err(Error::Misplaced { .. })),
        "{promoted:?}"
    );
    assert!(
        ask.act(&late, Verb::Remove, 3).is_err(),
        "somebody works on it"
    );
    ask.act(&late, Verb::Cancel, 3).unwrap();
    let heard = now(ask.0.extend(&bar(), &late, &held.lease.token, None, at(4))).unwrap();
    assert!(heard.cancelling);
    ask.fail(&held, json!({"message": "stopped"}), 5);
    assert_eq!(ask.job(&late).state, JobState::Cancelled);
    let waiting = ask.add("waiting", json!({}), 6).id;
    ask.act(&waiting, Verb::Cancel, 7).unwrap();
    assert_eq!(ask.job(&waiting).state, JobState::Cancelled);
    assert!(ask.claim(9, 8).is_empty());
    ask.act(&waiting, Verb::Remove, 9).unwrap();
    assert!(ask.is_gone(&waiting));
    let released = ask.add("released", json!({}), 10);
    ask.settle(&ask.one(10), Outcome::Release, 11).unwrap();
    assert_eq!(ask.job(&released.id).attempts_made, 0);
    assert_eq!(ask.names(9, 12), ["released"]);
}

fn a_queue_is_drained_and_obliterated(ask: &Ask<'_>) {
    for n in 0..5 {
        ask.add("w", json!({"priority": n}), 0);
    }
    for _ in 0..3 {
        ask.add("d", json!({"delay": 500}), 0);
    }
    let held = ask.one(0);
    let clear = |clear, limit| now(ask.0.clear(&bar(), clear, limit, at(1)));
    assert_eq!(clear(Clear::Waiting, 3).unwrap(), 3);
    assert_eq!(clear(Clear::Pending, 9).unwrap(), 4);
    assert_eq!(clear(Clear::Pending, 9).unwrap(), 0);
    let busy = clear(Clear::Everything { force: false }, 9);
    assert!(
        matches!(busy, Err(Error::Busy { active: 1, .. })),
        "{busy:?}"
    );
    assert_eq!(clear(Clear::Everything { force: true }, 9).unwrap(), 1);
    assert_eq!(clear(Clear::Everything { force: true }, 9).unwrap(), 0);
    assert!(now(ask.0.queues()).is_empty());
    let lost = ask.settle(&held, Outcome::Complete(Payload::default()), 2);
    assert!(matches!(lost, Err(Error::UnknownQueue(_))), "{lost:?}");
}

fn ended_jobs_are_kept_by_count_and_age(ask: &Ask<'_>) {
    ask.set(json!({"removeOnComplete": {"count": 2, "age": 10}, "maxPayload": 1000}));
    for n in 0..4 {
        ask.add(&format!("j{n}"), json!({"jobId": format!("id{n}")}), n);
        ask.complete(&ask.one(n), n);
    }
    let counts = ask.counts();
    assert_eq!((counts.completed, counts.completed_total), (2, 4));
    assert!(ask.is_gone("id1") && !ask.is_gone("id2"));
    ask.expire(10_002);
    assert!(ask.is_gone("id2") && !ask.is_gone("id3"));
    ask.add(
        "x",
        json!({"jobId": "gone", "removeOnComplete": true}),
        20_000,
    );
    ask.complete(&ask.one(20_000), 20_001);
    assert!(ask.is_gone("gone"));
    assert_eq!(
        ask.add("x", json!({"jobId": "gone"}), 20_002).added,
        Added::New
    );
}

fn pages_give_every_job_once(ask: &Ask<'_>) {
    for n in 0..25 {
        ask.add(&format!("j{n}"), json!({"priority": n % 3}), n);
    }
    let page = |state, cursor, limit| {
        let ask_for = PageAsk {
            state,
            cursor,
            limit,
            filter: plimsoll::queue::Filter::default(),
        };
        now(ask.0.page(&bar(), &ask_for)).unwrap()
    };
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let found = page(JobState::Waiting, cursor, 7);
        names.extend(found.jobs.into_iter().map(|job| job.name));
        cursor = found.next;
        if cursor.is_none() {
            break;
        }
    }
    let wanted = ask.names(99, 30);
    assert_eq!(names, wanted, "the order of a list is the order of claims");
    assert_eq!(page(JobState::Active, None, 99).jobs.len(), 25);
    let wrong = PageAsk {
        state: JobState::Waiting,
        cursor: Some("x".to_owned()),
        limit: 1,
        filter: plimsoll::queue::Filter::default(),
    };
    assert!(matches!(
        now(ask.0.page(&bar(), &wrong)),
        Err(Error::Cursor(_))
    ));
}

fn what_cannot_be_taken_is_refused_by_name(ask: &Ask<'_>) {
    ask.set(json!({"maxPayload": 100}));
    let mut large = job("x", json!({}));
    large.data = Payload::of(&"y".repeat(10 << 20)).unwrap();
    let error = ask.try_add(large, 0).unwrap_err();
    assert!(error.to_string().contains("maxPayload"), "{error}");
    assert_eq!(ask.counts().waiting, 0);
    for opts in [
        json!({"priority": 2_097_152}),
        json!({"attempts": 0}),
        json!({"jobId": "7"}),
    ] {
        let error = ask.try_add(job("x", opts.clone()), 0).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{opts}: {error}");
    }
    ask.add("x", json!({}), 0);
    let held = ask.one(0);
    let forged = now(ask
        .0
        .settle(&bar(), &held.job.id, "", Outcome::Release, at(1)));
    assert!(matches!(forged, Err(Error::LeaseLost { .. })), "{forged:?}");
    let large = Payload::of(&"y".repeat(200)).unwrap();
    assert!(ask.settle(&held, Outcome::Complete(large), 1).is_err());
    assert_eq!(
        ask.job(&held.job.id).state,
        JobState::Active,
        "and nothing has changed"
    );
    let nobody = Claim {
        max: 1,
        lease: None,
        worker: String::new(),
    };
    let unknown = now(ask.0.claim(&queue("none"), &nobody, at(0)));
    assert!(
        matches!(unknown, Err(Error::UnknownQueue(_))),
        "{unknown:?}"
    );
}

fn an_extra_is_written_with_its_job(ask: &Ask<'_>) {
    let extra = |next: &str| Extra {
        key: b"s/nightly".to_vec(),
        value: Some(next.as_bytes().to_vec()),
    };
    let tick = |id: &str| job("tick", json!({"jobId": id}));
    let add = |id, next| now(ask.0.enqueue_with(&bar(), tick(id), extra(next), at(0)));
    assert_eq!(add("t1", "2").unwrap().added, Added::New);
    assert_eq!(add("t1", "3").unwrap().added, Added::Same);
    let refused = now(ask.0.enqueue_with(
        &bar(),
        job("other", json!({"jobId": "t1"})),
        extra("9"),
        at(0),
    ));
    assert!(refused.is_err());
    let kept = now(ask.0.extras(b"s/")).unwrap();
    assert_eq!(kept, [(b"s/nightly".to_vec(), b"3".to_vec())]);
    let gone = Extra {
        key: b"s/nightly".to_vec(),
        value: None,
    };
    now(ask.0.set_extra(gone)).unwrap();
    assert!(now(ask.0.extras(b"")).unwrap().is_empty());
}
