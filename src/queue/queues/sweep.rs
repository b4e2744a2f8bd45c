//! What is done to many jobs at once, round by round, so that others have their turn in between.

use std::time::Duration;

use super::{Queues, ROUND, lock};
use crate::model::job::{JobState, QueueName};
use crate::model::units::Timestamp;
use crate::queue::{Clear, Filter, PageAsk, Result, Retry};

impl Queues {
    /// Removes jobs, round by round, and says how many.
    ///
    /// # Errors
    /// As [`crate::queue::QueueAdmin::clear`]; what was removed by then stays so.
    pub async fn clear(&self, queue: &QueueName, clear: Clear) -> Result<u64> {
        let mut total = 0;
        loop {
            let removed = self.keeper.clear(queue, clear, ROUND, self.now()).await?;
            if removed == 0 {
                break;
            }
            total += removed;
            tokio::task::yield_now().await;
        }
        let is_gone = matches!(clear, Clear::Everything { .. });
        if is_gone {
            self.settings.send_modify(|times| *times += 1);
            lock(&self.bells).remove(queue);
            lock(&self.meters).remove(queue);
            lock(&self.times_set).remove(queue);
            lock(&self.alarms).retain(|(name, _), _| name != queue);
        }
        let name = if is_gone { "obliterated" } else { "drained" };
        self.tell(name, queue, None, None);
        Ok(total)
    }

    /// Takes up again what was given up by now, at a rate if one is asked for, and says how many.
    /// What is given up again meanwhile stays.
    ///
    /// # Errors
    /// As [`crate::queue::QueueAdmin::retry`]; what was taken up by then stays so.
    pub async fn retry(&self, queue: &QueueName, ask: &Retry) -> Result<u64> {
        let mut total = 0;
        let mut round = ask.clone();
        let end = self.last_end(queue, ask.state).await?;
        round.filter.until = ask.filter.until.into_iter().chain([end]).min();
        let limit = ask.limit as u64;
        while total < limit {
            let most = limit.saturating_sub(total).min(ROUND as u64);
            round.limit = usize::try_from(most).unwrap_or(ROUND);
            let taken = self.keeper.retry(queue, &round, self.now()).await?;
            total += taken;
            round.taken += taken;
            if taken < most {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.bell(queue).notify_waiters();
        self.replan().await;
        Ok(total)
    }

    /// Just after the newest of those that ended so: later than now if the clock was set back.
    async fn last_end(&self, queue: &QueueName, state: JobState) -> Result<Timestamp> {
        let newest = PageAsk {
            state,
            cursor: None,
            limit: 1,
            filter: Filter::default(),
        };
        let newest = self.keeper.page(queue, &newest).await?;
        let ended = newest.jobs.first().and_then(|job| job.finished_at);
        let last = ended.into_iter().fold(self.now(), Timestamp::max);
        Ok(last.plus(Duration::from_millis(1)))
    }
}
