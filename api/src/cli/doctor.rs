//! `doctor`: checks everything that a node needs, and suggests remedies. It changes nothing.

use std::time::{Duration, Instant};
use std::{fs, fs::OpenOptions, io::ErrorKind, path::Path};

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::timeout;

use crate::app::data_dir;
use crate::cli::{Outcome, print};
use crate::config::{self, Config};
use crate::domain::{Clock, Random, Timestamp};
use crate::mail::Mailer;
use crate::redis_client::RedisClient;
use crate::store;

/// Maximum time of a check. A starting node does not wait longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Delay before Redis is queried again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Number of open files besides connections: databases, logs, libraries.
const OTHER_FILES: u64 = 64;
/// Difference of clocks from which `doctor` warns.
const CLOCK_WARN: TimeDelta = TimeDelta::seconds(1);
/// Difference of clocks from which a node rejects new tokens of another.
const CLOCK_FAIL: TimeDelta = TimeDelta::seconds(10);

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// A check with its result.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    message: String,
    remedy: Option<String>,
}

/// Checks everything that the settings name, and prints the findings.
pub(super) async fn run(config: Result<Config, config::ConfigError>, as_json: bool) -> Outcome {
    let findings = match config {
        Ok(config) => examine(&config).await,
        // Without valid settings, nothing else can be checked.
        Err(error) => {
            vec![Finding::fail(
                "configuration",
                error.to_string(),
                "correct the setting; `quantumvault config` lists all",
            )]
        }
    };
    if as_json {
        print(format!("{}\n", serde_json::to_string(&findings).map_err(|error| error.to_string())?))?;
    } else {
        print(findings.iter().map(Finding::line).collect::<String>())?;
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} checks failed", findings.len())),
    }
}

async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![settings(config), folder(&config.data_dir), signing_key(&config.data_dir)];
    findings.extend(database(config).await);
    findings.extend(redis(config).await);
    findings.extend([mail(config).await, files(config)]);
    findings
}

fn settings(config: &Config) -> Finding {
    if config.rate_limits.enabled {
        Finding::ok("configuration", "is valid")
    } else {
        let remedy = "remove QUANTUMVAULT__RATE_LIMITS__ENABLED unless all clients are trusted";
        Finding::warn("configuration", "rate limits are disabled", remedy)
    }
}

fn folder(folder: &Path) -> Finding {
    let (check, shown) = ("data directory", folder.display());
    if fs::metadata(folder).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Finding::ok(check, format!("{shown} will be created at the first start"));
    }
    if let Err(error) = data_dir::prepare(folder) {
        return Finding::fail(check, error.to_string(), "give access to the server's user only");
    }
    let probe = folder.join(format!("doctor-{}.draft", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&probe).and_then(|_| fs::remove_file(&probe));
    match written {
        Ok(()) => Finding::ok(check, format!("{shown} is private and writable")),
        Err(error) => {
            Finding::fail(check, format!("{shown} is not writable ({error})"), "make the server's user its owner")
        }
    }
}

fn signing_key(folder: &Path) -> Finding {
    let check = "signing key";
    if !folder.join("keys").join("signing.pk8").exists() {
        return Finding::ok(check, "will be created at the first start");
    }
    match data_dir::signing_key(folder, &Random::System) {
        Ok(key) => Finding::ok(check, format!("{} is usable", key.kid)),
        Err(error) => {
            Finding::fail(check, error.to_string(), "restore the file, or delete it: the next start creates a new key")
        }
    }
}

/// Checks the database, its schema and its clock.
async fn database(config: &Config) -> Vec<Finding> {
    let url = config.database_url();
    let path = url.expose_secret().strip_prefix("sqlite://").map(|path| path.split('?').next().unwrap_or(path));
    if path.is_some_and(|path| !Path::new(path).exists()) {
        return vec![Finding::ok("database", "will be created at the first start")];
    }
    let began = Instant::now();
    let schema = match timeout(PATIENCE, store::Schema::open(&url, &config.database)).await {
        Ok(Ok(schema)) => schema,
        Ok(Err(error)) => {
            return vec![Finding::fail("database", error.to_string(), "no node starts without the database")];
        }
        Err(_) => {
            let remedy = "check QUANTUMVAULT__DATABASE__URL and the network path";
            return vec![Finding::fail("database", "does not respond within 5 seconds", remedy)];
        }
    };
    let reached = format!("responds; connecting took {} ms", began.elapsed().as_millis());
    vec![Finding::ok("database", reached), migrations(&schema).await, {
        let asked = clock_now();
        match timeout(PATIENCE, schema.clock()).await {
            Ok(Ok(Some(theirs))) => clock("database clock", asked, theirs),
            Ok(Ok(None)) => Finding::ok("database clock", "is this machine's clock"),
            _ => Finding::fail("database clock", "cannot be read", "check the log of the database"),
        }
    }]
}

