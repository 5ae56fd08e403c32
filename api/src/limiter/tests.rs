//! Tests of both limiters by a common suite, and of each limiter's own behaviour.

use std::{process, time::Duration};

use crate::config;
use crate::limiter::{Decision, Fallback, Limit, Limiter, Local, Shared, gcra};
use crate::redis_client::RedisClient;

const MINUTE: Limit = Limit { interval: Duration::from_mins(1), burst: 5, fallback: Fallback::Local };

fn allowed(remaining: u32) -> Decision {
    Decision { allowed: true, retry_after: Duration::ZERO, remaining }
}

fn shared(url: &str, nodes: u32) -> Shared {
    let settings = config::Redis { url: url.into(), prefix: String::new(), command_timeout_ms: 100 };
    Shared::new(RedisClient::open(&settings).unwrap(), "test:", nodes)
}

/// Returns a key that no other test and no other process uses.
fn key() -> String {
    format!("{}-{:?}", process::id(), std::thread::current().id())
}

async fn a_burst_is_spent_and_then_refused_until_one_comes_back(limiter: Limiter) {
    let key = key();
    for remaining in (0..5).rev() {
        assert_eq!(limiter.check(&key, &MINUTE, 1).await, allowed(remaining));
    }
    let refused = limiter.check(&key, &MINUTE, 1).await;
    assert!(!refused.allowed && refused.remaining == 0, "{refused:?}");
    assert!(refused.retry_after > Duration::from_secs(58) && refused.retry_after <= MINUTE.interval, "{refused:?}");
}

async fn a_refusal_spends_nothing_and_a_cost_spends_as_many(limiter: Limiter) {
    let key = key();
    assert_eq!(limiter.check(&key, &MINUTE, 3).await, allowed(2));
    let refused = limiter.check(&key, &MINUTE, 3).await;
    assert!(!refused.allowed && refused.remaining == 2, "{refused:?}");
    assert_eq!(limiter.check(&key, &MINUTE, 2).await, allowed(0));
}

async fn a_cost_above_the_burst_is_never_allowed(limiter: Limiter) {
    let key = key();
    assert!(!limiter.check(&key, &MINUTE, 6).await.allowed);
    assert_eq!(limiter.check(&key, &MINUTE, 5).await, allowed(0));
}

async fn keys_do_not_share(limiter: Limiter) {
    let key = key();
    assert_eq!(limiter.check(&key, &MINUTE, 5).await, allowed(0));
    assert_eq!(limiter.check(&format!("{key}-other"), &MINUTE, 5).await, allowed(0));
}

async fn what_was_spent_comes_back(limiter: Limiter) {
    let quick = Limit { interval: Duration::from_millis(30), burst: 1, fallback: Fallback::Local };
    let key = key();
    assert!(limiter.check(&key, &quick, 1).await.allowed);
    let again = async {
        while !limiter.check(&key, &quick, 1).await.allowed {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), again).await.unwrap();
}

async fn parallel_callers_get_no_more_than_the_burst(limiter: Limiter) {
    let burst = Limit { burst: 50, ..MINUTE };
    let key = key();
    let limiter = std::sync::Arc::new(limiter);
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let (limiter, key) = (limiter.clone(), key.clone());
            tokio::spawn(async move { limiter.check(&key, &burst, 1).await.allowed })
        })
        .collect();
    let mut count = 0;
    for call in calls {
        count += usize::from(call.await.unwrap());
    }
    assert_eq!(count, 50);
}

/// Runs the suite with the limiter of the module.
macro_rules! suite {
    ($($test:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(limiter()).await;
            }
        )+
    };
    () => {
        suite!(
            a_burst_is_spent_and_then_refused_until_one_comes_back,
            a_refusal_spends_nothing_and_a_cost_spends_as_many,
            a_cost_above_the_burst_is_never_allowed,
            keys_do_not_share,
            what_was_spent_comes_back,
            parallel_callers_get_no_more_than_the_burst
        );
    };
}

mod local {
    use super::*;

    fn limiter() -> Limiter {
        Limiter::Local(Local::default())
    }

    suite!();
}

mod clustered {
    use super::*;
    use crate::redis_client::redis_url;

    fn limiter() -> Limiter {
        Limiter::Redis(shared(&redis_url(), 2).into())
    }

    suite!();

    #[tokio::test]
    async fn a_redis_that_went_silent_is_found_again_at_another_connection() {
        let redis = redis_url().trim_start_matches("redis://").to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("redis://{}", listener.local_addr().unwrap());
        // The first connection stays open without a response. Later connections reach Redis.
        let proxy = tokio::spawn(async move {
            let _silent = listener.accept().await.unwrap();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut server = tokio::net::TcpStream::connect(&redis).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
            }
        });
        let limiter = shared(&address, 1);
        let open = Limit { burst: 1_000, fallback: Fallback::Open, ..MINUTE };
        let key = format!("{}-silent", process::id());
        // The open fallback returns the full burst. A limiter that counts returns less.
        let counted = async {
            while limiter.check(&key, &open, 1).await.remaining == open.burst {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), counted).await.unwrap();
        proxy.abort();
    }
}

#[test]
fn units_come_back_one_an_interval_up_to_the_burst() {
    let local = Local::default();
    let at = |seconds| local.check_at(Duration::from_secs(seconds), "key", &MINUTE, 1);
    for remaining in (0..5).rev() {
        assert_eq!(at(0), allowed(remaining));
    }
    assert!(!at(59).allowed);
    assert_eq!(at(60), allowed(0));
    assert_eq!(at(60 * 60), allowed(4));
}

#[test]
fn newcomers_are_counted_while_more_keys_than_fit_are_busy() {
    let local = Local::default();
    let at_once = |key: &str| local.check_at(Duration::ZERO, key, &MINUTE, 1);
    for key in (0..2).flat_map(|_| 0..150_000) {
        let _ = at_once(&key.to_string());
    }
    for newcomer in ["one", "two", "three"] {
        for remaining in (0..5).rev() {
            assert_eq!(at_once(newcomer), allowed(remaining));
        }
        assert!(!at_once(newcomer).allowed);
    }
}

#[test]
fn extreme_limits_do_not_overflow() {
    let limit = Limit { interval: Duration::MAX, burst: u32::MAX, fallback: Fallback::Open };
    let (_, decision) = gcra::decide(u64::MAX, u64::MAX, &limit, u32::MAX);
    assert!(decision.allowed);
    let zero = Limit { interval: Duration::ZERO, burst: 0, fallback: Fallback::Open };
    assert!(!gcra::decide(0, 0, &zero, 1).1.allowed);
}

/// Returns an address that accepts connections and never responds.
fn silent_address() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("redis://{}", listener.local_addr().unwrap());
    (listener, address)
}

#[tokio::test]
async fn a_silent_redis_costs_a_bounded_time_and_then_none() {
    let (_listener, address) = silent_address();
    let limiter = shared(&address, 2);
    let begin = std::time::Instant::now();
    // Two nodes share a burst of five: two each.
    let answers = [limiter.check("key", &MINUTE, 1).await.allowed, limiter.check("key", &MINUTE, 1).await.allowed];
    assert_eq!(answers, [true, true]);
    for _ in 0..200 {
        assert!(!limiter.check("key", &MINUTE, 1).await.allowed);
    }
    assert!(begin.elapsed() < Duration::from_millis(900), "{:?}", begin.elapsed());
    let open = Limit { fallback: Fallback::Open, ..MINUTE };
    assert!(limiter.check("key", &open, 1).await.allowed);
}
