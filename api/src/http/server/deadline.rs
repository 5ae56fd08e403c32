//! Deadlines for operations, request bodies and request heads.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{future::poll_fn, sync::Arc};

use hyper::rt;
use parking_lot::Mutex;
use tokio::{task::coop::unconstrained, time, time::Sleep};

/// Waits for work until a deadline, and returns `None` after it. Sets a timer only if the work has to wait.
pub async fn in_time<F: Future>(patience: Duration, work: F) -> Option<F::Output> {
    let (mut work, mut end) = (pin!(work), pin!(None));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if end.is_none() {
            // Unconstrained, to end work that has used up its task's cooperative budget.
            end.set(Some(unconstrained(time::sleep(patience))));
        }
        end.as_mut().as_pin_mut().map_or(Poll::Pending, |end| end.poll(cx)).map(|()| None)
    })
    .await
}

/// Timer of one connection, which has one deadline at a time.
///
/// hyper sets a deadline for the head of each request and drops it when the head has arrived. Setting and dropping a
/// timer of tokio takes a lock that all threads share. So a later deadline leaves tokio's timer unchanged. If that
/// timer fires too early, it is set to the deadline. Guarded by the benchmark `front`.
#[derive(Clone, Default)]
pub(super) struct Timer(Arc<Mutex<Option<Pin<Box<Sleep>>>>>);

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Deadline { timer: self.clone(), deadline })
    }
}

struct Deadline {
    timer: Timer,
    deadline: Instant,
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = time::Instant::from_std(self.deadline);
        let mut entered = self.timer.0.lock();
        let sleep = entered.get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl rt::Sleep for Deadline {}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use hyper::rt::Timer as _;
    use tokio::task::coop::consume_budget;

    use super::*;

    #[tokio::test]
    async fn work_has_its_time_and_no_more() {
        let patience = Duration::from_millis(50);
        assert_eq!(in_time(patience, async { 1 }).await, Some(1));
        assert_eq!(in_time(Duration::from_mins(1), time::sleep(patience)).await, Some(()));
        assert_eq!(in_time(patience, std::future::pending::<()>()).await, None);
        // Work that always uses up its budget.
        let busy = async {
            loop {
                consume_budget().await;
            }
        };
        assert_eq!(in_time(patience, busy).await, None::<()>);
    }

    #[tokio::test]
    async fn a_deadline_is_met_whatever_the_one_before_it_was() {
        let timer = Timer::default();
        for milliseconds in [[30, 60], [60_000, 30], [0, 30]] {
            let [given_up, wanted] = milliseconds.map(Duration::from_millis);
            let mut before = timer.sleep(given_up);
            let _ = poll!(&mut before);
            drop(before);
            let (began, mut deadline) = (Instant::now(), timer.sleep(wanted));
            assert!(poll!(&mut deadline).is_pending());
            deadline.await;
            let passed = began.elapsed();
            assert!((wanted..wanted + Duration::from_secs(2)).contains(&passed), "{passed:?} instead of {wanted:?}");
        }
    }
}
