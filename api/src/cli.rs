//! The command line: `serve`, and commands for operators.
//!
//! Exit codes: 0 success, 1 failure with its cause in one sentence, 2 invalid command line, 3 failed disk write.

mod doctor;
mod operator;
mod recovery;

use std::{fmt::Display, io, io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{Server, data_dir};
use crate::config::{self, Config};
use crate::domain::Source;
use crate::{graphql, http, store, telemetry};

/// The GraphQL backend of an end-to-end encrypted messenger.
#[derive(Parser)]
#[command(
    name = "quantumvault",
    version,
    after_help = "Exit codes: 0 success, 1 failure, 2 invalid command line, 3 failed disk write."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve GraphQL until SIGTERM or SIGINT (the default)
    Serve,
    /// Manage the database schema; `serve` updates it automatically
    Migrate {
        #[command(subcommand)]
        direction: Migrate,
    },
    /// Manage accounts
    User {
        #[command(subcommand)]
        action: operator::User,
    },
    /// Manage sessions
    Session {
        #[command(subcommand)]
        action: operator::Session,
    },
    /// Manage the keys that sign access tokens
    Keys {
        #[command(subcommand)]
        action: operator::Keys,
    },
    /// Delete expired sessions and tokens, and rows past their retention; `serve` does so automatically
    Purge,
    /// Copy the data folder of an embedded node into a new folder; the server may run meanwhile
    Backup {
        /// Folder to create; a server can use it as its data folder
        folder: PathBuf,
    },
    /// End all sessions and older cursors; run this once after a restore, with every server stopped
    RestoreFence,
    /// Check the settings and everything they name, and print remedies; exits 1 if a check fails
    Doctor {
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the GraphQL schema
    Schema,
    /// Print every setting with its default
    Config,
}

#[derive(Subcommand)]
enum Migrate {
    /// Apply pending migrations
    Up,
    /// Reverse the latest migrations
    Down {
        /// Number of migrations to reverse
        #[arg(long, default_value_t = 1)]
        steps: u32,
    },
    /// List every migration as applied or pending
    Status,
}

/// Exit code of a server after a failed `fsync`.
const DISK_FAILED: u8 = 3;

/// Result of a command. The error is one sentence.
type Outcome = Result<(), String>;

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => return with_settings(serve).unwrap_or_else(|sentence| failed(&sentence)),
        Command::Migrate { direction } => with_settings(|config| migrate(config, direction)),
        Command::User { action } => with_settings(|config| operator::user(config, action)),
        Command::Session { action } => with_settings(|config| operator::session(config, action)),
        Command::Keys { action } => with_settings(|config| operator::keys(config, action)),
        Command::Purge => with_settings(operator::purge),
        Command::Backup { folder } => with_settings(|config| recovery::back_up(config, folder)),
        Command::RestoreFence => with_settings(recovery::fence),
        Command::Doctor { json } => examine(json),
        Command::Schema => print(graphql::sdl()),
        Command::Config => print(config::DEFAULTS),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => failed(&sentence),
    }
}

fn failed(sentence: &str) -> ExitCode {
    eprintln!("quantumvault: {sentence}");
    ExitCode::FAILURE
}

fn with_settings<T, F>(command: impl FnOnce(Config) -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let config = config::load(std::env::vars()).map_err(text)?;
    // A margin: documents are limited in depth, but recursion over them uses stack.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build();
    let runtime = runtime.map_err(text)?;
    let telemetry = telemetry::start(&config.log, &config.traces, runtime.handle()).map_err(text)?;
    let outcome = runtime.block_on(command(config));
    telemetry.finish();
    outcome
}

/// Runs `doctor`. Invalid settings become a finding, and nothing is logged.
fn examine(as_json: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(doctor::run(config::load(std::env::vars()), as_json))
}

async fn serve(config: Config) -> Result<ExitCode, String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(text)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
    let shape = if config.redis.is_set() { "PostgreSQL and Redis" } else { "in-process cache and bus" };
    let data = config.data_dir.display().to_string();
    let pages = http::Pages::of(&config.graphql);
    let server = Box::pin(Server::start(config, Source::default())).await.map_err(text)?;
    let page = match pages {
        Some(pages) if pages.has_graphiql().await => "GraphQL, GraphiQL",
        Some(_) => "GraphQL, explorer",
        None => "GraphQL",
    };
    print(format!(
        "QuantumVault {} is ready\n  {page:<17}  http://{address}/graphql\n  subscriptions      \
         ws://{address}/graphql\n  data               {data} ({shape})\n",
        env!("CARGO_PKG_VERSION"),
        address = server.address,
    ))?;
    let backend = Arc::clone(&server.backend);
    let serving = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        server.stop().await;
    };
    tokio::select! {
        biased;
        // Ends at once. An orderly stop would continue to write, while a power cut loses no acknowledged data.
        () = backend.disk_failed() => {
            eprintln!("quantumvault: fsync failed, so written data may be lost: check the disk, then start again");
            Ok(ExitCode::from(DISK_FAILED))
        }
        () = serving => Ok(ExitCode::SUCCESS),
    }
}

async fn migrate(config: Config, direction: Migrate) -> Outcome {
    data_dir::prepare(&config.data_dir).map_err(text)?;
    let (url, settings) = (config.database_url(), &config.database);
    let schema = match direction {
        Migrate::Up => store::Schema::open_or_create(&url, settings).await,
        Migrate::Down { .. } | Migrate::Status => store::Schema::open(&url, settings).await,
    };
    let schema = schema.map_err(text)?;
    match direction {
        Migrate::Up => schema.up().await.map_err(text)?,
        Migrate::Down { steps } => schema.down(steps).await.map_err(text)?,
        Migrate::Status => {}
    }
    let migrations = schema.status().await.map_err(text)?.into_iter();
    let lines =
        migrations.map(|(name, is_applied)| format!("{} {name}\n", if is_applied { "applied" } else { "pending" }));
    print(lines.collect::<Vec<_>>().concat())
}

/// Prints to the standard output. Ignores a closed pipe.
fn print(text: impl Display) -> Outcome {
    match write!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
