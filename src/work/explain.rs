//! One statement explained: planned (and run, where that is allowed and harmless), judged, and told
//! with what it is expected to take.
//!
//! Reads only. Neither the statement nor a value of it is kept or logged; what is kept for an hour is
//! what this server's own statements cost and took, as numbers.
//!
//! Read [`Analyst::explain`] first.

mod hide;
mod indexes;
mod predict;
mod refusal;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::advise::parameters;
use crate::advise::query::{self, Subject, figures};
use crate::advise::relation::Relation;
use crate::advise::script;
use crate::clock::{Clock, Stopwatch, SystemClock};
use crate::config::Config;
use crate::model::explain::{Analysis, Node, ParameterBasis, Parameters};
use crate::postgres::{self, Checked, Examined, NotRun, Options, Run, Values, WhatIf};
use crate::work::targets::{WatchedTarget, watched_targets};
use crate::work::{Error, Result};
use predict::Lessons;

pub use refusal::{Refusal, Why};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// One statement; a `;` at its end is taken off.
    pub query: String,
    /// Values of `$1`, `$2`, …
    pub params: Option<Vec<Value>>,
    /// Whether to run it: yes, no, or as the configuration allows.
    pub analyze: Option<bool>,
}

/// Explains statements on the configured targets, one at a time.
#[derive(Debug)]
pub struct Analyst {
    targets: Vec<(String, Options)>,
    may_run: bool,
    lessons: Lessons,
    /// One session at a time: beside the watcher's there is never more than one of ours.
    alone: Semaphore,
}

impl Analyst {
    /// For the targets of the configuration.
    ///
    /// # Errors
    /// When a connection string cannot be read.
    pub fn new(config: &Config) -> Result<Self> {
        let targets = watched_targets(config)?;
        Ok(Self::of(&targets, config, Arc::new(SystemClock)))
    }

    /// For these targets.
    pub(crate) fn of(targets: &[WatchedTarget], config: &Config, clock: Arc<dyn Clock>) -> Self {
        let targets = targets.iter().filter_map(|target| {
            let mut options = target.options.clone()?;
            options.statement_timeout = config.explain.timeout;
            Some((target.name.clone(), options))
        });
        Self {
            targets: targets.collect(),
            may_run: config.explain.analyze,
            lessons: Lessons::new(clock),
            alone: Semaphore::new(1),
        }
    }

    /// The first target's name.
    ///
    /// # Errors
    /// When there is none that is a server.
    pub fn first(&self) -> Result<&str> {
        let first = self.targets.first().ok_or(Error::NoTarget)?;
        Ok(&first.0)
    }

    /// Explains one statement on the target of this name; `None` where there is no such server.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn explain(
        &self,
        target: &str,
        question: &Question,
    ) -> Option<std::result::Result<Analysis, Refusal>> {
        let (name, options) = self.targets.iter().find(|(name, _)| name == target)?;
        Some(self.on(name, options, question).await)
    }

    async fn on(
        &self,
        target: &str,
        options: &Options,
        question: &Question,
    ) -> std::result::Result<Analysis, Refusal> {
        let text = script::single(&question.query)?;
        if query::text::makes_a_table(text) {
            let word = "SELECT INTO".to_owned();
            return Err(script::Refusal::Kind { word }.into());
        }
        let wanted = script::parameters(text);
        let given = question.params.as_ref().map(Vec::len);
        if let Some(given) = given.filter(|given| *given != wanted) {
            return Err(Refusal::Parameters { wanted, given });
        }
        if question.analyze == Some(true) {
            if !self.may_run {
                return Err(Refusal::AnalyzeOff);
            }
            if wanted > 0 && given.is_none() {
                return Err(Refusal::ParamsNeeded);
            }
        }
        // Nobody closes it.
        let _alone = self.alone.acquire().await;
        let planner = WhatIf::open(options, 1).await?;
        // As it was sent it is shown; as it can be planned it is planned.
        let planned_text = query::text::with_casts(text);
        let looked = Look {
            analyst: self,
            planner,
            target,
            sent: text,
            text: &planned_text,
            question,
        };
        looked.all().await
    }
}

/// One statement on its way.
struct Look<'l> {
    analyst: &'l Analyst,
    planner: WhatIf,
    target: &'l str,
    sent: &'l str,
    text: &'l str,
    question: &'l Question,
}

