//! Behind a pooler that shares its server connections: nothing of ours is left in a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll::postgres::{Environment, Observer, Options, resolve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::bouncer::{Bouncer, Pooling};
use crate::server::Server;
use crate::{AT, blind_spot, distribution, later, values};

/// What the stand-in for a pooler does with the `options` of a startup packet.
#[derive(Clone, Copy)]
enum Habit {
    /// Refuses the connection, as `PgBouncer` does unless told otherwise.
    Refuse,
    /// Takes them and forgets them, as with `ignore_startup_parameters`.
    Forget,
}

/// Forwards connections to `server`; counts those that were refused.
async fn stand_in(server: u16, habit: Habit) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move { forward(client, server, habit, &count).await });
        }
    });
    (port, refused)
}

async fn forward(mut client: TcpStream, server: u16, habit: Habit, refused: &AtomicUsize) {
    let length = client.read_u32().await.unwrap();
    let mut packet = vec![0; length as usize - 4];
    client.read_exact(&mut packet).await.unwrap();
    let (version, rest) = packet.split_at(4);
    let mut words: Vec<&[u8]> = rest.split(|byte| *byte == 0).collect();
    if let Some(at) = words.iter().step_by(2).position(|word| *word == b"options") {
        match habit {
            Habit::Refuse => {
                refused.fetch_add(1, Ordering::Relaxed);
                let text = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0";
                client.write_u8(b'E').await.unwrap();
                client
                    .write_u32(u32::try_from(text.len()).unwrap() + 4)
                    .await
                    .unwrap();
                client.write_all(text).await.unwrap();
                return;
            }
            Habit::Forget => drop(words.drain(2 * at..2 * at + 2)),
        }
    }
    let body = [version, &words.join(&0)].concat();
    let mut upstream = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    upstream
        .write_u32(u32::try_from(body.len()).unwrap() + 4)
        .await
        .unwrap();
    upstream.write_all(&body).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut upstream).await;
}

async fn everything_is_read_through_a_stand_in(habit: Habit) {
    let Some(server) = distribution() else { return };
    let (port, refused) = stand_in(server.port, habit).await;
    everything_is_read_and_nothing_left(&server, port).await;
    assert_eq!(
        refused.load(Ordering::Relaxed),
        usize::from(matches!(habit, Habit::Refuse))
    );
}

async fn everything_is_read_and_nothing_left(server: &Server, port: u16) {
    let admin = server.admin("postgres").await;
    let sql = "create extension pg_stat_statements; create table t (id int primary key)";
    admin.batch_execute(sql).await.unwrap();
    let text = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable");
    let conninfo = resolve(&text, &Environment::default()).unwrap();
    let mut observer = Observer::new(Options::new("t", conninfo));
    let samples = observer.scrape(AT).await.unwrap();
    assert_eq!(values(&samples, "pg_up", &[]), [1.0]);
    assert!(observer.capability().unwrap().is_pooled);
    observer.activity().await.unwrap();
    let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
    assert_eq!(snapshot.tables.len(), 1);
    let spots: Vec<&str> = snapshot
        .blind_spots
        .iter()
        .map(|s| s.what.as_str())
        .collect();
    assert_eq!(spots, ["session"]);
    assert!(
        blind_spot(&snapshot, "session")
            .unwrap()
            .contains("server's own address")
    );
    // No statement of ours may outlive its transaction: each setting is local, none is prepared.
    let sql = "select query from pg_stat_statements where query like '%plimsoll%'";
    let queries = admin.query(sql, &[]).await.unwrap();
    let sets: Vec<&str> = queries
        .iter()
        .map(|row| row.get::<_, &str>(0))
        .filter(|query| query.starts_with("set"))
        .collect();
    assert!(
        !sets.is_empty() && sets.iter().all(|set| set.contains("*/ local ")),
        "{sets:?}"
    );
}

#[tokio::test]
async fn a_pooler_that_refuses_settings_is_found_and_lived_with() {
    everything_is_read_through_a_stand_in(Habit::Refuse).await;
}

