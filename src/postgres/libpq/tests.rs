use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::conninfo::Secret;
use super::*;

fn environment(vars: &[(&str, &str)]) -> Environment {
    Environment {
        vars: vars
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        home: None,
        user: Some("os-user".to_owned()),
    }
}

fn plain(conninfo: &str) -> ConnInfo {
    resolve(conninfo, &environment(&[])).unwrap()
}

fn password(info: &ConnInfo) -> Option<&str> {
    info.hosts[0].password.as_ref().map(Secret::reveal)
}

#[test]
fn a_url_gives_every_part() {
    let info = plain("postgresql://al%40ice:p%3Aw@db.example:6000/shop?sslmode=require");
    assert_eq!(info.user, "al@ice");
    assert_eq!(password(&info), Some("p:w"));
    assert_eq!(info.display(), "db.example:6000/shop");
    assert_eq!(info.sslmode, SslMode::Require);
    assert!(!info.is_local());
}

#[test]
fn several_hosts_share_a_port_or_have_their_own() {
    let info = plain("postgres://u@a:1,[::1]:2/d?target_session_attrs=standby");
    assert_eq!(info.display(), "a:1,[::1]:2/d");
    assert_eq!(info.session_attrs, SessionAttrs::Standby);
    assert_eq!(plain("host=a,b port=7 user=u").display(), "a:7,b:7/u");
    let error = resolve("host=a,b port=1,2,3", &environment(&[])).unwrap_err();
    assert!(error.to_string().contains("`port`"), "{error}");
}

#[test]
fn keys_and_values_may_be_quoted() {
    let info = plain(r"host = '/run/my db'  password='it\'s \\ here' dbname=x");
    assert!(info.hosts[0].is_socket() && info.is_local());
    assert_eq!(password(&info), Some(r"it's \ here"));
    assert_eq!(info.dbname, "x");
}

#[test]
fn a_socket_folder_may_stand_in_a_url() {
    let info = plain("postgres://u@%2Ftmp%2Fpg/db");
    assert_eq!(info.hosts[0].name, "/tmp/pg");
    assert_eq!(
        plain("postgres:///db?host=/tmp/pg&port=9").display(),
        "/tmp/pg/.s.PGSQL.9/db"
    );
}

#[test]
fn variables_fill_what_the_string_leaves_open() {
    let env = environment(&[
        ("PGHOST", "h"),
        ("PGPORT", "99"),
        ("PGUSER", "u"),
        ("PGPASSWORD", "secret"),
        ("PGSSLMODE", "disable"),
    ]);
    let info = resolve("dbname=d port=1", &env).unwrap();
    assert_eq!(info.display(), "h:1/d");
    assert_eq!((info.user.as_str(), password(&info)), ("u", Some("secret")));
    assert_eq!(info.sslmode, SslMode::Disable);
    assert_eq!(plain("").dbname, "os-user");
}

#[test]
fn nothing_shows_a_password() {
    let env = environment(&[("PGPASSWORD", "hush-hush")]);
    let info = resolve("host=h", &env).unwrap();
    let shown = format!("{info:?} {env:?} {}", info.display());
    assert!(!shown.contains("hush"), "{shown}");
    for broken in [
        "password=two words-hush",
        "postgres://u:hush%zz@h/d",
        "host=h password='hush",
        "mysql://u:hush@h",
    ] {
        let error = resolve(broken, &environment(&[])).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn unknown_keys_are_named_and_unsupported_ones_too() {
    let error = resolve("host=h sslmod=require", &environment(&[])).unwrap_err();
    assert!(error.to_string().contains("`sslmod`"), "{error}");
    let error = resolve("host=h sslcrl=/x", &environment(&[])).unwrap_err();
    assert!(matches!(error, Error::UnsupportedKey { key } if key == "sslcrl"));
    let error = resolve("host=h sslmode=banana", &environment(&[])).unwrap_err();
    assert!(error.to_string().contains("verify-full"), "{error}");
    let error = resolve("host=h port=0", &environment(&[])).unwrap_err();
    assert!(error.to_string().contains("65535"), "{error}");
}

#[test]
fn system_roots_need_the_full_check() {
    assert_eq!(
        plain("host=h sslrootcert=system").sslmode,
        SslMode::VerifyFull
    );
    assert!(
        resolve(
            "host=h sslrootcert=system sslmode=require",
            &environment(&[])
        )
        .is_err()
    );
    let info = plain("host=h sslrootcert=/ca.pem sslmode=require");
    assert_eq!(info.sslmode, SslMode::VerifyCa);
}

#[test]
fn the_password_file_is_searched_in_order_and_escapes_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".pgpass");
    let text = "# comment\n\
                other:*:*:*:wrong\n\
                h\\:x:5432:d:u:first:with\\:colons\n\
                *:*:*:u:second\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut env = environment(&[]);
    env.home = Some(folder.path().to_owned());
    let info = resolve("host=h:x dbname=d user=u", &env).unwrap();
    assert_eq!(password(&info), Some("first:with:colons"));
    let info = resolve("host=h port=1 dbname=d user=u", &env).unwrap();
    assert_eq!(password(&info), Some("second"));
    let info = resolve("host=h dbname=d user=nobody", &env).unwrap();
    assert_eq!(password(&info), None);
}

#[test]
fn a_password_file_that_others_can_read_is_left_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pass");
    fs::write(&path, "*:*:*:*:open\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let env = environment(&[("PGPASSFILE", path.to_str().unwrap())]);
    let info = resolve("host=h", &env).unwrap();
    assert_eq!(password(&info), None);
    assert_eq!(info.exposed_pass_file, Some(path));
}

#[test]
fn a_service_stands_between_the_string_and_the_variables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services");
    fs::write(
        &path,
        "[a]\nhost=wrong\n[shop]\n# c\nhost = s\nport=7\ndbname=d\n[z]\nhost=z\n",
    )
    .unwrap();
    let env = environment(&[
        ("PGSERVICEFILE", path.to_str().unwrap()),
        ("PGSERVICE", "shop"),
        ("PGHOST", "v"),
    ]);
    assert_eq!(resolve("port=8", &env).unwrap().display(), "s:8/d");
    let error = resolve("service=none", &env).unwrap_err().to_string();
    assert!(
        error.contains("`none`") && error.contains("services"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_password_survives_quoting(password in "[^\0]{1,40}") {
        let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
        let info = plain(&format!("host=h password='{quoted}'"));
        prop_assert_eq!(info.hosts[0].password.as_ref().map(Secret::reveal), Some(&*password));
    }

    #[test]
    fn no_string_makes_the_reader_panic(text in "\\PC{0,80}") {
        let _ = resolve(&text, &environment(&[]));
        let _ = resolve(&format!("postgres://{text}"), &environment(&[]));
    }
}
