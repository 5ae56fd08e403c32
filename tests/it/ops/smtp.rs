//! Mail servers as in production: with TLS, a certificate that must be trusted, and a password.

use std::{fs, path::PathBuf};

use qv_tests::mail::MailServer;
use qv_tests::node_process::binary;
use qv_tests::process::{Process, TRACE};
use qv_tests::world::{World, private_folder};
use rcgen::generate_simple_self_signed;
use serde_json::json;
use tempfile::TempDir;

const LOGIN: &str = "quantumvault:a-word-for-mail";

/// Certificate of a server called localhost, and its key.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    _folder: TempDir,
}

impl Identity {
    fn new() -> Self {
        let folder = private_folder();
        let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
        fs::write(&certificate, made.cert.pem()).expect("a file");
        fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        Self { certificate, key, _folder: folder }
    }

    /// Starts a mail server that presents the certificate and accepts one user.
    async fn server(&self, tls: &str) -> MailServer {
        let [certificate, key] = [&self.certificate, &self.key].map(|path| path.to_str().expect("text"));
        MailServer::run(&["--tls", tls, "--certificate", certificate, "--key", key, "--login", LOGIN]).await
    }
}

/// Starts a node that sends its mails to this URL and trusts this certificate.
async fn node(world: &World, url: &str, trusted: &Identity) -> Process {
    let mut command = binary();
    command.envs(world.environment_with("one", &[("MAIL__URL", url), ("MAIL__ATTEMPTS", "1"), TRACE]));
    command.env("SSL_CERT_FILE", &trusted.certificate);
    Process::run(command).await
}

#[tokio::test]
async fn letters_go_under_tls_to_a_server_that_knows_the_sender() {
    let identity = Identity::new();
    for (tls, scheme, rest) in [("implicit", "smtps", ""), ("starttls", "smtp", "?tls=required")] {
        let world = World::new().await;
        let mut mails = identity.server(tls).await;
        let url = format!("{scheme}://{LOGIN}@localhost:{}{rest}", mails.port);
        let process = node(&world, &url, &identity).await;
        process.client().register("alice").await;
        let letter = mails.letter().await;
        let seen = json!([letter["to"], letter["secure"], letter["user"]]);
        assert_eq!(seen, json!([["alice@example.org"], true, "quantumvault"]), "{tls}");
        process.stop().await;
    }
}

#[tokio::test]
async fn no_letter_and_no_password_goes_to_a_server_that_is_not_the_one_meant() {
    let (identity, other) = (Identity::new(), Identity::new());
    let trusted = identity.server("starttls").await;
    let stranger = other.server("implicit").await;
    let open = MailServer::start().await;
    for (url, cause) in [
        (format!("smtps://{LOGIN}@localhost:{}", stranger.port), "certificate"),
        // Under a name that the certificate does not contain.
        (format!("smtp://{LOGIN}@127.0.0.1:{}?tls=required", trusted.port), "certificate"),
        (format!("smtp://{LOGIN}@localhost:{}?tls=required", open.port), "STARTTLS"),
        (format!("smtp://quantumvault:guessed@localhost:{}?tls=required", trusted.port), "535"),
    ] {
        let world = World::new().await;
        let process = node(&world, &url, &identity).await;
        process.client().register("alice").await;
        let (_, log) = process.stop().await;
        let given_up = log.lines().find(|line| line.contains("a mail could not be sent"));
        assert!(given_up.is_some_and(|line| line.contains(cause)), "{url}: {given_up:?}");
        assert!(!log.contains("a-word-for-mail") && !log.contains("guessed"), "{log}");
    }
    for server in [trusted, stranger, open] {
        assert!(server.rest().await.is_empty());
    }
}
