//! A choice → advice: what each index costs, takes and gives.

use std::collections::{BTreeMap, BTreeSet};

use super::Case;
use crate::advise::candidates::Candidate;
use crate::advise::cost::{Ask, Atoms, IndexSet, Planner, PlannerError};
use crate::advise::drops::{self, Redundant};
use crate::advise::guard::{self, Effort, Harm};
use crate::advise::rules;
use crate::advise::select::{Choice, Problem};
use crate::advise::writes::Upkeep;
use crate::model::advice::{Advice, NewIndex, Point, StatementCost, Worse};

/// How much dearer a statement may become by what is dropped.
const DEARER: f64 = 1.01;

/// All that was found.
pub(super) struct Outcome<'o> {
    pub(super) case: &'o Case,
    pub(super) problem: &'o Problem<'o>,
    pub(super) upkeep: &'o [Upkeep],
    pub(super) before: &'o [Effort],
    pub(super) choice: &'o Choice,
}

/// Asks what is still open about the choice, and tells all of it.
pub(super) fn write(
    outcome: &Outcome<'_>,
    planner: &dyn Planner,
    atoms: &mut Atoms,
) -> Result<Advice, PlannerError> {
    let costs = Costs::of(outcome, planner, atoms)?;
    let case = outcome.case;
    let sum = |of: &[f64]| {
        let weighted = of.iter().zip(outcome.problem.weights);
        weighted.map(|(cost, weight)| cost * weight).sum()
    };
    let mut indexes: Vec<NewIndex> = outcome
        .choice
        .indexes
        .iter()
        .filter_map(|number| outcome.index(number, &costs))
        .collect();
    indexes.sort_by(|a, b| {
        let density = |index: &NewIndex| index.gain / (index.size_bytes.max(1) as f64);
        density(b).total_cmp(&density(a))
    });
    let chosen: Vec<&Candidate> = outcome
        .choice
        .indexes
        .iter()
        .filter_map(|number| case.candidates.get(number))
        .collect();
    let redundant = drops::redundant(&case.relations, &chosen);
    let redundant = outcome.harmless(redundant, &costs, planner, atoms)?;
    let curve = outcome.choice.steps.iter().map(|step| Point {
        explains: step.asks as u64,
        seconds: step.after.as_secs_f64(),
        cost: step.cost,
    });
    Ok(Advice {
        cost_before: sum(&costs.before),
        cost_after: sum(&costs.after),
        explains: atoms.asked as u64,
        size_bytes: indexes.iter().map(|index| index.size_bytes).sum(),
        indexes,
        drop: redundant
            .into_iter()
            .map(|redundant| redundant.drop)
            .collect(),
        worse: outcome.worse(&costs),
        not_costed: rules::propose(&case.statements, &case.plans, &case.relations),
        curve: curve.collect(),
        ..Advice::default()
    })
}

