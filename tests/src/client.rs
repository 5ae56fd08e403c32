//! A client that uses GraphQL over HTTP and WebSocket, as a frontend does.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{operation, socket::Socket};

/// Password that satisfies the password policy.
pub const PASSWORD: &str = "plum-anvil-cobalt-drizzle-42";

/// Client of one node, with or without a session.
#[derive(Clone)]
pub struct Client {
    /// Address of the node.
    pub address: SocketAddr,
    /// Access token; none before sign-in.
    pub token: Option<String>,
    /// Refresh token; empty before sign-in.
    pub refresh_token: String,
    /// Global id of the user; empty before sign-in.
    pub id: String,
    /// Name of the user; empty before sign-in.
    pub username: String,
    http: reqwest::Client,
}

/// GraphQL response.
#[derive(Debug)]
pub struct Answer(pub Value);

impl Client {
    /// Creates a client without a session.
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

    /// Returns this client at another address of this machine.
    #[must_use]
    pub fn from_address(&self, address: IpAddr) -> Self {
        let http = reqwest::Client::builder().local_address(address).build().expect("a client");
        Self { http, ..self.clone() }
    }

    /// Returns this client, with its session, for another node.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Returns the URL of a path on the node.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Runs an operation.
    pub async fn run(&self, query: &str, variables: Value) -> Answer {
        self.try_run(query, variables).await.expect("the node answers in JSON")
    }

    /// Runs an operation on a node that may be unavailable.
    pub async fn try_run(&self, query: &str, variables: Value) -> reqwest::Result<Answer> {
        let mut request = self.http.post(self.url("/graphql")).json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(Answer(request.send().await?.json().await?))
    }

    /// Registers a user with this name and signs in.
    pub async fn register(&self, username: &str) -> Self {
        let answer = self.run(operation!("register"), json!({ "input": registration(username) })).await;
        self.signed_in(&answer, "register")
    }

    /// Registers a user for each name and signs in as each, one after the other.
    pub async fn register_all<const N: usize>(&self, usernames: [&str; N]) -> [Self; N] {
        let mut users = usernames.map(|_| self.clone());
        for (user, username) in users.iter_mut().zip(usernames) {
            *user = self.register(username).await;
        }
        users
    }

    /// Signs in as the user with this name, on another device.
    pub async fn login(&self, username: &str) -> Self {
        let input = json!({ "login": username, "password": PASSWORD });
        self.signed_in(&self.run(operation!("login"), json!({ "input": input })).await, "login")
    }

    /// Refreshes the session without sending the access token, which may have expired.
    pub async fn refresh(&self) -> Answer {
        let nobody = Self { token: None, ..self.clone() };
        let input = json!({ "refreshToken": self.refresh_token });
        nobody.run(operation!("refresh_session"), json!({ "input": input })).await
    }

    /// Refreshes the session and returns a client with the new tokens.
    pub async fn refreshed(&self) -> Self {
        self.signed_in(&self.refresh().await, "refreshSession")
    }

    /// Returns the id of the session.
    pub async fn session(&self) -> String {
        let answer = self.run(operation!("viewer"), Value::Null).await;
        answer.data()["viewer"]["session"]["id"].as_str().expect("an id").to_owned()
    }

    /// Returns the reason why the server rejects the access token, or none if the token is valid.
    pub async fn refusal(&self) -> Option<String> {
        let answer = self.run(operation!("viewer"), Value::Null).await;
        answer.0.get("errors").map(|errors| errors[0]["extensions"]["reason"].as_str().expect("a reason").to_owned())
    }

    /// Returns this client with the session that the response's `field` contains.
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

    /// Sends `content` under a client message id.
    pub async fn send(&self, recipient: &Self, content: &str, client_message_id: &str) -> Answer {
        self.run(operation!("send_message"), draft(recipient, content, client_message_id)).await
    }

    /// Marks messages as read, up to the message of a `sendMessage` response.
    pub async fn mark_read(&self, sent: &Answer) -> Answer {
        let sent = &sent.data()["sendMessage"];
        let input = json!({ "conversationId": sent["conversation"]["id"], "upToMessageId": sent["message"]["id"] });
        self.run(operation!("mark_read"), json!({ "input": input })).await
    }

    /// Deletes the messages with these ids on this user's side.
    pub async fn delete(&self, ids: &[Value]) -> Answer {
        self.run(operation!("delete_messages"), json!({ "input": { "ids": ids } })).await
    }

    /// Returns the newest messages of the conversation with a peer, and the unread counts.
    pub async fn messages(&self, peer: &Self) -> Value {
        let answer = self.run(operation!("messages"), json!({ "with": peer.id, "first": 100 })).await;
        answer.data()["viewer"].clone()
    }

    /// Returns a page of this user's feed.
    pub async fn feed_page(&self, after: Option<&str>, first: Option<i32>) -> Answer {
        self.run(operation!("feed_page"), json!({ "after": after, "first": first })).await
    }

    /// Opens a socket as this user.
    pub async fn socket(&self) -> Socket {
        Socket::open(self.address, self.token.as_deref()).await
    }

    /// Follows this user's feed after a cursor, on a separate socket.
    pub async fn feed(&self, after: Option<&str>) -> Socket {
        let mut socket = self.socket().await;
        socket.subscribe("feed", operation!("message_feed"), json!({ "after": after })).await;
        socket
    }
}

impl Answer {
    /// Returns the data of a response without errors.
    pub fn data(&self) -> &Value {
        assert!(self.0.get("errors").is_none(), "unexpected errors: {}", self.0);
        &self.0["data"]
    }

    /// Returns the id of the sent message.
    pub fn message_id(&self) -> Value {
        self.data()["sendMessage"]["message"]["id"].clone()
    }

    /// Whether there are errors, all of which must report a temporary outage. After a send was stored, single fields of
    /// the response can still fail.
    pub fn is_away(&self) -> bool {
        let errors = self.0.get("errors").and_then(Value::as_array);
        for error in errors.into_iter().flatten() {
            let code = error["extensions"]["code"].as_str();
            assert!(code.is_some_and(|code| ["UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&code)), "{}", self.0);
            assert!(error["extensions"]["requestId"].is_string(), "{}", self.0);
        }
        errors.is_some()
    }

    /// Returns the code and extensions of the only error.
    #[must_use]
    pub fn error(&self) -> (&str, &Value) {
        let errors = self.0["errors"].as_array().unwrap_or_else(|| panic!("no errors: {}", self.0));
        assert_eq!(errors.len(), 1, "{}", self.0);
        let extensions = &errors[0]["extensions"];
        assert!(extensions["requestId"].is_string(), "{}", self.0);
        (extensions["code"].as_str().unwrap_or_else(|| panic!("no code: {}", self.0)), extensions)
    }
}

/// Returns the input that registers a user with this name.
#[must_use]
pub fn registration(username: &str) -> Value {
    json!({ "username": username, "email": format!("{username}@example.org"), "password": PASSWORD })
}

/// Returns the variables that send `content`.
#[must_use]
pub fn draft(recipient: &Client, content: &str, client_message_id: &str) -> Value {
    json!({ "input": {
        "recipientId": recipient.id,
        "encryptedContent": base64(content),
        "iv": base64("twelve bytes"),
        "clientMessageId": client_message_id,
    } })
}

/// Decodes bytes from the API.
pub fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().expect("text")).expect("base 64")
}

/// Encodes bytes as the API does.
#[must_use]
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}