async fn migrations(schema: &store::Schema) -> Finding {
    let check = "migrations";
    let remedy = "run `quantumvault migrate up`, or start a node, which does so automatically";
    match (schema.status().await, schema.unknown().await) {
        (Err(error), _) | (_, Err(error)) => Finding::fail(check, error.to_string(), "check the log of the database"),
        (Ok(_), Ok(unknown)) if !unknown.is_empty() => {
            let message = format!("the database has {}, unknown to this release", unknown.join(", "));
            Finding::fail(check, message, "run the newer release, or reverse its migrations with it")
        }
        (Ok(known), Ok(_)) => match known.iter().filter(|(_, is_applied)| !is_applied).count() {
            0 => Finding::ok(check, format!("all {} are applied", known.len())),
            pending => Finding::warn(check, format!("{pending} are pending"), remedy),
        },
    }
}

async fn redis(config: &Config) -> Vec<Finding> {
    if !config.redis.is_set() {
        return vec![Finding::ok("redis", "is not configured: this must be the only node")];
    }
    let began = Instant::now();
    // Connecting may exceed the time limit of a command. A node retries as well.
    loop {
        let asked = clock_now();
        let redis = match RedisClient::open(&config.redis) {
            Ok(redis) => redis,
            Err(error) => return vec![Finding::fail("redis", error, "correct QUANTUMVAULT__REDIS__URL")],
        };
        match redis.clock().await {
            Ok(theirs) => return vec![Finding::ok("redis", "responds"), clock("redis clock", asked, theirs)],
            Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(ASK_AGAIN_AFTER).await,
            Err(error) => {
                let remedy = "start Redis, or correct QUANTUMVAULT__REDIS__URL; until then, nodes are degraded";
                return vec![Finding::fail("redis", error.to_string(), remedy)];
            }
        }
    }
}

async fn mail(config: &Config) -> Finding {
    let check = "mail";
    match Mailer::open(config) {
        Err(error) => Finding::fail(check, error, "correct the setting"),
        Ok(mailer) => match timeout(PATIENCE, mailer.test()).await {
            Ok(Ok(())) => match config.mail_folder() {
                Some(folder) if config.redis.is_set() => {
                    let message = format!("is written to the folder {} of this node and not sent", folder.display());
                    Finding::warn(check, message, "set QUANTUMVAULT__MAIL__URL to a mail server")
                }
                Some(folder) => Finding::ok(check, format!("is written to the folder {}", folder.display())),
                None => Finding::ok(check, "the server accepts mail"),
            },
            Ok(Err(cause)) => Finding::fail(
                check,
                format!("the server rejects the connection ({cause})"),
                "check QUANTUMVAULT__MAIL__URL and the mail server",
            ),
            Err(_) => {
                Finding::fail(check, "the server does not respond within 5 seconds", "check QUANTUMVAULT__MAIL__URL")
            }
        },
    }
}

/// Checks the limit of open files. Each connection needs one, and without a free one the server accepts none.
fn files(config: &Config) -> Finding {
    let check = "file descriptors";
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let limit = line.and_then(|line| line.split_whitespace().next());
    let needed = config.http.max_connections as u64 + u64::from(config.database.pool_size) + OTHER_FILES;
    match limit.map(str::parse::<u64>) {
        Some(Ok(limit)) if limit < needed => {
            let message =
                format!("the limit is {limit}, but http.max_connections and database.pool_size can need {needed}");
            Finding::warn(
                check,
                message,
                &format!("run `ulimit -n {needed}`, or set LimitNOFILE={needed} in the systemd unit"),
            )
        }
        Some(Ok(limit)) => Finding::ok(check, format!("the limit is {limit}")),
        _ => Finding::ok(check, "have no readable limit"),
    }
}

/// Compares another clock with ours, which read `asked` when the query was sent.
fn clock(check: &'static str, asked: Timestamp, theirs: Timestamp) -> Finding {
    let answered = clock_now();
    // The other clock was read between query and answer. Only a time outside that interval is a difference.
    let difference = if theirs < asked { asked - theirs } else { theirs - answered }.max(TimeDelta::zero());
    let message = format!("differs from this machine's clock by {} ms", difference.num_milliseconds());
    let remedy = "synchronise the clocks of all machines with NTP";
    if difference >= CLOCK_FAIL {
        Finding::fail(check, message, remedy)
    } else if difference >= CLOCK_WARN {
        Finding::warn(check, message, remedy)
    } else {
        Finding::ok(check, message)
    }
}

fn clock_now() -> Timestamp {
    Clock::System.now()
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, message: message.into(), remedy: None }
    }

    fn warn(check: &'static str, message: impl Into<String>, remedy: &str) -> Self {
        Self { check, verdict: Verdict::Warn, message: message.into(), remedy: Some(remedy.to_owned()) }
    }

    fn fail(check: &'static str, message: impl Into<String>, remedy: &str) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, message, remedy) }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "OK  ",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        let remedy = self.remedy.as_ref().map(|remedy| format!(": {remedy}")).unwrap_or_default();
        format!("{verdict}  {:<16}  {}{remedy}\n", self.check, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_way_cannot_explain_is_a_difference_of_clocks() {
        let now = clock_now();
        let verdict = |asked, theirs| clock("clock", asked, theirs).verdict;
        assert_eq!(verdict(now - TimeDelta::seconds(20), now - TimeDelta::seconds(10)), Verdict::Ok);
        assert_eq!(verdict(now, now - TimeDelta::seconds(2)), Verdict::Warn);
        assert_eq!(verdict(now, now + TimeDelta::seconds(60)), Verdict::Fail);
    }
}
