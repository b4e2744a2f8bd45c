//! The page of a running demo, in a browser.

use rustix::process::Signal;

use crate::support::demo::{Demo, Home};
use crate::support::devtools::Tab;
use crate::support::http;
use crate::support::plimsoll::{command, free_address};
use crate::support::postgres::Major;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_matters_without_an_error_and_fits_a_phone() {
    if Major::Distribution.binaries_or_skip().is_none() {
        return;
    }
    let Some(mut tab) = Tab::open(1280, 900).await else {
        return;
    };
    let (home, address) = (Home::new(), free_address());
    let listen = address.to_string();
    let arguments = ["demo", "--scale", "0.01", "--listen", &listen];
    let mut demo = Demo::start(command(&arguments), &home);
    demo.wait_for("Found: ").await;

    let base = "/api/v1/performance/capacity/dashboard";
    let dashboard = http::get(address, base).await.unwrap().json();
    let forecasts = dashboard["forecasts"].as_array().unwrap();
    let resources = forecasts.iter().map(|forecast| &forecast["resourceType"]);
    let resources: Vec<&str> = resources.map(|name| name.as_str().unwrap()).collect();
    for name in ["cpu", "memory", "storage", "database", "connections"] {
        assert!(
            resources.contains(&name),
            "{name} is not among {resources:?}"
        );
    }
    tab.go(&format!("http://{address}/")).await;
    let verdict = tab
        .evaluate("document.querySelector('#main h1').innerText")
        .await;
    let headline = verdict.as_str().unwrap();
    assert!(headline.contains(' '), "no verdict: {headline:?}");
    let charts = "[...document.querySelectorAll('svg.chart')].filter(svg => { \
                  const box = svg.getBoundingClientRect(); \
                  return box.width > 200 && box.height > 50; }).length";
    assert_eq!(tab.evaluate(charts).await, resources.len(), "{resources:?}");

    // The script refreshes the page in place; nothing of that may fail either.
    tab.evaluate("fetch('/?fragment=main').then(answer => answer.text())")
        .await;
    for width in [400, 320] {
        tab.resize(width, 800).await;
        let wide = tab.evaluate("document.documentElement.scrollWidth").await;
        assert!(
            wide.as_u64().unwrap() <= u64::from(width),
            "{wide} of {width} pixels"
        );
    }
    assert_eq!(tab.errors(), [""; 0]);
    tab.close().await;
    demo.signal(Signal::TERM);
    let (code, told) = demo.ended().await;
    assert_eq!(code, 0, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_on_a_page_would_be_seen() {
    let Some(mut tab) = Tab::open(400, 400).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("p.html");
    let html = "<!doctype html><img src='none.png'><div style='width: 999px'>wide</div>\
                <script>console.error('told'); throw new Error('thrown')</script>";
    std::fs::write(&page, html).unwrap();
    tab.go(&format!("file://{}", page.display())).await;
    tab.evaluate("1").await;
    let errors = tab.errors().join("\n");
    assert!(
        errors.contains("told") && errors.contains("thrown"),
        "{errors}"
    );
    assert!(errors.contains("ERR_FILE_NOT_FOUND"), "{errors}");
    let wide = tab.evaluate("document.documentElement.scrollWidth").await;
    assert!(wide.as_u64().unwrap() >= 999, "{wide}");
    tab.close().await;
}
