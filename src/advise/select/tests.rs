//! The search against a planner whose best sets can be counted out.

use super::*;
use crate::advise::cost::Planned;

/// Statement q costs `costs[q][i]` with the index i, whatever else is there, and 100 without any.
struct Toy {
    costs: Vec<Vec<f64>>,
}

impl Planner for Toy {
    fn plan(&self, asks: &[Ask]) -> Result<Vec<Option<Planned>>, PlannerError> {
        let answer = |ask: &Ask| {
            let costs = &self.costs[ask.statement];
            let best = ask
                .indexes
                .iter()
                .map(|index| (costs[index], index))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .filter(|(cost, _)| *cost < 100.0);
            Some(Planned {
                plan: PlanNode {
                    total_cost: best.map_or(100.0, |(cost, _)| cost),
                    ..PlanNode::default()
                },
                used: IndexSet::of(best.map(|(_, index)| index)),
            })
        };
        Ok(asks.iter().map(answer).collect())
    }
}

const BYTES: [u64; 6] = [50, 40, 30, 30, 20, 10];

fn toy() -> Toy {
    Toy {
        costs: vec![
            vec![5.0, 40.0, 90.0, 100.0, 100.0, 60.0],
            vec![10.0, 100.0, 20.0, 30.0, 100.0, 100.0],
            vec![100.0, 30.0, 100.0, 25.0, 50.0, 100.0],
        ],
    }
}

fn chosen(
    budget: u64,
    asks: usize,
    risk: &(dyn Fn(usize, &PlanNode) -> f64 + Sync),
) -> (IndexSet, Vec<Step>, usize) {
    let relevant = vec![IndexSet::of(0..6); 3];
    let problem = Problem {
        weights: &[1.0, 2.0, 1.0],
        bytes: &BYTES,
        upkeep: &[0.0; 6],
        toll: 0.0,
        relevant: &relevant,
        budget,
        risk,
    };
    let limits = Limits {
        asks,
        elapsed: &|| Duration::ZERO,
        time: Duration::from_mins(1),
        told: &|_| {},
    };
    let mut atoms = Atoms::new(3);
    let choice = choose(&problem, &toy(), &mut atoms, &limits).unwrap();
    (choice.indexes, choice.steps, atoms.asked)
}

/// The least cost of any set that fits, by trying all of them.
fn least(budget: u64) -> f64 {
    let toy = toy();
    let sets = 0_u32..64;
    let fitting = sets.filter(|set| {
        let members = (0..6).filter(|i| set & (1 << i) != 0);
        members.map(|i| BYTES[i]).sum::<u64>() <= budget
    });
    let cost = |set: u32| -> f64 {
        let of = |q: usize| {
            let with = (0..6).filter(|i| set & (1 << i) != 0);
            with.map(|i| toy.costs[q][i]).fold(100.0, f64::min)
        };
        of(0) + 2.0 * of(1) + of(2)
    };
    fitting.map(cost).fold(f64::INFINITY, f64::min)
}

#[test]
fn the_best_set_of_every_budget_is_found() {
    for budget in [0, 10, 25, 45, 60, 90, 110, 200] {
        let (set, steps, _) = chosen(budget, 2_000, &|_, _| 0.0);
        let bytes: u64 = set.iter().map(|i| BYTES[i]).sum();
        assert!(bytes <= budget, "{bytes} of {budget}");
        let cost = steps.last().map_or(400.0, |step| step.cost);
        assert!((cost - least(budget)).abs() < 1e-9, "{budget}: {cost}");
        assert!(steps.windows(2).all(|pair| pair[1].cost < pair[0].cost));
    }
}

#[test]
fn few_questions_give_an_answer_and_none_is_asked_twice() {
    let (set, _, asked) = chosen(90, 8, &|_, _| 0.0);
    assert!(!set.is_empty());
    // The set itself is always asked about, three statements a time.
    assert!(asked <= 8 + 6, "{asked}");
    let (_, _, asked) = chosen(200, 100_000, &|_, _| 0.0);
    assert!(asked < 3 * 64, "{asked} of 192 that there are");
}

#[test]
fn a_plan_that_does_harm_is_not_bought() {
    // The first index makes statement 1 cost 10 and do harm.
    let risk = |statement: usize, plan: &PlanNode| {
        if statement == 1 && plan.total_cost < 15.0 {
            500.0
        } else {
            0.0
        }
    };
    let (set, steps, _) = chosen(200, 2_000, &risk);
    assert!(!set.contains(0), "{set:?}");
    assert!(steps.last().is_some_and(|step| step.cost < 150.0));
}
