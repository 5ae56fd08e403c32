//! Passkeys: what their owners see of them.

use std::str::FromStr;

use crate::domain::{PasskeyId, Timestamp, UserId, text_enum::text_enum};

/// The longest name of a device, in characters; the column holds as many.
const DEVICE_NAME_MAX: usize = 64;

/// A way to sign in without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Never changes.
    pub id: PasskeyId,
    /// Whose it is.
    pub user_id: UserId,
    /// What its owner calls the device that keeps it.
    pub device_name: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last signed in, if it has.
    pub last_used_at: Option<Timestamp>,
}

text_enum! {
    /// What a ceremony is begun for; it cannot be finished as another.
    pub enum CeremonyKind {
        /// Adding a passkey to an account.
        Registration = "REGISTRATION",
        /// Signing in with one.
        Login = "LOGIN",
    }
}

/// A name for a device that is acceptable: 1 to 64 characters, not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// The name.
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
