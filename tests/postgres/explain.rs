//! Statements explained on real servers: what is told, what is refused, and what is never done.

mod advice;
mod hostile;

use plimsoll::config::{self, Environment, Flag, Flags};
use plimsoll::model::explain::Analysis;
use plimsoll::work::explain::{Analyst, Question, Refusal, Why};

use crate::server::{self, Admin, Server};

/// A server of `major` with statements and, where it is installed, hypothetical indexes.
pub(crate) struct Stage {
    pub(crate) server: Server,
    admin: Admin,
    has_hypopg: bool,
}

impl Stage {
    pub(crate) async fn set(major: u32) -> Option<Self> {
        let bin = server::require(major)?;
        let server = Server::start(
            &bin,
            &[
                "shared_preload_libraries=pg_stat_statements",
                "autovacuum=off",
            ],
        );
        let admin = server.admin("postgres").await;
        let sql = "create extension pg_stat_statements";
        admin.batch_execute(sql).await.unwrap();
        let sql = "select count(*) from pg_available_extensions where name = 'hypopg'";
        let there: i64 = admin.query_one(sql, &[]).await.unwrap().get(0);
        if there > 0 {
            admin
                .batch_execute("create extension hypopg")
                .await
                .unwrap();
        }
        Some(Self {
            server,
            admin,
            has_hypopg: there > 0,
        })
    }

    pub(crate) async fn run(&self, script: &str) {
        for statement in script.split(";;") {
            let done = self.admin.batch_execute(statement).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    }

    async fn number(&self, sql: &str) -> i64 {
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Explains as `role`; `set` are settings.
    pub(crate) fn analyst(&self, role: &str, set: &[(&str, &str)]) -> Analyst {
        let port = self.server.port;
        let flags = Flags {
            targets: vec![format!("t=postgres://{role}@127.0.0.1:{port}/postgres")],
            set: set
                .iter()
                .map(|(key, text)| Flag {
                    flag: "--set".to_owned(),
                    key: (*key).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
            ..Flags::default()
        };
        let environment: Environment = [("HOME", "/nowhere")].into_iter().collect();
        Analyst::new(&config::load(&flags, &environment).unwrap()).unwrap()
    }
}

fn question(query: &str) -> Question {
    Question {
        query: query.to_owned(),
        ..Question::default()
    }
}

async fn ask(analyst: &Analyst, question: &Question) -> Result<Analysis, Refusal> {
    analyst.explain("t", question).await.unwrap()
}

pub(crate) async fn told(analyst: &Analyst, query: &str) -> Analysis {
    let told = ask(analyst, &question(query)).await;
    told.unwrap_or_else(|refusal| panic!("{query}: {refusal}"))
}

async fn refused(analyst: &Analyst, question: &Question) -> (Why, String) {
    match ask(analyst, question).await {
        Ok(analysis) => panic!("{}: {analysis:#?}", question.query),
        Err(refusal) => (refusal.why(), refusal.to_string()),
    }
}

/// Rules that spoke.
fn rules(analysis: &Analysis) -> Vec<&str> {
    let all = analysis.recommendations.iter();
    all.map(|one| one.rule.as_str()).collect()
}
