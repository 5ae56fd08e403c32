//! Exports spans to a collector (OpenTelemetry, OTLP over HTTP): one per request, field and statement.

use std::{sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Uri, client::conn::http1, header, http::HeaderValue};
use hyper_util::rt::TokioIo;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tokio::{net::TcpStream, runtime::Handle, time::timeout};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::config::{self, ConfigError};

/// Timeout of a batch, and of the last batch at the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of queued spans. Further spans are dropped.
const WAITING: usize = 16 * 1024;
/// Maximum bytes that are read of a collector's response, which is normally almost empty.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
const PARENT: &str = "traceparent";

/// Exporter of spans to the collector.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Opens the exporter, and the layer that collects spans. `None` if no collector is configured.
    pub(super) fn open<S: Subscriber + for<'a> LookupSpan<'a>>(
        settings: &config::Traces,
        runtime: &Handle,
    ) -> Result<Option<(Self, impl Layer<S> + use<S>)>, ConfigError> {
        if !settings.is_on() {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Post { runtime: runtime.clone(), is_away: AtomicBool::new(false) })
            .with_endpoint(format!("{}/v1/traces", settings.endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| {
                ConfigError(format!("QUANTUMVAULT__TRACES__ENDPOINT cannot be used ({error}): correct it"))
            })?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING).build();
        let ratio = Sampler::TraceIdRatioBased(f64::from(settings.sample_percent) / 100.0);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(Resource::builder().with_service_name("quantumvault").build())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("quantumvault"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_traced));
        Ok(Some((Self(provider), layer)))
    }

    pub(super) fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Makes a span part of its client's trace, if the client has one (W3C Trace Context, `traceparent`).
pub fn adopt(span: &Span, headers: &HeaderMap) {
    if !span.is_disabled() && headers.contains_key(PARENT) {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails only without a collector, and then the parent is not needed.
        let _ = span.set_parent(parent);
    }
}

/// Whether a span is exported: this server's requests and fields, and SeaORM's statements.
pub(super) fn is_traced(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    metadata.is_span()
        && (target.starts_with("quantumvault")
            || target.starts_with("sea_orm") && *metadata.level() <= tracing::Level::INFO)
}

/// HTTP client of the exporter. Each batch gets a new connection, since batches are seconds apart.
#[derive(Debug)]
struct Post {
    runtime: Handle,
    is_away: AtomicBool,
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Batches are sent by a separate thread, which has no runtime.
        let posted = self.runtime.spawn(async { timeout(PATIENCE, post(request)).await }).await;
        let answer = posted.map_err(HttpError::from).and_then(|in_time| in_time?);
        let is_away = !answer.as_ref().is_ok_and(|answer| answer.status().is_success());
        if is_away && !self.is_away.swap(true, Relaxed) {
            let cause = answer.as_ref().map_or_else(ToString::to_string, |answer| answer.status().to_string());
            tracing::warn!(cause, "the collector does not accept spans; they are dropped");
        } else if !is_away && self.is_away.swap(false, Relaxed) {
            tracing::info!("the collector accepts spans again");
        }
        answer
    }
}

async fn post(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().ok_or("traces.endpoint has no host")?.clone();
    head.headers.insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    head.uri = head.uri.path_and_query().map_or_else(Uri::default, |target| target.clone().into());
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(Request::from_parts(head, Full::new(body))).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}
