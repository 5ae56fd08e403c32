//! Accounts and who is asking: users, sessions, and the rules for their names.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};

use crate::domain::{SessionId, Timestamp, UserId, text_enum::text_enum};

/// The largest key vault, in bytes: some copies of a user's two private keys, each wrapped its own way.
pub const KEY_VAULT_MAX_BYTES: usize = 16 * 1024;

text_enum! {
    /// What an account may do, each role more than the one before.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    pub enum Role {
        /// Uses the messenger.
        User = "USER",
        /// Operates it.
        Admin = "ADMIN",
    }
}

/// The part of an account that anyone signed in may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Never changes.
    pub id: UserId,
    /// Unique, in lower case.
    pub username: Arc<str>,
    /// False once the account has been deactivated.
    pub is_active: bool,
    /// Whether the address has been confirmed.
    pub is_verified: bool,
    /// The public keys, without the long one; absent until they are set.
    pub public_keys: Option<PublicKeys>,
    /// When the account was registered.
    pub created_at: Timestamp,
}

/// The part of an account that only its owner and operators may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// In lower case.
    pub email: String,
    /// Whether the address has been confirmed.
    pub is_email_verified: bool,
    /// What the account may do.
    pub role: Role,
    /// The latest sign-in before now, if there was one.
    pub last_login_at: Option<Timestamp>,
    /// The owner's private keys, wrapped on the device.
    pub key_vault: Option<Vec<u8>>,
}

/// A user's hybrid public keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeys {
    /// X25519, 32 bytes (RFC 7748).
    pub ecc: [u8; 32],
    /// The long key, where it has been read.
    #[serde(skip)]
    pub pqc: Option<PqcKey>,
    /// When the keys were last set.
    pub changed_at: Timestamp,
}

/// The post-quantum one of a user's public keys, and what is made of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PqcKey {
    /// ML-KEM-768 encapsulation key, 1184 bytes (FIPS 203).
    pub bytes: Vec<u8>,
    /// What two people compare.
    pub fingerprint: String,
}

/// A signed-in device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Never changes, however often its tokens do.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// What the client called itself.
    pub device_info: Option<String>,
    /// Where it was opened from.
    pub ip_address: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last signed in or refreshed.
    pub last_used_at: Timestamp,
    /// When it ends unless it is refreshed before.
    pub expires_at: Timestamp,
}

/// Who asks, proven by an access token of a living session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// The account.
    pub user_id: UserId,
    /// The device.
    pub session_id: SessionId,
    /// What the account may do.
    pub role: Role,
    /// When the access token ends.
    pub expires_at: Timestamp,
    /// The key that has signed the access token.
    pub key: KeyTag,
}

/// Tells signing keys apart in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyTag(pub u64);

text_enum! {
    /// What a single-use token that travels by mail is for.
    pub enum TokenPurpose {
        /// Setting another password.
        PasswordReset = "PASSWORD_RESET",
        /// Confirming an address.
        EmailVerification = "EMAIL_VERIFICATION",
    }
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub struct Client {
    /// Names the request in logs and errors.
    pub request_id: String,
    /// The address, as far as trusted proxies tell it.
    pub ip: Option<IpAddr>,
    /// What the client says it is.
    pub user_agent: Option<String>,
}

/// A name that is well formed: 3 to 32 of `a-z 0-9 _ . -`, folded to lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(Arc<str>);

/// How a name must begin to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsernamePrefix(String);

/// The one visible ASCII character behind all that a name may hold: nobody's name begins with it.
const BEHIND_NAMES: &str = "~";

/// An address that is well formed (RFC 5321, at most 254 characters, ASCII), folded to lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Username {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UsernamePrefix {
    /// The beginning that a search asks for, in upper or lower case; no search, or an empty one, asks for every name.
    #[must_use]
    pub fn of(search: Option<&str>) -> Self {
        let text = search.unwrap_or_default();
        // What no name can hold never reaches a database, which may refuse it: PostgreSQL knows no NUL.
        Self(if text.bytes().all(is_username_char) { text.to_ascii_lowercase() } else { BEHIND_NAMES.to_owned() })
    }

    /// The beginning itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The least name that begins so, and the least text behind all that do; absent where every name does.
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
