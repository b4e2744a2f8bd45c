use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::SettableClock;
use crate::model::cached::Priority;
use crate::model::units::Millis;

/// A loader that counts, and that does as it is told.
#[derive(Debug, Default)]
struct Server {
    loads: AtomicU64,
    broken: Mutex<Option<String>>,
    gate: Option<tokio::sync::Semaphore>,
}

impl Server {
    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    fn break_with(&self, reason: Option<&str>) {
        *self.broken.lock().unwrap() = reason.map(str::to_owned);
    }
}

fn loader(server: &Arc<Server>) -> Loader {
    let server = Arc::clone(server);
    Arc::new(move |key: &str| {
        let (server, key) = (Arc::clone(&server), key.to_owned());
        Box::pin(async move {
            let number = server.loads.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(gate) = &server.gate {
                gate.acquire().await.unwrap().forget();
            }
            let broken = server.broken.lock().unwrap().clone();
            match broken {
                Some(reason) if reason == "panic" => panic!("asked for"),
                Some(reason) => Err(reason),
                None => Ok(Loaded {
                    body: Bytes::from(format!("[\"{key} {number}\"]")),
                    rows: 1,
                }),
            }
        })
    })
}

fn rule(key: &str, tags: &[&str], events: &[&str]) -> Rule {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Rule {
        key: key.to_owned(),
        ttl: Millis::MINUTE,
        stale: Millis::MINUTE,
        priority: Priority::Medium,
        tags: owned(tags),
        events: owned(events),
    }
}

fn rules() -> Vec<Rule> {
    vec![
        rule("agents:active", &["agents"], &["agent.updated"]),
        rule(
            "agents:availability",
            &["agents"],
            &["agent.updated", "lead.created"],
        ),
        Rule {
            priority: Priority::Critical,
            stale: Millis(0),
            ..rule("leads:recent", &[], &["lead.created"])
        },
    ]
}

fn with(server: Server) -> (Arc<Cache>, Arc<Server>, Arc<SettableClock>) {
    let server = Arc::new(server);
    let clock = Arc::new(SettableClock::at(Timestamp::from_millis(1_000_000)));
    let layer = Arc::new(Memory::new(1 << 20));
    let cache = Cache::new(rules(), layer, Arc::clone(&clock) as _, loader(&server));
    (cache, server, clock)
}

fn made() -> (Arc<Cache>, Arc<Server>, Arc<SettableClock>) {
    with(Server::default())
}

async fn text(cache: &Arc<Cache>, key: &str) -> (Found, String) {
    let served = cache.get(key).await.unwrap();
    let body = String::from_utf8(served.entry.body.to_vec()).unwrap();
    (served.found, body)
}

/// Waits until nothing is being loaded.
async fn settled(cache: &Arc<Cache>) {
    while cache.survey().iter().any(|query| query.is_loading) {
        tokio::task::yield_now().await;
    }
}

const ACTIVE: &str = "agents:active";

#[tokio::test]
async fn a_result_is_kept_then_shown_once_more_while_it_is_loaded_anew_then_gone() {
    let (cache, server, clock) = made();
    assert_eq!(
        text(&cache, ACTIVE).await,
        (Found::Miss, "[\"agents:active 1\"]".into())
    );
    clock.advance(Duration::from_secs(53));
    let hit = cache.get(ACTIVE).await.unwrap();
    assert_eq!((hit.found, hit.age), (Found::Hit, Duration::from_secs(53)));
    clock.advance(Duration::from_secs(8));
    assert_eq!(
        text(&cache, ACTIVE).await,
        (Found::Stale, "[\"agents:active 1\"]".into())
    );
    settled(&cache).await;
    assert_eq!(
        text(&cache, ACTIVE).await,
        (Found::Hit, "[\"agents:active 2\"]".into())
    );
    clock.advance(Duration::from_secs(121));
    assert_eq!(
        cache.totals().usage.entries,
        0,
        "what is over takes no room"
    );
    assert_eq!(text(&cache, ACTIVE).await.0, Found::Miss);
    assert_eq!(server.loads(), 3);
    let counts = cache.totals().counts;
    assert_eq!(
        (counts.hits, counts.stale_hits, counts.misses, counts.loads),
        (3, 1, 2, 3)
    );
    assert_eq!(counts.hit_rate(), Some(0.6));
}

