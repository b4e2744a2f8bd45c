//! Taking samples out in bulk: span by span, each chunk of 16 series read once.
//!
//! For: exports and counts over many series. Not for: questions about one series (`window`). Read
//! [`History::visit`] first.

use std::collections::BTreeMap;

use super::catalogue::{Series, SeriesId};
use super::gather::read_group;
use super::history::History;
use super::keys::{self, GROUP, SPAN};
use super::segment::settle;
use super::{Error, Result};
use crate::model::units::Timestamp;

impl History {
    /// Gives out the samples of series from `from` up to, but without, `until`: span by span of two
    /// hours, in each series by series in the order of their numbers, in each ascending.
    ///
    /// # Errors
    /// What the disk says; else what `visit` says, which ends it.
    pub fn visit<E: From<Error>>(
        &self,
        series: &[Series],
        (from, until): (Timestamp, Timestamp),
        mut visit: impl FnMut(&Series, &[(i64, f64)]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut groups: BTreeMap<u32, Vec<&Series>> = BTreeMap::new();
        for one in series {
            groups.entry(one.id.0 / GROUP).or_default().push(one);
        }
        for span in self.raw_spans()? {
            let start = keys::span_start(span, SPAN);
            let end = start.plus(SPAN.as_duration());
            if end <= from || start >= until {
                continue;
            }
            for (group, members) in &groups {
                let mut all = self.group(span, *group, members)?;
                for one in members {
                    let mut samples = all.remove(&one.id).unwrap_or_default();
                    samples.retain(|(at, _)| (from.as_millis()..until.as_millis()).contains(at));
                    if !samples.is_empty() {
                        visit(one, &samples)?;
                    }
                }
            }
            self.databases.close_idle();
        }
        Ok(())
    }

    /// Samples of members of a group in a span, sealed or not.
    fn group(
        &self,
        span: u32,
        group: u32,
        members: &[&Series],
    ) -> Result<BTreeMap<SeriesId, Vec<(i64, f64)>>> {
        let mut all: BTreeMap<SeriesId, Vec<(i64, f64)>> = BTreeMap::new();
        let Some(target) = members.first().and_then(|one| {
            let owner = self.head().catalogue.owner(one.id.0);
            owner.map(|(target, _)| target)
        }) else {
            return Ok(all);
        };
        // Memory before disk: what is being sealed meanwhile is then seen twice, never not at all.
        let memory: Vec<(SeriesId, Vec<(i64, f64)>)> = {
            let head = self.head();
            let of = |one: &&Series| {
                let segments = head.segments();
                let values = segments.flat_map(|s| s.values(span, target, one.id.0));
                (one.id, values.collect())
            };
            members.iter().map(of).collect()
        };
        let name = keys::raw_part(keys::span_start(span, SPAN));
        if let Some(database) = self.databases.find(&name)? {
            let is_wanted = |member: u8| {
                let id = group * GROUP + u32::from(member);
                members.iter().any(|one| one.id.0 == id)
            };
            let place = (span, group);
            for (member, values) in
                read_group(&database, target, place, self.sealed_upto(), is_wanted)?
            {
                all.insert(SeriesId(group * GROUP + u32::from(member)), values);
            }
        }
        for (id, values) in memory {
            if !values.is_empty() {
                let mut both = all.remove(&id).unwrap_or_default();
                both.extend(values);
                all.insert(id, settle(both));
            }
        }
        Ok(all)
    }
}
