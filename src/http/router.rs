//! The API in one table: method, path, handler, summary.
//!
//! `openapi` describes exactly these rows, and the own latency is counted by their paths.

mod cache;
mod capacity;
mod database;
mod jobs;
mod load_tests;
mod local;
mod page;
mod params;
mod schedules;
mod series;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::routing::MethodRouter;

use super::error::Refusal;
use super::{Site, front};

pub use cache::{INVALIDATE, WARM};
pub use capacity::{FORECAST_REVIEW, WHAT_IF};

/// A parameter of a route.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// As in the path or the query.
    pub name: &'static str,
    /// `path` or `query`.
    pub place: &'static str,
    /// What it takes; bounds and the default are said here.
    pub about: &'static str,
}

/// One row of the API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// GET (and with it HEAD), POST, PUT or DELETE; a path that takes several has a row for each.
    pub method: &'static str,
    /// With `{…}` for parameters.
    pub path: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What fails when it fails: `error` is `Failed to …`, as the original's clients read it.
    pub does: &'static str,
    /// What it takes.
    pub params: &'static [Param],
    /// Media type and schema of the answer; the schema is empty where it is no JSON.
    pub answer: (&'static str, &'static str),
    serve: fn() -> MethodRouter<Arc<Site>>,
}

const JSON: &str = "application/json";

/// Every route that is served over TCP, by area: a file each.
const AREAS: &[&[Route]] = &[
    database::ROUTES,
    capacity::ROUTES,
    series::ROUTES,
    page::ROUTES,
    jobs::ROUTES,
    schedules::ROUTES,
    cache::ROUTES,
    load_tests::ROUTES,
];

/// All rows by their paths; a path that takes several methods has few.
static ROWS: LazyLock<HashMap<&'static str, Vec<&'static Route>>> = LazyLock::new(|| {
    let mut rows = HashMap::<_, Vec<_>>::new();
    for route in all_routes().chain(local::ROUTES) {
        rows.entry(route.path).or_default().push(route);
    }
    rows
});

/// The row that answers a request, for the own latency and the error text.
pub(super) fn row(request: &Request) -> Option<&'static Route> {
    let path = request.extensions().get::<MatchedPath>()?;
    let method = match *request.method() {
        Method::HEAD => "GET",
        ref method => method.as_str(),
    };
    let rows = ROWS.get(path.as_str())?.iter();
    rows.copied().find(|route| route.method == method)
}

/// Every route that is served over TCP, in the order of the description.
pub fn all_routes() -> impl Iterator<Item = &'static Route> {
    AREAS.iter().copied().flatten()
}

/// What is served over TCP: the host and, where one is set, the token are checked.
pub fn router(site: &Arc<Site>) -> Router {
    let routes = all_routes().fold(Router::new(), with);
    guarded(routes, site, front::over_tcp)
}

/// What is served on the Unix socket: the folder's rights are the guard.
pub fn local_router(site: &Arc<Site>) -> Router {
    let rows = all_routes().chain(local::ROUTES);
    guarded(rows.fold(Router::new(), with), site, front::over_socket)
}

fn with(router: Router<Arc<Site>>, route: &'static Route) -> Router<Arc<Site>> {
    router.route(route.path, (route.serve)())
}

fn guarded<F, R>(routes: Router<Arc<Site>>, site: &Arc<Site>, guard: F) -> Router
where
    F: Fn(axum::extract::State<Arc<Site>>, Request, Next) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = axum::response::Response> + Send + 'static,
{
    routes
        .fallback(|| async { Refusal::UnknownPath })
        .method_not_allowed_fallback(|| async { Refusal::Method })
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site.clone())
}
