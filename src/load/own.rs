//! What the generator's own thread takes, and how many connections it may open, as the kernel says.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the kernel tells of the thread that asks: nanoseconds that it ran, nanoseconds that it was
/// ready and waited for a processor, and how often it ran (`Documentation/scheduler/sched-stats`).
const SCHEDSTAT: &str = "/proc/thread-self/schedstat";

/// Time that this thread ran, and waited to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    ran: Duration,
    waited: Duration,
}

/// Shares of a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shares {
    pub(super) cpu: f64,
    pub(super) run_queue_wait: f64,
}

impl Usage {
    /// Of the thread that asks, until now; `None` where the kernel does not say.
    pub(super) fn now() -> Option<Self> {
        Self::read(&std::fs::read_to_string(SCHEDSTAT).ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let mut nanos = || Some(Duration::from_nanos(fields.next()?.parse().ok()?));
        Some(Self {
            ran: nanos()?,
            waited: nanos()?,
        })
    }

    /// What was used since `before`, as shares of `span`.
    pub(super) fn since(before: Option<Self>, span: Duration) -> Option<Shares> {
        Self::now()?.over(before?, span)
    }

    fn over(self, before: Self, span: Duration) -> Option<Shares> {
        let share = |now: Duration, then: Duration| {
            now.saturating_sub(then).as_secs_f64() / span.as_secs_f64()
        };
        (!span.is_zero()).then(|| Shares {
            cpu: share(self.ran, before.ran),
            run_queue_wait: share(self.waited, before.waited),
        })
    }
}

/// Files that this process needs besides these connections and what it has open now: a server's own
/// connections, those of its store.
const SPARE: u64 = 512;
/// One entry for each file that is open.
const OPEN: &str = "/proc/self/fd";

/// How many connections may be open, at most `wanted`: the limit of open files is raised as far as it
/// may be raised.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir(OPEN).map_or(0, |files| files.count() as u64);
    let kept = SPARE + open;
    let needed = (wanted as u64).saturating_add(kept);
    if limit.current.is_none_or(|current| current >= needed) {
        return wanted;
    }
    let current = limit.maximum.map_or(needed, |most| most.min(needed));
    let raised = Rlimit {
        current: Some(current),
        ..limit
    };
    let held = if setrlimit(Resource::Nofile, raised).is_ok() {
        current
    } else {
        limit.current.unwrap_or(needed)
    };
    let free = usize::try_from(held.saturating_sub(kept)).unwrap_or(usize::MAX);
    free.clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_connections_as_files_may_be_open_and_no_more_than_wanted() {
        assert_eq!(connections(10), 10);
        let most = getrlimit(Resource::Nofile).maximum;
        let many = connections(usize::MAX / 2) as u64;
        assert!(most.is_none_or(|most| many < most) && many >= 1);
    }

    #[test]
    fn the_kernel_s_line_is_read_and_others_are_none() {
        let before = Usage::read("1000000000 200000000 17\n").unwrap();
        let now = Usage::read("1500000000 300000000 99\n").unwrap();
        let shares = now.over(before, Duration::from_secs(1)).unwrap();
        assert!((shares.cpu - 0.5).abs() < 1e-9);
        assert!((shares.run_queue_wait - 0.1).abs() < 1e-9);
        assert_eq!(now.over(before, Duration::ZERO), None);
        for other in ["", "7", "x y z"] {
            assert_eq!(Usage::read(other), None);
        }
    }
}
