//! What statements cost with which indexes: asked of a planner, remembered, and bounded from below
//! the number of questions.
//!
//! For: one answer a question, and none twice. A plan that was made with the indexes S and uses only
//! U of them is the plan for every set between U and S; and no set that holds U can cost more. Not
//! for: choosing sets (`select`).

use std::collections::HashSet;

use crate::model::plan::PlanNode;

/// Most candidates: what an [`IndexSet`] holds.
pub const MAX_CANDIDATES: usize = 1_024;
const WORDS: usize = MAX_CANDIDATES / 64;

/// A set of candidates by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct IndexSet([u64; WORDS]);

impl IndexSet {
    /// The set of these; numbers of [`MAX_CANDIDATES`] and more are left out.
    pub fn of(members: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::default();
        for member in members {
            set.insert(member);
        }
        set
    }

    /// Puts one in.
    pub fn insert(&mut self, member: usize) {
        if let Some(word) = self.0.get_mut(member / 64) {
            *word |= 1 << (member % 64);
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, member: usize) {
        if let Some(word) = self.0.get_mut(member / 64) {
            *word &= !(1 << (member % 64));
        }
    }

    /// Whether one is in.
    pub fn contains(&self, member: usize) -> bool {
        let word = self.0.get(member / 64);
        word.is_some_and(|word| word & (1 << (member % 64)) != 0)
    }

    /// Whether all of `self` are in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    /// Both together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        self.each(other, |a, b| a | b)
    }

    /// Without those of `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.each(other, |a, b| a & !b)
    }

    /// What both hold.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        self.each(other, |a, b| a & b)
    }

    fn each(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut set = *self;
        for (word, other) in set.0.iter_mut().zip(&other.0) {
            *word = join(*word, *other);
        }
        set
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(place * 64 + bit)
            })
        })
    }
}

/// One question: a statement, and the candidates that are to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ask {
    /// The statement's number.
    pub statement: usize,
    /// Which candidates are there.
    pub indexes: IndexSet,
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The plan; its total cost is the answer.
    pub plan: PlanNode,
    /// The candidates that it uses.
    pub used: IndexSet,
}

/// A planner could not go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlannerError(pub String);

/// Whoever knows what a statement costs with given indexes.
///
/// Blocking and batched, so that several sessions may answer at once. An answer that cannot be given
/// for its own sake (one question only) is `None`.
pub trait Planner: Sync {
    /// Answers in the order of the questions.
    ///
    /// # Errors
    /// When no further question can be answered.
    fn plan(&self, asks: &[Ask]) -> Result<Vec<Option<Planned>>, PlannerError>;

    /// As [`Planner::plan`], as if the existing indexes `hidden` (as SQL writes their names) were not
    /// there; `None` from whoever cannot hide an index.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    fn plan_hiding(
        &self,
        hidden: &[String],
        asks: &[Ask],
    ) -> Result<Option<Vec<Option<Planned>>>, PlannerError> {
        let _ = (hidden, asks);
        Ok(None)
    }
}

/// A plan that was seen: with these indexes it costs this much, whatever else is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Atom {
    /// The candidates that it uses.
    pub used: IndexSet,
    /// The largest set that it was the answer for.
    pub offered: IndexSet,
    /// Its total cost, in the planner's units.
    pub cost: f64,
    /// What it is known to do besides: see `guard`.
    pub risk: f64,
}

/// All plans seen so far, by statement.
#[derive(Debug, Default)]
pub struct Atoms {
    of: Vec<Vec<Atom>>,
    /// Questions that reached the planner.
    pub asked: usize,
    refused: HashSet<Ask>,
}

impl Atoms {
    /// For so many statements.
    pub fn new(statements: usize) -> Self {
        Self {
            of: vec![Vec::new(); statements],
            asked: 0,
            refused: HashSet::new(),
        }
    }

    /// Remembers what each statement costs as it is, from plans that were asked for before.
    pub fn begin(&mut self, plans: &[PlanNode], risk: &dyn Fn(usize, &PlanNode) -> f64) {
        for (statement, plan) in plans.iter().enumerate() {
            let atom = Atom {
                used: IndexSet::default(),
                offered: IndexSet::default(),
                cost: plan.total_cost,
                risk: risk(statement, plan),
            };
            self.asked += 1;
            self.keep(statement, atom);
        }
    }

    /// Every plan seen of a statement, in the order in which they were seen.
    pub fn of(&self, statement: usize) -> &[Atom] {
        self.of.get(statement).map_or(&[], Vec::as_slice)
    }

    /// How many statements there are.
    pub fn statements(&self) -> usize {
        self.of.len()
    }

    /// The plan for exactly this set, if it is known.
    pub fn exact(&self, ask: &Ask) -> Option<&Atom> {
        let fits = |atom: &&Atom| {
            atom.used.is_within(&ask.indexes) && ask.indexes.is_within(&atom.offered)
        };
        self.of(ask.statement).iter().find(fits)
    }

    /// The cheapest plan known whose indexes are all in the set: the true cost is at most that.
    pub fn bound(&self, statement: usize, indexes: &IndexSet) -> Option<&Atom> {
        let usable = self
            .of(statement)
            .iter()
            .filter(|a| a.used.is_within(indexes));
        usable.min_by(|a, b| a.cost.total_cmp(&b.cost))
    }

    /// Whether the question was asked and has no answer.
    pub fn is_refused(&self, ask: &Ask) -> bool {
        self.refused.contains(ask)
    }

    /// Asks what is not known yet, each once, and remembers the answers. Gives the numbers of new
    /// plans as (statement, place).
    ///
    /// # Errors
    /// Those of the planner.
    pub fn learn(
        &mut self,
        planner: &dyn Planner,
        asks: &[Ask],
        risk: &dyn Fn(usize, &PlanNode) -> f64,
    ) -> Result<Vec<(usize, usize)>, PlannerError> {
        let mut open: Vec<Ask> = asks
            .iter()
            .filter(|ask| self.exact(ask).is_none() && !self.refused.contains(ask))
            .copied()
            .collect();
        open.sort();
        open.dedup();
        if open.is_empty() {
            return Ok(Vec::new());
        }
        self.asked += open.len();
        let answers = planner.plan(&open)?;
        let mut new = Vec::new();
        for (ask, answer) in open.into_iter().zip(answers) {
            let Some(answered) = answer else {
                self.refused.insert(ask);
                continue;
            };
            let risk = risk(ask.statement, &answered.plan);
            let atom = Atom {
                used: answered.used,
                offered: ask.indexes,
                cost: answered.plan.total_cost,
                risk,
            };
            new.extend(self.keep(ask.statement, atom));
        }
        Ok(new)
    }

    fn keep(&mut self, statement: usize, atom: Atom) -> Option<(usize, usize)> {
        let atoms = self.of.get_mut(statement)?;
        // The same plan, now known for a larger set.
        let known = atoms
            .iter_mut()
            .find(|known| known.used == atom.used && known.offered.is_within(&atom.offered));
        if let Some(known) = known
            && (known.cost - atom.cost).abs() <= f64::EPSILON * known.cost.abs()
        {
            known.offered = atom.offered;
            return None;
        }
        atoms.push(atom);
        Some((statement, atoms.len() - 1))
    }
}
