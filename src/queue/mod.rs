//! The job queue: what is to be done later, by whom, and what became of it.
//!
//! For: keeping jobs through crashes, giving each to one worker at a time, and trying again. Not
//! for: doing the work, nor for time: `now` is always a parameter. Read [`JobStore`] first: its
//! verbs are the transitions that a job goes through; then `entry`, which says what each does to a
//! job, and `embedded` or `memory`, which say where it stands meanwhile.
//!
//! Delivery is at least once: a job whose worker is not heard of any more is given to another, so
//! work must bear being done twice.

mod checks;
mod commit;
mod embedded;
mod entry;
mod error;
mod event;
mod memory;
mod meter;
mod queues;
mod runner;
pub mod schedule;
mod shared;
mod store;
mod trail;
mod transition;

pub use embedded::{Embedded, Options};
pub use error::{Error, Result};
pub use event::{Alarm, AlarmKind, Event};
pub use memory::Memory;
pub use meter::{Recent, Spread, THROUGHPUT_WINDOW};
pub use queues::Queues;
pub use runner::{Handler, Runner, RunnerOptions, Task};
pub use shared::Shared;
pub use store::{JobStore, QueueAdmin, Row};
pub use transition::{
    Ack, Added, Change, Claim, Claimed, Clear, Counts, Ending, Enqueued, Extended, Extra, Filter,
    Flow, Note, Outcome, Page, PageAsk, Retry, Setting, Verb,
};
