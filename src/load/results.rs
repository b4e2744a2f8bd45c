//! From what was counted to what is told: rows, thresholds, and whether the generator was the
//! bottleneck.

use std::time::Duration;

use super::Plan;
use super::crew::Ran;
use super::own::Shares;
use super::tally::{Cell, Tally, latency};
use crate::model::finding::{Bottleneck, Component, Evidence, Impact};
use crate::model::load::{
    Ended, Generator, LoadTestMetrics, LoadTestResults, Part, Resources, Stage, ThresholdResult,
    Thresholds, Throughput,
};
use crate::model::units::{Timestamp, counted};

/// Requests that leave later than this were held up by the generator: its timer is good for less
/// than a tenth of it on an idle machine.
const LATE_MS: f64 = 10.0;
/// Share of the run in which the thread may wait for a processor; answers wait as long to be seen.
const WAIT_RATIO: f64 = 0.10;
/// Share of the run in which the thread may run before it is all that it can do.
const CPU_RATIO: f64 = 0.90;

/// What is known beside what was counted.
pub(super) struct Frame {
    pub(super) started: Timestamp,
    pub(super) ended_at: Timestamp,
    pub(super) ended: Ended,
    pub(super) reason: Option<String>,
    pub(super) usage: Option<Shares>,
    pub(super) notes: Vec<String>,
}

pub(super) fn of(plan: &Plan, ran: &Ran, frame: Frame) -> LoadTestResults {
    let tally = &ran.tally;
    let all = tally.whole();
    // What comes after the last stage says how late the server was, not how much it can take.
    let total = plan.scenario.duration().as_duration();
    let seconds = ran.took.min(total).as_secs_f64().max(1e-3);
    let metrics = LoadTestMetrics {
        latency: all.latency(),
        throughput: Throughput {
            requests_per_second: all.in_time as f64 / seconds,
            bytes_per_second: all.bytes as f64 / seconds,
        },
        errors: all.errors(),
        resources: Resources::default(),
    };
    let successful = all.requests - all.failed();
    let mut wanted = plan.thresholds;
    if frame.ended == Ended::Stopped {
        // The part that was seen may be the one with the lowest rate.
        wanted.requests_per_s = None;
    }
    let thresholds = judge(&wanted, &all, all.good_in_time as f64 / seconds);
    let generator = generator(ran, frame.usage);
    let bottlenecks = bottlenecks(plan, ran, &generator);
    let mut notes = frame.notes;
    if ran.unsent > 0 && frame.ended == Ended::Finished {
        notes.push(format!(
            "{} found no free slot until the time for answers was over; they count as errors",
            counted(ran.unsent, "arrival")
        ));
    }
    LoadTestResults {
        id: plan.id.clone(),
        scenario_name: plan.scenario.name.clone(),
        url: format!("{}{}", plan.origin, plan.base),
        start_time: frame.started.to_string(),
        end_time: frame.ended_at.to_string(),
        duration: ran.took.as_secs_f64(),
        rate_factor: plan.rate_factor,
        time_factor: plan.time_factor,
        ended: frame.ended,
        reason: frame.reason,
        passed: frame.ended != Ended::Aborted && thresholds.iter().all(|one| one.passed),
        thresholds,
        planned_requests: ran.planned,
        total_requests: all.requests,
        successful_requests: successful,
        failed_requests: all.failed(),
        waited_requests: tally.waited,
        unsent_requests: ran.unsent,
        unfinished_requests: ran.unfinished,
        max_in_flight: plan.scenario.max_in_flight as u64,
        metrics,
        service: all.service(),
        stages: stages(
            &plan.scenario.stages,
            tally,
            match frame.ended {
                // A last stage whose last arrival comes early is not shorter for it.
                Ended::Finished => ran.took.max(total),
                Ended::Stopped | Ended::Aborted => ran.took,
            },
        ),
        endpoints: endpoints(&ran.shown, tally, seconds),
        timeline: tally.timeline.clone(),
        generator,
        bottlenecks,
        notes,
    }
}

fn stages(stages: &[Stage], tally: &Tally, took: Duration) -> Vec<Part> {
    let mut start = Duration::ZERO;
    let mut rows = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let length = stage.duration.as_duration();
        // A run that was stopped may have seen only a part of it, or nothing.
        let seen = took.saturating_sub(start).min(length).as_secs_f64();
        start += length;
        if seen == 0.0 {
            break;
        }
        let planned = stage.arrivals() / length.as_secs_f64();
        let name = stage.name.clone();
        rows.push(part(name, Some(planned), &tally.stage(index), seen));
    }
    rows
}

