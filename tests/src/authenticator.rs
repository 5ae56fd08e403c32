//! A software authenticator, together with the browser between it and the page.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use webauthn_authenticator_rs::prelude::{Url, WebauthnAuthenticator};
use webauthn_authenticator_rs::softpasskey::SoftPasskey;

use crate::client::{Answer, Client};
use crate::operation;

/// Authenticator with one passkey, used on pages of one origin.
pub struct Authenticator {
    soft: SoftPasskey,
    /// Origin of the page.
    pub origin: String,
    /// Id of the passkey; empty before it exists.
    pub credential_id: String,
    /// User handle of the passkey.
    pub handle: String,
    /// Whether the user proves presence with a fingerprint or PIN when a page requires that.
    pub verifies_user: bool,
}

impl Authenticator {
    /// Creates an authenticator for pages of this client's node.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self {
            soft: SoftPasskey::new(true),
            origin: format!("http://localhost:{}", client.address.port()),
            credential_id: String::new(),
            handle: String::new(),
            verifies_user: true,
        }
    }

    /// Creates an authenticator and adds its passkey to this client's account.
    pub async fn of(client: &Client) -> Self {
        let mut authenticator = Self::new(client);
        authenticator.add_to(client).await.data();
        authenticator
    }

    /// Creates a passkey and adds it to the client's account.
    pub async fn add_to(&mut self, client: &Client) -> Answer {
        let (ceremony_id, options) = begin(client, operation!("begin_passkey_registration")).await;
        let credential = self.create(&options);
        finish_registration(client, &ceremony_id, credential).await
    }

    /// Signs in with the passkey.
    pub async fn log_in(&mut self, client: &Client) -> Answer {
        let (ceremony_id, options) = begin(client, operation!("begin_passkey_login")).await;
        let assertion = self.assert(&options);
        finish_login(client, &ceremony_id, assertion).await
    }

    /// Returns the result of `navigator.credentials.create`.
    pub fn create(&mut self, options: &Value) -> Value {
        let mut options = self.seen(options, "/authenticatorSelection/userVerification");
        self.handle = text(&options["user"]["id"]);
        // `SoftPasskey` cannot discover its passkey. Each sign-in has to name it.
        options["authenticatorSelection"]["requireResidentKey"] = json!(false);
        let options = serde_json::from_value(json!({ "publicKey": options })).expect("creation options");
        let credential = self.soft.do_registration(self.origin(), options).expect("a credential");
        let credential = serde_json::to_value(credential).expect("JSON");
        self.credential_id = text(&credential["rawId"]);
        credential
    }

    /// Returns the result of `navigator.credentials.get`.
    pub fn assert(&mut self, options: &Value) -> Value {
        let mut options = self.seen(options, "/userVerification");
        options["allowCredentials"] = json!([{ "type": "public-key", "id": self.credential_id }]);
        let options = serde_json::from_value(json!({ "publicKey": options })).expect("request options");
        let assertion = self.soft.do_authentication(self.origin(), options).expect("an assertion");
        let mut assertion = serde_json::to_value(assertion).expect("JSON");
        assertion["response"]["userHandle"] = json!(self.handle);
        assertion
    }

    fn seen(&self, options: &Value, verification: &str) -> Value {
        let mut options = options.clone();
        if !self.verifies_user {
            *options.pointer_mut(verification).expect("the options ask for verification") = json!("discouraged");
        }
        options
    }

    fn origin(&self) -> Url {
        Url::parse(&self.origin).expect("an origin")
    }
}

/// Begins a ceremony and returns its id and options.
pub async fn begin(client: &Client, operation: &str) -> (String, Value) {
    let answer = client.run(operation, Value::Null).await;
    let offer = answer.data().as_object().and_then(|data| data.values().next()).expect("a root field");
    (text(&offer["id"]), offer["options"].clone())
}

/// Finishes a registration.
pub async fn finish_registration(client: &Client, ceremony_id: &str, credential: Value) -> Answer {
    let input = json!({ "ceremonyId": ceremony_id, "credential": credential, "deviceName": "a key" });
    client.run(operation!("finish_passkey_registration"), json!({ "input": input })).await
}

/// Finishes a login.
pub async fn finish_login(client: &Client, ceremony_id: &str, assertion: Value) -> Answer {
    let input = json!({ "ceremonyId": ceremony_id, "credential": assertion, "deviceInfo": "a test" });
    client.run(operation!("finish_passkey_login"), json!({ "input": input })).await
}

/// Returns a credential that claims another one's passkey without a proof, for the challenge of `options`.
#[must_use]
pub fn claim(credential: &Value, options: &Value, origin: &str) -> Value {
    let attestation = decode(&credential["response"]["attestationObject"]);
    let name = attestation.windows(8).position(|bytes| bytes == b"authData").expect("authenticator data");
    // A CBOR byte string of less than 256 bytes (RFC 8949, section 3.1).
    let data = &attestation[name + 8..];
    assert_eq!(data[0], 0x58);
    let data = &data[..2 + usize::from(data[1])];
    let unproven = [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData", data].concat();
    let client_data = json!({ "type": "webauthn.create", "challenge": options["challenge"], "origin": origin });
    let mut claim = credential.clone();
    claim["response"]["attestationObject"] = json!(BASE64_URL_SAFE_NO_PAD.encode(unproven));
    claim["response"]["clientDataJSON"] = json!(BASE64_URL_SAFE_NO_PAD.encode(client_data.to_string()));
    claim
}

fn decode(value: &Value) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text(value)).expect("base 64")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
