//! Passwords: Argon2id (RFC 9106) with bounded parallelism and a bounded queue.

mod memory;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{num::NonZero, sync::Arc};

use argon2::password_hash;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, time::timeout};
use zxcvbn::Score;

use crate::{config, crypto::password::memory::Memory, domain::Random, telemetry::counters::Durations};

/// Maximum length. Longer passwords fail before any work is done on them.
pub const PASSWORD_MAX_CHARACTERS: usize = 256;
const PASSWORD_MAX_BYTES: usize = 1024;
/// Maximum wait for a permit. A client must receive the error while it still waits for its response.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// Number of characters that the strength estimator reads. Its time grows quadratically, and further characters do not
/// change its result.
const ESTIMATED_CHARACTERS: usize = 64;

/// Reason why a password was not hashed or compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The queue is full, or the wait for a permit was too long.
    #[error("too many password hashes are waiting")]
    Busy,
    /// The hash function failed.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

/// Load of password hashing.
#[derive(Debug)]
pub struct Load<'a> {
    /// Hashes that are being computed.
    pub running: usize,
    /// Maximum number of concurrent hashes.
    pub most: usize,
    /// Hashes that wait for a permit.
    pub waiting: usize,
    /// Times that hashes have waited for a permit.
    pub waits: &'a Durations,
}

/// Hasher of passwords with bounded concurrency.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    random: Random,
    permits: Arc<Semaphore>,
    /// Pool with at most one working memory per permit.
    memory: Arc<Memory>,
    waiting: Arc<AtomicUsize>,
    queue: usize,
    most: usize,
    waits: Arc<Durations>,
    /// Hash to compare with if there is no account, so that the response takes equally long.
    decoy: Arc<str>,
}

impl Passwords {
    /// Creates a hasher with these settings.
    pub fn new(settings: &config::Passwords, random: Random) -> Result<Self, PasswordError> {
        let params = Params::new(settings.memory_kib, settings.passes, settings.lanes, None).map_err(failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let permits = if settings.concurrency == 0 { (cores - 1).max(1) } else { settings.concurrency };
        // No known password has this digest, and comparing with it costs as much as any comparison.
        let decoy = phc(&argon2, &random.bytes(), &random.bytes::<{ Params::DEFAULT_OUTPUT_LEN }>());
        Ok(Self {
            argon2,
            random,
            permits: Arc::new(Semaphore::new(permits)),
            most: permits,
            waits: Arc::default(),
            memory: Arc::default(),
            waiting: Arc::default(),
            queue: settings.queue,
            decoy: decoy.map_err(failed)?.into(),
        })
    }

    /// Hashes a new password. Returns the PHC string.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let (argon2, memory, salt) = (self.argon2.clone(), Arc::clone(&self.memory), self.random.bytes());
        self.in_turn(move || hash(&argon2, &memory, password.expose_secret(), &salt)).await?.map_err(failed)
    }

    /// Returns whether the password matches the hash. Without a hash, takes equally long and returns false.
    pub async fn verify(&self, password: SecretString, stored: Option<String>) -> Result<bool, PasswordError> {
        let (memory, decoy) = (Arc::clone(&self.memory), Arc::clone(&self.decoy));
        self.in_turn(move || {
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(&decoy)).map_err(failed)?;
            // An overlong password always fails, but costs no more than an ordinary comparison.
            let known = password.expose_secret().len() <= PASSWORD_MAX_BYTES;
            let candidate = if known { password.expose_secret().as_bytes() } else { &[] };
            let matches = verify(&memory, candidate, &hash).unwrap_or(false);
            Ok(matches && known && stored.is_some())
        })
        .await?
    }

    /// Returns whether a hash was created with the current settings.
    #[must_use]
    pub fn is_current(&self, stored: &str) -> bool {
        let params = PasswordHash::new(stored).ok().and_then(|hash| Params::try_from(&hash).ok());
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        params.is_some_and(|params| cost(&params) == cost(self.argon2.params()))
    }

    /// Releases memory that no hash has used for this long.
    pub fn release_unused(&self, unused_for: Duration) {
        self.memory.release_unused(unused_for);
    }

    /// Returns the current load.
    #[must_use]
    pub fn load(&self) -> Load<'_> {
        Load {
            running: self.most.saturating_sub(self.permits.available_permits()),
            most: self.most,
            waiting: self.waiting.load(Ordering::Relaxed),
            waits: &self.waits,
        }
    }

    /// Runs `work` on a blocking thread once a permit is free.
    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let asked = Instant::now();
        let permit = if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            permit
        } else {
            let _place = Place::take(&self.waiting, self.queue).ok_or(PasswordError::Busy)?;
            let turn = timeout(TURN_WITHIN, Arc::clone(&self.permits).acquire_owned()).await;
            turn.map_err(|_| PasswordError::Busy)?.map_err(failed)?
        };
        self.waits.observe(asked.elapsed());
        let task = move || {
            let done = work();
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(task).await.map_err(failed)
    }
}

