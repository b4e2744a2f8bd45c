//! The index advisor for a single statement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::advise::cost::{Ask, IndexSet, Planner, PlannerError};
use crate::advise::indexes::{Bounds, Case, Watch, advise as choose};
use crate::advise::relation::Relation;
use crate::advise::size;
use crate::advise::workload::Statement;
use crate::clock::Stopwatch;
use crate::model::advice::Advice;
use crate::model::plan::PlanNode;
use crate::postgres::{Result, WhatIf};

/// What is asked of the advisor.
pub(super) struct Asked {
    /// The statement without parameters; `None` where their values are not known.
    pub(super) text: Option<String>,
    /// Its plan, in which values that nobody gave do not stand.
    pub(super) plan: PlanNode,
    /// The tables in it.
    pub(super) relations: Vec<Relation>,
}

/// What it says.
pub(super) struct Advised {
    /// `None` where no planner could be asked.
    pub(super) advice: Option<Advice>,
    /// What costs rest on, or why there are none.
    pub(super) basis: String,
    /// The tables, given back.
    pub(super) relations: Vec<Relation>,
}

/// Most key columns; more are seldom worth it for one statement.
const WIDTH: usize = 3;
/// The longest that the search may take, and the most plans it may ask for.
const TIME: Duration = Duration::from_secs(3);
const ASKS: usize = 400;
/// What an index must save to be worth a word: of the statement's cost as it is, or of what is left.
const OF_BEFORE: f64 = 0.05;
const OF_AFTER: f64 = 0.25;

/// Asks the advisor, and ends the session.
pub(super) async fn advise(mut planner: WhatIf, asked: Asked) -> Result<Advised> {
    let Asked {
        text,
        plan,
        relations,
    } = asked;
    let version = planner.ability().hypopg.clone();
    let why = match (&version, &text) {
        (None, _) => Some(
            "not costed: hypopg is not installed here; CREATE EXTENSION hypopg lets the planner say \
             what an index would do",
        ),
        (_, None) => Some("not costed: the values of its parameters are not known; give params"),
        _ => None,
    };
    if let Some(why) = why {
        planner.close().await;
        return Ok(Advised {
            advice: None,
            basis: why.to_owned(),
            relations,
        });
    }
    let statement = Statement {
        name: "statement".to_owned(),
        text: text.unwrap_or_default(),
        calls: 1.0,
        mean_ms: None,
        // Conditions come from the plan, and no such value stands there.
        made_up: Vec::new(),
    };
    let case = Case::new(vec![statement], vec![plan], relations, WIDTH);
    let texts = case.statements.iter().map(|s| s.text.clone()).collect();
    planner.prepare(texts, case.what_ifs());
    let planner = Arc::new(planner);
    let (theirs, watch) = (Arc::clone(&planner), Stopwatch::start());
    let chosen = tokio::task::spawn_blocking(move || {
        let bounds = Bounds {
            budget: None,
            width: WIDTH,
            time: TIME,
            asks: ASKS,
        };
        let onlooker = Watch {
            elapsed: &|| watch.elapsed(),
            told: &|_| {},
        };
        let chosen = choose(&case, theirs.as_ref(), bounds, &onlooker, None);
        let chosen = chosen.and_then(|advice| pruned(&case, theirs.as_ref(), advice));
        (case, chosen)
    });
    let (mut case, chosen) = chosen
        .await
        .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    let Ok(mut advice) = chosen else {
        return Ok(Advised {
            advice: None,
            basis: "not costed: the planner did not answer with hypothetical indexes".to_owned(),
            relations: case.relations,
        });
    };
    measure(&planner, &mut case, &mut advice).await?;
    if let Some(planner) = Arc::into_inner(planner) {
        planner.close().await;
    }
    Ok(Advised {
        advice: Some(advice),
        basis: format!("hypopg {}", version.unwrap_or_default()),
        relations: case.relations,
    })
}

/// Without what hardly helps: an index stays where the statement costs a twentieth of its whole more
/// without it, or a quarter more than with all. Costs are asked anew for what stays.
fn pruned(
    case: &Case,
    planner: &dyn Planner,
    mut advice: Advice,
) -> std::result::Result<Advice, PlannerError> {
    let (before, after) = (advice.cost_before, advice.cost_after);
    let all = advice.indexes.len();
    advice
        .indexes
        .retain(|index| index.gain >= OF_BEFORE * before || index.gain >= OF_AFTER * after);
    if advice.indexes.len() == all || advice.indexes.is_empty() {
        return Ok(advice);
    }
    let number = |ddl: &str| {
        let mut candidates = case.candidates.iter();
        candidates.position(|candidate| {
            let relation = case.relations.get(candidate.relation);
            relation.is_some_and(|relation| candidate.ddl(relation) == ddl)
        })
    };
    let numbers: Vec<usize> = advice
        .indexes
        .iter()
        .filter_map(|index| number(&index.ddl))
        .collect();
    let kept = IndexSet::of(numbers.iter().copied());
    let without = numbers.iter().map(|number| {
        let mut rest = kept;
        rest.remove(*number);
        rest
    });
    let asks: Vec<Ask> = std::iter::once(kept)
        .chain(without)
        .map(|indexes| Ask {
            statement: 0,
            indexes,
        })
        .collect();
    let costs: Vec<Option<f64>> = planner
        .plan(&asks)?
        .into_iter()
        .map(|planned| planned.map(|planned| planned.plan.total_cost))
        .collect();
    if let Some((Some(with), without)) = costs.split_first() {
        advice.cost_after = *with;
        for (index, cost) in advice.indexes.iter_mut().zip(without) {
            index.gain = cost.map_or(index.gain, |cost| cost - with);
        }
    }
    Ok(advice)
}

/// Looks at some pages for the sizes of what was chosen, and only of that.
async fn measure(planner: &WhatIf, case: &mut Case, advice: &mut Advice) -> Result<()> {
    let of = |case: &Case, ddl: &str| {
        let mut all = case.candidates.iter();
        all.find(|candidate| {
            let relation = case.relations.get(candidate.relation);
            relation.is_some_and(|relation| candidate.ddl(relation) == ddl)
        })
        .cloned()
    };
    let chosen: Vec<_> = advice
        .indexes
        .iter()
        .filter_map(|index| of(case, &index.ddl))
        .collect();
    let mut wanted: BTreeMap<usize, (Vec<usize>, Vec<String>)> = BTreeMap::new();
    for candidate in &chosen {
        let (columns, predicates) = wanted.entry(candidate.relation).or_default();
        columns.extend(
            candidate
                .key_columns()
                .chain(candidate.include.iter().copied()),
        );
        predicates.extend(candidate.predicate.clone());
    }
    for (columns, _) in wanted.values_mut() {
        columns.sort_unstable();
        columns.dedup();
    }
    planner.sample(&mut case.relations, &wanted).await?;
    for index in &mut advice.indexes {
        if let Some(candidate) = of(case, &index.ddl)
            && let Some(relation) = case.relations.get(candidate.relation)
        {
            index.size_bytes = size::of(&candidate, relation).bytes;
        }
    }
    Ok(())
}
