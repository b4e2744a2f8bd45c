use proptest::prelude::*;

use super::*;
use crate::forecast::{Plan, forecast, make};
use crate::model::capacity::Outlook;
use crate::model::outcome::MemberPromise;

/// Ten in the morning: no day begins at midnight here.
const START: i64 = 1_700_000_000_000 - 1_700_000_000_000 % 86_400_000 + 10 * 3_600_000;

fn at(day: i64) -> Timestamp {
    Timestamp::from_millis(START + day * 86_400_000)
}

/// Hourly history of whole days from `START` on.
fn history(days: &[f64]) -> Window {
    Window {
        start: at(0),
        step: Millis::HOUR,
        values: days.iter().flat_map(|v| [*v; 24]).collect(),
    }
}

/// A promise made at the end of day `made`, of the same mean at all leads, with 80 % of `half` to
/// each side and 95 % of twice that.
fn promise(made: i64, last: f64, mean: f64, half: f64) -> Promise {
    let point = |lead| Promised {
        lead,
        mean,
        p80: (mean - half, mean + half),
        p95: (mean - 2.0 * half, mean + 2.0 * half),
    };
    let member = |name: &str, mean: f64| MemberPromise {
        name: name.to_owned(),
        weight: 0.5,
        means: vec![mean; LEADS.len()],
    };
    Promise {
        target: "t".into(),
        resource: Resource::Cpu,
        made_at: at(made),
        origin: at(made),
        methods: 2,
        method: "drift+naive".into(),
        last,
        points: LEADS.map(point).to_vec(),
        members: vec![member("drift", mean), member("naive", last)],
        experience: None,
        synthetic: None,
    }
}

fn reviewed(promises: &[Promise], history: &Window) -> Review {
    review(Resource::Cpu, promises, history, Fold::Mean)
}

#[test]
fn a_perfect_promise_has_no_error_and_lies_in_every_band() {
    let history = history(&[5.0; 40]);
    let promises: Vec<Promise> = (20..40).map(|day| promise(day, 4.0, 5.0, 0.5)).collect();
    let review = reviewed(&promises, &history);
    let leads: Vec<(u16, usize, usize)> = review
        .leads
        .iter()
        .map(|lead| (lead.lead, lead.scored, lead.independent))
        .collect();
    // Made at the ends of days 20 to 39 of 40; each is due when its last day has passed.
    assert_eq!(leads, [(1, 20, 20), (3, 18, 6), (7, 14, 2), (14, 7, 1)]);
    for lead in &review.leads {
        assert!(lead.mae < 1e-9 && lead.bias.abs() < 1e-9, "{lead:?}");
        assert!(lead.relative_to_naive.unwrap() < 1e-9);
        assert_eq!((lead.inside80, lead.inside95), (lead.scored, lead.scored));
    }
    assert_eq!(review.verdict, Kept::TooCareful);
    let experience = review.experience.unwrap();
    assert!(experience.band() < 1.0);
    assert_eq!(experience.outcomes, 20);
}

#[test]
fn figures_of_two_promises_are_those_worked_by_hand() {
    // Days 0 to 9 are 10, day 10 is 14, day 11 is a gap, day 12 is 20.
    let mut days = vec![10.0; 10];
    days.extend([14.0, f64::NAN, 20.0]);
    let promises = [
        promise(10, 10.0, 12.0, 1.5),
        promise(11, 14.0, 15.0, 1.0),
        promise(12, 14.0, 17.0, 2.0),
    ];
    let review = reviewed(&promises, &history(&days));
    // Lead 1: 12 for 14 and 17 for 20; the second fell into the gap. Lead 3: 12 for 20.
    let [one, three] = review.leads.as_slice() else {
        panic!("{:?}", review.leads);
    };
    assert_eq!((one.scored, one.independent), (2, 2));
    assert!((one.mae - 2.5).abs() < 1e-9 && (one.bias + 2.5).abs() < 1e-9);
    assert!((one.mae_share.unwrap() - 2.5 / 17.0).abs() < 1e-9);
    assert!((one.relative_to_naive.unwrap() - 2.5 / 5.0).abs() < 1e-9);
    assert_eq!((one.inside80, one.inside95), (0, 2), "12 ± 3 and 17 ± 4");
    assert_eq!((three.scored, three.inside95), (1, 0));
    assert!((three.mae - 8.0).abs() < 1e-9);
    assert_eq!(review.verdict, Kept::TooFew);
    assert_eq!(
        review.verdict.words(review.independent),
        "too few outcomes yet: 2 of at least 5"
    );
    // drift is what was promised; naive errs by 4 and 6 for 2 and 3, and by 10 for 8.
    let errors: Vec<(&str, usize)> = review
        .members
        .iter()
        .map(|member| (member.name.as_str(), member.scored))
        .collect();
    assert_eq!(errors, [("drift", 3), ("naive", 3)]);
    let naive = review.members[1].relative_error;
    assert!((naive - (2.0 * 2.0 + 1.25) / 3.0).abs() < 1e-9, "{naive}");
}