impl Outcome<'_> {
    fn index(&self, number: usize, costs: &Costs) -> Option<NewIndex> {
        let candidate = self.case.candidates.get(number)?;
        let relation = self.case.relations.get(candidate.relation)?;
        let after = |q: usize| costs.after.get(q).copied().unwrap_or(0.0);
        let without = costs.without.get(&number).map_or(&[][..], Vec::as_slice);
        let gains = without.iter().map(|(q, cost)| {
            let weight = self.problem.weights.get(*q).copied().unwrap_or(0.0);
            weight * (cost - after(*q))
        });
        let column = |place: usize| {
            let column = relation.columns.get(place);
            column.map_or_else(String::new, |column| column.name.clone())
        };
        let each = costs.used.iter().enumerate();
        let users = each.filter(|(_, used)| used.contains(number));
        let upkeep = self.upkeep.get(number).copied().unwrap_or_default();
        Some(NewIndex {
            ddl: candidate.ddl(relation),
            table: format!("{}.{}", relation.schema, relation.name),
            keys: candidate.key_columns().map(column).collect(),
            key_options: candidate
                .keys
                .iter()
                .map(|key| {
                    let class = key.class.clone().unwrap_or_default();
                    format!("{class}{}", key.order).trim().to_owned()
                })
                .collect(),
            include: candidate.include.iter().copied().map(column).collect(),
            predicate: candidate.predicate.clone(),
            size_bytes: self.problem.bytes.get(number).copied().unwrap_or(0),
            gain: gains.sum(),
            write_cost: upkeep.cost,
            lost_hot_ratio: upkeep.lost_hot_ratio,
            statements: users
                .filter_map(|(q, _)| {
                    Some(StatementCost {
                        name: self.case.statements.get(q)?.name.clone(),
                        before: *costs.before.get(q)?,
                        after: after(q),
                    })
                })
                .collect(),
        })
    }

    /// Drops without which no statement gets dearer, where the planner can say so; else all.
    fn harmless(
        &self,
        drops: Vec<Redundant>,
        costs: &Costs,
        planner: &dyn Planner,
        atoms: &mut Atoms,
    ) -> Result<Vec<Redundant>, PlannerError> {
        let quoted = |drop: &Redundant| {
            let relation = self.case.relations.get(drop.relation)?;
            Some(relation.indexes.get(drop.index)?.quoted.clone())
        };
        let hidden: Vec<String> = drops.iter().filter_map(quoted).collect();
        if hidden.is_empty() {
            return Ok(drops);
        }
        let chosen = &self.choice.indexes;
        let relevant = self.problem.relevant.iter().enumerate();
        let asks: Vec<Ask> = relevant
            .map(|(statement, relevant)| Ask {
                statement,
                indexes: relevant.common(chosen),
            })
            .collect();
        let Some(answers) = planner.plan_hiding(&hidden, &asks)? else {
            return Ok(drops);
        };
        atoms.asked += asks.len();
        // Tables of statements that would get dearer: there everything stays.
        let mut touchy = BTreeSet::new();
        for (q, answer) in answers.into_iter().enumerate() {
            let now = costs.after.get(q).copied().unwrap_or(f64::INFINITY);
            if answer.is_some_and(|answer| answer.plan.total_cost > now * DEARER + 1.0) {
                let needs = self.case.needs.iter().filter(|need| need.statement == q);
                touchy.extend(needs.map(|need| need.relation));
            }
        }
        let kept = drops.into_iter();
        Ok(kept
            .filter(|drop| !touchy.contains(&drop.relation))
            .collect())
    }

    /// Statements that get worse than the bound although that was to be avoided.
    fn worse(&self, costs: &Costs) -> Vec<Worse> {
        let pairs = self.before.iter().zip(&costs.efforts).enumerate();
        let harmed = pairs.filter_map(|(q, (before, after))| {
            let after = after.as_ref()?;
            let (what, before, after) = match guard::worse(before, after)? {
                Harm::Cost => ("cost", before.cost, after.cost),
                Harm::Blocks => ("blocks", before.blocks, after.blocks),
                Harm::Workers => (
                    "workers",
                    f64::from(before.workers),
                    f64::from(after.workers),
                ),
            };
            Some(Worse {
                name: self.case.statements.get(q)?.name.clone(),
                what: what.to_owned(),
                before,
                after,
            })
        });
        harmed.collect()
    }
}

/// Each statement's cost before, after, and after without each chosen index.
struct Costs {
    before: Vec<f64>,
    after: Vec<f64>,
    used: Vec<IndexSet>,
    without: BTreeMap<usize, Vec<(usize, f64)>>,
    /// What each statement's plan does with all chosen indexes; `None` where there is no plan.
    efforts: Vec<Option<Effort>>,
}

impl Costs {
    fn of(
        outcome: &Outcome<'_>,
        planner: &dyn Planner,
        atoms: &mut Atoms,
    ) -> Result<Self, PlannerError> {
        let (problem, chosen) = (outcome.problem, outcome.choice.indexes);
        let ask = |statement: usize, set: &IndexSet| Ask {
            statement,
            indexes: problem
                .relevant
                .get(statement)
                .map_or(*set, |r| r.common(set)),
        };
        let statements = 0..problem.relevant.len();
        let asks: Vec<Ask> = statements.clone().map(|q| ask(q, &chosen)).collect();
        // The promise rests on plans made for exactly this set, not on what was remembered.
        let answers = planner.plan(&asks)?;
        atoms.asked += asks.len();
        let cost = |atoms: &Atoms, q: usize, set: &IndexSet| {
            let ask = ask(q, set);
            let known = atoms.exact(&ask).or_else(|| atoms.bound(q, &ask.indexes));
            known.map_or(0.0, |atom| atom.cost)
        };
        let (mut after, mut used, mut efforts) = (Vec::new(), Vec::new(), Vec::new());
        for (q, answer) in answers.into_iter().enumerate() {
            after.push(match &answer {
                Some(answer) => answer.plan.total_cost,
                None => cost(atoms, q, &chosen),
            });
            used.push(answer.as_ref().map(|a| a.used).unwrap_or_default());
            efforts.push(answer.map(|a| guard::effort(&a.plan, &outcome.case.relations)));
        }
        let users = |index: usize| {
            let each = used.iter().enumerate();
            each.filter(move |(_, used)| used.contains(index))
                .map(|(q, _)| q)
        };
        let mut asks = Vec::new();
        for index in chosen.iter() {
            let mut rest = chosen;
            rest.remove(index);
            asks.extend(users(index).map(|q| ask(q, &rest)));
        }
        atoms.learn(planner, &asks, problem.risk)?;
        let mut without = BTreeMap::new();
        for index in chosen.iter() {
            let mut rest = chosen;
            rest.remove(index);
            without.insert(
                index,
                users(index).map(|q| (q, cost(atoms, q, &rest))).collect(),
            );
        }
        let none = IndexSet::default();
        Ok(Self {
            before: statements.map(|q| cost(atoms, q, &none)).collect(),
            after,
            used,
            without,
            efforts,
        })
    }
}
