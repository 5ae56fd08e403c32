//! `WebAuthn` (level 3): options for browsers, and verification of their responses.
//!
//! A verification checks one signature, so it runs on the calling thread.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use webauthn_rs::prelude::{
    Credential, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::config;

/// Relying party: the domain that passkeys are bound to, and the origins that may use them.
pub struct Passkeys(Webauthn);

/// A ceremony that has begun.
pub struct Begun {
    /// Input of `PublicKeyCredential.parse...OptionsFromJSON`.
    pub options: Value,
    /// State to keep until the response arrives. Clients must not see it.
    pub state: Value,
}

/// A new passkey as the authenticator created it.
pub struct Registered {
    /// The authenticator's id of the passkey.
    pub credential_id: Vec<u8>,
    /// Public key, with data about the authenticator.
    pub key: Value,
    /// Signature counter.
    pub counter: i64,
}

/// A browser's response to a login, not yet verified.
pub struct Assertion(PublicKeyCredential);

/// A verified login.
pub struct Judged {
    /// Key with updated data about the authenticator.
    pub key: Value,
    /// Signature counter. 0 from authenticators that do not count.
    pub counter: i64,
}

/// Reason why a response is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// The counter did not grow, so the authenticator may have been copied.
    #[error("the signature counter did not increase")]
    CounterRegressed,
    /// The response is malformed or belongs to another ceremony.
    #[error("{0}")]
    Refused(String),
    /// A fault of the server.
    #[error("{0}")]
    Failed(String),
}

impl Passkeys {
    /// Creates the relying party of these settings. Fails with the reason if they are invalid.
    pub fn new(settings: &config::Webauthn, served_origin: String) -> Result<Self, String> {
        let id = &settings.relying_party_id;
        let served = [served_origin];
        let origins = if settings.origins.is_empty() { &served[..] } else { &settings.origins };
        let mut builder: Option<WebauthnBuilder<'_>> = None;
        let urls = origins.iter().map(|origin| parse_origin(origin, id)).collect::<Result<Vec<_>, _>>()?;
        for url in &urls {
            // Also run for appended origins, because only this constructor compares an origin with the domain.
            let checked = WebauthnBuilder::new(id, url).map_err(|_| format!("{url} is not on the domain {id}"))?;
            builder = Some(builder.map_or(checked, |builder| builder.append_allowed_origin(url)));
        }
        let builder = builder.ok_or("no origin is named")?.rp_name(&settings.relying_party_name);
        Ok(Self(builder.build().map_err(|error| error.to_string())?))
    }

    /// Begins the registration of another passkey. The account's existing passkeys are excluded.
    pub fn begin_registration(
        &self,
        handle: [u8; 16],
        username: &str,
        existing: Vec<Vec<u8>>,
    ) -> Result<Begun, PasskeyError> {
        let handle = Uuid::from_bytes(handle);
        let begun = self.0.start_passkey_registration(handle, username, username, Some(existing));
        let (challenge, state) = begun.map_err(failed)?;
        let mut options = to_json(challenge.public_key)?;
        // The library discourages resident keys. Only with them can an authenticator find the key without a username.
        options["authenticatorSelection"]["residentKey"] = json!("required");
        options["authenticatorSelection"]["requireResidentKey"] = json!(true);
        Ok(Begun { options, state: to_json(state)? })
    }

    /// Verifies a browser's response to a registration.
    pub fn finish_registration(&self, state: Value, credential: Value) -> Result<Registered, PasskeyError> {
        let state: PasskeyRegistration = from_json(state).map_err(PasskeyError::Failed)?;
        let answer: RegisterPublicKeyCredential = from_json(credential).map_err(PasskeyError::Refused)?;
        let passkey = self.0.finish_passkey_registration(&answer, &state).map_err(refused)?;
        Ok(Registered {
            credential_id: passkey.cred_id().clone(),
            key: to_json(&passkey)?,
            counter: Credential::from(passkey).counter.into(),
        })
    }

    /// Begins a sign-in for any user with a passkey.
    pub fn begin_login(&self) -> Result<Begun, PasskeyError> {
        let (challenge, state) = self.0.start_discoverable_authentication().map_err(failed)?;
        Ok(Begun { options: to_json(challenge.public_key)?, state: to_json(state)? })
    }