#[test]
fn spans_that_overlap_are_not_counted_twice() {
    let promises: Vec<Promise> = (0..30).map(|day| promise(day, 1.0, 1.0, 1.0)).collect();
    let review = reviewed(&promises, &history(&[1.0; 60]));
    let counts: Vec<(u16, usize)> = review
        .leads
        .iter()
        .map(|lead| (lead.lead, lead.independent))
        .collect();
    assert_eq!(
        counts,
        [(1, 30), (3, 10), (7, 5), (14, 3), (30, 1), (60, 1)]
    );
}

#[test]
fn tails_agree_with_tables_of_the_binomial_distribution() {
    // n = 10, p = 0.8: cumulative 0.0328 at 5, 0.3222 at 7, 1 at 10.
    for (hits, table) in [(5.0, 0.0328), (7.0, 0.3222), (10.0, 1.0)] {
        assert!((at_most(hits, 10) - table).abs() < 5e-5, "{hits}");
    }
    assert!(at_most(-1.0, 10).abs() < 1e-12);
    assert_eq!(kept(0.8, 10), Kept::AsPromised);
    assert_eq!(kept(0.5, 10), Kept::TooSure);
    assert_eq!(kept(1.0, 10), Kept::AsPromised, "chance does so in 0.107");
    assert_eq!(kept(1.0, 11), Kept::TooCareful);
    assert_eq!(kept(0.0, 4), Kept::TooFew);
}

#[test]
fn bands_are_judged_as_they_were_before_experience() {
    let days: Vec<f64> = (0..60).map(|day| 10.0 + f64::from(day % 2)).collect();
    // 10.5 ± 0.3 misses every day, and so does learning from it anew each time.
    let plain: Vec<Promise> = (20..50).map(|day| promise(day, 10.0, 10.5, 0.3)).collect();
    let first = reviewed(&plain, &history(&days)).experience.unwrap();
    let mut widened = plain;
    for promise in &mut widened {
        let learnt = Experience {
            band: 2.0,
            ..first.clone()
        };
        *promise = Promise {
            experience: Some(learnt),
            ..super::tests::promise(
                (promise.origin.as_millis() - START) / 86_400_000,
                10.0,
                10.5,
                0.6,
            )
        };
    }
    let second = reviewed(&widened, &history(&days));
    assert!(
        second.coverage_p80.unwrap() > 0.99,
        "what was promised held"
    );
    assert!((second.experience.unwrap().band - first.band).abs() < 1e-9);
}

/// Noise around a slow line, the same each time.
fn noisy(n: usize) -> Window {
    let mut state = 7_u64;
    let values = (0..n).map(|i| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        100.0 + 0.3 * i as f64 + (state >> 40) as f64 / f64::from(1_u32 << 24) * 8.0
    });
    Window {
        start: at(0),
        step: Millis::DAY,
        values: values.collect(),
    }
}

fn under(experience: Option<Experience>) -> (Forecast, Vec<MemberPromise>) {
    let plan = Plan {
        horizon: Millis(200 * Millis::DAY.0),
        floor: None,
        experience,
        ..Plan::default()
    };
    let made = make(&noisy(120), &plan).unwrap();
    assert_eq!(forecast(&noisy(120), &plan).unwrap(), made.outlook);
    match made.outlook {
        Outlook::Forecast(forecast) => (*forecast, made.members),
        Outlook::NotEnoughData { .. } => panic!("there is enough"),
    }
}

