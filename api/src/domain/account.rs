//! Accounts, users, sessions and callers, and the rules for usernames and addresses.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};

use crate::domain::{SessionId, Timestamp, UserId, text_enum::text_enum};

/// Maximum size of a key vault, in bytes: room for several copies of both private keys, each encrypted differently.
pub const KEY_VAULT_MAX_BYTES: usize = 16 * 1024;

text_enum! {
    /// Role of an account. Each role includes the rights of the roles before it.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    pub enum Role {
        /// Sends and receives messages.
        User = "USER",
        /// Operates the server.
        Admin = "ADMIN",
    }
}

/// The part of an account that every signed-in user may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Id, which never changes.
    pub id: UserId,
    /// Unique username, in lower case.
    pub username: Arc<str>,
    /// Whether the account is active.
    pub is_active: bool,
    /// Whether the e-mail address has been confirmed.
    pub is_verified: bool,
    /// Public keys, without the ML-KEM key. `None` until they are published.
    pub public_keys: Option<PublicKeys>,
    /// Time of the registration.
    pub created_at: Timestamp,
}

/// The part of an account that only its owner and operators may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// E-mail address, in lower case.
    pub email: String,
    /// Whether the e-mail address has been confirmed.
    pub is_email_verified: bool,
    /// Role of the account.
    pub role: Role,
    /// Time of the latest sign-in, if there was one.
    pub last_login_at: Option<Timestamp>,
    /// Private keys of the owner, encrypted on the device.
    pub key_vault: Option<Vec<u8>>,
}

/// A user's hybrid public keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeys {
    /// X25519 public key, 32 bytes (RFC 7748).
    pub ecc: [u8; 32],
    /// The ML-KEM key and the fingerprint, if they have been read.
    #[serde(skip)]
    pub pqc: Option<PqcKey>,
    /// Time of the latest change of the keys.
    pub changed_at: Timestamp,
}

/// A user's post-quantum public key, and the fingerprint of both keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PqcKey {
    /// ML-KEM-768 encapsulation key, 1184 bytes (FIPS 203).
    pub bytes: Vec<u8>,
    /// Fingerprint of both keys, which two users compare.
    pub fingerprint: String,
}

/// A session of a signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Id, which never changes, although the tokens do.
    pub id: SessionId,
    /// Owner of the session.
    pub user_id: UserId,
    /// Name of the device, if the client gave one.
    pub device_info: Option<String>,
    /// IP address at sign-in, if it is known.
    pub ip_address: Option<String>,
    /// Time of the sign-in.
    pub created_at: Timestamp,
    /// Time of the sign-in or of the latest refresh.
    pub last_used_at: Timestamp,
    /// Time when the session ends unless it is refreshed before.
    pub expires_at: Timestamp,
}

/// The caller, proven by an access token of an active session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// Account of the caller.
    pub user_id: UserId,
    /// Session that the access token belongs to.
    pub session_id: SessionId,
    /// Role of the account.
    pub role: Role,
    /// Time when the access token expires.
    pub expires_at: Timestamp,
    /// Tag of the key that signed the access token.
    pub key: KeyTag,
}

/// Short identifier of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyTag(pub u64);

text_enum! {
    /// Purpose of a single-use token that is sent by mail.
    pub enum TokenPurpose {
        /// Sets a new password.
        PasswordReset = "PASSWORD_RESET",
        /// Confirms an e-mail address.
        EmailVerification = "EMAIL_VERIFICATION",
    }
}

/// Sender of a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// Id of the request, for logs and errors.
    pub request_id: String,
    /// IP address, as reported by trusted proxies.
    pub ip: Option<IpAddr>,
    /// `User-Agent` header, if there is one.
    pub user_agent: Option<String>,
}

/// A valid username: 3 to 32 characters of `a-z 0-9 _ . -`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(Arc<str>);

/// Start of the usernames that a search finds, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsernamePrefix(String);

/// The one visible ASCII character that sorts after all characters of usernames. No username has it.
const BEHIND_NAMES: &str = "~";

/// A valid e-mail address (RFC 5321, at most 254 characters, ASCII), in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Username {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    /// Returns the address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UsernamePrefix {
    /// Creates the prefix of a search in upper or lower case. No search or an empty one finds every name.
    #[must_use]
    pub fn of(search: Option<&str>) -> Self {
        let text = search.unwrap_or_default();
        // Characters that no name has never reach a database, which may reject them: PostgreSQL stores no NUL.
        Self(if text.bytes().all(is_username_char) { text.to_ascii_lowercase() } else { BEHIND_NAMES.to_owned() })
    }

    /// Returns the prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first possible name with the prefix, and the text after the last. `None` if every name matches.
    #[must_use]
    pub fn range(&self) -> Option<(&str, String)> {
        (!self.0.is_empty()).then(|| (self.as_str(), format!("{}{BEHIND_NAMES}", self.0)))
    }
}

fn is_username_char(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-')
}

impl FromStr for Username {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.bytes().all(is_username_char) {
            return Err("must contain only letters a to z, digits, `_`, `.` and `-`");
        }
        if !(3..=32).contains(&text.len()) {
            return Err("must have 3 to 32 characters");
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl FromStr for Email {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
        if !text.is_ascii() || text.len() > 254 || EmailAddress::parse_with_options(text, options).is_err() {
            return Err("is not a valid e-mail address");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_folded_and_restricted() {
        assert_eq!("Alice.B-c_9".parse::<Username>().unwrap().as_str(), "alice.b-c_9");
        for text in ["", "al", "a b c", "älice", "ａｌｉｃｅ", "al\0ce", &"a".repeat(33)] {
            assert!(text.parse::<Username>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_search_is_a_range_of_names_and_an_impossible_one_holds_nobody() {
        assert_eq!(UsernamePrefix::of(None).range(), None);
        assert_eq!(UsernamePrefix::of(Some("")).range(), None);
        assert_eq!(UsernamePrefix::of(Some("Al_")).range(), Some(("al_", "al_~".to_owned())));
        for text in ["a\0", "%", "al ice", "ä", "~"] {
            let prefix = UsernamePrefix::of(Some(text));
            let (from, to) = prefix.range().unwrap();
            assert!(
                !["zz.z-z_9", "alice"].iter().any(|name| (from..&to).contains(name)) && from.is_ascii(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn addresses_are_folded_and_restricted() {
        assert_eq!("Alice+x@Example.ORG".parse::<Email>().unwrap().as_str(), "alice+x@example.org");
        for text in [
            "",
            "alice",
            "alice@",
            "@example.org",
            "alice@localhost",
            "Alice <alice@example.org>",
            "alice@[127.0.0.1]",
            "älice@example.org",
            "a\0@example.org",
        ] {
            assert!(text.parse::<Email>().is_err(), "{text}");
        }
    }
}
