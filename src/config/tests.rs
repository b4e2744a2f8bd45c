use std::io::Write as _;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::model::capacity::{LimitOrigin, Resource};

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let home = [("HOME", "/nowhere"), ("PGUSER", "u")];
    home.iter().chain(pairs).copied().collect()
}

fn with_file(text: &str, pairs: &[(&str, &str)]) -> (Result<Config>, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let flags = Flags {
        config: Some(file.path().to_owned()),
        ..Flags::default()
    };
    let shown = file.path().display().to_string();
    (load(&flags, &environment(pairs)), shown)
}

fn flag(key: &str, text: &str) -> Flag {
    Flag {
        flag: format!("--{key}"),
        key: key.to_owned(),
        text: text.to_owned(),
    }
}

fn origin_of(config: &Config, key: &str) -> String {
    let row = config.shown.iter().find(|row| row.key == key).unwrap();
    row.origin.to_string()
}

#[test]
fn defaults_make_a_whole_configuration() {
    let config = load(&Flags::default(), &environment(&[])).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:3002");
    assert_eq!(config.collect.scrape, Millis(10_000));
    assert_eq!(config.history.rollup_1h, Millis(10 * 365 * 86_400_000));
    assert_eq!(config.data_dir, Path::new("/nowhere/.local/state/plimsoll"));
    assert!(config.targets.is_empty() && config.http.token.is_none());
    assert!(config.is_default("data_dir") && !config.is_default("data_dri"));
    assert_eq!(
        origin_of(&config, "data_dir"),
        "default, from the home folder"
    );
}

#[test]
fn flags_win_over_variables_over_file_over_defaults() {
    let file = "listen = '127.0.0.1:1'\n[collect]\nscrape = '11s'\ncatalog = '61s'\n";
    let (config, path) = with_file(file, &[("PLIMSOLL_COLLECT_SCRAPE", "12s")]);
    let config = config.unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.collect.scrape, Millis(12_000));
    assert_eq!(origin_of(&config, "listen"), format!("{path}:1"));
    assert_eq!(
        origin_of(&config, "collect.scrape"),
        "$PLIMSOLL_COLLECT_SCRAPE"
    );
    assert_eq!(origin_of(&config, "collect.catalog"), format!("{path}:4"));
    assert_eq!(origin_of(&config, "collect.activity"), "default");

    let flags = Flags {
        set: vec![flag("listen", "127.0.0.1:2")],
        ..Flags::default()
    };
    let config = load(&flags, &environment(&[("PLIMSOLL_LISTEN", "127.0.0.1:3")])).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert!(!config.is_default("listen"));
    assert_eq!(origin_of(&config, "listen"), "--listen");
}

#[test]
fn the_state_folder_of_the_service_comes_before_the_home_folder() {
    let pairs = [
        ("STATE_DIRECTORY", "/var/lib/plimsoll"),
        ("XDG_STATE_HOME", "/x"),
    ];
    let config = load(&Flags::default(), &environment(&pairs)).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/plimsoll"));
    let config = load(&Flags::default(), &environment(&pairs[1..])).unwrap();
    assert_eq!(config.data_dir, Path::new("/x/plimsoll"));
}

#[test]
fn every_complaint_is_told_at_once_with_its_place() {
    let text = "listen = '127.0.0.1'\n[collect]\nscrap = '1s'\nactivity = '10m'\n";
    let (error, path) = with_file(text, &[("PLIMSOLL_LISTN", "x")]);
    let text = error.unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(
        lines[0],
        format!("{path}:3: collect.scrap is no setting; did you mean collect.scrape?")
    );
    assert!(lines[1].starts_with("$PLIMSOLL_LISTN: ") && lines[1].contains("PLIMSOLL_LISTEN?"));
    assert!(lines[2].starts_with(&format!("{path}:1: listen: \"127.0.0.1\" is no address")));
    assert!(lines[3].ends_with("out of range: 100ms to 1m"), "{text}");
}

#[test]
fn contradictions_are_refused() {
    for (key, text, against) in [
        ("collect.catalog", "5s", "collect.scrape"),
        ("collect.activity", "30s", "collect.activity"),
        ("history.rollup_5m", "7d", "history.raw"),
        ("thresholds.critical", "0.75", "thresholds.warn"),
    ] {
        let flags = Flags {
            set: vec![flag(key, text)],
            ..Flags::default()
        };
        let error = load(&flags, &environment(&[])).unwrap_err().to_string();
        assert!(error.contains(against), "{key}: {error}");
    }
}

