//! Metrics as they are recorded, on whichever node.
//!
//! Nothing is missed, because a reader goes by places and not by ids or times: ids are made before their transactions
//! commit and by several clocks, so one that becomes visible late may be less than one that was seen; places become
//! visible in their order (`store::performance_metrics::insert_many`). A reader keeps the place it has passed. The bus
//! merely says when to look again, and where it does not, the reader looks by itself after a while.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream};

use crate::bus::Subscription;
use crate::domain::{MetricName, PerformanceMetric, event::Topic};
use crate::service::context::streams::{retry_while_unavailable, spawn_read};
use crate::service::{Admin, Backend, Error};
use crate::store;

/// Metrics read at a time.
const BATCH: u64 = 100;

/// Each metric of these names, or of any, that is recorded from now on.
pub async fn follow(
    admin: Admin<'_>,
    names: Option<Vec<MetricName>>,
) -> Result<impl Stream<Item = Result<PerformanceMetric, Error>> + use<>, Error> {
    let backend = Arc::clone(&admin.backend);
    // Listening begins before the first look, so that nothing falls between the two.
    let news = backend.bus.subscribe(Topic::Metrics);
    let reader = Arc::clone(&backend);
    let position = spawn_read(async move { Ok(store::performance_metrics::last_sequence(reader.store.db()).await?) });
    let position = position.await?;
    let live = Live { backend, names, news, position, ready: VecDeque::new() };
    Ok(stream::try_unfold(live, |mut live| async move { Ok(Some((live.next().await?, live))) }))
}

struct Live {
    backend: Arc<Backend>,
    names: Option<Vec<MetricName>>,
    news: Subscription,
    position: i64,
    ready: VecDeque<PerformanceMetric>,
}

impl Live {
    async fn next(&mut self) -> Result<PerformanceMetric, Error> {
        loop {
            if let Some(metric) = self.ready.pop_front() {
                return Ok(metric);
            }
            if self.read().await? {
                continue;
            }
            let poll = self.backend.poll_interval();
            tokio::select! {
                _ = self.news.news() => {}
                () = tokio::time::sleep(poll) => {}
            }
        }
    }

    /// Reads on, and says whether there was anything.
    ///
    /// The names are told apart here and not in the statement, so that each row is passed once, whatever its name.
    async fn read(&mut self) -> Result<bool, Error> {
        let read = || {
            let (backend, position) = (Arc::clone(&self.backend), self.position);
            spawn_read(
                async move { Ok(store::performance_metrics::find_after(backend.store.db(), position, BATCH).await?) },
            )
        };
        let rows = retry_while_unavailable(&self.backend, "a stream of metrics", read).await?;
        let Some((last, _)) = rows.last() else { return Ok(false) };
        self.position = *last;
        let is_wanted = |metric: &PerformanceMetric| {
            self.names.as_ref().is_none_or(|names| names.iter().any(|name| name.as_str() == metric.name))
        };
        self.ready = rows.into_iter().map(|(_, metric)| metric).filter(is_wanted).collect();
        Ok(true)
    }
}
