//! Passkeys as their owners see them, and names of devices.

use std::str::FromStr;

use crate::domain::{PasskeyId, Timestamp, UserId, text_enum::text_enum};

/// Maximum length of a device name, in characters. The column of the database has this length.
const DEVICE_NAME_MAX: usize = 64;

/// A passkey, which signs its owner in without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Id, which never changes.
    pub id: PasskeyId,
    /// Owner of the passkey.
    pub user_id: UserId,
    /// Name that the owner gave to the device with the passkey.
    pub device_name: String,
    /// Time when the passkey was added.
    pub created_at: Timestamp,
    /// Time of the latest sign-in with the passkey, if there was one.
    pub last_used_at: Option<Timestamp>,
}

text_enum! {
    /// Purpose of a ceremony. A ceremony cannot be finished with another purpose.
    pub enum CeremonyKind {
        /// Adds a passkey to an account.
        Registration = "REGISTRATION",
        /// Signs in with a passkey.
        Login = "LOGIN",
    }
}

/// A valid device name: 1 to 64 characters, not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// Returns the name.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl FromStr for DeviceName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.trim();
        if name.is_empty() || name.chars().count() > DEVICE_NAME_MAX {
            return Err("must have 1 to 64 characters");
        }
        if name.contains('\0') {
            return Err("must not contain a NUL character");
        }
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_are_trimmed_and_restricted() {
        assert_eq!(" Älice's key ".parse::<DeviceName>().unwrap().into_string(), "Älice's key");
        assert!("ä".repeat(64).parse::<DeviceName>().is_ok());
        for text in ["", "  ", "a\0b", &"ä".repeat(65)] {
            assert!(text.parse::<DeviceName>().is_err(), "{text:?}");
        }
    }
}
