//! End-to-end encryption: messages between two people, and the data that the server keeps of them.

use std::{fs, path::Path};

use memchr::memmem;
use qv_tests::client::{Client, PASSWORD, base64, bytes};
use qv_tests::keyring::{Keyring, Published, Sealed};
use qv_tests::process::{Process, TRACE};
use qv_tests::world::World;
use qv_tests::{hex, operation};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::Value;

const PASSPHRASE: &str = "seven lanterns over a quiet harbour";
const MESSAGE: &str = "the heron flies at midnight, bring the amber lamp";

#[tokio::test]
async fn a_message_crosses_and_the_server_keeps_neither_it_nor_a_secret() {
    let world = World::new().await;
    let server = Process::start(&world, &[TRACE]).await;
    let [alice, bob] = server.client().register_all(["alice", "bob"]).await;
    let (of_alice, of_bob) = (Keyring::generate(), Keyring::generate());
    of_alice.publish(&alice, PASSPHRASE).await.data();
    of_bob.publish(&bob, PASSPHRASE).await.data();

    // Each side receives the other's real keys: the fingerprints, which people compare, match.
    let (to_bob, from_alice) = (Published::of(&alice, &bob.id).await, Published::of(&bob, &alice.id).await);
    assert_eq!(to_bob.fingerprint(), of_bob.public().fingerprint());
    assert_eq!(from_alice.fingerprint(), of_alice.public().fingerprint());
    let mut feed = bob.feed(None).await;
    feed.backlog().await;
    let sealed = of_alice.seal(&to_bob, MESSAGE);
    sealed.send(&alice, &bob, "1").await.data();
    let received = Sealed::from_json(&feed.event().await["message"]);
    assert_eq!(of_bob.open(&from_alice, &received).as_deref(), Some(MESSAGE));

    let token = bob.token.clone().expect("a token");
    let mut secrets = [MESSAGE, PASSWORD, PASSPHRASE, &token, &alice.refresh_token].map(Vec::from).to_vec();
    secrets.extend([&of_alice, &of_bob].into_iter().flat_map(Keyring::secrets));
    let (output, log) = server.stop().await;
    let log = (output + &log).into_bytes();
    let database = contents(&world).await;
    for secret in &secrets {
        assert!(!holds(&log, secret), "in the log: {}", String::from_utf8_lossy(secret));
        assert!(!holds(&database, secret), "in the database: {}", String::from_utf8_lossy(secret));
    }
    // Known values are found, which proves that the searches above could have found something.
    for known in [sealed.content, sealed.iv, of_bob.public().pqc, b"alice@example.org".to_vec()] {
        assert!(holds(&database, &known), "{}", String::from_utf8_lossy(&known));
    }
    assert!(holds(&log, alice.address.port().to_string().as_bytes()));
}

#[tokio::test]
async fn what_was_changed_on_the_way_does_not_open() {
    let (alice, bob, eve) = (Keyring::generate(), Keyring::generate(), Keyring::generate());
    let sealed = alice.seal(&bob.public(), MESSAGE);
    assert_eq!(bob.open(&alice.public(), &sealed).as_deref(), Some(MESSAGE));
    // The first and the last byte of each part: the ephemeral key and the two ciphertexts.
    for at in [0, 31, 32, 1119, 1120, sealed.content.len() - 1] {
        let mut changed = sealed.clone();
        changed.content[at] ^= 0x80;
        assert_eq!(bob.open(&alice.public(), &changed), None, "byte {at}");
    }
    for length in [0, 31, 32, 1120, sealed.content.len() - 1] {
        let changed = Sealed { content: sealed.content[..length].to_vec(), ..sealed.clone() };
        assert_eq!(bob.open(&alice.public(), &changed), None, "{length} bytes");
    }
    let changed = Sealed { iv: vec![0; 12], ..sealed.clone() };
    assert_eq!(bob.open(&alice.public(), &changed), None);
    // For another recipient, or as if from another sender.
    assert_eq!(eve.open(&alice.public(), &sealed), None);
    assert_eq!(bob.open(&eve.public(), &sealed), None);
}

#[tokio::test]
async fn other_keys_are_noticed_and_open_what_comes_after_them_only() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let (of_alice, of_bob) = (Keyring::generate(), Keyring::generate());
    of_alice.publish(&alice, PASSPHRASE).await.data();
    of_bob.publish(&bob, PASSPHRASE).await.data();
    let before = Published::of(&alice, &bob.id).await;
    of_alice.seal(&before, MESSAGE).send(&alice, &bob, "1").await.data();

    // Bob has lost his device and starts with new keys. His passphrase would have restored the old ones.
    let anew = Keyring::generate();
    anew.publish(&bob, PASSPHRASE).await.data();
    let after = Published::of(&alice, &bob.id).await;
    assert_ne!(after.fingerprint(), before.fingerprint());
    of_alice.seal(&after, MESSAGE).send(&alice, &bob, "2").await.data();

    let (events, _) = bob.feed(None).await.backlog().await;
    let [first, second] = [0, 1].map(|n| Sealed::from_json(&events[n]["message"]));
    let sender = Published::of(&bob, &alice.id).await;
    assert_eq!(anew.open(&sender, &first), None);
    assert_eq!(anew.open(&sender, &second).as_deref(), Some(MESSAGE));
    assert_eq!(of_bob.open(&sender, &first).as_deref(), Some(MESSAGE));
}

#[tokio::test]
async fn another_device_takes_the_keys_from_the_vault_and_reads_on() {
    let (node, alice, bob) = World::new().await.pair().await;
    let (of_alice, of_bob) = (Keyring::generate(), Keyring::generate());
    of_alice.publish(&alice, PASSPHRASE).await.data();
    of_bob.publish(&bob, PASSPHRASE).await.data();
    of_alice.seal(&of_bob.public(), MESSAGE).send(&alice, &bob, "1").await.data();

    let device: Client = node.client().login("bob").await;
    let vault = device.run(operation!("key_vault"), Value::Null).await;
    let vault = bytes(&vault.data()["viewer"]["keyVault"]);
    let keyring = Keyring::from_vault(&vault, PASSPHRASE).expect("it opens");
    let (events, _) = device.feed(None).await.backlog().await;
    let sender = Published::of(&device, &alice.id).await;
    assert_eq!(keyring.open(&sender, &Sealed::from_json(&events[0]["message"])).as_deref(), Some(MESSAGE));
}

/// Whether a text contains bytes, raw, in hexadecimal or in base64.
fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    let forms = [needle.to_vec(), hex(needle).into_bytes(), base64(needle).into_bytes()];
    forms.iter().any(|form| memmem::find(haystack, form).is_some())
}

/// Returns the contents of the database: the bytes of its files, or each row as JSON with hexadecimal bytes.
async fn contents(world: &World) -> Vec<u8> {
    if let Some(file) = world.database.url.strip_prefix("sqlite://") {
        let folder = Path::new(file).parent().expect("a folder");
        let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
        return files.flat_map(|file| fs::read(file).expect("readable")).collect();
    }
    let db = world.database.connect().await;
    let tables = column(&db, "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'");
    let mut all = String::new();
    for table in tables.await {
        all += &column(&db, &format!(r#"SELECT row_to_json(one)::text FROM "{table}" AS one"#)).await.join("\n");
    }
    all.into_bytes()
}

async fn column(db: &DatabaseConnection, sql: &str) -> Vec<String> {
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("readable");
    rows.iter().map(|row| row.try_get_by_index(0).expect("text")).collect()
}
