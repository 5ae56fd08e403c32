//! Operators' commands for accounts, sessions and keys. Each one is recorded in the owner's audit trail.

use std::{io, sync::Arc};

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::app::{data_dir, load_signing_key};
use crate::cli::{Outcome, print, text};
use crate::config::Config;
use crate::domain::{Client, Source};
use crate::service::accounts::{self, Registration};
use crate::service::ops::{retention, signing_keys};
use crate::service::{Backend, RequestContext, sessions};

#[derive(Subcommand)]
pub(super) enum User {
    /// Create an account with a password from standard input, where no process list shows it.
    /// No mail is sent: the owner requests the confirmation mail
    Create {
        /// Username: 3 to 32 of `a-z 0-9 _ . -`
        username: String,
        /// E-mail address
        email: String,
    },
    /// Give an account the role ADMIN
    Promote {
        /// Username of the account
        username: String,
    },
    /// Deactivate an account and end its sessions
    Deactivate {
        /// Username of the account
        username: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Session {
    /// Open a session for a user and print its tokens as JSON
    Issue {
        /// Username of the account
        username: String,
        /// Name of the session in the user's list of devices
        #[arg(long)]
        device_info: Option<String>,
    },
}

#[derive(Subcommand)]
pub(super) enum Keys {
    /// Sign with a new key; tokens of the old key stay valid until they expire
    Rotate,
    /// Reject every token that a key has signed, on all nodes at once; clients refresh their tokens.
    /// `doctor` shows the key of its node
    Withdraw {
        /// Key ID: the `kid` in `/.well-known/jwks.json` and in token headers
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

pub(super) async fn user(config: Config, action: User) -> Outcome {
    let context = open(config).await?;
    let done = act(&context, action).await;
    // Also after an error, because the changes may already be committed.
    close(&context).await?;
    done
}

async fn act(context: &RequestContext, action: User) -> Outcome {
    match action {
        User::Create { username, email } => {
            let mut password = String::new();
            io::stdin().read_line(&mut password).map_err(text)?;
            let password = SecretString::from(password.trim_end_matches(['\r', '\n']));
            let registration = Registration { username, email, password, device_info: None };
            let id = accounts::create(context, registration).await.map_err(text)?;
            print(format!("{id}\n"))
        }
        User::Promote { username } => {
            let id = accounts::find_id(context, &username).await.map_err(text)?;
            accounts::promote(context, id).await.map_err(text)
        }
        User::Deactivate { username } => {
            let id = accounts::find_id(context, &username).await.map_err(text)?;
            accounts::deactivate_user(context, id).await.map_err(text)
        }
    }
}

pub(super) async fn session(config: Config, action: Session) -> Outcome {
    let Session::Issue { username, device_info } = action;
    let context = open(config).await?;
    let id = accounts::find_id(&context, &username).await.map_err(text)?;
    let issued = sessions::issue(&context, id, device_info).await;
    close(&context).await?;
    let tokens = issued.map_err(text)?;
    let tokens = json!({
        "sessionId": tokens.viewer.session_id.to_string(),
        "accessToken": tokens.access_token.expose_secret(),
        "accessTokenExpiresAt": tokens.access_token_expires_at,
        "refreshToken": tokens.refresh_token.expose_secret(),
        "refreshTokenExpiresAt": tokens.refresh_token_expires_at,
    });
    print(format!("{tokens}\n"))
}

pub(super) async fn keys(config: Config, action: Keys) -> Outcome {
    let context = open(config).await?;
    let acting = async {
        match action {
            Keys::Rotate => {
                let key =
                    data_dir::replace_signing_key(&context.backend.config.data_dir, &context.backend.source.random)
                        .map_err(text)?;
                let kid = key.kid.clone();
                signing_keys::rotate(&context, key).await.map_err(text)?;
                Ok(format!("{kid}\n"))
            }
            Keys::Withdraw { kid } => {
                signing_keys::withdraw(&context, &kid).await.map_err(text)?;
                load_signing_key(&context.backend).await.map_err(text)?;
                Ok(format!("{kid} is withdrawn\n"))
            }
        }
    };
    let done: Result<String, String> = acting.await;
    // Also after an error, because the key may already be withdrawn.
    close(&context).await?;
    print(done?)
}

pub(super) async fn purge(config: Config) -> Outcome {
    let context = open(config).await?;
    let purged = retention::run(&context.backend).await;
    let purged = purged.map_err(|error| error.cause().map_or_else(|| text(&error), str::to_owned))?;
    close(&context).await?;
    print(match purged {
        None => "another node is purging now\n".to_owned(),
        Some(purged) => format!(
            "deleted {} sessions, {} mail tokens, {} audit entries, {} metrics, {} feed events, {} signing keys\n",
            purged.sessions,
            purged.one_time_tokens,
            purged.audit_logs,
            purged.metrics,
            purged.mailbox_events,
            purged.signing_keys
        ),
    })
}

/// Notifies running servers of the changes: nodes by hints over Redis, a server on the data folder by a file.
async fn close(context: &RequestContext) -> Outcome {
    context.backend.close().await;
    data_dir::mark_changed(&context.backend.config.data_dir).map_err(text)
}

/// Opens the backend for an operation of the command line, which has no viewer.
pub(super) async fn open(config: Config) -> Result<RequestContext, String> {
    let source = Source::default();
    data_dir::prepare(&config.data_dir).map_err(text)?;
    let signing = data_dir::signing_key(&config.data_dir, &source.random).map_err(text)?;
    let client = Client {
        request_id: source.uuid().to_string(),
        ip: None,
        user_agent: Some("quantumvault command line".to_owned()),
    };
    let backend = Backend::open(config, source, signing).await.map_err(text)?;
    load_signing_key(&backend).await.map_err(text)?;
    Ok(RequestContext::new(backend, Arc::new(client), None))
}
