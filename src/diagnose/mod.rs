//! stub
#![allow(missing_docs)]
use crate::model::capacity::Projection;
use crate::model::finding::*;
use crate::model::units::Timestamp;
#[derive(Default)]
pub struct Targets;
#[derive(Default)]
pub struct Evidence;
pub fn bottlenecks(_: &Evidence, _: &Targets) -> Vec<Bottleneck> {
    vec![]
}
pub fn alerts(_: &[Projection], _: &Targets, _: Timestamp) -> Vec<Alert> {
    vec![]
}
