//! The sender of mails, by SMTP or into a folder.

use lettre::message::Mailbox;
use secrecy::ExposeSecret;

use crate::config::Config;
use crate::domain::Timestamp;
use crate::mail::smtp::{Failure, SmtpMailer};
use crate::mail::{EmailMessage, folder::FolderMailer};

/// Transport of mails.
enum Transport {
    /// A mail server.
    Smtp(Box<SmtpMailer>),
    /// A folder, for development.
    Folder(FolderMailer),
}

/// Sender of mails: a transport and the address it sends from.
pub struct Mailer {
    transport: Transport,
    from: Mailbox,
}

impl Mailer {
    /// Opens the transport that the settings name. A folder must already exist.
    pub fn open(config: &Config) -> Result<Self, String> {
        let unusable = |name: &str, cause: &dyn ToString| {
            format!("QUANTUMVAULT__MAIL__{name} cannot be used ({}): correct it", cause.to_string())
        };
        let from = config.mail.from.parse().map_err(|error| unusable("FROM", &error))?;
        let transport = if let Some(folder) = config.mail_folder() {
            Transport::Folder(FolderMailer(folder))
        } else {
            let transport = SmtpMailer::open(config.mail.url.expose_secret());
            Transport::Smtp(Box::new(transport.map_err(|error| unusable("URL", &error))?))
        };
        Ok(Self { transport, from })
    }

    /// Checks whether mails would be accepted, without sending one. The error is the reason.
    pub async fn test(&self) -> Result<(), String> {
        match &self.transport {
            Transport::Smtp(transport) => transport.test().await,
            // The folder was created at the start, with the required permissions.
            Transport::Folder(_) => Ok(()),
        }
    }

    pub(super) async fn send(&self, email: &EmailMessage, id: &str, now: Timestamp) -> Result<(), Failure> {
        let message = email.message(&self.from, id, now);
        let message = message.map_err(|cause| Failure { cause, is_final: true })?;
        match &self.transport {
            Transport::Smtp(transport) => transport.send(message).await,
            Transport::Folder(transport) => {
                let written = transport.send(id, message.formatted()).await;
                written.map_err(|error| Failure { cause: error.to_string(), is_final: false })
            }
        }
    }
}
