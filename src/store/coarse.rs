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
use super::scan::{Read, Samples, spans};
use super::window::prefix;
use crate::model::units::{Millis, Timestamp};

impl History {
    /// Samples of several series as [`History::raw`] gives them, and before the oldest sample of each series what buckets know: the
    /// last value of each five minutes, and before those of each hour, at the end of that time.
    ///
    /// Where samples are kept, a gap between them stays one: buckets that were made of samples end
    /// after the first of them.
    ///
    /// # Errors
    /// [`super::Error::NoSuchSeries`], or what the disk says.
    pub fn samples_many(
        &self,
        ids: &[SeriesId],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Samples>> {
        let mut all = self.read_many(ids, from, until)?;
        for tier in [Tier::FiveMinutes, Tier::Hour] {
            let mut left = all.as_mut_slice();
            for beside in ids.chunk_by(|a, b| a.is_beside(*b)) {
                let (here, rest) = std::mem::take(&mut left)
                    .split_at_mut_checked(beside.len())
                    .unwrap_or_default();
                left = rest;
                self.lead_in(tier, (from, until), beside, here)?;
            }
        }
        Ok(all.into_iter().map(|read| read.samples).collect())
    }

    /// Puts the last values of buckets before the first sample of each series of a group.
    fn lead_in(
        &self,
        tier: Tier,
        (from, until): (Timestamp, Timestamp),
        ids: &[SeriesId],
        all: &mut [Read],
    ) -> Result<()> {
        let step = tier.step().as_duration();
        let begin = |read: &Read| read.first.map_or(until, Timestamp::from_millis).min(until);
        let short = ids.iter().zip(all.iter());
        let short = short.filter(|(_, read)| begin(read) > from);
        let members: Vec<u8> = short.map(|(id, _)| id.member()).collect();
        let latest = all.iter().map(begin).max();
        let (Some(first), Some(latest), false) = (ids.first(), latest, members.is_empty()) else {
            return Ok(());
        };
        let range = (from.minus(step), latest);
        let mut buckets = self.group_buckets(tier, first.number() / GROUP, &members, range)?;
        for (id, read) in ids.iter().zip(all) {
            let end = begin(read);
            let own = buckets.remove(&id.member()).unwrap_or_default();
            let ends: Vec<(Timestamp, f64)> = own
                .into_iter()
                .map(|bucket| {
                    (
                        bucket.at.plus(step).minus(Millis(1).as_duration()),
                        bucket.last,
                    )
                })
                .filter(|(at, _)| *at < end)
                .collect();
            read.first = ends.first().map(|(at, _)| at.as_millis()).or(read.first);
            let lead = ends.into_iter().filter(|(at, _)| *at >= from);
            let lead: Vec<(i64, f64)> = lead.map(|(at, last)| (at.as_millis(), last)).collect();
            read.samples.splice(0..0, lead);
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
        let samples = history.samples_many(&[id], from, until).unwrap();
        assert_eq!(samples, [vec![(at.as_millis(), 7.0)]]);
    }
}
