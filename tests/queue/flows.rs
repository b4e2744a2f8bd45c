//! Flows: parents that wait, and what becomes of them when a child fails.

use plimsoll::model::job::JobState;
use plimsoll::queue::{Error, Flow, Verb};
use serde_json::{Value, json};

use crate::conformance::Case;
use crate::support::*;

pub(crate) const CASES: &[Case] = &[
    (
        "a parent waits",
        a_parent_waits_for_its_children_in_other_queues_too,
    ),
    (
        "a child fails",
        a_child_that_fails_holds_its_parent_or_takes_it_along,
    ),
    (
        "a failed child is gone",
        a_parent_that_failed_does_not_wait_for_a_child_that_is_gone,
    ),
    ("all or none", a_flow_is_enqueued_wholly_or_not_at_all),
    (
        "a parent of the same id",
        a_child_whose_parent_was_replaced_lets_the_new_one_wait,
    ),
    ("the same flow", the_same_flow_again_is_the_same_jobs),
    ("a large flow", a_flow_of_many_batches_is_one),
];

pub(crate) fn part(queue_name: &str, id: &str, opts: Value, children: Vec<Flow>) -> Flow {
    let mut one = job(id, opts);
    one.opts.job_id = Some(id.to_owned());
    Flow {
        queue: queue(queue_name),
        job: one,
        children,
    }
}

fn a_parent_waits_for_its_children_in_other_queues_too(ask: &Ask<'_>) {
    let leaf = part("other", "leaf", json!({}), Vec::new());
    let child = part("bar", "child", json!({}), vec![leaf]);
    let flow = part("bar", "top", json!({"priority": 1}), vec![child]);
    let added = now(ask.0.enqueue_flow(flow, at(0))).unwrap();
    let ids: Vec<_> = added.iter().map(|(_, job)| job.id.as_str()).collect();
    assert_eq!(ids, ["top", "child", "leaf"]);
    assert_eq!(ask.counts().waiting_children, 2);
    assert!(ask.claim(9, 1).is_empty());
    let claim = plimsoll::queue::Claim {
        max: 9,
        lease: None,
        worker: "w".to_owned(),
    };
    let leaf = now(ask.0.claim(&queue("other"), &claim, at(1)))
        .unwrap()
        .remove(0);
    assert_eq!(leaf.job.parent.as_ref().unwrap().id, "child");
    ask.complete(&leaf, 2);
    let child = ask.one(3);
    assert_eq!(
        (child.job.name.as_str(), child.job.children[0].id.as_str()),
        ("child", "leaf")
    );
    ask.complete(&child, 4);
    assert_eq!(ask.names(9, 5), ["top"]);
}

fn pair(opts: Value) -> Flow {
    let id = opts.to_string().len();
    let child = part("bar", &format!("child{id}"), opts, Vec::new());
    part("bar", &format!("top{id}"), json!({}), vec![child])
}

fn a_child_that_fails_holds_its_parent_or_takes_it_along(ask: &Ask<'_>) {
    let state_after = |opts: Value| {
        let flow = pair(opts);
        let (top, child) = (flow.job.name.clone(), flow.children[0].job.name.clone());
        now(ask.0.enqueue_flow(flow, at(0))).unwrap();
        let held = ask.one(1);
        assert_eq!(held.job.id, child);
        ask.fail(&held, json!({"message": "m", "retryable": false}), 2);
        (ask.job(&top).state, top, child)
    };
    let (state, top, child) = state_after(json!({}));
    assert_eq!(state, JobState::WaitingChildren);
    ask.act(&child, Verb::Retry, 3).unwrap();
    ask.complete(&ask.one(3), 4);
    assert_eq!(ask.job(&top).state, JobState::Waiting);
    ask.complete(&ask.one(4), 5);
    let (state, top, _) = state_after(json!({"failParentOnFailure": true}));
    assert_eq!(state, JobState::Dead);
    assert_eq!(
        ask.job(&top).errors[0].failure.name.as_deref(),
        Some("ChildFailed")
    );
    let (state, ..) = state_after(json!({"ignoreDependencyOnFailure": true}));
    assert_eq!(state, JobState::Waiting);
    ask.complete(&ask.one(4), 5);
    let flow = pair(json!({"priority": 77}));
    let (top, child) = (flow.job.name.clone(), flow.children[0].job.name.clone());
    now(ask.0.enqueue_flow(flow, at(6))).unwrap();
    ask.act(&child, Verb::Remove, 7).unwrap();
    assert_eq!(
        ask.job(&top).state,
        JobState::Waiting,
        "what is gone is not waited for"
    );
}

