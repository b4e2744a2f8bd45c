//! Workers inside: what becomes of jobs whose handlers end, panic, hang, or are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use plimsoll::clock::SystemClock;
use plimsoll::model::job::{Durability, Failure, Job, JobState, Payload, QueueConfig};
use plimsoll::queue::{Handler, Outcome, Queues, Runner, RunnerOptions, Setting, Task, Verb};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::support::*;

/// How long a condition may take to come true.
const LIMIT: Duration = Duration::from_secs(30);

struct Inside {
    queues: Arc<Queues>,
    disk: OnDisk,
    ticking: tokio::task::JoinHandle<()>,
}

impl Inside {
    fn new() -> Self {
        let disk = OnDisk::in_folder(tempfile::tempdir().unwrap(), Durability::Commit);
        let keeper = Arc::clone(&disk.jobs);
        let queues = Arc::new(Queues::new(keeper, Arc::new(SystemClock)));
        let kept = Arc::clone(&queues);
        let ticking = tokio::spawn(async move {
            loop {
                kept.tick().await.unwrap();
                tokio::select! {
                    () = kept.sooner() => {}
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        });
        Self {
            queues,
            disk,
            ticking,
        }
    }

    async fn set(&self, config: Value) {
        let config: QueueConfig = serde_json::from_value(config).unwrap();
        let setting = Setting::Config(Box::new(config));
        self.queues.configure(&bar(), setting).await.unwrap();
    }

    async fn add(&self, name: &str, opts: Value) -> String {
        let added = self.queues.enqueue(&bar(), vec![job(name, opts)]).await;
        added.unwrap().remove(0).unwrap().id
    }

    fn run(&self, handler: Handler, options: RunnerOptions) -> Runner {
        Runner::start(Arc::clone(&self.queues), bar(), handler, options)
    }

    /// The job, once it stands there.
    async fn once(&self, id: &str, state: JobState) -> Job {
        let look = async {
            loop {
                let job = self.queues.get(&bar(), id).await.unwrap();
                if job.state == state {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(LIMIT, look).await.unwrap()
    }

    async fn end(self) -> OnDisk {
        self.ticking.abort();
        // Only then it holds nothing any more.
        let _ = self.ticking.await;
        self.disk
    }
}

fn handler<F>(work: impl Fn(Task) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Outcome> + Send + 'static,
{
    Arc::new(move |task| {
        let done: BoxFuture<'static, Outcome> = Box::pin(work(task));
        done
    })
}

fn done() -> Outcome {
    Outcome::Complete(Payload::default())
}

#[tokio::test]
async fn results_failures_and_panics_come_to_their_jobs_and_the_runner_goes_on() {
    let inside = Inside::new();
    inside.set(json!({"attempts": 1})).await;
    let runner = inside.run(
        handler(|task| async move {
            task.log("begun".to_owned()).await.unwrap();
            match task.job.name.as_str() {
                "good" => Outcome::Complete(Payload::of(&json!(7)).unwrap()),
                "bad" => Outcome::Fail(Failure::of("no")),
                _ => panic!("what is {}?", task.job.name),
            }
        }),
        RunnerOptions::default(),
    );
    let odd = inside.add("odd", json!({})).await;
    let bad = inside.add("bad", json!({})).await;
    let good = inside.add("good", json!({})).await;
    let good = inside.once(&good, JobState::Completed).await;
    assert_eq!(good.result.unwrap().text(), "7");
    assert_eq!(good.logs[0].text, "begun");
    let bad = inside.once(&bad, JobState::Dead).await;
    assert_eq!(bad.errors[0].failure.message, "no");
    let odd = inside.once(&odd, JobState::Dead).await;
    let failure = &odd.errors[0].failure;
    assert_eq!(
        (failure.name.as_deref(), failure.message.as_str()),
        (Some("Panic"), "what is odd?")
    );
    runner.stop().await;
    inside.end().await;
}

#[tokio::test]
async fn a_handler_that_outlasts_its_time_is_stopped_and_has_failed() {
    let inside = Inside::new();
    inside.set(json!({"attempts": 1, "timeout": 40})).await;
    let (gone, heard) = watch::channel(false);
    let runner = inside.run(
        handler(move |_| {
            let gone = gone.clone();
            async move {
                let _told = Told(gone);
                std::future::pending::<Outcome>().await
            }
        }),
        RunnerOptions::default(),
    );
    let id = inside.add("hangs", json!({})).await;
    let dead = inside.once(&id, JobState::Dead).await;
    assert_eq!(dead.errors[0].failure.name.as_deref(), Some("Timeout"));
    // Its place is free only when it is really gone.
    let mut heard = heard;
    let stopped = heard.wait_for(|gone| *gone);
    tokio::time::timeout(LIMIT, stopped).await.unwrap().unwrap();
    runner.stop().await;
    inside.end().await;
}

/// Says so when it is dropped.
struct Told(watch::Sender<bool>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

#[tokio::test]
async fn a_job_that_is_called_off_is_told_so_at_once() {
    let inside = Inside::new();
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let runner = inside.run(
        handler(move |task| {
            let told = Arc::clone(&told);
            async move {
                told.notify_one();
                task.stopping().await;
                Outcome::Fail(Failure::of("stopped"))
            }
        }),
        RunnerOptions::default(),
    );
    let id = inside.add("long", json!({})).await;
    tokio::time::timeout(LIMIT, begun.notified()).await.unwrap();
    inside.queues.act(&bar(), &id, Verb::Cancel).await.unwrap();
    inside.once(&id, JobState::Cancelled).await;
    runner.stop().await;
    inside.end().await;
}

#[tokio::test]
async fn a_runner_that_stops_ends_what_ends_and_gives_back_the_rest() {
    let inside = Inside::new();
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let runner = inside.run(
        handler(move |task| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                if task.job.name == "polite" {
                    task.stopping().await;
                    return done();
                }
                std::future::pending().await
            }
        }),
        RunnerOptions {
            concurrency: 2,
            grace: Duration::from_millis(50),
            ..RunnerOptions::default()
        },
    );
    let polite = inside.add("polite", json!({})).await;
    let stubborn = inside.add("stubborn", json!({})).await;
    let both = async {
        while begun.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, both).await.unwrap();
    let later = inside.add("later", json!({})).await;
    runner.stop().await;
    let disk = inside.end().await.reopen();
    let ask = Ask(disk.jobs.as_ref());
    assert_eq!(ask.job(&polite).state, JobState::Completed);
    assert_eq!(ask.job(&later).attempts_started, 0);
    let back = ask.job(&stubborn);
    assert_eq!((back.state, back.attempts_made), (JobState::Waiting, 0));
}

#[tokio::test]
async fn what_a_valve_holds_back_waits() {
    let inside = Inside::new();
    let (valve, through) = watch::channel(0);
    let runner = inside.run(
        handler(|_| async { done() }),
        RunnerOptions {
            concurrency: 8,
            valve: Some(through),
            ..RunnerOptions::default()
        },
    );
    let ids = [
        inside.add("a", json!({})).await,
        inside.add("b", json!({})).await,
    ];
    for id in &ids {
        assert_eq!(inside.once(id, JobState::Waiting).await.attempts_started, 0);
    }
    valve.send_replace(1);
    for id in &ids {
        inside.once(id, JobState::Completed).await;
    }
    runner.stop().await;
    inside.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_is_done_once_and_is_done_after_a_restart() {
    let inside = Inside::new();
    inside.set(json!({"removeOnComplete": false})).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let runner = inside.run(
        handler(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { done() }
        }),
        RunnerOptions {
            concurrency: 50,
            ..RunnerOptions::default()
        },
    );
    let jobs = (0..2_000).map(|_| job("j", json!({}))).collect();
    inside.queues.enqueue(&bar(), jobs).await.unwrap();
    let all = async {
        while inside
            .queues
            .keeper()
            .counts(&bar())
            .await
            .unwrap()
            .completed
            < 2_000
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, all).await.unwrap();
    runner.stop().await;
    assert_eq!(count.load(Ordering::Relaxed), 2_000);
    let disk = inside.end().await.reopen();
    assert_eq!(Ask(disk.jobs.as_ref()).counts().completed, 2_000);
}