fn learnt(band: f64, members: &[(&str, f64)]) -> Experience {
    Experience {
        band,
        members: members
            .iter()
            .map(|(name, factor)| ((*name).to_owned(), *factor))
            .collect(),
        outcomes: 9,
    }
}

#[test]
fn members_and_points_are_promised_at_the_same_leads() {
    let (forecast, members) = under(None);
    let points = promised(&forecast, noisy(120).end());
    assert_eq!(points.iter().map(|p| p.lead).collect::<Vec<_>>(), LEADS);
    assert!((members.iter().map(|m| m.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    for (i, point) in points.iter().enumerate() {
        let together: f64 = members.iter().map(|m| m.weight * m.means[i]).sum();
        assert!((point.mean - together).abs() < 1e-6, "{point:?} {together}");
        assert!(point.p95.0 <= point.p80.0 && point.p80.1 <= point.p95.1);
    }
}

#[test]
fn experience_scales_bands_and_moves_weights_and_nothing_else() {
    let (plain, members) = under(None);
    let (neutral, _) = under(Some(learnt(1.0, &[])));
    let (wide, _) = under(Some(learnt(1.5, &[])));
    for ((plain, neutral), wide) in plain.points.iter().zip(&neutral.points).zip(&wide.points) {
        assert!((plain.mean - neutral.mean).abs() < 1e-9);
        assert!((plain.mean - wide.mean).abs() < 1e-9);
        for (a, b) in plain.bands.iter().zip(&wide.bands) {
            assert!((1.5 * (a.hi - plain.mean) - (b.hi - wide.mean)).abs() < 1e-6);
        }
    }
    assert_eq!(plain.backtest, wide.backtest, "the past is as it was");
    let heaviest = members
        .iter()
        .max_by(|a, b| a.weight.total_cmp(&b.weight))
        .unwrap();
    let (_, after) = under(Some(learnt(1.0, &[(&heaviest.name, 0.5)])));
    let now = after.iter().find(|m| m.name == heaviest.name).unwrap();
    assert!(now.weight < heaviest.weight, "{heaviest:?} {now:?}");
    assert!((after.iter().map(|m| m.weight).sum::<f64>() - 1.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn one_more_miss_never_narrows_the_band(
        hits in prop::collection::vec(any::<bool>(), 2..40),
        flip in any::<prop::sample::Index>(),
    ) {
        // Promises of tomorrow alone: each day is 10, and a miss promised 20.
        let made = |hits: &[bool]| -> Vec<Promise> {
            let each = (5..).zip(hits);
            each.map(|(day, hit)| {
                let mut one = promise(day, 10.0, if *hit { 10.0 } else { 20.0 }, 1.0);
                one.points.truncate(1);
                one
            }).collect()
        };
        let history = history(&[10.0; 60]);
        let before = reviewed(&made(&hits), &history).experience.unwrap().band;
        let mut more = hits;
        *flip.get_mut(&mut more) = false;
        let after = reviewed(&made(&more), &history).experience.unwrap().band;
        prop_assert!(after >= before - 1e-12, "{} after {}", after, before);
    }

    #[test]
    fn factors_and_figures_are_sound_whatever_was_recorded(
        values in prop::collection::vec(prop_oneof![
            -1e3..1e3_f64, Just(f64::NAN), Just(f64::INFINITY), Just(0.0), Just(1e300)
        ], 1..50),
        made in prop::collection::vec((-400_i64..400, -1e3..1e3_f64, prop_oneof![
            -1e3..1e3_f64, Just(f64::NAN), Just(1e300)
        ], 0.0..10.0_f64), 0..30),
    ) {
        let promises: Vec<Promise> = made
            .iter()
            .map(|(day, last, mean, half)| promise(*day, *last, *mean, *half))
            .collect();
        let review = reviewed(&promises, &history(&values));
        prop_assert!(review.leads.iter().all(|lead| lead.scored > 0
            && lead.independent <= lead.scored
            && lead.inside80 <= lead.inside95
            && lead.inside95 <= lead.scored));
        prop_assert!(review.coverage_p80.is_none_or(|share| (0.0..=1.0).contains(&share)));
        if let Some(learnt) = review.experience {
            prop_assert!((0.8..=2.0).contains(&learnt.band));
            prop_assert!(learnt.members.values().all(|w| (0.5..=2.0).contains(w)));
        }
    }
}