/// A statement's plan with what stands in for its parameters.
struct Planned {
    examined: Examined,
    basis: ParameterBasis,
    /// One a parameter, null among them; empty where there are none that fit.
    values: Vec<Option<String>>,
    round_trip_ms: f64,
}

impl Look<'_> {
    async fn all(self) -> std::result::Result<Analysis, Refusal> {
        let count = script::parameters(self.text);
        let checked = self.planner.check(self.text, count).await?;
        let mut relations = match &checked.generic {
            Some(generic) => self.relations(generic).await?,
            None => Vec::new(),
        };
        let planned = self.planned(&checked, &relations).await?;
        let Planned { examined, .. } = &planned;
        if checked.generic.is_none() {
            relations = self.relations(&examined.plan).await?;
        }
        let partitions = self.planner.partitions(&names(&examined.plan)).await?;
        let mut analysis = self.begun(&checked, &planned);
        figures::fill(&mut analysis);
        if planned.basis == ParameterBasis::Sampled {
            hide::values(&mut analysis, &planned.values);
        }
        let learnt = self.analyst.lessons.of(self.target, &self.planner).await?;
        (analysis.predicted_time, analysis.predicted_time_basis) =
            learnt.predict(analysis.total_cost);
        self.planner.forget().await?;
        let needs = checked.generic.as_ref().unwrap_or(&examined.plan);
        let case = indexes::Asked {
            text: filled(self.text, &checked, &planned),
            plan: needs.to_plan(),
            relations,
        };
        let advised = indexes::advise(self.planner, case).await?;
        let shown = analysis.clone();
        let tables = (&advised.relations[..], &partitions[..]);
        let subject = Subject::new(&shown, tables, checked.settings, advised.advice.is_some());
        analysis.index_basis = advised.basis;
        analysis.recommendations = query::recommend(&subject);
        if let Some(advice) = &advised.advice {
            analysis.suggested_indexes = query::index::suggestions(&subject, advice);
            let mut all = query::index::recommendations(&subject, advice);
            all.append(&mut analysis.recommendations);
            analysis.recommendations = query::tidy(all);
        }
        let guessed = query::index::not_costed(&subject, &analysis.recommendations);
        analysis.suggested_indexes.extend(guessed);
        Ok(analysis)
    }

    async fn relations(&self, plan: &Node) -> std::result::Result<Vec<Relation>, Refusal> {
        Ok(self.planner.relations(&names(plan)).await?)
    }

    /// The plan, for the best values there are.
    async fn planned(
        &self,
        checked: &Checked,
        relations: &[Relation],
    ) -> std::result::Result<Planned, Refusal> {
        let wanted = self.question.analyze;
        let run = if self.analyst.may_run && wanted != Some(false) {
            Run::IfHarmless
        } else {
            Run::Never
        };
        let watch = Stopwatch::start();
        let Some(generic) = &checked.generic else {
            let examined = self.planner.examine(self.text, Values::None, run).await?;
            return self.asked_for(Planned::of(examined, ParameterBasis::None, watch));
        };
        if let Some(params) = &self.question.params {
            let values: Vec<Option<String>> = params
                .iter()
                .zip(&checked.types)
                .map(|(value, type_name)| as_text(value, type_name))
                .collect();
            let these = Values::These(&values);
            let examined = self.planner.examine(self.text, these, run).await?;
            let planned = Planned::of(examined, ParameterBasis::Given, watch);
            return self.asked_for(Planned { values, ..planned });
        }
        let seen = parameters::Seen::in_shown(generic, relations);
        let not_run = (run == Run::IfHarmless)
            .then(|| NotRun::Failed("its parameters have no values; give params".to_owned()));
        // A value that does not fit where it stands is nobody's fault: null does.
        let tries = [
            parameters::values(self.text, &checked.types, &seen),
            parameters::compared_only(self.text, &checked.types, &seen),
        ];
        for values in tries {
            match self.with_samples(checked, &values).await {
                Ok(examined) => {
                    let mut planned = Planned::of(examined, ParameterBasis::Sampled, watch);
                    planned.examined.not_run = not_run;
                    // A null would make its comparison false, and the plan one of nothing.
                    let has_null = values.iter().any(Option::is_none);
                    if has_null || self.planner.plans_generically() {
                        planned.for_any(checked);
                    }
                    return Ok(Planned { values, ..planned });
                }
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(_) => {}
            }
        }
        let examined = Examined {
            not_run,
            ..Examined::default()
        };
        let mut planned = Planned::of(examined, ParameterBasis::Generic, watch);
        planned.for_any(checked);
        Ok(planned)
    }

    /// Plans with values of the columns; where the server plans for any, to see that they fit.
    async fn with_samples(
        &self,
        checked: &Checked,
        values: &[Option<String>],
    ) -> postgres::Result<Examined> {
        if self.planner.plans_generically() {
            let text = parameters::filled(self.text, &checked.types, values);
            return self.planner.examine(&text, Values::None, Run::Never).await;
        }
        let these = Values::These(values);
        self.planner.examine(self.text, these, Run::Never).await
    }

    /// A run that was asked for by name and that would harm is refused, not left out.
    fn asked_for(&self, planned: Planned) -> std::result::Result<Planned, Refusal> {
        match &planned.examined.not_run {
            Some(NotRun::Harmful(why)) if self.question.analyze == Some(true) => {
                Err(Refusal::Harmful(why.clone()))
            }
            _ => Ok(planned),
        }
    }

    fn begun(&self, checked: &Checked, planned: &Planned) -> Analysis {
        let examined = &planned.examined;
        let not_run = if self.analyst.may_run {
            match &examined.not_run {
                Some(NotRun::Harmful(why) | NotRun::Failed(why)) => Some(why.clone()),
                None if examined.execution_ms.is_none() => Some("it was not asked for".to_owned()),
                None => None,
            }
        } else {
            Some("explain.analyze is off".to_owned())
        };
        Analysis {
            target: self.target.to_owned(),
            query: self.sent.to_owned(),
            execution_time: examined.execution_ms,
            plan_time: examined.planning_ms,
            round_trip_ms: planned.round_trip_ms,
            analyzed: examined.execution_ms.is_some(),
            not_run,
            parameters: Parameters {
                count: checked.types.len(),
                basis: planned.basis,
                types: checked.types.clone(),
            },
            plan: examined.plan.clone(),
            jit: examined.jit,
            ..Analysis::default()
        }
    }
}

