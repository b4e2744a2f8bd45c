//! When those who wait are woken: at the end of a rate limit's window, and for what ends sooner.

use std::sync::Arc;
use std::time::Duration;

use plimsoll::clock::{SettableClock, SystemClock};
use plimsoll::model::job::{Failure, JobState, QueueConfig};
use plimsoll::queue::{Ack, Claim, Ending, Filter, Memory, Outcome, Queues, Retry, Setting};
use serde_json::{Value, json};

use crate::support::*;

/// How long what must come may take.
const LIMIT: Duration = Duration::from_secs(30);

async fn set(queues: &Queues, config: Value) {
    let config: QueueConfig = serde_json::from_value(config).unwrap();
    let setting = Setting::Config(Box::new(config));
    queues.configure(&bar(), setting).await.unwrap();
}

fn claim(max: usize, lease: u64) -> Claim {
    Claim {
        max,
        lease: Some(millis(lease)),
        worker: "w".to_owned(),
    }
}

/// Ticks when it is told to, and not a moment before.
async fn keep(queues: Arc<Queues>) {
    loop {
        let next = queues.tick().await.unwrap();
        let pause = next.map_or(LIMIT, |next| next.since(queues.now()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = queues.sooner() => {}
        }
    }
}

#[tokio::test]
async fn whoever_waits_for_the_rate_limit_is_woken_when_its_window_ends() {
    let disk = OnDisk::new();
    let queues = Arc::new(Queues::new(disk.jobs.clone(), Arc::new(SystemClock)));
    set(&queues, json!({"limiter": {"max": 1, "duration": 20}})).await;
    let jobs = (0..5).map(|_| job("j", json!({}))).collect();
    queues.enqueue(&bar(), jobs).await.unwrap();
    let ticking = tokio::spawn(keep(Arc::clone(&queues)));
    let all = async {
        for n in 0..5 {
            let claimed = queues.claim(&bar(), &claim(5, 600_000), LIMIT).await;
            assert_eq!(claimed.unwrap().len(), 1, "{n}");
        }
    };
    tokio::time::timeout(LIMIT / 2, all).await.unwrap();
    ticking.abort();
    let _ = ticking.await;
}

#[tokio::test]
async fn what_ends_sooner_than_was_planned_is_looked_at_in_time() {
    let clock = Arc::new(SettableClock::at(at(0)));
    let queues = Queues::new(Arc::new(Memory::empty()), clock);
    let rings = async |why: &str| {
        let rung = tokio::time::timeout(LIMIT, queues.sooner()).await;
        rung.unwrap_or_else(|_| panic!("nobody was told: {why}"));
    };
    set(&queues, json!({"totalTimeout": 900_000})).await;
    queues.tick().await.unwrap();
    queues
        .enqueue(&bar(), vec![job("j", json!({}))])
        .await
        .unwrap();
    rings("the queue bounds its jobs").await;
    let held = queues
        .claim(&bar(), &claim(1, 600_000), Duration::ZERO)
        .await
        .unwrap();
    rings("a lease").await;
    let (id, token) = (&held[0].job.id, &held[0].lease.token);
    let short = Some(millis(50));
    queues.extend(&bar(), id, token, short).await.unwrap();
    rings("a lease that is shorter now").await;
}

/// Gives up all jobs that may be claimed, and says how many.
async fn kill(queues: &Queues) -> usize {
    let claim = claim(1_000, 9_000);
    let held = queues.claim(&bar(), &claim, Duration::ZERO).await;
    let endings = held.unwrap().into_iter().map(|one| Ending {
        id: one.job.id,
        token: one.lease.token,
        outcome: Outcome::Fail(Failure::of("no")),
    });
    let endings = endings.collect();
    let settled = queues.settle_many(&bar(), endings, Ack::AtOnce).await;
    settled.unwrap().len()
}

#[tokio::test]
async fn an_alarm_is_there_again_after_a_restart() {
    let clock = Arc::new(SettableClock::at(at(0)));
    let keeper = Arc::new(Memory::empty());
    let before = Queues::new(keeper.clone(), clock.clone());
    set(
        &before,
        json!({"attempts": 1, "deadLetter": {"alertThreshold": 1}}),
    )
    .await;
    before
        .enqueue(&bar(), vec![job("j", json!({}))])
        .await
        .unwrap();
    assert_eq!(kill(&before).await, 1);
    assert_eq!(before.alarms().await.len(), 1);
    let after = Queues::new(keeper, clock);
    assert_eq!(after.alarms().await.len(), 1);
}

#[tokio::test]
async fn what_dies_again_while_it_is_retried_is_left_alone() {
    let clock = Arc::new(SettableClock::at(at(0)));
    let queues = Arc::new(Queues::new(Arc::new(Memory::empty()), clock.clone()));
    set(
        &queues,
        json!({"attempts": 1, "deadLetter": {"maxSize": 10_000}}),
    )
    .await;
    let jobs = (0..600).map(|_| job("j", json!({}))).collect();
    queues.enqueue(&bar(), jobs).await.unwrap();
    assert_eq!(kill(&queues).await, 600);
    let killing = {
        let queues = Arc::clone(&queues);
        tokio::spawn(async move {
            loop {
                clock.advance(Duration::from_millis(5));
                kill(&queues).await;
                tokio::task::yield_now().await;
            }
        })
    };
    let all = Retry {
        state: JobState::Dead,
        filter: Filter::default(),
        limit: 1_000_000,
        rate: 0,
        first: at(0),
        taken: 0,
    };
    let retried = tokio::time::timeout(LIMIT, queues.retry(&bar(), &all)).await;
    assert_eq!(retried.unwrap().unwrap(), 600);
    killing.abort();
}
