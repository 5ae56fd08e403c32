//! Rate limits of actions, by user, network or account.

use std::time::Duration;

use crate::budget::network;
use crate::config::{Rate, RateLimits};
use crate::crypto::token;
use crate::domain::{Client, UserId, Viewer};
use crate::limiter::{Decision, Fallback, Limit};
use crate::service::{Backend, Error, RequestContext};

const KIB: u32 = 1024;

/// A limit on how often an action may happen.
pub(crate) struct RateLimit {
    /// Name of the action in keys and metrics.
    action: &'static str,
    rate: fn(&RateLimits) -> Rate,
    fallback: Fallback,
}

impl RateLimit {
    pub(crate) const REGISTER: Self = Self::new("register", |limits| limits.register_by_address);
    pub(crate) const LOGIN: Self = Self::new("login", |limits| limits.login_by_address);
    /// Sign-ins to one account, by its username or its email address.
    pub(crate) const ACCOUNT: Self = Self::new("account", |limits| limits.login_by_account);
    /// Passkey ceremonies, counted when they begin. Not LOGIN, because password guessing must not block passkeys.
    pub(crate) const PASSKEY: Self = Self::new("passkey", |limits| limits.login_by_address);
    /// Password checks of an owner who is already signed in.
    pub(crate) const PROOF: Self = Self::new("proof", |limits| limits.login_by_account);
    pub(crate) const REFRESH: Self = Self::new("refresh", |limits| limits.refresh_by_session);
    /// Mails, limited by the requesting address and then by the recipient.
    pub(crate) const RESET_MAIL: [Self; 2] = Self::mail("reset");
    pub(crate) const VERIFICATION_MAIL: [Self; 2] = Self::mail("verify");
    pub(crate) const SEND: Self = Self { action: "send", rate: |limits| limits.send_by_user, fallback: Fallback::Open };
    /// Publications of keys, which cause work for all followers of the user.
    pub(crate) const KEYS: Self = Self::new("keys", |limits| limits.keys_by_user);
    pub(crate) const METRICS: Self = Self::new("metrics", |limits| limits.metrics_by_user);
    /// Bytes of metrics, in a rate of KiB.
    pub(crate) const METRIC_BYTES: Self = Self::new("metric_bytes", |limits| limits.metric_bytes_by_user);

    const fn new(action: &'static str, rate: fn(&RateLimits) -> Rate) -> Self {
        Self { action, rate, fallback: Fallback::Local }
    }

    const fn mail(action: &'static str) -> [Self; 2] {
        [Self::new(action, |limits| limits.mail_by_network), Self::new(action, |limits| limits.mail_by_recipient)]
    }

    /// Counts an action of a subject, such as a user. Fails if there were too many.
    pub(crate) async fn spend(&self, context: &RequestContext, subject: &impl ToString) -> Result<(), Error> {
        let rate = (self.rate)(&context.backend.config.rate_limits);
        self.spend_units(context, subject, &limit(rate, self.fallback), 1).await
    }

    /// Counts bytes of a subject, by a rate in KiB. Fails if there were too many.
    pub(crate) async fn spend_bytes(
        &self,
        context: &RequestContext,
        subject: &impl ToString,
        bytes: usize,
    ) -> Result<(), Error> {
        let rate = limit((self.rate)(&context.backend.config.rate_limits), self.fallback);
        let by_byte = Limit { interval: rate.interval / KIB, burst: rate.burst.saturating_mul(KIB), ..rate };
        self.spend_units(context, subject, &by_byte, u32::try_from(bytes).unwrap_or(u32::MAX)).await
    }

    async fn spend_units(
        &self,
        context: &RequestContext,
        subject: &impl ToString,
        limit: &Limit,
        units: u32,
    ) -> Result<(), Error> {
        let backend = &context.backend;
        if !backend.config.rate_limits.enabled {
            return Ok(());
        }
        let key = format!("{}:{}", self.action, subject.to_string());
        allow(backend, self.action, backend.limiter.check(&key, limit, units).await)
    }

    /// Counts an action of the client's network. Fails if there were too many.
    pub(crate) async fn spend_by_address(&self, context: &RequestContext) -> Result<(), Error> {
        self.spend(context, &address(&context.client)).await
    }
}

/// Counts a mail that a client requests, whether or not one is sent.
pub(crate) async fn spend_mail(
    context: &RequestContext,
    [by_address, by_recipient]: [RateLimit; 2],
    recipient: &str,
) -> Result<(), Error> {
    by_address.spend_by_address(context).await?;
    by_recipient.spend(context, &format!("to:{}", anonymous(recipient))).await
}

/// Counts a sign-in by its account. A login without an account counts as well, by a digest.
pub(crate) async fn spend_account(context: &RequestContext, found: Option<UserId>, login: &str) -> Result<(), Error> {
    let subject = found.map_or_else(|| anonymous(&login.to_ascii_lowercase()), |id| id.to_string());
    RateLimit::ACCOUNT.spend(context, &subject).await
}

/// Counts the cost of an operation before it runs.
///
/// Each node counts for itself, because a Redis round trip per request would cost more than it protects.
pub fn spend_cost(backend: &Backend, client: &Client, viewer: Option<&Viewer>, cost: usize) -> Result<(), Error> {
    let settings = &backend.config.rate_limits;
    if !settings.enabled {
        return Ok(());
    }
    let subject = viewer.map_or_else(|| address(client), |viewer| viewer.user_id.to_string());
    let cost = u32::try_from(cost).unwrap_or(u32::MAX).max(1);
    allow(backend, "cost", backend.costs.check(&subject, &limit(settings.cost_by_caller, Fallback::Local), cost))
}

fn allow(backend: &Backend, action: &'static str, decision: Decision) -> Result<(), Error> {
    if decision.allowed {
        return Ok(());
    }
    backend.counted.refusals.add(action);
    Err(Error::RateLimited { retry_after: decision.retry_after })
}

fn limit(rate: Rate, fallback: Fallback) -> Limit {
    Limit { interval: Duration::from_millis(rate.interval_ms), burst: rate.burst, fallback }
}

/// Returns a digest in place of personal data, which must not reach Redis.
fn anonymous(text: &str) -> String {
    let digest = token::digest(text);
    format!("{:032x}", u128::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 16])))
}

/// Returns the network that a client counts as.
fn address(client: &Client) -> String {
    client.ip.map_or_else(|| "unknown".to_owned(), |ip| network(ip).to_string())
}
