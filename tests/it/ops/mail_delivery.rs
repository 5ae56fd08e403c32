//! The delivery of mails: to a server that is slow, unavailable or unwilling, or into a folder.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use qv_tests::{mail::MailServer, world::World};
use serde_json::{Value, json};

use crate::auth::email_links::{linked, node_at};

#[tokio::test]
async fn a_mail_waits_for_its_server_and_the_request_does_not() {
    let world = World::new().await;
    let port = unused_port();
    let node = node_at(&world, "one", port).await;
    node.client().register("alice").await;
    let mut mails = MailServer::start_at(port).await;
    linked(&mails.letter().await, "verify-email");
}

#[tokio::test]
async fn what_a_mail_server_refuses_for_good_is_not_tried_again() {
    for (code, attempts) in [(550, 1), (450, 6)] {
        let world = World::new().await;
        let mut mails = MailServer::refusing(code).await;
        let node = node_at(&world, "one", mails.port).await;
        node.client().register("alice").await;
        for _ in 0..attempts {
            assert_eq!(mails.letter().await, json!({ "refused": code }));
        }
        node.stop().await;
        assert_eq!(mails.rest().await, Vec::<Value>::new(), "{code}");
    }
}

#[tokio::test]
async fn a_silent_mail_server_does_not_hold_the_end_up() {
    let world = World::new().await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut config = world.config("one");
    config.http.drain_seconds = 1;
    config.mail.url = format!("smtp://{}", silent.local_addr().expect("an address")).into();
    let node = world.try_node(config).await.expect("a node starts");
    node.client().register("alice").await;
    let began = Instant::now();
    node.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn without_a_mail_server_letters_are_files_for_their_owner_only() {
    let world = World::new().await;
    let config = world.config("one");
    let folder = config.data_dir.join("mails");
    let node = world.try_node(config).await.expect("a node starts");
    node.client().register("alice").await;
    node.stop().await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert_eq!((mode(file), file.extension().and_then(|name| name.to_str())), (0o600, Some("eml")));
    let mail = std::fs::read_to_string(file).expect("text");
    assert!(mail.contains("To: alice@example.org") && mail.contains("text/html"), "{mail}");
}

/// Returns a port below the kernel's ephemeral ports, so that it stays unused until it is needed.
fn unused_port() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 12_000).expect("below 12000");
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (start..32_000).chain(20_000..start).find(is_free).expect("a port")
}