#[tokio::test]
async fn without_a_stale_span_an_old_result_is_never_shown() {
    let (cache, server, clock) = made();
    text(&cache, "leads:recent").await;
    clock.advance(Duration::from_mins(1));
    server.break_with(Some("the server is down"));
    let error = cache.get("leads:recent").await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_who_ask_at_once_make_one_load() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let (cache, server, _) = with(Server {
        gate,
        ..Server::default()
    });
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { text(&cache, ACTIVE).await })
        })
        .collect();
    while cache.totals().counts.misses < 200 {
        tokio::task::yield_now().await;
    }
    server.gate.as_ref().unwrap().add_permits(200);
    for one in asking {
        assert_eq!(
            one.await.unwrap(),
            (Found::Miss, "[\"agents:active 1\"]".into())
        );
    }
    assert_eq!(server.loads(), 1);
}

#[tokio::test]
async fn who_goes_away_does_not_stop_the_load() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let (cache, server, _) = with(Server {
        gate,
        ..Server::default()
    });
    let asking = Arc::clone(&cache);
    let gone = tokio::spawn(async move { asking.get(ACTIVE).await });
    while server.loads() == 0 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    server.gate.as_ref().unwrap().add_permits(1);
    settled(&cache).await;
    assert_eq!(text(&cache, ACTIVE).await.0, Found::Hit);
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_while_and_a_warming_tries_all_the_same() {
    let (cache, server, clock) = made();
    server.break_with(Some("relation \"x\" does not exist"));
    let Err(Error::Failed { failure, .. }) = cache.get(ACTIVE).await else {
        panic!("it cannot load");
    };
    assert_eq!(failure.until.since(clock.now()), Duration::from_secs(1));
    for _ in 0..50 {
        assert!(cache.get(ACTIVE).await.is_err());
    }
    assert_eq!(server.loads(), 1);
    clock.advance(Duration::from_secs(1));
    assert!(cache.get(ACTIVE).await.is_err());
    assert_eq!(server.loads(), 2);
    assert_eq!(cache.survey()[0].standing, Standing::Failed);
    server.break_with(None);
    cache.load(ACTIVE).await.unwrap();
    assert_eq!(text(&cache, ACTIVE).await.0, Found::Hit);
    assert!(cache.survey()[0].failure.is_none());
    let counts = cache.totals().counts;
    assert_eq!(
        (counts.load_failures, counts.loads, counts.misses),
        (2, 1, 52)
    );
}

#[tokio::test]
async fn a_server_that_dies_leaves_the_stale_result_and_its_failure_is_told() {
    let (cache, server, clock) = made();
    text(&cache, ACTIVE).await;
    server.break_with(Some("connection refused"));
    clock.advance(Duration::from_secs(61));
    assert_eq!(text(&cache, ACTIVE).await.0, Found::Stale);
    settled(&cache).await;
    for _ in 0..20 {
        assert_eq!(text(&cache, ACTIVE).await.0, Found::Stale);
    }
    assert_eq!(server.loads(), 2, "it rests");
    let state = &cache.survey()[0];
    assert_eq!(state.standing, Standing::Stale);
    assert_eq!(
        &*state.failure.as_ref().unwrap().reason,
        "connection refused"
    );
}

#[tokio::test]
async fn a_loader_that_panics_fails_and_may_be_tried_again() {
    let (cache, server, _) = made();
    server.break_with(Some("panic"));
    let error = cache.load(ACTIVE).await.unwrap_err().to_string();
    assert!(error.contains("panicked"), "{error}");
    server.break_with(None);
    assert!(cache.load(ACTIVE).await.is_ok());
}

#[tokio::test]
async fn results_are_dropped_by_key_pattern_tag_and_event() {
    let (cache, _, _) = made();
    for (which, want) in [
        (Which::Key("leads:recent".into()), vec!["leads:recent"]),
        (
            Which::Pattern("agents:a*".into()),
            vec![ACTIVE, "agents:availability"],
        ),
        (Which::Pattern("agents:activ?".into()), vec![ACTIVE]),
        (Which::Pattern("nothing*".into()), vec![]),
        (
            Which::Tag("agents".into()),
            vec![ACTIVE, "agents:availability"],
        ),
        (Which::Tag("leads".into()), vec![]),
        (
            Which::Event("lead.created".into()),
            vec!["agents:availability", "leads:recent"],
        ),
        (Which::Event("lead.deleted".into()), vec![]),
    ] {
        for rule in rules() {
            cache.load(&rule.key).await.unwrap();
        }
        assert_eq!(cache.held(&which).unwrap(), want, "{which:?}");
        assert_eq!(cache.totals().usage.entries, 3, "a look drops nothing");
        assert_eq!(cache.invalidate(&which).unwrap(), want, "{which:?}");
        assert_eq!(cache.totals().usage.entries, 3 - want.len() as u64);
        assert_eq!(cache.invalidate(&which).unwrap(), Vec::<String>::new());
    }
    let error = cache
        .invalidate(&Which::Key("agents:activ".into()))
        .unwrap_err();
    assert!(
        error.to_string().contains("did you mean agents:active?"),
        "{error}"
    );
}

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_is_not_kept() {
    let gate = Some(tokio::sync::Semaphore::new(0));
    let (cache, server, _) = with(Server {
        gate,
        ..Server::default()
    });
    let asking = Arc::clone(&cache);
    let early = tokio::spawn(async move { text(&asking, ACTIVE).await });
    while server.loads() == 0 {
        tokio::task::yield_now().await;
    }
    cache.invalidate(&Which::Key(ACTIVE.into())).unwrap();
    let asking = Arc::clone(&cache);
    let late = tokio::spawn(async move { text(&asking, ACTIVE).await });
    while server.loads() < 2 {
        tokio::task::yield_now().await;
    }
    server.gate.as_ref().unwrap().add_permits(2);
    assert_eq!(early.await.unwrap().1, "[\"agents:active 1\"]");
    assert_eq!(late.await.unwrap().1, "[\"agents:active 2\"]");
    assert_eq!(
        text(&cache, ACTIVE).await,
        (Found::Hit, "[\"agents:active 2\"]".into())
    );
}

