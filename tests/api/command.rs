//! The command line against a live server, over its socket: what a person reads.

use std::path::Path;

use crate::{fixture, network};

pub(crate) async fn plimsoll(socket: &Path, arguments: &[&str]) -> (i32, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(arguments)
        .arg("--data-dir")
        .arg(socket.parent().unwrap())
        .env_clear()
        .env("HOME", "/nowhere")
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[tokio::test]
async fn status_shows_every_target_and_how_full_it_is() {
    network::serving(fixture::site(), async |_, socket| {
        let (code, text) = plimsoll(socket, &["status"]).await;
        assert_eq!(code, 0, "{text}");
        insta::assert_snapshot!(text);
    })
    .await;
}

#[tokio::test]
async fn check_shows_findings_and_who_could_not_be_looked_at() {
    network::serving(fixture::site(), async |_, socket| {
        let (code, text) = plimsoll(socket, &["check"]).await;
        assert_eq!(code, 3, "{text}");
        insta::assert_snapshot!(text);
        let (code, _) = plimsoll(socket, &["check", "--target", "main"]).await;
        assert_eq!(code, 1, "warnings alone");
    })
    .await;
}

#[tokio::test]
async fn a_forecast_is_a_table_a_month_with_its_band() {
    network::serving(fixture::site(), async |_, socket| {
        let one = ["forecast", "database", "--months", "3", "--target", "main"];
        let (code, text) = plimsoll(socket, &one).await;
        assert_eq!(code, 0, "{text}");
        insta::assert_snapshot!(text);
        let (code, text) = plimsoll(socket, &["forecast", "all", "--target", "main"]).await;
        assert_eq!(code, 0, "{text}");
        insta::assert_snapshot!(text);
        let asked = [&one[..], &["--before", "2026-08-20"]].concat();
        let (code, text) = plimsoll(socket, &asked).await;
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("% likely to reach warn before"), "{text}");
        let json = [&one[..], &["--format", "json"]].concat();
        let (_, text) = plimsoll(socket, &json).await;
        let forecast: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(forecast["projections"].as_array().unwrap().len(), 3);
        let (code, text) = plimsoll(socket, &["forecast", "cpu", "--target", "quiet"]).await;
        assert_eq!(
            (code, text.contains("is not known yet")),
            (1, true),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_review_is_a_table_by_days_ahead_for_each_resource() {
    network::serving(fixture::site(), async |_, socket| {
        let one = ["forecast", "--review", "database", "--target", "main"];
        let (code, text) = plimsoll(socket, &one).await;
        assert_eq!(code, 0, "{text}");
        insta::assert_snapshot!(text);
        let (code, text) = plimsoll(socket, &["forecast", "--review", "--target", "main"]).await;
        assert_eq!(code, 0, "{text}");
        assert_eq!(
            text.matches("too few outcomes yet: 0 of at least 5")
                .count(),
            5
        );
        let (_, text) = plimsoll(socket, &[&one[..], &["--format", "json"]].concat()).await;
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["resources"][0]["leads"][1]["leadDays"], 7);
        let with_file = ["forecast", "--review", "--input", "x.csv", "--horizon", "3"];
        assert_eq!(plimsoll(socket, &with_file).await.0, 64);
    })
    .await;
}

#[tokio::test]
async fn a_what_if_says_what_breaks_first_and_what_load_it_takes() {
    network::serving(fixture::site(), async |_, socket| {
        let asked = [
            "forecast",
            "all",
            "--what-if",
            "load=10",
            "--target",
            "main",
        ];
        let (code, text) = plimsoll(socket, &asked).await;
        assert_eq!(code, 0, "{text}");
        insta::assert_snapshot!("what_if_all", text);
        let asked = [
            "forecast",
            "database",
            "--months",
            "2",
            "--target",
            "main",
            "--what-if",
            "growth=2",
            "--what-if",
            "archive=20%@2026-06-01",
            "--what-if",
            "archive=10%@2026-07-01",
            "--what-if",
            "limit=200GB",
        ];
        let (code, text) = plimsoll(socket, &asked).await;
        assert_eq!(code, 0, "{text}");
        insta::assert_snapshot!("what_if_database", text);
        let (_, text) = plimsoll(socket, &[&asked[..], &["--format", "json"]].concat()).await;
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["scenario"].as_array().unwrap().len(), 4);
        for bad in [
            "growth=-1",
            "growth",
            "magic=1",
            "archive=120%",
            "limit=NaN",
        ] {
            let (code, text) = plimsoll(socket, &["forecast", "cpu", "--what-if", bad]).await;
            assert_eq!(code, 64, "{bad}: {text}");
        }
    })
    .await;
}
