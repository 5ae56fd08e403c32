//! Spans at a collector: one for each request, field and statement, in the client's trace.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use prost::Message;
use qv_tests::client::{PASSWORD, registration};
use qv_tests::process::Process;
use qv_tests::raw::post;
use qv_tests::world::World;
use qv_tests::{hex, operation};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Collector that keeps the bodies posted to it.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Vec<u8>>>>);

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let collector = Self::default();
        let taking = collector.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(taking.clone().take(connection));
            }
        });
        (collector, address)
    }

    async fn take(self, mut connection: TcpStream) {
        let mut bytes = Vec::new();
        loop {
            let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = head {
                let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
                assert!(head.contains("content-type: application/x-protobuf"), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).expect("a length");
                let length: usize = length.trim().parse().expect("a number");
                if bytes.len() >= end + 4 + length {
                    self.0.lock().expect("whole").push(bytes[end + 4..].to_vec());
                    break;
                }
            }
            assert_ne!(connection.read_buf(&mut bytes).await.expect("bytes"), 0, "broken off");
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("it reads");
    }

    fn spans(&self) -> Vec<Span> {
        let batches = self.0.lock().expect("whole");
        let batches = batches.iter().map(|bytes| ExportTraceServiceRequest::decode(&**bytes).expect("OTLP"));
        let resources = batches.flat_map(|batch| batch.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

#[tokio::test]
async fn a_request_its_fields_and_its_statements_are_spans_of_the_clients_trace() {
    let world = World::new().await;
    let (collector, address) = Collector::start().await;
    let endpoint = format!("http://{address}");
    let served = Process::start(&world, &[("TRACES__ENDPOINT", &endpoint)]).await;
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let body = json!({ "query": operation!("register"), "variables": { "input": registration("alice") } });
    let answer = post(served.address, &[("traceparent", &format!("00-{trace}-{parent}-01"))], &body).await;
    assert_eq!(answer.status, 200);
    let token = answer.json()["data"]["register"]["accessToken"].as_str().expect("a token").to_owned();
    served.stop().await;

    let spans: Vec<_> = collector.spans().into_iter().filter(|span| hex(&span.trace_id) == trace).collect();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:?}"));
    let request = named("POST /graphql");
    assert_eq!(hex(&request.parent_span_id), parent);
    let field = named("Mutation.register");
    assert_eq!(field.parent_span_id, request.span_id);
    assert_eq!(named("User.username").trace_id, request.trace_id);
    let below = |span: &Span| span.parent_span_id == field.span_id;
    let statements: Vec<_> = spans.iter().filter(|span| span.name.starts_with("sea_orm.")).collect();
    assert!(statements.iter().any(|span| below(span)), "{spans:?}");
    let everything = format!("{spans:?}");
    assert!(!everything.contains(PASSWORD) && !everything.contains(&token), "no secret is traced");
}

#[tokio::test]
async fn a_collector_that_is_away_harms_nobody() {
    let world = World::new().await;
    let served = Process::start(&world, &[("TRACES__ENDPOINT", "http://127.0.0.1:1")]).await;
    served.client().register("alice").await;
    assert!(served.stop().await.1.contains("the collector does not accept spans"));
}
