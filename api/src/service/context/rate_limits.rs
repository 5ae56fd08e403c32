//! How often what may be done: by user, by address, by account.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::Rate,
    crypto::token,
    domain::{Client, SessionId, UserId, Viewer},
    limiter::{Decision, Fallback, Limit},
    service::{Backend, Error, RequestContext},
};

/// Counts what an operation may cost, before it runs.
///
/// Each node counts its own: a round trip for every request would cost more than what it protects.
pub fn spend_cost(backend: &Backend, client: &Client, viewer: Option<&Viewer>, cost: usize) -> Result<(), Error> {
    let settings = &backend.config.rate_limits;
    if !settings.enabled {
        return Ok(());
    }
    let subject = viewer.map_or_else(|| address(client), |viewer| viewer.user_id.to_string());
    let cost = u32::try_from(cost).unwrap_or(u32::MAX).max(1);
    judge(backend, "cost", backend.costs.check(&subject, &limit(settings.cost_by_caller, Fallback::Local), cost))
}

/// Counts a registration, whether or not it succeeds.
pub(crate) async fn spend_registration(context: &RequestContext) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.register_by_address;
    spend(&context.backend, "register", &address(&context.client), limit(rate, Fallback::Local)).await
}

/// Counts a sign-in by where it comes from, whether or not it succeeds.
pub(crate) async fn spend_login(context: &RequestContext) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.login_by_address;
    spend(&context.backend, "login", &address(&context.client), limit(rate, Fallback::Local)).await
}

/// Counts a sign-in by the account it is for, so that its name and its address are not two; one that does not exist is
/// limited like one that does, by a digest, so that nothing of a person stands in Redis.
pub(crate) async fn spend_account(context: &RequestContext, found: Option<UserId>, login: &str) -> Result<(), Error> {
    let subject = found.map_or_else(
        || {
            let digest = token::digest(&login.to_ascii_lowercase());
            format!("{:032x}", u128::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 16])))
        },
        |id| id.to_string(),
    );
    let rate = context.backend.config.rate_limits.login_by_account;
    spend(&context.backend, "account", &subject, limit(rate, Fallback::Local)).await
}

/// Counts a passkey ceremony by where it comes from: as often as a sign-in, and apart from those, so that whoever tries
/// passwords keeps nobody's passkey out. It is counted when it begins, since it can be finished but once.
pub(crate) async fn spend_passkey(context: &RequestContext) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.login_by_address;
    spend(&context.backend, "passkey", &address(&context.client), limit(rate, Fallback::Local)).await
}

/// Counts a password that the owner of a session proves to be the owner of the account with.
pub(crate) async fn spend_proof(context: &RequestContext, user_id: UserId) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.login_by_account;
    spend(&context.backend, "proof", &user_id.to_string(), limit(rate, Fallback::Local)).await
}

/// Counts a refresh, whether or not it succeeds.
pub(crate) async fn spend_refresh(context: &RequestContext, id: SessionId) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.refresh_by_session;
    spend(&context.backend, "refresh", &id.to_string(), limit(rate, Fallback::Local)).await
}

/// Counts a mail that somebody asks for, by where that comes from and by whom it is for, whether or not one is sent.
pub(crate) async fn spend_mail(context: &RequestContext, kind: &'static str, recipient: &str) -> Result<(), Error> {
    let limits = &context.backend.config.rate_limits;
    spend(&context.backend, kind, &address(&context.client), limit(limits.mail_by_network, Fallback::Local)).await?;
    let digest = u128::from_be_bytes(*token::digest(recipient).first_chunk().unwrap_or(&[0; 16]));
    let subject = format!("to:{digest:032x}");
    spend(&context.backend, kind, &subject, limit(limits.mail_by_recipient, Fallback::Local)).await
}

/// Counts a message.
pub(crate) async fn spend_send(context: &RequestContext, sender: UserId) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.send_by_user;
    spend(&context.backend, "send", &sender.to_string(), limit(rate, Fallback::Open)).await
}

/// Counts a publication of keys, whose price is paid by all who follow the user.
pub(crate) async fn spend_keys(context: &RequestContext, id: UserId) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.keys_by_user;
    spend(&context.backend, "keys", &id.to_string(), limit(rate, Fallback::Local)).await
}

/// Counts a call that records metrics, whether or not it succeeds.
pub(crate) async fn spend_metrics(context: &RequestContext, user_id: UserId) -> Result<(), Error> {
    let rate = context.backend.config.rate_limits.metrics_by_user;
    spend(&context.backend, "metrics", &user_id.to_string(), limit(rate, Fallback::Local)).await
}

async fn spend(backend: &Arc<Backend>, action: &'static str, subject: &str, limit: Limit) -> Result<(), Error> {
    if !backend.config.rate_limits.enabled {
        return Ok(());
    }
    judge(backend, action, backend.limiter.check(&format!("{action}:{subject}"), &limit, 1).await)
}

fn judge(backend: &Backend, action: &'static str, decision: Decision) -> Result<(), Error> {
    if decision.allowed {
        return Ok(());
    }
    backend.counted.refusals.add(action);
    Err(Error::RateLimited { retry_after: decision.retry_after })
}

fn limit(rate: Rate, fallback: Fallback) -> Limit {
    Limit { interval: Duration::from_millis(rate.interval_ms), burst: rate.burst, fallback }
}

/// The network that a client counts as: an IPv6 user has a /64 to choose addresses from.
fn address(client: &Client) -> String {
    match client.ip.map(|ip| ip.to_canonical()) {
        None => "unknown".to_owned(),
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let of = |ip: &str| {
            let ip = Some(ip.parse().unwrap());
            address(&Client { request_id: String::new(), ip, user_agent: None })
        };
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