#[test]
fn an_open_address_needs_a_token() {
    let open = |set: Vec<Flag>| {
        let flags = Flags {
            set,
            ..Flags::default()
        };
        load(&flags, &environment(&[]))
    };
    let error = open(vec![flag("listen", "0.0.0.0:3002")]).unwrap_err();
    assert!(error.to_string().contains("http.token_file"), "{error}");

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"0123456789abcdef\n").unwrap();
    let path = file.path().display().to_string();
    let both = || {
        vec![
            flag("listen", "0.0.0.0:3002"),
            flag("http.token_file", &path),
        ]
    };
    let config = open(both()).unwrap();
    assert_eq!(config.http.token.unwrap().expose(), "0123456789abcdef");

    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode));
    mode(0o644).unwrap();
    assert!(open(both()).unwrap_err().to_string().contains("chmod 600"));
    mode(0o600).unwrap();
    std::fs::write(&path, "short").unwrap();
    assert!(
        open(both())
            .unwrap_err()
            .to_string()
            .contains("16 printable")
    );
}

#[test]
fn targets_come_from_one_source_with_names_and_limits() {
    let file = "[limits]\nmemory = '4GB'\ncpu_cores = 4\n[[target]]\nname = 'main'\n\
                url = 'postgres://u:hunter2@db/app'\n[target.limits]\nmemory = '8GB'\n\
                [[target]]\nurl = 'host=replica dbname=app'\n";
    let (config, path) = with_file(file, &[]);
    let config = config.unwrap();
    let names: Vec<&str> = config.targets.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["main", "replica:5432/app"]);
    let memory = &config.targets[0].limits[&Resource::Memory];
    assert_eq!(memory.value.to_bits(), ((8_u64 << 30) as f64).to_bits());
    let told = LimitOrigin::Configured(format!("limits.memory, {path}:8"));
    assert_eq!(memory.origin, told);
    assert_eq!(
        config.targets[1].limits[&Resource::Cpu].value.to_bits(),
        4_f64.to_bits()
    );
    assert!(!format!("{config:?}").contains("hunter2"));

    let (config, _) = with_file(file, &[("PLIMSOLL_TARGET", "a=postgres://x/y\nhost=z\n")]);
    let names: Vec<String> = config
        .unwrap()
        .targets
        .into_iter()
        .map(|t| t.name)
        .collect();
    assert_eq!(names, ["a", "z:5432/u"]);
}

#[test]
fn two_targets_of_one_name_and_a_target_without_url_are_refused() {
    let (error, path) = with_file("[[target]]\nurl='host=a'\n[[target]]\nurl='host=a'\n", &[]);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{path}:4: two targets are called")),
        "{error}"
    );
    let (error, _) = with_file("[[target]]\nname='a'\n", &[]);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("target.url is missing")
    );
}

#[test]
fn a_named_file_must_be_there() {
    let flags = Flags {
        config: Some("/nowhere/plimsoll.toml".into()),
        ..Flags::default()
    };
    let error = load(&flags, &environment(&[])).unwrap_err().to_string();
    assert!(error.contains("/nowhere/plimsoll.toml"), "{error}");
}

#[test]
fn the_packaged_file_shows_every_key_with_its_default() {
    let text = include_str!("../../packaging/plimsoll.toml");
    let mut section = String::new();
    let mut shown = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.trim_start_matches("# ").strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = line.trim_start_matches('#').split_once(" = ") {
            let full = if section.is_empty() {
                key.to_owned()
            } else {
                format!("{section}.{key}")
            };
            shown.push((full, value.trim_matches('"').to_owned()));
        }
    }
    for key in KEYS {
        let found = shown.iter().find(|(name, _)| name == key.name);
        let (_, value) = found.unwrap_or_else(|| panic!("{} is not in the file", key.name));
        if let Some(default) = key.default {
            assert_eq!(value, default, "{}", key.name);
        }
    }
    let (config, _) = with_file(text, &[]);
    assert!(config.unwrap().targets.is_empty(), "all lines are comments");
}

#[test]
fn the_examples_of_the_packaged_file_hold() {
    let text = include_str!("../../packaging/plimsoll.toml");
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .filter(|line| !line.contains("token_file"))
        .collect();
    let (config, _) = with_file(&uncommented.join("\n"), &[]);
    let config = config.unwrap();
    assert_eq!(config.targets[0].name, "main");
    assert_eq!(config.targets[0].limits.len(), Resource::ALL.len());
    assert_eq!(config.http.hosts, ["monitor.example"]);
}

