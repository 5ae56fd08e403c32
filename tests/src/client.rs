//! A client as a frontend would be: GraphQL over HTTP and over the WebSocket.

use std::net::SocketAddr;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{operation, socket::Socket};

/// A password that every rule accepts.
pub const PASSWORD: &str = "plum-anvil-cobalt-drizzle-42";

/// Talks to one node, with or without a session.
#[derive(Clone)]
pub struct Client {
    /// The node.
    pub address: SocketAddr,
    /// The access token, once there is one.
    pub token: Option<String>,
    /// What the next tokens are got with, once there is one.
    pub refresh_token: String,
    /// The user's global id, once there is one.
    pub id: String,
    /// The user's name, once there is one.
    pub username: String,
    http: reqwest::Client,
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer(pub Value);

impl Client {
    /// Nobody yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            token: None,
            refresh_token: String::new(),
            id: String::new(),
            username: String::new(),
            http: reqwest::Client::new(),
        }
    }

    /// The same user at another node.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Where this node answers.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Runs an operation.
    pub async fn run(&self, query: &str, variables: Value) -> Answer {
        self.try_run(query, variables).await.expect("the node answers in JSON")
    }

    /// Runs an operation at a node that may be away.
    pub async fn try_run(&self, query: &str, variables: Value) -> reqwest::Result<Answer> {
        let mut request = self.http.post(self.url("/graphql")).json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(Answer(request.send().await?.json().await?))
    }

    /// Registers a user of this name and signs in as it.
    pub async fn register(&self, username: &str) -> Self {
        let answer = self.run(operation!("register"), json!({ "input": registration(username) })).await;
        self.signed_in(&answer, "register")
    }

    /// Registers a user of each name and signs in as each, one after the other.
    pub async fn register_all<const N: usize>(&self, usernames: [&str; N]) -> [Self; N] {
        let mut users = usernames.map(|_| self.clone());
        for (user, username) in users.iter_mut().zip(usernames) {
            *user = self.register(username).await;
        }
        users
    }

    /// Signs in as the user of this name, on another device.
    pub async fn login(&self, username: &str) -> Self {
        let input = json!({ "login": username, "password": PASSWORD });
        self.signed_in(&self.run(operation!("login"), json!({ "input": input })).await, "login")
    }

    /// Asks for the session's next tokens, as a client does whose access token may have expired.
    pub async fn refresh(&self) -> Answer {
        let nobody = Self { token: None, ..self.clone() };
        let input = json!({ "refreshToken": self.refresh_token });
        nobody.run(operation!("refresh_session"), json!({ "input": input })).await
    }

    /// The client with the session's next tokens.
    pub async fn refreshed(&self) -> Self {
        self.signed_in(&self.refresh().await, "refreshSession")
    }

    /// The id of the session.
    pub async fn session(&self) -> String {
        let answer = self.run(operation!("viewer"), Value::Null).await;
        answer.data()["viewer"]["session"]["id"].as_str().expect("an id").to_owned()
    }

    /// Why the server does not take the access token, if it does not.
    pub async fn refusal(&self) -> Option<String> {
        let answer = self.run(operation!("viewer"), Value::Null).await;
        answer.0.get("errors").map(|errors| errors[0]["extensions"]["reason"].as_str().expect("a reason").to_owned())
    }

    /// The client that a sign-in's answer makes of this one.
    #[must_use]
    pub fn signed_in(&self, answer: &Answer, field: &str) -> Self {
        let grant = &answer.data()[field];
        let user = &grant["viewer"]["user"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
        Self {
            token: Some(text(&grant["accessToken"])),
            refresh_token: text(&grant["refreshToken"]),
            id: text(&user["id"]),
            username: text(&user["username"]),
            ..self.clone()
        }
    }

    /// Sends bytes under an id of the sender's own.
    pub async fn send(&self, recipient: &Self, content: &str, client_message_id: &str) -> Answer {
        self.run(operation!("send_message"), draft(recipient, content, client_message_id)).await
    }

    /// Marks messages read, up to one that was sent.
    pub async fn mark_read(&self, sent: &Answer) -> Answer {
        let sent = &sent.data()["sendMessage"];
        let input = json!({ "conversationId": sent["conversation"]["id"], "upToMessageId": sent["message"]["id"] });
        self.run(operation!("mark_read"), json!({ "input": input })).await
    }

    /// Deletes messages of these ids on this user's side.
    pub async fn delete(&self, ids: &[Value]) -> Answer {
        self.run(operation!("delete_messages"), json!({ "input": { "ids": ids } })).await
    }

    /// The newest messages of the conversation with a peer, the counts beside them.
    pub async fn messages(&self, peer: &Self) -> Value {
        let answer = self.run(operation!("messages"), json!({ "with": peer.id, "first": 100 })).await;
        answer.data()["viewer"].clone()
    }

    /// A page of this user's feed.
    pub async fn feed_page(&self, after: Option<&str>, first: Option<i32>) -> Answer {
        self.run(operation!("feed_page"), json!({ "after": after, "first": first })).await
    }

    /// Opens a socket as this user.
    pub async fn socket(&self) -> Socket {
        Socket::open(self.address, self.token.as_deref()).await
    }

    /// Follows this user's feed behind a cursor, on a socket of its own.
    pub async fn feed(&self, after: Option<&str>) -> Socket {
        let mut socket = self.socket().await;
        socket.subscribe("feed", operation!("message_feed"), json!({ "after": after })).await;
        socket
    }
}

impl Answer {
    /// The data of an answer without errors.
    pub fn data(&self) -> &Value {
        assert!(self.0.get("errors").is_none(), "unexpected errors: {}", self.0);
        &self.0["data"]
    }

    /// The id of the message that was sent.
    pub fn message_id(&self) -> Value {
        self.data()["sendMessage"]["message"]["id"].clone()
    }

    /// Whether there are errors, which must all say that something is away for now: after a send that was stored, each
    /// field of the answer can fail by itself.
    pub fn is_away(&self) -> bool {
        let errors = self.0.get("errors").and_then(Value::as_array);
        for error in errors.into_iter().flatten() {
            let code = error["extensions"]["code"].as_str();
            assert!(code.is_some_and(|code| ["UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&code)), "{}", self.0);
            assert!(error["extensions"]["requestId"].is_string(), "{}", self.0);
        }
        errors.is_some()
    }

    /// The only error's code and extensions.
    #[must_use]
    pub fn error(&self) -> (&str, &Value) {
        let errors = self.0["errors"].as_array().unwrap_or_else(|| panic!("no errors: {}", self.0));
        assert_eq!(errors.len(), 1, "{}", self.0);
        let extensions = &errors[0]["extensions"];
        assert!(extensions["requestId"].is_string(), "{}", self.0);
        (extensions["code"].as_str().unwrap_or_else(|| panic!("no code: {}", self.0)), extensions)
    }
}

/// What registers a user of this name.
#[must_use]
pub fn registration(username: &str) -> Value {
    json!({ "username": username, "email": format!("{username}@example.org"), "password": PASSWORD })
}

/// The variables that send bytes.
#[must_use]
pub fn draft(recipient: &Client, content: &str, client_message_id: &str) -> Value {
    json!({ "input": {
        "recipientId": recipient.id,
        "encryptedContent": base64(content),
        "iv": base64("twelve bytes"),
        "clientMessageId": client_message_id,
    } })
}

/// The bytes that the API has written.
pub fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().expect("text")).expect("base 64")
}

/// Bytes as the API writes them.
#[must_use]
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}
