//! Tests of operations whose resolvers panic or whose clients do not wait.

use std::{sync::Arc, time::Duration};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value};
use async_trait::async_trait;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::crypto::SigningKey;
use crate::domain::{Client, Random, Source};
use crate::engine::GraphqlRequest;
use crate::graphql::{DEFINITION, Engine};
use crate::http::{AppState, Dependencies, answer::Caller, serve_public};
use crate::service::Backend;
use crate::telemetry::{PANICS, watch_panics};

/// Extension that panics where a resolver of this field would run.
struct Broken(&'static str);

impl ExtensionFactory for Broken {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(self.0))
    }
}

#[async_trait]
impl Extension for Broken {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        assert_ne!(info.name, self.0, "the-cause-of-the-panic");
        next.run(ctx, info).await
    }
}

/// Creates the real state with a schema whose field of this name panics. An unknown name breaks nothing.
async fn state(field: &'static str, folder: &TempDir) -> Arc<AppState> {
    let data_dir = folder.path().to_str().unwrap().to_owned();
    let config = config::load([("QUANTUMVAULT__DATA_DIR".to_owned(), data_dir)]).unwrap();
    let (source, pair) = (Source::default(), SigningKey::generate(&Random::System).unwrap());
    let deps = Dependencies {
        engine: Engine::with_extension(&DEFINITION, config.graphql.clone(), Some(Broken(field))).unwrap(),
        http: config.http.clone(),
        sockets: config.sockets.clone(),
        operations: config.operations.clone(),
        backend: Backend::open(config, source.clone(), SigningKey::from_pkcs8(&pair).unwrap()).await.unwrap(),
        source,
        pages: None,
    };
    AppState::new(deps, CancellationToken::new())
}

async fn ask(connection: &mut TcpStream, query: &str) -> String {
    let body = serde_json::json!({ "query": query }).to_string();
    let length = body.len();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("}}") && !answer.ends_with("}]}") && !answer.ends_with("null}") {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "the connection was cut after: {answer}");
        answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    answer
}

#[tokio::test]
async fn a_panic_is_one_coded_error_and_the_connection_goes_on() {
    watch_panics();
    let folder = tempfile::tempdir().unwrap();
    let state = state("serviceConfig", &folder).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connection = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let serving = tokio::spawn(serve_public(listener, Arc::clone(&state)));
    for panics in 1..=3 {
        let answer = ask(&mut connection, "{ serviceConfig { maxMessageBytes } }").await;
        assert!(answer.contains("INTERNAL_SERVER_ERROR") && answer.contains("requestId"), "{answer}");
        assert!(!answer.contains("the-cause"), "{answer}");
        assert_eq!(PANICS.read(), panics);
        let answer = ask(&mut connection, "{ __typename }").await;
        assert!(answer.ends_with(r#"{"data":{"__typename":"Query"}}"#), "{answer}");
    }
    drop(connection);
    state.stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn an_operation_whose_answer_nobody_waits_for_gives_its_place_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = state("", &folder).await;
    let places = state.permits.available_permits();
    let client = Arc::new(Client { request_id: "1".to_owned(), ip: None, user_agent: None });
    let caller = Caller { client, viewer: None, position: None };
    let request =
        GraphqlRequest::from_json(serde_json::json!({ "query": "{ serviceConfig { maxMessageBytes } }" })).unwrap();
    let prepared = state.prepare(request, &caller).map_err(|answer| answer.body).unwrap();
    let permit = state.admit(&caller.client).map_err(|answer| answer.body).unwrap();
    assert_eq!(state.permits.available_permits(), places - 1);
    let _answer = state.execute(prepared, caller, permit);
    let ran = async {
        while state.permits.available_permits() < places {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ran).await.unwrap();
}