fn query_errors(text: &str) -> Vec<String> {
    let (config, path) = with_file(text, &[]);
    let error = config.unwrap_err().to_string();
    let lines = error.lines();
    lines.map(|line| line.replace(&path, "f")).collect()
}

#[test]
fn a_query_has_defaults_for_all_but_its_key_and_its_statement() {
    let text = "[[query]]\nkey = 'agents:active'\nsql = 'select 1'\n\
                [[query]]\nkey = 'b'\nsql = 'select 2'\ntarget = 't'\nttl = '5m'\nstale = '1h'\n\
                priority = 'critical'\ntags = ['x', 'y']\nevents = ['lead.created']\nmax_rows = 5\n";
    let (config, path) = with_file(text, &[]);
    let config = config.unwrap();
    let [first, second] = &config.queries[..] else {
        panic!("{:?}", config.queries);
    };
    assert_eq!(first.rule.ttl, Millis::MINUTE);
    assert_eq!((first.rule.stale, first.max_rows), (Millis(0), 10_000));
    assert_eq!(
        (first.rule.priority.name(), &first.target),
        ("medium", &None)
    );
    assert_eq!(second.rule.tags, ["x", "y"]);
    assert_eq!(second.rule.events, ["lead.created"]);
    assert_eq!(
        (second.rule.priority.name(), second.max_rows),
        ("critical", 5)
    );
    assert_eq!(second.target.as_deref(), Some("t"));
    assert_eq!(config.cache.max_bytes.0, 64 << 20);
    assert_eq!(config.cache.query_timeout, Millis(5_000));
    assert_eq!(origin_of(&config, "query.b"), format!("{path}:4"));
}

#[test]
fn what_is_wrong_with_a_query_is_told_with_its_line() {
    let long = "k".repeat(201);
    for (text, want) in [
        (
            "query = 3",
            vec!["f:1: a query is one of several; write [[query]]"],
        ),
        (
            "[[query]]\nsql = 'select 1'",
            vec!["f:1: query.key is missing; write one such as \"agents:active\""],
        ),
        (
            "[[query]]\nkey = 'a'\nsql = '  '\nttl = '0s'",
            vec![
                "f:3: query.sql: there is no statement; write one such as \"SELECT … FROM …\"",
                "f:4: query.ttl: ",
            ],
        ),
        (
            "[[query]]\nkey = 'a'\nsql = 'x'\n[[query]]\nkey = 'a'\nsql = 'y'",
            vec!["f:4: query.key: \"a\" is the key of another query (f:1), too"],
        ),
        (
            "[[query]]\nkey = 'a'\nsql = 'x'\npriorty = 'low'",
            vec!["f:4: query.priorty is no setting; did you mean priority?"],
        ),
        (
            "[[query]]\nkey = 'a'\nsql = 'x'\nmax_rows = 'many'",
            vec!["f:4: query.max_rows: expected a whole number"],
        ),
        (
            "[[query]]\nkey = 'a'\nsql = 'x'\npriority = 'urgent'\nmax_rows = 0",
            vec!["f:5: query.max_rows: ", "f:4: query.priority: "],
        ),
        (
            "[[query]]\nkey = 'a*'\nsql = 'x'",
            vec!["f:2: query.key: a key has no * or ?"],
        ),
        (
            "[[query]]\nkey = \"a\\u0007\"\nsql = 'x'",
            vec!["f:2: query.key: a key has 1 to 200 printable characters"],
        ),
        ("[cache]\nmax_bytes = '1kB'", vec!["f:2: cache.max_bytes: "]),
    ] {
        let told = query_errors(text);
        assert_eq!(told.len(), want.len(), "{text}: {told:#?}");
        for want in want {
            assert!(
                told.iter().any(|told| told.starts_with(want)),
                "{text}: {told:#?}"
            );
        }
    }
    let told = query_errors(&format!("[[query]]\nkey = '{long}'\nsql = 'x'"));
    assert!(told[0].contains("1 to 200 printable"), "{told:?}");
}

#[test]
fn origins_of_load_tests_are_read_and_what_is_none_is_told() {
    let (config, _) = with_file(
        "[load]\norigins = [\"http://Shop.example\", \"https://a:1\"]\n",
        &[],
    );
    let origins = config.unwrap().load_origins;
    let shown: Vec<String> = origins.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["http://shop.example", "https://a:1"]);
    let (config, _) = with_file("\n[load]\norigins = [\"shop.example\"]\n", &[]);
    let error = config.unwrap_err().to_string();
    assert!(
        error.contains(":3: load.origins: \"shop.example\" has no scheme"),
        "{error}"
    );
}
