//! What to mend in the observed server, and exactly how.
//!
//! For: findings with evidence and SQL that a person may run, made from values alone. Not for:
//! reading the server (`postgres`) or running the cure: nothing here changes anything. Read
//! [`checks`] first; [`sql`] is the one place that quotes names.

pub mod candidates;
pub mod checks;
pub mod clause;
pub mod cost;
pub mod drops;
pub mod estimate;
pub mod guard;
pub mod indexes;
pub mod parameters;
pub mod proof;
pub mod query;
pub mod rebuilt;
pub mod relation;
pub mod repeats;
pub mod rules;
pub mod script;
pub mod select;
pub mod size;
pub mod sql;
pub mod workload;
pub mod writes;
