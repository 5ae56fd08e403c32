//! Follows subscriptions: one answer per event, and little memory between events.

use std::task::{Poll, ready};
use std::{sync::Arc, task};

use async_graphql::{ObjectType, Response, SubscriptionType};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, poll_fn};

use crate::engine::{Answer, Context, EventSource, PreparedOperation, executor::Executor, finish};

/// Returns the answers to a subscription's events.
pub(super) fn follow<Q, M, S, C>(
    executor: Arc<Executor<Q, M, S>>,
    prepared: PreparedOperation,
    context: C,
) -> BoxStream<'static, Answer>
where
    Q: ObjectType + Default + 'static,
    M: ObjectType + Default + 'static,
    S: SubscriptionType + Default + 'static,
    C: Context,
{
    let shape = Arc::clone(&prepared.shape);
    let (answered, is_small) = (context.clone(), prepared.is_small());
    let begin = {
        let context = context.clone();
        move || Arc::clone(&executor).subscribe(prepared.clone(), context.for_next_event())
    };
    let mut responses = Some(begin());
    poll_fn(move |cx| poll(&mut responses, &begin, context.event_source().filter(|_| is_small), cx))
        .map(move |mut response| {
            shape.restore(&mut response);
            Answer { event_id: answered.take_event_id(), ..finish(response, &answered) }
        })
        .boxed()
}

/// Polls the stream of responses. That stream holds kilobytes: the document, and the state that async-graphql needs for
/// an event. So the stream is dropped while the source is idle, and created again for the next event. Guarded by the
/// benchmark `sockets`.
fn poll(
    responses: &mut Option<BoxStream<'static, Response>>,
    begin: impl Fn() -> BoxStream<'static, Response>,
    source: Option<&dyn EventSource>,
    cx: &mut task::Context<'_>,
) -> Poll<Option<Response>> {
    loop {
        match (&mut *responses, source) {
            (Some(active), source) => match active.poll_next_unpin(cx) {
                Poll::Pending if source.is_some_and(EventSource::is_idle) => *responses = None,
                polled => return polled,
            },
            (None, Some(source)) if ready!(source.poll_ready(cx)) => *responses = Some(begin()),
            (None, _) => return Poll::Ready(None),
        }
    }
}