#[tokio::test]
async fn rates_are_told_by_key_and_by_first_part_and_keys_with_misses_only_are_among_them() {
    let (cache, server, _) = made();
    server.break_with(Some("down"));
    assert!(cache.get("leads:recent").await.is_err());
    server.break_with(None);
    text(&cache, ACTIVE).await;
    text(&cache, ACTIVE).await;
    let by_key = cache.counts_by_key();
    assert_eq!(by_key[ACTIVE].hit_rate(), Some(0.5));
    assert_eq!(by_key["leads:recent"].hit_rate(), Some(0.0));
    assert!(!by_key.contains_key("agents:availability"), "nobody asked");
    assert_eq!(cache.counts_by_pattern()["agents"].hit_rate(), Some(0.5));
    let totals = cache.totals();
    assert_eq!((totals.get.times, totals.set.times), (3, 1));
    assert!(totals.get.total > Duration::ZERO && totals.set.total > Duration::ZERO);
}

#[tokio::test]
async fn what_makes_room_is_counted_with_its_key() {
    let server = Arc::new(Server::default());
    let clock = Arc::new(SettableClock::at(Timestamp::from_millis(0)));
    let big: Loader = Arc::new(|_: &str| {
        let body = Bytes::from(vec![b' '; 700]);
        Box::pin(async move { Ok(Loaded { body, rows: 1 }) })
    });
    let layer = Arc::new(Memory::new(4_096));
    let names = (0..8).map(|n| rule(&format!("key-{n}"), &[], &[]));
    let cache = Cache::new(names, layer, clock, big);
    for n in 0..8 {
        cache.load(&format!("key-{n}")).await.unwrap();
    }
    let totals = cache.totals();
    assert_eq!(totals.counts.evictions, totals.usage.evictions);
    assert_eq!(totals.usage.entries + totals.counts.evictions, 8);
    assert_eq!(server.loads(), 0);
}

#[tokio::test]
async fn the_first_to_be_warmed_is_the_critical_one() {
    let (cache, _, _) = made();
    let order: Vec<&str> = cache
        .by_priority()
        .iter()
        .map(|rule| rule.key.as_str())
        .collect();
    assert_eq!(order, ["leads:recent", ACTIVE, "agents:availability"]);
}

/// A layer that keeps nothing: what a broken one looks like.
#[derive(Debug)]
struct Forgetful;

impl CacheLayer for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }
    fn get(&self, _: &str) -> Option<Arc<Entry>> {
        None
    }
    fn peek(&self, _: &str) -> Option<Arc<Entry>> {
        None
    }
    fn set(&self, _: &str, _: Arc<Entry>) -> Result<Vec<String>, TooLarge> {
        Ok(Vec::new())
    }
    fn remove(&self, _: &str) -> bool {
        false
    }
    fn clear(&self) -> u64 {
        0
    }
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

#[tokio::test]
async fn over_a_layer_that_keeps_nothing_every_answer_is_loaded() {
    let server = Arc::new(Server::default());
    let clock = Arc::new(SettableClock::at(Timestamp::from_millis(0)));
    let cache = Cache::new(rules(), Arc::new(Forgetful), clock, loader(&server));
    for n in 1..=3 {
        let want = format!("[\"agents:active {n}\"]");
        assert_eq!(text(&cache, ACTIVE).await, (Found::Miss, want));
    }
    assert_eq!(server.loads(), 3);
}