fn endpoints(shown: &[String], tally: &Tally, seconds: f64) -> Vec<Part> {
    let all = shown.iter().enumerate();
    all.map(|(index, name)| part(name.clone(), None, &tally.endpoint(index), seconds))
        .collect()
}

fn part(name: String, planned_rate: Option<f64>, cell: &Cell, seconds: f64) -> Part {
    Part {
        name,
        planned_rate,
        requests: cell.requests,
        rate: cell.requests as f64 / seconds,
        latency: cell.latency(),
        service: cell.service(),
        errors: cell.errors(),
    }
}

/// What is expected beside what came. Where nothing was counted, nothing is good enough.
fn judge(wanted: &Thresholds, all: &Cell, successes_per_s: f64) -> Vec<ThresholdResult> {
    let latency = all.latency();
    let counted = all.requests > 0;
    let at_most = [
        ("p50_ms", wanted.p50_ms, latency.p50),
        ("p95_ms", wanted.p95_ms, latency.p95),
        ("p99_ms", wanted.p99_ms, latency.p99),
        (
            "error_ratio",
            wanted.error_ratio,
            counted.then(|| all.errors().rate),
        ),
    ];
    let rate = counted.then_some(successes_per_s);
    let at_least = ("requests_per_s", wanted.requests_per_s, rate);
    let row = |name: &str, limit, actual, passed| ThresholdResult {
        name: name.to_owned(),
        limit,
        actual,
        passed,
    };
    let mut rows: Vec<ThresholdResult> = at_most
        .into_iter()
        .filter_map(|(name, limit, actual)| {
            let limit = limit?;
            let passed = actual.is_some_and(|actual: f64| actual <= limit);
            Some(row(name, limit, actual, passed))
        })
        .collect();
    let (name, limit, actual) = at_least;
    if let Some(limit) = limit {
        let passed = actual.is_some_and(|actual| actual >= limit);
        rows.push(row(name, limit, actual, passed));
    }
    rows
}

fn generator(ran: &Ran, usage: Option<Shares>) -> Generator {
    let late = latency(&ran.tally.lateness);
    let mut causes = Vec::new();
    if let Some(p99) = late.p99.filter(|p99| *p99 > LATE_MS) {
        causes.push(format!(
            "1 % of its requests left {p99:.1} ms late or later"
        ));
    }
    if let Some(share) = usage.map(|usage| usage.run_queue_wait)
        && share > WAIT_RATIO
    {
        causes.push(format!(
            "it waited for a processor in {:.0} % of the time",
            share * 100.0
        ));
    }
    if let Some(share) = usage.map(|usage| usage.cpu)
        && share > CPU_RATIO
    {
        causes.push(format!(
            "it was at work in {:.0} % of the time",
            share * 100.0
        ));
    }
    let limited = !causes.is_empty();
    let says = if limited {
        format!(
            "it was the bottleneck itself: {}; latencies say as much about it as about the server: \
             send less, or from another machine",
            causes.join(", and ")
        )
    } else {
        "it kept its time".to_owned()
    };
    Generator {
        lateness_p50_ms: late.p50,
        lateness_p99_ms: late.p99,
        lateness_max_ms: late.max,
        cpu_ratio: usage.map(|usage| usage.cpu),
        run_queue_wait_ratio: usage.map(|usage| usage.run_queue_wait),
        connections: ran.connections,
        limited,
        says,
    }
}

fn bottlenecks(plan: &Plan, ran: &Ran, generator: &Generator) -> Vec<Bottleneck> {
    let mut found = Vec::new();
    if generator.limited {
        found.push(Bottleneck {
            component: "Load generator".to_owned(),
            kind: Component::Cpu,
            severity: Impact::High,
            description: format!("the load generator: {}", generator.says),
            impact: "latencies are too high by what the generator was late".to_owned(),
            recommendation: "send less, or from another machine".to_owned(),
            evidence: evidence(&[
                ("latenessP99Ms", generator.lateness_p99_ms),
                ("cpuRatio", generator.cpu_ratio),
                ("runQueueWaitRatio", generator.run_queue_wait_ratio),
            ]),
        });
    }
    if ran.tally.waited > 0 || ran.unsent > 0 {
        let slots = plan.scenario.max_in_flight;
        found.push(Bottleneck {
            component: "Requests under way".to_owned(),
            kind: Component::Queue,
            severity: Impact::High,
            description: format!(
                "{} waited because {slots} requests were under way: the server did not keep up",
                counted(ran.tally.waited + ran.unsent, "arrival")
            ),
            impact: "their waiting is part of their latency".to_owned(),
            recommendation:
                "see at which rate the timeline rises: what the server keeps up with lies \
                             below it; raise --max-in-flight only if the server serves more at once"
                    .to_owned(),
            evidence: evidence(&[
                ("waitedRequests", Some(ran.tally.waited as f64)),
                ("waitedAtOnce", Some(ran.backlog_max as f64)),
            ]),
        });
    }
    found
}

