//! Stream of metrics from all nodes, as they are recorded.
//!
//! A reader misses no metric, because it follows sequence numbers, which become visible in order
//! (`store::performance_metrics::insert_many`). Ids and times would not do: several clocks assign them before their
//! transactions commit. So a metric that becomes visible late may have a smaller id than one already read. A reader
//! keeps the last sequence number that it has passed. The bus only sends hints to read again. Without a hint, the
//! reader polls.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream};

use crate::bus::Subscription;
use crate::domain::{MetricName, PerformanceMetric, event::Topic};
use crate::service::context::streams::{retry_while_unavailable, spawn_read};
use crate::service::{Admin, Backend, Error};
use crate::store;

/// Metrics per read.
const BATCH: u64 = 100;

/// Streams each metric that is recorded from now on, limited to the given names if there are any.
pub async fn follow(
    admin: Admin<'_>,
    names: Option<Vec<MetricName>>,
) -> Result<impl Stream<Item = Result<PerformanceMetric, Error>> + use<>, Error> {
    let backend = Arc::clone(&admin.backend);
    // Subscribes before the first read, so that no metric is missed in between.
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

    /// Reads the next metrics. Returns whether there were any.
    ///
    /// Filters the names here and not in the statement, so that the reader passes each row once.
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