#[tokio::test]
async fn a_pooler_that_forgets_settings_is_found_and_lived_with() {
    everything_is_read_through_a_stand_in(Habit::Forget).await;
}

async fn everything_is_read_through_a_bouncer(pooling: Pooling) {
    let Some(server) = distribution() else { return };
    let Some(bouncer) = Bouncer::start(&server, pooling).await else {
        return;
    };
    everything_is_read_and_nothing_left(&server, bouncer.port).await;
    // Asked with settings once, as any server; then as a pooler likes it.
    let log = bouncer.log();
    let refused = log.matches("closing because: unsupported startup parameter");
    assert_eq!(refused.count(), 1, "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
}

#[tokio::test]
async fn a_bouncer_that_lends_a_server_for_a_session_is_read_through() {
    everything_is_read_through_a_bouncer(Pooling::Session).await;
}

#[tokio::test]
async fn a_bouncer_that_lends_a_server_for_a_transaction_is_read_through() {
    everything_is_read_through_a_bouncer(Pooling::Transaction).await;
}

#[tokio::test]
async fn in_another_s_session_nothing_of_ours_is_seen() {
    let Some(server) = distribution() else { return };
    let Some(bouncer) = Bouncer::start(&server, Pooling::Transaction).await else {
        return;
    };
    everything_is_read_and_nothing_left(&server, bouncer.port).await;
    // One server connection a pool: the next client gets the one that we used.
    let text = format!(
        "host=127.0.0.1 port={} user=postgres dbname=postgres",
        bouncer.port
    );
    let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let sql = "select count(*) filter (where source in ('session', 'client') and name not in \
               ('client_encoding', 'application_name', 'DateStyle', 'TimeZone'))::text, \
               (select count(*) from pg_prepared_statements)::text, \
               current_setting('default_transaction_read_only') from pg_settings";
    let answer = client.simple_query(sql).await.unwrap();
    let row = answer.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.unwrap();
    assert_eq!(
        [row.get(0), row.get(1), row.get(2)],
        [Some("0"), Some("0"), Some("off")]
    );
}

/// The console of a real `PgBouncer`: a client that waits is seen, and for how long.
#[tokio::test]
async fn the_console_s_pools_are_read_and_a_waiting_client_is_told() {
    let Some(server) = distribution() else { return };
    let Some(bouncer) = Bouncer::start(&server, Pooling::Session).await else {
        return;
    };
    let through = |database: &str| {
        let text = format!(
            "host=127.0.0.1 port={} user=postgres dbname={database} sslmode=disable",
            bouncer.port
        );
        resolve(&text, &Environment::default()).unwrap()
    };
    let mut options = Options::new("t", server.conninfo("user=postgres dbname=postgres"));
    options.pooler = Some(through("pgbouncer"));
    let mut observer = Observer::new(options);
    let address = format!(
        "host=127.0.0.1 port={} user=postgres dbname=postgres",
        bouncer.port
    );
    let connect = |address: String| async move {
        let opened = tokio_postgres::connect(&address, tokio_postgres::NoTls).await;
        let (client, driver) = opened.unwrap();
        tokio::spawn(driver);
        client
    };
    // The pool has one connection, which the first client keeps.
    let first = connect(address.clone()).await;
    first.batch_execute("begin; select 1").await.unwrap();
    // A client waits from its first statement on.
    let second = connect(address).await;
    let waiting = tokio::spawn(async move { drop(second.batch_execute("select 1").await) });
    crate::server::eventually("the second client waits", async || {
        let (_, snapshot) = observer.catalog(AT).await.unwrap();
        let waits = snapshot
            .pools
            .iter()
            .find(|pool| pool.database == "postgres");
        waits.is_some_and(|pool| {
            pool.clients_waiting == 1 && pool.servers_active == 1 && pool.size == Some(1)
        })
    })
    .await;
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    assert!(
        snapshot
            .pool_totals
            .acquired
            .is_some_and(|count| count >= 1)
    );
    assert!(blind_spot(&snapshot, "pooler").is_none());
    waiting.abort();
    drop(first);
}