    /// Verifies a browser's response to a login. `key` is the passkey that the response names.
    pub fn finish_login(&self, state: Value, assertion: &Assertion, key: Value) -> Result<Judged, PasskeyError> {
        let state: DiscoverableAuthentication = from_json(state).map_err(PasskeyError::Failed)?;
        let mut key: Passkey = from_json(key).map_err(PasskeyError::Failed)?;
        let result = self.0.finish_discoverable_authentication_v2(&assertion.0, state, &key).map_err(refused)?;
        key.update_credential(&result);
        Ok(Judged { key: to_json(&key)?, counter: result.counter().into() })
    }
}

impl Assertion {
    /// Parses a browser's response.
    pub fn parse(credential: Value) -> Result<Self, PasskeyError> {
        from_json(credential).map(Self).map_err(PasskeyError::Refused)
    }

    /// Returns the id of the passkey that the response names.
    #[must_use]
    pub fn credential_id(&self) -> &[u8] {
        self.0.get_credential_id()
    }

    /// Returns the user handle that the authenticator stores with the passkey.
    #[must_use]
    pub fn handle(&self) -> Option<&[u8]> {
        self.0.get_user_unique_id()
    }
}

/// Parses an origin. Browsers compare it byte by byte, and offer passkeys only in secure contexts.
fn parse_origin(origin: &str, id: &str) -> Result<Url, String> {
    let url = Url::parse(origin).map_err(|error| format!("{origin} is not an origin ({error})"))?;
    if url.origin().ascii_serialization() != origin.trim_end_matches('/') {
        return Err(format!("{origin} is not an origin such as https://{id}"));
    }
    let is_local = url.domain().is_some_and(|domain| domain == "localhost" || domain.ends_with(".localhost"));
    if url.scheme() != "https" && !is_local {
        return Err(format!("{origin} is not https, which passkeys require"));
    }
    Ok(url)
}

fn refused(error: WebauthnError) -> PasskeyError {
    match error {
        WebauthnError::CredentialPossibleCompromise => PasskeyError::CounterRegressed,
        other => PasskeyError::Refused(other.to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is handed over")]
fn failed(error: impl ToString) -> PasskeyError {
    PasskeyError::Failed(error.to_string())
}

fn to_json(value: impl Serialize) -> Result<Value, PasskeyError> {
    serde_json::to_value(value).map_err(failed)
}

fn from_json<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(id: &str, origins: &[&str]) -> Result<Passkeys, String> {
        let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
        let settings = config::Webauthn {
            relying_party_id: id.to_owned(),
            relying_party_name: "a test".to_owned(),
            origins,
            recent_sign_in_seconds: 300,
        };
        Passkeys::new(&settings, "http://localhost:8000".to_owned())
    }

    #[test]
    fn what_asks_for_a_passkey_asks_for_one_that_finds_its_user() {
        let passkeys = with("localhost", &[]).unwrap();
        let options = passkeys.begin_registration([7; 16], "alice", vec![vec![1]]).unwrap().options;
        assert_eq!(options["rp"]["id"], "localhost");
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        assert_eq!(options["excludeCredentials"][0]["id"], "AQ");
        let options = passkeys.begin_login().unwrap().options;
        assert_eq!((&options["allowCredentials"], &options["userVerification"]), (&json!([]), &json!("required")));
    }

    #[test]
    fn origins_are_pages_of_the_relying_party() {
        assert!(with("app.example", &["https://app.example", "https://chat.app.example:8443"]).is_ok());
        for (id, origins) in [
            ("app.example", &["https://evil-app.example"][..]),
            ("app.example", &["https://app.example", "https://elsewhere.example"]),
            ("app.example", &["http://app.example"]),
            ("app.example", &["https://app.example/path"]),
            ("app.example", &["app.example"]),
            ("app.example", &[]),
            ("127.0.0.1", &["http://127.0.0.1:8000"]),
        ] {
            assert!(with(id, origins).is_err(), "{id} {origins:?}");
        }
    }
}