fn evidence(figures: &[(&str, Option<f64>)]) -> Vec<Evidence> {
    let known = figures
        .iter()
        .filter_map(|(label, value)| Some((*label, (*value)?)));
    known
        .map(|(label, value)| Evidence::new(label, format!("{value:.2}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::client::Reply;
    use crate::load::crew::End;
    use crate::load::tally::Outcome;
    use crate::load::tests::{ONE, plan};

    fn ran(latencies_ms: &[u64], late_ms: u64) -> Ran {
        let mut tally = Tally::new(1, 1, Duration::from_secs(1));
        for ms in latencies_ms {
            tally.note(&Outcome {
                stage: 0,
                endpoint: 0,
                response: Duration::from_millis(*ms),
                service: Duration::from_millis(*ms),
                late: Duration::from_millis(late_ms),
                waited: false,
                in_time: true,
                reply: Ok(Reply {
                    status: 200,
                    bytes: 3,
                }),
            });
        }
        Ran {
            ended: End::Finished,
            took: Duration::from_secs(2),
            tally,
            planned: 10,
            unsent: 0,
            unfinished: 0,
            connections: 1,
            shown: vec!["GET /".to_owned()],
            backlog_max: 0,
        }
    }

    fn frame(ended: Ended) -> Frame {
        Frame {
            started: Timestamp::from_millis(0),
            ended_at: Timestamp::from_millis(2_000),
            ended,
            reason: None,
            usage: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn each_threshold_passes_or_fails_by_itself() {
        let mut plan = plan("http://a", ONE);
        plan.thresholds = Thresholds {
            p50_ms: Some(50.0),
            p95_ms: Some(60.0),
            p99_ms: None,
            error_ratio: Some(0.0),
            requests_per_s: Some(6.0),
        };
        let found = of(
            &plan,
            &ran(&[10, 20, 30, 100, 100], 0),
            frame(Ended::Finished),
        );
        let told: Vec<_> = found
            .thresholds
            .iter()
            .map(|one| (one.name.as_str(), one.passed))
            .collect();
        assert_eq!(
            told,
            [
                ("p50_ms", true),
                ("p95_ms", false),
                ("error_ratio", true),
                ("requests_per_s", false)
            ]
        );
        assert!(!found.passed);
        plan.thresholds = Thresholds {
            requests_per_s: Some(5.0),
            ..Thresholds::default()
        };
        let found = of(
            &plan,
            &ran(&[10, 20, 30, 100, 100], 0),
            frame(Ended::Finished),
        );
        assert!(found.passed);
        assert!((found.metrics.throughput.bytes_per_second - 15.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_counted_is_not_good_enough_and_neither_is_what_was_given_up() {
        let mut plan = plan("http://a", ONE);
        plan.thresholds.error_ratio = Some(1.0);
        assert!(!of(&plan, &ran(&[], 0), frame(Ended::Finished)).passed);
        assert!(of(&plan, &ran(&[1], 0), frame(Ended::Finished)).passed);
        assert!(!of(&plan, &ran(&[1], 0), frame(Ended::Aborted)).passed);
        // Who stops a run in its quietest stage has not shown that the server is too slow.
        plan.thresholds.requests_per_s = Some(1e6);
        assert!(of(&plan, &ran(&[1], 0), frame(Ended::Stopped)).passed);
        assert!(!of(&plan, &ran(&[1], 0), frame(Ended::Finished)).passed);
    }

    #[test]
    fn a_generator_that_is_the_bottleneck_says_so() {
        let plan = plan("http://a", ONE);
        let quiet = of(&plan, &ran(&[50], 1), frame(Ended::Finished));
        assert!(!quiet.generator.limited && quiet.bottlenecks.is_empty());
        let late = of(&plan, &ran(&[50], 30), frame(Ended::Finished));
        assert!(
            late.generator.says.contains("ms late or later"),
            "{}",
            late.generator.says
        );
        assert_eq!(late.bottlenecks[0].kind, Component::Cpu);
        let mut crowded = frame(Ended::Finished);
        crowded.usage = Some(Shares {
            cpu: 0.95,
            run_queue_wait: 0.4,
        });
        let crowded = of(&plan, &ran(&[50], 1), crowded);
        let says = &crowded.generator.says;
        assert!(
            says.contains("processor in 40 %") && says.contains("at work in 95 %"),
            "{says}"
        );
    }
}
