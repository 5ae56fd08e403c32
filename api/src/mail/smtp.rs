//! Sends mails to an SMTP server.

use std::time::Duration;

use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Reason why a mail was not accepted.
pub(super) struct Failure {
    pub(super) cause: String,
    /// Whether another attempt would fail as well.
    pub(super) is_final: bool,
}

/// Sender of mails to one SMTP server.
pub struct SmtpMailer(AsyncSmtpTransport<Tokio1Executor>);

impl SmtpMailer {
    /// Opens the server of an `smtp://` or `smtps://` URL, without connecting yet.
    pub(super) fn open(url: &str) -> Result<Self, String> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|error| error.to_string())?;
        Ok(Self(builder.timeout(Some(TIMEOUT)).build()))
    }

    pub(super) async fn test(&self) -> Result<(), String> {
        match self.0.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => Err("it rejects connections".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), Failure> {
        let sent = self.0.send(message).await;
        sent.map(drop).map_err(|error| Failure { is_final: error.is_permanent(), cause: error.to_string() })
    }
}
