//! Deadlines of work that is mostly done at once.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::{task::coop::unconstrained, time};

/// What comes of work in time; the clock is looked at only if it has to wait.
pub async fn in_time<F: Future>(patience: Duration, work: F) -> Option<F::Output> {
    let (mut work, mut end) = (pin!(work), pin!(None));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if end.is_none() {
            // Also for work that has used up its task's turn.
            end.set(Some(unconstrained(time::sleep(patience))));
        }
        end.as_mut().as_pin_mut().map_or(Poll::Pending, |end| end.poll(cx)).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::task::coop::consume_budget;

    use super::*;

    #[tokio::test]
    async fn work_has_its_time_and_no_more() {
        let patience = Duration::from_millis(50);
        assert_eq!(in_time(patience, async { 1 }).await, Some(1));
        assert_eq!(in_time(Duration::from_mins(1), time::sleep(patience)).await, Some(()));
        assert_eq!(in_time(patience, std::future::pending::<()>()).await, None);
        // Whose turns are always used up.
        let busy = async {
            loop {
                consume_budget().await;
            }
        };
        assert_eq!(in_time(patience, busy).await, None::<()>);
    }
}
