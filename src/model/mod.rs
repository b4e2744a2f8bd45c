//! What the words mean: the glossary, as types. Nothing here does I/O or knows another module.
//!
//! | word | meaning |
//! |---|---|
//! | *target* | one Postgres server and database that is watched, by its configured name |
//! | *series* | one metric with its labels, of one target |
//! | *sample* | one value of one series at one instant |
//! | *scrape* | all samples of one target at one instant |
//! | *window* | evenly spaced values of one series; a gap is NaN |
//! | *step* | the distance between two values of a window |
//! | *rollup* | samples of a step folded into min, max, sum, count and last |
//! | *resource* | something that can run out: cpu, memory, storage, bandwidth, database, connections |
//! | *limit* | the most a resource can give, measured or configured, never a literal |
//! | *horizon* | how far ahead a forecast looks |
//! | *level* | the probability mass of an interval: 0.95 for a 95 % band |
//! | *promise* | a forecast as it was given, kept until its days have come |
//! | *lead* | how many days ahead a promise speaks of |
//! | *outcome* | what came, beside what was promised |
//! | *headroom* | what is left between usage and limit |
//! | *finding* | something to mend in the server, with evidence and cure |
//! | *bottleneck* | where the platform is held up, ranked by its share of the time |
//! | *queue* | jobs of one name, with the settings that hold for them |
//! | *job* | something to be done later, with its payload and what became of it |
//! | *lease* | the right to work on a job until an instant, renewed by heartbeats |
//! | *attempt* | one try at a job; *dead* is a job that is given up and in the dead letters |
//! | *flow* | a job that waits for its children, enqueued with them wholly or not at all |
//! | *write class* | a kind of write to a target that its operator allowed: vacuum, archive |
//! | *named query* | a read query that an operator gave a name, so that its result can be kept |
//! | *arrival* | the instant at which a request of a load test is due, whether or not one can be sent |
//! | *stage* | a span of a load test with a rate of arrivals |
//! | *blind spot* | something that could not be read, why, and the cure |
//!
//! Read [`units`] and [`series`] first.

pub mod advice;
pub mod cached;
pub mod capacity;
pub mod database;
pub mod explain;
pub mod finding;
pub mod forecast;
pub mod identifier;
pub mod job;
pub mod load;
pub mod maintenance;
pub mod outcome;
pub mod plan;
pub mod ranking;
pub mod samples;
pub mod scenario;
pub mod series;
pub mod spelling;
pub mod structure;
pub mod target;
pub mod units;
