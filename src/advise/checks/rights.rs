//! Rights that are wider than they need be.
//!
//! Source: PostgreSQL manual, sections 5.9.6 "Usage Patterns", 22.2 "Role Attributes", and `CREATE
//! FUNCTION`, "Writing SECURITY DEFINER Functions Safely".

use super::{Draft, Thresholds};
use crate::advise::sql;
use crate::model::database::Snapshot;
use crate::model::finding::Severity;
use crate::model::units::counted;

pub(super) fn superuser_sessions(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.superuser_sessions;
    let superusers = snapshot.structure.superusers.iter();
    superusers
        .filter(|(_, sessions)| *sessions >= set.sessions_min)
        .map(|(role, sessions)| {
            Draft::new(
                Severity::Warning,
                format!("{} of superuser {role}", counted(*sessions, "session")),
                "Give the application a role that owns only what it needs: a superuser passes \
                 every check, may read and write the machine's files, and takes the connections \
                 that are kept for emergencies",
            )
            .about(role)
            .seen("sessions", sessions)
            .cured_by(
                "CREATE ROLE app LOGIN;\nGRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN \
                 SCHEMA public TO app;",
                "none",
            )
        })
        .collect()
}

pub(super) fn public_schema(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    if !snapshot.structure.public_may_create {
        return Vec::new();
    }
    vec![
        Draft::new(
            Severity::Info,
            "everybody may create objects in schema public",
            "Take the right away, as servers from 15 on do: who may create a function there can \
             have it run by others",
        )
        .about("schema public")
        .seen("granted to", "PUBLIC")
        .cured_by("REVOKE CREATE ON SCHEMA public FROM PUBLIC;", "none"),
    ]
}

pub(super) fn definer_search_path(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let functions = snapshot.structure.open_definers.iter();
    functions
        .map(|function| {
            Draft::new(
                Severity::Warning,
                format!("{function} runs with its owner's rights and the caller's search_path"),
                "Set its search_path to the schemas that it needs: else a caller decides which \
                 tables and functions it uses, with the rights of its owner",
            )
            .about(function)
            .seen("search_path", "that of the caller")
            .cured_by(
                format!("ALTER FUNCTION {function} SET search_path = pg_catalog, pg_temp;"),
                "none",
            )
        })
        .collect()
}

pub(super) fn password_method(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let method = snapshot.settings.get("password_encryption");
    if method.is_none_or(|method| method != "md5") {
        return Vec::new();
    }
    vec![
        Draft::new(
            Severity::Info,
            "new passwords are kept as MD5",
            "Keep them as SCRAM and set each password anew: MD5 hashes can be used as they are, \
             and servers after 18 drop them",
        )
        .about("password_encryption")
        .seen("password_encryption", "md5")
        .cured_here(
            format!(
                "ALTER SYSTEM SET password_encryption = {};\nSELECT pg_reload_conf();",
                sql::literal("scram-sha-256").trim()
            ),
            "then set each password anew",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, thresholds};

    #[test]
    fn an_application_as_superuser_is_told_and_a_person_is_not() {
        let mut snapshot = quiet();
        snapshot.structure.superusers = vec![("app".into(), 12), ("postgres".into(), 1)];
        let drafts = superuser_sessions(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].object.as_deref(), Some("app"));
    }

    #[test]
    fn an_open_schema_and_an_open_function_are_told() {
        let mut snapshot = quiet();
        assert!(public_schema(&snapshot, thresholds()).is_empty());
        assert!(definer_search_path(&snapshot, thresholds()).is_empty());
        snapshot.structure.public_may_create = true;
        snapshot.structure.open_definers = vec!["public.pay(integer)".into()];
        assert_eq!(public_schema(&snapshot, thresholds()).len(), 1);
        let drafts = definer_search_path(&snapshot, thresholds());
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "ALTER FUNCTION public.pay(integer) SET search_path = pg_catalog, pg_temp;"
        );
    }

    #[test]
    fn md5_is_a_hint_and_scram_is_fine() {
        let mut snapshot = quiet();
        let told = |snapshot: &Snapshot| password_method(snapshot, thresholds()).len();
        assert_eq!(told(&snapshot), 0, "not known");
        for (method, count) in [("md5", 1), ("scram-sha-256", 0)] {
            let set = ("password_encryption".to_owned(), method.to_owned());
            snapshot.settings.extend([set]);
            assert_eq!(told(&snapshot), count, "{method}");
        }
    }
}
