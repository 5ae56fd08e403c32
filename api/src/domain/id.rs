//! Typed ids: a `UUIDv7` internally, a `TypeID` such as `user_01jd…` for clients.

use std::hash::{Hash, Hasher};
use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Crockford's base 32 in lower case: the alphabet of the `TypeID` specification 0.3.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LENGTH: usize = 26;
/// Bytes that an id with the longest prefix, `conversation`, fits into.
const LONGEST: usize = 40;

/// Error of a text that is not an id of the expected type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a `TypeID`.
    #[error("is not a valid ID")]
    Malformed,
    /// The text is the id of another type of object.
    #[error("is the ID of another type of object")]
    WrongType,
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal as $variant:ident;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub Uuid);

            impl Hash for $name {
                fn hash<H: Hasher>(&self, state: &mut H) {
                    // Hashes one number. The derived implementation would hash a length and bytes.
                    state.write_u128(self.0.as_u128());
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write_type_id(f, $prefix, self.0)
                }
            }

            impl FromStr for $name {
                type Err = IdError;

                fn from_str(text: &str) -> Result<Self, IdError> {
                    match NodeId::from_str(text)? {
                        NodeId::$variant(id) => Ok(id),
                        _ => Err(IdError::WrongType),
                    }
                }
            }
        )+

        /// The id of an object that `node(id)` can return.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum NodeId {
            $($(#[$doc])* $variant($name),)+
        }

        impl FromStr for NodeId {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let (prefix, suffix) = text.rsplit_once('_').ok_or(IdError::Malformed)?;
                let uuid = parse_suffix(suffix).ok_or(IdError::Malformed)?;
                match prefix {
                    $($prefix => Ok(Self::$variant($name(uuid))),)+
                    _ => Err(IdError::Malformed),
                }
            }
        }
    };
}

typed_ids! {
    /// An account.
    UserId = "user" as User;
    /// A session of a signed-in device.
    SessionId = "session" as Session;
    /// A conversation of two members.
    ConversationId = "conversation" as Conversation;
    /// An encrypted message.
    MessageId = "message" as Message;
    /// A passkey.
    PasskeyId = "passkey" as Passkey;
    /// An entry of the audit trail.
    AuditLogId = "audit_log" as AuditLog;
    /// An account as operators see it. Has the UUID of its user.
    AdminUserId = "admin_user" as AdminUser;
    /// A performance metric.
    MetricId = "metric" as Metric;
}

/// A started registration or login with a passkey. Not an object of the API, so `node(id)` cannot return it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CeremonyId(pub Uuid);

impl fmt::Display for CeremonyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_type_id(f, "ceremony", self.0)
    }
}

impl FromStr for CeremonyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.strip_prefix("ceremony_").and_then(parse_suffix).map(Self).ok_or(IdError::Malformed)
    }
}

fn write_type_id(f: &mut fmt::Formatter<'_>, prefix: &str, uuid: Uuid) -> fmt::Result {
    let mut bits = uuid.as_u128();
    let mut text = [b'_'; LONGEST];
    let (start, end) = (prefix.len() + 1, prefix.len() + 1 + SUFFIX_LENGTH);
    text[..prefix.len()].copy_from_slice(prefix.as_bytes());
    for character in text[start..end].iter_mut().rev() {
        *character = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
    // Written in one call, because a page of results has many ids.
    f.write_str(str::from_utf8(&text[..end]).map_err(|_| fmt::Error)?)
}

fn parse_suffix(suffix: &str) -> Option<Uuid> {
    // The first character has only the upper three bits, so a greater one would overflow.
    if suffix.len() != SUFFIX_LENGTH || suffix.as_bytes()[0] > b'7' {
        return None;
    }
    let bits = suffix.bytes().try_fold(0_u128, |bits, character| {
        let digit = ALPHABET.iter().position(|&known| known == character)?;
        Some(bits << 5 | digit as u128)
    })?;
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The valid vectors of the `TypeID` specification, with a prefix of this project.
    #[test]
    fn ids_follow_the_type_id_vectors() {
        for (uuid, suffix) in [
            ("00000000-0000-0000-0000-000000000000", "00000000000000000000000000"),
            ("00000000-0000-0000-0000-000000000001", "00000000000000000000000001"),
            ("00000000-0000-0000-0000-000000000020", "00000000000000000000000010"),
            ("ffffffff-ffff-ffff-ffff-ffffffffffff", "7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            ("0110c853-1d09-52d8-d73e-1194e95b5f19", "0123456789abcdefghjkmnpqrs"),
            ("01890a5d-ac96-774b-bcce-b302099a8057", "01h455vb4pex5vsknk084sn02q"),
        ] {
            let id = UserId(uuid.parse().unwrap());
            assert_eq!(id.to_string(), format!("user_{suffix}"));
            assert_eq!(id.to_string().parse::<UserId>().unwrap(), id);
        }
    }

    #[test]
    fn every_type_has_its_prefix() {
        let uuid = Uuid::from_u128(7);
        let texts = [
            ConversationId(uuid).to_string(),
            AdminUserId(uuid).to_string(),
            AuditLogId(uuid).to_string(),
            CeremonyId(uuid).to_string(),
        ];
        let prefixes = texts.each_ref().map(|text| text.strip_suffix("_00000000000000000000000007"));
        assert_eq!(prefixes, ["conversation", "admin_user", "audit_log", "ceremony"].map(Some));
    }

    #[test]
    fn what_is_no_id_is_told_from_an_id_of_another_type() {
        let message = MessageId(Uuid::from_u128(7)).to_string();
        assert_eq!(message.parse::<UserId>(), Err(IdError::WrongType));
        for text in [
            "",
            "user",
            "user_",
            "user_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "user_0123456789ABCDEFGHJKMNPQRS",
            "cat_00000000000000000000000000",
            "user_é0000000000000000000000000",
        ] {
            assert_eq!(text.parse::<UserId>(), Err(IdError::Malformed), "{text}");
        }
    }
}
