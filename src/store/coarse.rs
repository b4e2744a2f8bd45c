//! Samples from before the oldest that are kept: one a bucket.
//!
//! For: showing years with the same questions as hours. Not for: exact sums and means of that time
//! (`window` has them). Read [`History::samples_many`] first.

use super::Result;
use super::buckets::{Members, read_buckets};
use super::catalogue::SeriesId;
use super::history::History;
use super::keys::{self, DATA, GROUP};
use super::rollup::Tier;
use super::scan::spans;
use super::window::prefix;
use crate::model::samples::Samples;
use crate::model::units::{Millis, Timestamp};

/// Last values of a tier's buckets of a group, read when they are asked for.
struct Lead<'h> {
    history: &'h History,
    tier: Tier,
    group: u32,
    members: &'h [u8],
    from: Timestamp,
    /// What was read, and up to when.
    known: Option<(Timestamp, Members)>,
}

impl Lead<'_> {
    /// The last value of each bucket of a member that ends before `end`, at its last instant.
    fn before(&mut self, member: u8, end: Timestamp) -> Result<Vec<(i64, f64)>> {
        let step = self.tier.step().as_duration();
        if self.known.as_ref().is_none_or(|(until, _)| *until < end) {
            // Those beside it mostly begin in the same span.
            let len = self.tier.span();
            let until = end.floor_to(len).plus(len.as_duration());
            let range = (self.from.minus(step), until);
            let read = self
                .history
                .group_buckets(self.tier, self.group, self.members, range)?;
            self.known = Some((until, read));
        }
        let of_member = self.known.iter().filter_map(|(_, all)| all.get(&member));
        let ends = of_member.flatten().map(|bucket| {
            let last = bucket.at.plus(step).minus(Millis(1).as_duration());
            (last.as_millis(), bucket.last)
        });
        Ok(ends.filter(|(at, _)| *at < end.as_millis()).collect())
    }
}

impl History {
    /// Shows samples of several series, with their places in `ids` and in that order, as
    /// [`History::raw`] gives them, and before the oldest sample of each series what buckets know: the
    /// last value of each five minutes, and before those of each hour, at the end of that time.
    ///
    /// Where samples are kept, a gap between them stays one: buckets that were made of samples end
    /// after the first of them. Ascending `ids` read each chunk once; one series is in memory at a
    /// time, and its room is used again.
    ///
    /// # Errors
    /// [`super::Error::NoSuchSeries`], or what the disk says.
    pub fn samples_many(
        &self,
        ids: &[SeriesId],
        from: Timestamp,
        until: Timestamp,
        mut show: impl FnMut(usize, Samples<'_>),
    ) -> Result<()> {
        let mut before = 0;
        for beside in ids.chunk_by(|a, b| a.is_beside(*b)) {
            let members: Vec<u8> = beside.iter().map(|id| id.member()).collect();
            let mut leads = [Tier::FiveMinutes, Tier::Hour].map(|tier| Lead {
                history: self,
                tier,
                group: beside.first().map_or(0, |id| id.number() / GROUP),
                members: &members,
                from,
                known: None,
            });
            self.read_beside(beside, (from, until), |place, read| {
                let (mut first, mut lead) = (read.first, Vec::new());
                for tier in &mut leads {
                    let begin = first.map_or(until, Timestamp::from_millis).min(until);
                    let member = members.get(place).filter(|_| begin > from);
                    let Some(member) = member else { break };
                    let mut ends = tier.before(*member, begin)?;
                    first = ends.first().map(|(at, _)| *at).or(first);
                    ends.retain(|(at, _)| *at >= from.as_millis());
                    lead.splice(0..0, ends);
                }
                if lead.is_empty() {
                    show(before + place, read.samples);
                } else {
                    lead.extend(read.samples.iter());
                    let (times, values): (Vec<i64>, Vec<f64>) = lead.into_iter().unzip();
                    show(before + place, Samples::of(&times, &values));
                }
                Ok(())
            })?;
            before += beside.len();
        }
        Ok(())
    }

    /// Buckets of members of a group as they lie on disk, ascending.
    pub(super) fn group_buckets(
        &self,
        tier: Tier,
        group: u32,
        members: &[u8],
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Members> {
        let mut all = Members::new();
        for (_, bounds, database) in self.parts(prefix(tier), from, until)? {
            let Some(spans) = spans(bounds, (from, until), tier.span()) else {
                continue;
            };
            for span in spans {
                // Empty is a place that a seal made ready and has not filled yet.
                let value = database.get(DATA, &keys::group_key(span, group))?;
                let Some(value) = value.filter(|value| !value.is_empty()) else {
                    continue;
                };
                let start = keys::span_start(span, tier.span());
                let wanted = |member| members.contains(&member);
                let read = read_buckets(&value, start, tier.step(), wanted)
                    .map_err(|damage| database.damaged(damage))?;
                for (member, buckets) in read {
                    all.entry(member).or_default().extend(buckets);
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Labels, Metric, Scrape};
    use crate::store::{Options, Store};

    #[test]
    fn a_place_that_is_not_filled_yet_holds_nothing() {
        const LEVEL: Metric = Metric::gauge("level", "Goes both ways.");
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(dir.path().join("store"))).unwrap();
        let at = Timestamp::parse("2026-03-10T01:00:00Z").unwrap();
        let scrape = Scrape {
            target: "primary".into(),
            at,
            samples: vec![LEVEL.sample(Labels::none(), 7.0)],
        };
        let history = store.history();
        history.append(&scrape).unwrap();
        let id = history.find(&crate::store::Selector::default())[0].0.id;
        for tier in [Tier::FiveMinutes, Tier::Hour] {
            let span = keys::span_of(at, tier.span()).unwrap();
            let part = crate::store::tiers::part_of(tier, at);
            let database = history.databases.find_or_make(&part).unwrap();
            let place = keys::group_key(span, id.number() / GROUP);
            database.make_places(DATA, [place].into_iter()).unwrap();
        }
        let from = at.minus(Millis::HOUR.as_duration());
        let until = at.plus(Millis::HOUR.as_duration());
        let mut shown = Vec::new();
        let show = |place, samples: Samples<'_>| {
            shown.push((place, samples.iter().collect::<Vec<_>>()));
        };
        history.samples_many(&[id], from, until, show).unwrap();
        assert_eq!(shown, [(0, vec![(at.as_millis(), 7.0)])]);
    }
}
