//! `WebAuthn` (level 3): the options that browsers take, and the judgement of what they answer.
//!
//! A judgement verifies one signature, so it runs where it is asked for.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use webauthn_rs::prelude::{
    Credential, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::config;

/// One relying party: the domain that passkeys are bound to, and the pages that may use them.
pub struct Passkeys(Webauthn);

/// A ceremony that has begun.
pub struct Begun {
    /// What `PublicKeyCredential.parse...OptionsFromJSON` takes.
    pub options: Value,
    /// What has to be remembered until the answer comes; for the server's eyes only.
    pub state: Value,
}

/// A new passkey as the authenticator made it.
pub struct Registered {
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// The public key, and what was learnt of the authenticator.
    pub key: Value,
    /// The signature counter.
    pub counter: i64,
}

/// What a browser answers to a login, still to be judged.
pub struct Assertion(PublicKeyCredential);

/// A login that holds.
pub struct Judged {
    /// The key with what was learnt this time.
    pub key: Value,
    /// The signature counter; 0 from authenticators that do not count.
    pub counter: i64,
}

/// Why an answer is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// The counter did not grow: there may be a copy of the authenticator.
    #[error("the signature counter did not grow")]
    CounterRegressed,
    /// It does not answer this ceremony, or is no answer at all.
    #[error("{0}")]
    Refused(String),
    /// A fault of ours.
    #[error("{0}")]
    Failed(String),
}

impl Passkeys {
    /// The relying party of these settings; what is wrong with them is told as the rest of a sentence.
    pub fn new(settings: &config::Webauthn, served_origin: String) -> Result<Self, String> {
        let id = &settings.relying_party_id;
        let served = [served_origin];
        let origins = if settings.origins.is_empty() { &served[..] } else { &settings.origins };
        let mut builder: Option<WebauthnBuilder<'_>> = None;
        let urls = origins.iter().map(|origin| parse_origin(origin, id)).collect::<Result<Vec<_>, _>>()?;
        for url in &urls {
            // Also run for those that are appended, because it alone holds an origin against the domain.
            let checked = WebauthnBuilder::new(id, url).map_err(|_| format!("{url} is not a page of {id}"))?;
            builder = Some(builder.map_or(checked, |builder| builder.append_allowed_origin(url)));
        }
        let builder = builder.ok_or("no origin is named")?.rp_name(&settings.relying_party_name);
        Ok(Self(builder.build().map_err(|error| error.to_string())?))
    }

    /// Begins to add a passkey beside those that the account has.
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
        // The library discourages it, but only a key that the authenticator can find by itself signs in by itself.
        options["authenticatorSelection"]["residentKey"] = json!("required");
        options["authenticatorSelection"]["requireResidentKey"] = json!(true);
        Ok(Begun { options, state: to_json(state)? })
    }

    /// Judges what the browser made of a registration's options.
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

    /// Begins to sign in whoever has a passkey.
    pub fn begin_login(&self) -> Result<Begun, PasskeyError> {
        let (challenge, state) = self.0.start_discoverable_authentication().map_err(failed)?;
        Ok(Begun { options: to_json(challenge.public_key)?, state: to_json(state)? })
    }

    /// Judges what the browser made of a login's options, under the key that it says it has used.
    pub fn finish_login(&self, state: Value, assertion: &Assertion, key: Value) -> Result<Judged, PasskeyError> {
        let state: DiscoverableAuthentication = from_json(state).map_err(PasskeyError::Failed)?;
        let mut key: Passkey = from_json(key).map_err(PasskeyError::Failed)?;
        let result = self.0.finish_discoverable_authentication_v2(&assertion.0, state, &key).map_err(refused)?;
        key.update_credential(&result);
        Ok(Judged { key: to_json(&key)?, counter: result.counter().into() })
    }
}

impl Assertion {
    /// Reads it.
    pub fn parse(credential: Value) -> Result<Self, PasskeyError> {
        from_json(credential).map(Self).map_err(PasskeyError::Refused)
    }

    /// The passkey that it says it was made with.
    #[must_use]
    pub fn credential_id(&self) -> &[u8] {
        self.0.get_credential_id()
    }

    /// The user that the authenticator keeps the passkey for.
    #[must_use]
    pub fn handle(&self) -> Option<&[u8]> {
        self.0.get_user_unique_id()
    }
}

/// An origin as browsers send it: browsers offer passkeys in secure contexts only, and compare origins byte by byte.
fn parse_origin(origin: &str, id: &str) -> Result<Url, String> {
    let url = Url::parse(origin).map_err(|error| format!("{origin} is not an origin ({error})"))?;
    if url.origin().ascii_serialization() != origin.trim_end_matches('/') {
        return Err(format!("{origin} is not an origin such as https://{id}"));
    }
    let is_local = url.domain().is_some_and(|domain| domain == "localhost" || domain.ends_with(".localhost"));
    if url.scheme() != "https" && !is_local {
        return Err(format!("{origin} is not https, so no browser will offer passkeys there"));
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
