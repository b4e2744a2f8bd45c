//! Every route of the API against a filled board: shapes, refusals, encodings, metrics, the socket.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::expect_used, reason = "a test may stop at the first surprise")]
#![expect(
    clippy::indexing_slicing,
    reason = "a missing JSON field reads as null"
)]

mod cache;
mod command;
mod contract;
mod fixture;
mod jobs;
mod latency;
mod letters;
mod load_tests;
mod metrics;
mod network;
mod refusals;
mod what_if;
mod workers;

use std::io::Read as _;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use plimsoll::http::{Site, local_router, router};
use serde_json::Value;

/// The base path of the specification's routes.
pub(crate) const BASE: &str = "/api/v1/performance";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn unzipped(&self) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(self.body.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        text
    }
}

/// Sends a request with `headers` through the router of the network.
pub(crate) async fn send(
    site: &Arc<Site>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Reply {
    through(router(site), method, path, headers, Body::empty()).await
}

/// Sends a request through the router of the Unix socket.
pub(crate) async fn send_local(site: &Arc<Site>, path: &str) -> Reply {
    through(local_router(site), "GET", path, &[], Body::empty()).await
}

/// Posts a body through the router of the network.
pub(crate) async fn send_body(site: &Arc<Site>, path: &str, body: String) -> Reply {
    through(router(site), "POST", path, &[], Body::from(body)).await
}

/// Sends a body by any method through the router of the network.
pub(crate) async fn send_with(site: &Arc<Site>, method: &str, path: &str, body: String) -> Reply {
    through(router(site), method, path, &[], Body::from(body)).await
}

async fn through(
    routes: axum::Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:3002");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let request = request.body(body).unwrap();
    let response = TowerToHyperService::new(routes)
        .call(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

/// `GET` with the default site.
pub(crate) async fn get(path: &str) -> Reply {
    send(&fixture::site(), "GET", path, &[]).await
}
