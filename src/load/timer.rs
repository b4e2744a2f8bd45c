//! A timer that the kernel keeps to microseconds; tokio's own rounds to milliseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Waits, one wait at a time.
#[derive(Debug)]
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may give their descriptor away; an `OwnedFd` \
                  that nobody else holds does not"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        AsyncFd::new(timer).map(Self)
    }

    /// Comes after `length`. Dropped before, it leaves nothing behind.
    pub(super) async fn wait(&self, length: Duration) -> io::Result<()> {
        // Zero would disarm it.
        let length = length.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: length.subsec_nanos().into(),
            },
        };
        // Setting it anew forgets an expiry that nobody has read.
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expiries = [0; 8];
            match rustix::io::read(self.0.get_ref(), &mut expiries) {
                Ok(_) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stopwatch;

    #[tokio::test]
    async fn it_never_comes_early_and_can_be_used_again_and_again() {
        let timer = Timer::new().unwrap();
        for micros in [0, 300, 2_500, 300] {
            let watch = Stopwatch::start();
            let length = Duration::from_micros(micros);
            timer.wait(length).await.unwrap();
            assert!(watch.elapsed() >= length, "{:?}", watch.elapsed());
        }
        let given_up =
            tokio::time::timeout(Duration::from_millis(5), timer.wait(Duration::from_mins(1)));
        assert!(given_up.await.is_err());
        let watch = Stopwatch::start();
        timer.wait(Duration::from_millis(3)).await.unwrap();
        assert!(watch.elapsed() >= Duration::from_millis(3));
    }
}
