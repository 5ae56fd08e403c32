//! The sender of mails, by SMTP or into a folder.

use lettre::message::Mailbox;
use secrecy::ExposeSecret;

use crate::config::Config;
use crate::domain::Timestamp;
use crate::mail::smtp::{Failure, SmtpMailer};
use crate::mail::{EmailMessage, folder::FolderMailer};

/// One of the two ways a letter leaves.
enum Transport {
    /// To a mail server.
    Smtp(Box<SmtpMailer>),
    /// Into a folder, for development.
    Folder(FolderMailer),
}

/// Who sends, and by which way.
pub struct Mailer {
    transport: Transport,
    from: Mailbox,
}

impl Mailer {
    /// What the settings name; a folder is there already.
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

    /// Whether letters would be taken, without one; the error says why not.
    pub async fn test(&self) -> Result<(), String> {
        match &self.transport {
            Transport::Smtp(transport) => transport.test().await,
            // Made at the start, with the rights it must have.
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
