//! Processor time: what a forecast costs, whatever else the machine does.

use std::fs;

/// Passes whose median counts.
const REPEATS: usize = 5;
/// The kernel's figure moves in steps of a few milliseconds; a pass is repeated for this long.
const LEAST_MS: f64 = 300.0;

/// Processor time of this thread so far, in ms; NaN where the system does not tell.
fn spent_ms() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text
        .split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok());
    ns.map_or(f64::NAN, |ns: f64| ns / 1e6)
}

/// Processor time of all children that have ended, in ms; NaN where the system does not tell.
pub(crate) fn children_ms() -> f64 {
    /// Linux counts in hundredths of a second, whatever the machine (`proc(5)`, `stat`).
    const TICK_MS: f64 = 10.0;
    /// Where `cutime` stands behind the program's name, `cstime` after it.
    const USER: usize = 13;
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = text.rsplit(')').next().unwrap_or_default();
    let mut ticks = behind.split_whitespace().skip(USER).map(str::parse::<f64>);
    match (ticks.next(), ticks.next()) {
        (Some(Ok(user)), Some(Ok(system))) => (user + system) * TICK_MS,
        _ => f64::NAN,
    }
}

/// Processor time of `pass` over `count` series, a series, in ms: the median of five.
pub(crate) fn ms_each(count: usize, pass: impl Fn()) -> f64 {
    let mut each: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let (start, mut passes, mut spent) = (spent_ms(), 0.0, 0.0);
            while passes < 1.0 || spent < LEAST_MS {
                pass();
                passes += 1.0;
                spent = spent_ms() - start;
            }
            spent / passes / count.max(1) as f64
        })
        .collect();
    each.sort_by(f64::total_cmp);
    each[REPEATS / 2]
}