fn a_parent_that_failed_does_not_wait_for_a_child_that_is_gone(ask: &Ask<'_>) {
    let opts =
        json!({"failParentOnFailure": true, "removeOnFail": true, "onMaxRetriesExceeded": "fail"});
    let flow = pair(opts);
    let (top, child) = (flow.job.name.clone(), flow.children[0].job.name.clone());
    now(ask.0.enqueue_flow(flow, at(0))).unwrap();
    ask.fail(&ask.one(1), json!({"message": "m", "retryable": false}), 2);
    assert!(ask.is_gone(&child));
    assert_eq!(ask.job(&top).state, JobState::Dead);
    ask.act(&top, Verb::Retry, 3).unwrap();
    assert_eq!(ask.job(&top).state, JobState::Waiting);
}

fn a_flow_is_enqueued_wholly_or_not_at_all(ask: &Ask<'_>) {
    ask.add("known", json!({"jobId": "known"}), 0);
    let leaf = part("bar", "known", json!({}), Vec::new());
    let flow = part("new", "top", json!({}), vec![leaf]);
    let error = now(ask.0.enqueue_flow(flow, at(1))).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert_eq!(now(ask.0.queues()).len(), 1, "nothing of it is there");
    let circle = part(
        "bar",
        "a",
        json!({}),
        vec![part("bar", "a", json!({}), Vec::new())],
    );
    let error = now(ask.0.enqueue_flow(circle, at(1))).unwrap_err();
    assert!(matches!(error, Error::Twice { .. }), "{error}");
    let mut deep = part("bar", "deep", json!({}), Vec::new());
    for n in 0..30 {
        deep = part("bar", &format!("deep{n}"), json!({}), vec![deep]);
    }
    let error = now(ask.0.enqueue_flow(deep, at(1))).unwrap_err();
    assert!(matches!(error, Error::TooMany { .. }), "{error}");
    assert_eq!(ask.counts().waiting, 1);
}

fn a_child_whose_parent_was_replaced_lets_the_new_one_wait(ask: &Ask<'_>) {
    let flow = |child: &str| {
        let child = part("bar", child, json!({}), Vec::new());
        part("bar", "top", json!({}), vec![child])
    };
    now(ask.0.enqueue_flow(flow("old"), at(0))).unwrap();
    ask.act("top", Verb::Remove, 1).unwrap();
    now(ask.0.enqueue_flow(flow("new"), at(2))).unwrap();
    let held = ask.claim(2, 3);
    assert_eq!(held[0].job.id, "old");
    ask.complete(&held[0], 4);
    assert_eq!(ask.job("top").state, JobState::WaitingChildren);
    ask.complete(&held[1], 5);
    assert_eq!(ask.job("top").state, JobState::Waiting);
}

fn the_same_flow_again_is_the_same_jobs(ask: &Ask<'_>) {
    let flow = || {
        let mut nameless = part("other", "x", json!({}), Vec::new());
        nameless.job.opts.job_id = None;
        let child = part("bar", "child", json!({}), vec![nameless]);
        part("bar", "top", json!({}), vec![child])
    };
    let first = now(ask.0.enqueue_flow(flow(), at(0))).unwrap();
    let again = now(ask.0.enqueue_flow(flow(), at(1))).unwrap();
    let ids = |added: &[(_, plimsoll::queue::Enqueued)]| -> Vec<String> {
        added.iter().map(|(_, one)| one.id.clone()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    let mut again = again.iter();
    assert!(again.all(|(_, one)| one.added == plimsoll::queue::Added::Same));
    let mut other = flow();
    other.children[0].children[0].job = job("y", json!({}));
    let error = now(ask.0.enqueue_flow(other, at(2))).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    // What is gone was done, and is not done again.
    ask.act("child", Verb::Remove, 3).unwrap();
    let again = now(ask.0.enqueue_flow(flow(), at(4))).unwrap();
    assert_eq!(again[1].1.state, None);
    assert!(ask.is_gone("child"));
}

fn a_flow_of_many_batches_is_one(ask: &Ask<'_>) {
    let children = (0..400).map(|n| part("bar", &format!("c{n}"), json!({}), Vec::new()));
    let flow = part("bar", "top", json!({}), children.collect());
    assert_eq!(now(ask.0.enqueue_flow(flow, at(0))).unwrap().len(), 401);
    let held = ask.claim(999, 1);
    assert_eq!(held.len(), 400);
    assert_eq!(ask.job("top").children.len(), 400);
    for (n, one) in held.iter().enumerate() {
        assert_eq!(ask.counts().waiting_children, 1, "{n} are done");
        ask.complete(one, 2);
    }
    assert_eq!(ask.names(9, 3), ["top"]);
}