impl Planned {
    fn of(examined: Examined, basis: ParameterBasis, watch: Stopwatch) -> Self {
        Self {
            examined,
            basis,
            values: Vec::new(),
            round_trip_ms: watch.elapsed().as_secs_f64() * 1e3,
        }
    }

    /// Puts the plan for any values in place of one for some.
    fn for_any(&mut self, checked: &Checked) {
        self.basis = ParameterBasis::Generic;
        self.examined.plan = checked.generic.clone().unwrap_or_default();
        self.examined.planning_ms = checked.planning_ms;
        self.examined.jit = None;
    }
}

/// The statement without parameters, for a planner that knows none; `None` where a value is missing.
fn filled(text: &str, checked: &Checked, planned: &Planned) -> Option<String> {
    if checked.types.is_empty() {
        return Some(text.to_owned());
    }
    let is_known = planned.values.len() == checked.types.len();
    is_known.then(|| parameters::filled(text, &checked.types, &planned.values))
}

/// The tables in a plan, those that cost most to read first.
fn names(plan: &Node) -> Vec<(String, String)> {
    let mut nodes = plan.nodes();
    nodes.sort_by(|a, b| b.total_cost.total_cmp(&a.total_cost));
    let names = nodes
        .into_iter()
        .filter_map(|node| Some((node.schema.clone()?, node.relation.clone()?)));
    names.collect()
}

/// A value as the server's text input takes it; `None` is null.
fn as_text(value: &Value, type_name: &str) -> Option<String> {
    let is_json = type_name.starts_with("json");
    match value {
        Value::Null => None,
        Value::String(text) if !is_json => Some(text.clone()),
        Value::Array(members) if !is_json => {
            let texts: Vec<Option<String>> = members.iter().map(|m| as_text(m, "")).collect();
            Some(parameters::array(&texts))
        }
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_json_become_what_the_server_reads() {
        for (value, type_name, want) in [
            (json!("a'b"), "text", Some("a'b")),
            (json!(7), "integer", Some("7")),
            (json!(true), "boolean", Some("true")),
            (json!(null), "text", None),
            (
                json!(["a\"b", null, 3]),
                "text[]",
                Some("{\"a\\\"b\",NULL,\"3\"}"),
            ),
            (json!(["a"]), "jsonb", Some("[\"a\"]")),
            (json!("a"), "jsonb", Some("\"a\"")),
            (json!({"k": 1}), "jsonb", Some("{\"k\":1}")),
        ] {
            assert_eq!(as_text(&value, type_name).as_deref(), want, "{value}");
        }
    }
}
