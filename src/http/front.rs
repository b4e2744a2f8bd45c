//! What every request passes: the guard, the time limit, the finish of the answer, the own latency.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::body::{Answer, Wanted};
use super::error::Refusal;
use super::guard::Role;
use super::{Site, guard, router};
use crate::clock::Stopwatch;
use crate::work::latency::count_request;

/// The door on the network.
pub(super) async fn over_tcp(
    State(site): State<Arc<Site>>,
    request: Request,
    next: Next,
) -> Response {
    let verdict = guard::network(&site, &request);
    pass(&site, request, next, verdict).await
}

/// The door of the Unix socket.
pub(super) async fn over_socket(
    State(site): State<Arc<Site>>,
    request: Request,
    next: Next,
) -> Response {
    let verdict = guard::socket(&site, &request);
    pass(&site, request, next, verdict).await
}

async fn pass(
    site: &Site,
    mut request: Request,
    next: Next,
    verdict: Result<Role, Refusal>,
) -> Response {
    let watch = Stopwatch::start();
    let route = match &verdict {
        Ok(_) => router::row(&request),
        // Who may not ask is not told what would have failed.
        Err(_) => None,
    };
    let wanted = Wanted::of(&request);
    let method = method_of(request.method());
    let limit = site.settings.request_timeout.as_duration();
    let mut response = match verdict {
        Err(refusal) => refusal.into_response(),
        Ok(role) => {
            request.extensions_mut().insert(role);
            DefaultBodyLimit::max(site.settings.max_body_bytes).apply(&mut request);
            match tokio::time::timeout(limit, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Refusal::TooSlow.into_response(),
            }
        }
    };
    if let Some(answer) = response.extensions_mut().remove::<Answer>() {
        answer.write(&site.settings, &wanted, &mut response);
    } else {
        if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
            refusal.write(route, &wanted, &mut response);
        }
        guard::harden(response.headers_mut());
    }
    let path = route.map_or("none", |route| route.path);
    let took = watch.elapsed();
    site.meter.record(path, response.status().as_u16(), took);
    if let Some(store) = &site.hooks.store {
        count_request(store, site.clock.now(), method, path, took);
    }
    response
}

/// The method's name; a made-up one must not become a name of its own.
fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
