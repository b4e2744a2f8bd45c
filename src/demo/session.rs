//! One connection to the demo server.
//!
//! For: everything in `demo` that talks to the cluster it started. Not for: targets that are
//! watched: those go through `postgres`.
#![expect(
    clippy::disallowed_types,
    reason = "the demo drives the cluster that it made itself"
)]

use tokio_postgres::{Client, NoTls};

use super::{Result, refused};

/// Connects under `application` as its name; the connection closes when the client is dropped.
///
/// # Errors
/// `Postgres` if the server does not let us in.
pub(super) async fn connect(url: &str, application: &str) -> Result<Client> {
    let mut config: tokio_postgres::Config = url.parse().map_err(refused("read its address"))?;
    config.application_name(application);
    config.connect_timeout(std::time::Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await.map_err(refused("connect"))?;
    // The task ends with the client, or with the server; the client's next call then says why.
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}
