//! Many workers at once: no job is given to two.

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll::model::job::{Durability, Payload};
use plimsoll::queue::{Claim, JobStore, Outcome, QueueAdmin as _};
use serde_json::json;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_workers_never_claim_a_job_twice() {
    let disk = OnDisk::in_folder(tempfile::tempdir().unwrap(), Durability::Commit);
    let jobs = (0..3_000).map(|n| job(&format!("j{n}"), json!({"removeOnComplete": true})));
    let added = disk
        .jobs
        .enqueue(&bar(), jobs.collect(), at(0))
        .await
        .unwrap();
    assert!(added.iter().all(Result::is_ok));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..2_000 {
        let keeper = Arc::clone(&disk.jobs);
        workers.spawn(async move {
            let claim = Claim {
                max: 1 + worker % 3,
                lease: None,
                worker: format!("w{worker}"),
            };
            let mut done = Vec::new();
            loop {
                let held = keeper.claim(&bar(), &claim, at(1)).await.unwrap();
                if held.is_empty() {
                    return done;
                }
                for one in held {
                    let outcome = Outcome::Complete(Payload::default());
                    let (id, token) = (&one.job.id, &one.lease.token);
                    keeper
                        .settle(&bar(), id, token, outcome, at(2))
                        .await
                        .unwrap();
                    done.push(one.job.name);
                }
            }
        });
    }
    let done: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    let different: BTreeSet<&String> = done.iter().collect();
    assert_eq!((done.len(), different.len()), (3_000, 3_000));
    assert_eq!(
        disk.jobs.counts(&bar()).await.unwrap().completed_total,
        3_000
    );
}
