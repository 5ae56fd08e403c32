//! Mail: letters with a text and an HTML part, given to a mail server or put into a folder, never during a request.

pub mod email;
mod folder;
mod outbox;
mod smtp;

use lettre::message::Mailbox;
use secrecy::ExposeSecret;

pub use self::{email::EmailMessage, outbox::Outbox};
use crate::{
    config::Config,
    domain::{Source, Timestamp},
    mail::{folder::FolderMailer, smtp::SmtpMailer},
};

/// One of the two ways a letter leaves.
pub enum Transport {
    /// To a mail server.
    Smtp(Box<SmtpMailer>),
    /// Into a folder, for development.
    Folder(FolderMailer),
}

/// Why a letter was not taken.
struct Failure {
    cause: String,
    /// Whether it would be refused again.
    is_final: bool,
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

    async fn send(&self, email: &EmailMessage, id: &str, now: Timestamp) -> Result<(), Failure> {
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

    fn id(source: &Source) -> String {
        source.uuid().to_string()
    }
}
