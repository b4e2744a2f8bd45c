//! Each way not to get in has its own message.

use plimsoll::postgres::{Environment, Error, Observer, Options, resolve};

use crate::{AT, distribution, later, server, superuser};

async fn refusal(conninfo: &str) -> Error {
    let conninfo = resolve(conninfo, &Environment::default()).unwrap();
    let mut observer = Observer::new(Options::new("t", conninfo));
    observer.scrape(AT).await.unwrap_err()
}

#[tokio::test]
async fn every_refusal_is_named_with_its_cure_and_without_the_password() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let sql = "create role watcher login password 'right'; create role locked nologin";
    admin.batch_execute(sql).await.unwrap();
    let place = format!("host=127.0.0.1 port={}", server.port);

    let error = refusal(&format!(
        "{place} user=watcher password=hush dbname=postgres"
    ))
    .await;
    assert!(matches!(error, Error::WrongPassword { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hush"));

    let error = refusal(&format!("{place} user=watcher dbname=postgres")).await;
    assert!(matches!(error, Error::NoPassword { .. }), "{error}");
    assert!(error.to_string().contains("PGPASSWORD"));

    let error = refusal(&format!("{place} user=postgres dbname=nowhere")).await;
    assert!(matches!(error, Error::NoDatabase { .. }), "{error}");

    let error = refusal(&format!("{place} user=locked dbname=postgres")).await;
    assert!(matches!(error, Error::NotAllowed { .. }), "{error}");

    let error = refusal(&format!("{place} user=postgres sslmode=require")).await;
    assert!(matches!(error, Error::Tls { .. }), "{error}");

    let error = refusal("host=no-such-host.invalid user=u").await;
    assert!(matches!(error, Error::NoSuchHost { .. }), "{error}");

    let error = refusal("host=127.0.0.1 port=1 user=u").await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");

    let error = refusal("host=/nowhere user=u").await;
    assert!(
        error.to_string().contains("/nowhere/.s.PGSQL.5432"),
        "{error}"
    );
}

#[tokio::test]
async fn the_right_kind_of_server_is_found_among_several_hosts() {
    let Some(server) = distribution() else { return };
    let port = server.port;
    let hosts = format!("host=127.0.0.1,127.0.0.1 port=1,{port} user=postgres dbname=postgres");
    let conninfo = resolve(&hosts, &Environment::default()).unwrap();
    let mut observer = Observer::new(Options::new("t", conninfo));
    observer.scrape(AT).await.unwrap();

    let error = refusal(&format!("{hosts} target_session_attrs=standby")).await;
    assert!(matches!(error, Error::WrongKind { .. }), "{error}");
    let primary = format!("{hosts} target_session_attrs=prefer-standby");
    let conninfo = resolve(&primary, &Environment::default()).unwrap();
    let mut observer = Observer::new(Options::new("t", conninfo));
    observer.scrape(AT).await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_an_error_and_its_return_is_noticed() {
    let Some(server) = distribution() else { return };
    let mut observer = superuser(&server);
    observer.scrape(AT).await.unwrap();
    server.down("immediate");
    let error = observer.scrape(later(10)).await.unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert!(matches!(
        observer.activity().await,
        Err(Error::NotConnected)
    ));
    // Tried again at once, then with pauses that end.
    let error = observer.scrape(later(20)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let error = observer.scrape(later(21)).await.unwrap_err();
    assert!(matches!(error, Error::Waiting { .. }), "{error}");
    server.up();
    let samples = observer.scrape(later(60)).await.unwrap();
    assert_eq!(crate::values(&samples, "pg_up", &[]), [1.0]);
    observer.catalog(later(60)).await.unwrap();
}

#[tokio::test]
async fn a_silent_address_costs_the_timeout_and_no_more() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let text = format!("host=127.0.0.1 port={port} user=u");
    let conninfo = resolve(&text, &Environment::default()).unwrap();
    let mut options = Options::new("t", conninfo);
    options.connect_timeout = plimsoll::model::units::Millis(200);
    let error = Observer::new(options).scrape(AT).await.unwrap_err();
    assert!(
        matches!(error, Error::ConnectTimeout { after_ms: 200, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn tls_is_checked_as_far_as_sslmode_says() {
    let Some(bin) = server::require(15) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-keyout", &file("key"), "-out", &file("crt")])
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no openssl to make a certificate with");
        return;
    }
    let server = server::Server::start(&bin, &[]);
    let admin = server.admin("postgres").await;
    server.install("server.crt", &std::fs::read_to_string(file("crt")).unwrap());
    server.install("server.key", &std::fs::read_to_string(file("key")).unwrap());
    let sql = "alter system set ssl = on";
    admin.batch_execute(sql).await.unwrap();
    server.down("fast");
    server.up();
    let try_out = async |rest: &str| {
        let text = format!("port={} user=postgres dbname=postgres {rest}", server.port);
        let conninfo = resolve(&text, &Environment::default()).unwrap();
        Observer::new(Options::new("t", conninfo))
            .scrape(AT)
            .await
            .map(|_| ())
    };
    let root = format!("sslrootcert={}", file("crt"));
    try_out("host=localhost sslmode=require").await.unwrap();
    try_out("host=127.0.0.1 sslmode=prefer").await.unwrap();
    try_out(&format!("host=localhost sslmode=verify-full {root}"))
        .await
        .unwrap();
    try_out(&format!("host=127.0.0.1 sslmode=verify-ca {root}"))
        .await
        .unwrap();
    let error = try_out(&format!("host=127.0.0.1 sslmode=verify-full {root}"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    let error = try_out("host=localhost sslrootcert=system")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}