/// A slot in the queue, released when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, queue: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < queue).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns why a new password is too weak, or `None`. `context` holds words that an attacker would try first.
#[must_use]
pub fn weakness(password: &str, min_characters: usize, context: &[&str]) -> Option<String> {
    let characters = password.chars().count();
    if characters < min_characters {
        return Some(format!("must have at least {min_characters} characters"));
    }
    if characters > PASSWORD_MAX_CHARACTERS || password.len() > PASSWORD_MAX_BYTES {
        return Some(format!("must have at most {PASSWORD_MAX_CHARACTERS} characters and {PASSWORD_MAX_BYTES} bytes"));
    }
    let head: String = password.chars().take(ESTIMATED_CHARACTERS).collect();
    let estimate = zxcvbn::zxcvbn(&head, context);
    if estimate.score() >= Score::Three {
        return None;
    }
    let warning = estimate.feedback().and_then(zxcvbn::feedback::Feedback::warning).map(|warning| warning.to_string());
    Some(format!("is too easy to guess{}", warning.map_or(String::new(), |warning| format!(": {warning}"))))
}

fn hash(argon2: &Argon2<'_>, memory: &Memory, password: &str, salt: &[u8; 16]) -> password_hash::Result<String> {
    let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
    memory.digest(argon2, password.as_bytes(), salt, &mut digest)?;
    phc(argon2, salt, &digest)
}

/// Formats a hash as a PHC string, which is stored.
fn phc(argon2: &Argon2<'_>, salt: &[u8; 16], digest: &[u8]) -> password_hash::Result<String> {
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: argon2.params().try_into()?,
        salt: Some(Salt::new(salt)?),
        hash: Some(Output::new(digest)?),
    };
    Ok(hash.to_string())
}

/// Returns whether a password matches a hash, which contains its own parameters.
fn verify(memory: &Memory, password: &[u8], hash: &PasswordHash) -> password_hash::Result<bool> {
    let (Some(salt), Some(known)) = (&hash.salt, &hash.hash) else { return Ok(false) };
    let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from)?;
    let argon2 = Argon2::new(hash.algorithm.as_str().try_into()?, version, hash.try_into()?);
    let mut digest = [0; Output::MAX_LENGTH];
    let digest = digest.get_mut(..known.len()).ok_or(password_hash::Error::OutputSize)?;
    memory.digest(&argon2, password, salt, digest)?;
    // Outputs are compared in constant time.
    Ok(Output::new(digest)? == *known)
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Failed(error.to_string())
}

/// Returns whether a stored text is a hash, so that some password can match it.
#[must_use]
pub fn is_set(stored: &str) -> bool {
    PasswordHash::new(stored).is_ok()
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher;

    use super::*;

    fn passwords(queue: usize) -> Passwords {
        let settings = config::Passwords { memory_kib: 64, passes: 1, lanes: 1, concurrency: 1, queue };
        Passwords::new(&settings, Random::System).unwrap()
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_only() {
        let passwords = passwords(4);
        let hash = passwords.hash("correct horse battery".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
        assert!(passwords.verify("correct horse battery".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horse batterz".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("x".repeat(1_000_000).into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_is_compared_in_the_way_it_was_made() {
        let (algorithm, version) = (Algorithm::Argon2i, Version::V0x10);
        let other = Argon2::new(algorithm, version, Params::new(128, 3, 2, Some(24)).unwrap());
        let stored: PasswordHash = other.hash_password_with_salt(b"a password", b"and its salt").unwrap();
        let passwords = passwords(4);
        assert_eq!(passwords.verify("a password".into(), Some(stored.to_string())).await, Ok(true));
        assert_eq!(passwords.verify("another".into(), Some(stored.to_string())).await, Ok(false));
        assert!(!passwords.is_current(&stored.to_string()));
    }

    #[tokio::test]
    async fn past_the_queue_the_answer_is_busy_at_once() {
        let passwords = passwords(1);
        let held = passwords.permits.acquire().await.unwrap();
        let mut waiting = std::pin::pin!(passwords.verify("a".into(), None));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(passwords.verify("b".into(), None).await, Err(PasswordError::Busy));
        drop(held);
        assert_eq!(waiting.await, Ok(false));
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn short_long_and_guessable_passwords_are_refused_with_a_reason() {
        for (password, reason) in [
            ("short", "at least 15"),
            ("aaaaaaaaaaaaaaaaaaaa", "easy to guess"),
            ("passwordpassword", "easy to guess"),
            ("alice.wonderland1", "easy to guess"),
            (&"é7".repeat(200), "at most 256"),
        ] {
            let weakness = weakness(password, 15, &["alice.wonderland"]).unwrap_or_default();
            assert!(weakness.contains(reason), "{password}: {weakness}");
        }
        assert_eq!(weakness("correct horse battery staple", 15, &["alice"]), None);
    }
}
