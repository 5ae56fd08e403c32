//! A device's half of the cryptography, as a client does it; the server has no part in it.
//!
//! Each message has a key of its own, from a hybrid of X25519 (RFC 7748) and ML-KEM-768 (FIPS 203) that holds while
//! either of them does, by HKDF with SHA-256 (RFC 5869), for AES-256-GCM (NIST SP 800-38D).

use aes_gcm::aead::{Aead, Generate};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use argon2::Argon2;
use hkdf::Hkdf;
use ml_kem::kem::{Decapsulate, Encapsulate, Kem};
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{Ciphertext, FromSeed, KeyExport, MlKem768, Seed};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::client::{Answer, Client, base64, bytes};
use crate::operation;

/// Keeps the keys of messages apart from any other use of the same secrets.
const PURPOSE: &[u8] = b"a message between two people 1";
const ECC: usize = 32;
const KEM_CIPHERTEXT: usize = 1088;
const SALT: usize = 16;
const IV: usize = 12;

/// One person's private keys.
pub struct Keyring {
    ecc: StaticSecret,
    pqc: DecapsulationKey,
}

/// A person's public keys, as the server hands them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// X25519.
    pub ecc: Vec<u8>,
    /// ML-KEM-768.
    pub pqc: Vec<u8>,
}

/// A message that only its recipient can open.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// An X25519 key of its own, an ML-KEM ciphertext, and the message under AES-256-GCM.
    pub content: Vec<u8>,
    /// The initialisation vector.
    pub iv: Vec<u8>,
}

impl Keyring {
    /// New keys.
    #[must_use]
    pub fn generate() -> Self {
        Self { ecc: StaticSecret::random(), pqc: MlKem768::generate_keypair().0 }
    }

    /// What others may know.
    #[must_use]
    pub fn public(&self) -> Published {
        let ecc = PublicKey::from(&self.ecc).as_bytes().to_vec();
        Published { ecc, pqc: self.pqc.encapsulation_key().to_bytes().to_vec() }
    }

    /// What nobody may know.
    #[must_use]
    pub fn secrets(&self) -> [Vec<u8>; 2] {
        [self.ecc.as_bytes().to_vec(), self.pqc.to_seed().expect("made from a seed").to_vec()]
    }

    /// Publishes the public half with a vault that holds the private one.
    pub async fn publish(&self, client: &Client, passphrase: &str) -> Answer {
        let Published { ecc, pqc } = self.public();
        let input = json!({
            "ecc": base64(ecc),
            "pqc": base64(pqc),
            "keyVault": base64(self.vault(passphrase)),
        });
        client.run(operation!("update_public_keys"), json!({ "input": input })).await
    }

    /// The private keys under a passphrase, for another device of the same person.
    #[must_use]
    pub fn vault(&self, passphrase: &str) -> Vec<u8> {
        let (salt, iv) = (<[u8; SALT]>::generate(), Nonce::generate());
        let wrapped = cipher(&stretch(passphrase, &salt)).encrypt(&iv, &*self.secrets().concat()).expect("short");
        [&salt[..], &iv, &wrapped].concat()
    }

    /// The keys in a vault, if this is its passphrase.
    #[must_use]
    pub fn from_vault(vault: &[u8], passphrase: &str) -> Option<Self> {
        let (salt, rest) = vault.split_at_checked(SALT)?;
        let (iv, wrapped) = rest.split_at_checked(IV)?;
        let secrets = open(&stretch(passphrase, salt), iv, wrapped)?;
        let (ecc, seed) = secrets.split_first_chunk::<ECC>()?;
        let pqc = MlKem768::from_seed(&Seed::try_from(seed).ok()?).0;
        Some(Self { ecc: StaticSecret::from(*ecc), pqc })
    }

    /// Encrypts for somebody, so that who opens it knows that it comes from here.
    #[must_use]
    pub fn seal(&self, recipient: &Published, message: &str) -> Sealed {
        let theirs = recipient.x25519().expect("an X25519 key");
        let pqc = EncapsulationKey::new(recipient.pqc[..].try_into().expect("1184 bytes")).expect("an ML-KEM key");
        let once = StaticSecret::random();
        let (ciphertext, shared) = pqc.encapsulate();
        let head = [PublicKey::from(&once).as_bytes(), &ciphertext[..]].concat();
        let secrets = [&shared[..], &agree(&once, &theirs), &agree(&self.ecc, &theirs)].concat();
        let key = derive(&secrets, &head, &self.public(), recipient);
        let iv = Nonce::generate();
        let body = cipher(&key).encrypt(&iv, message.as_bytes()).expect("short");
        Sealed { content: [head, body].concat(), iv: iv.to_vec() }
    }

    /// Decrypts what this sender has encrypted for us, if it is just that.
    #[must_use]
    pub fn open(&self, sender: &Published, sealed: &Sealed) -> Option<String> {
        let (head, body) = sealed.content.split_at_checked(ECC + KEM_CIPHERTEXT)?;
        let (once, ciphertext) = head.split_first_chunk::<ECC>()?;
        let shared = self.pqc.decapsulate(&Ciphertext::<MlKem768>::try_from(ciphertext).ok()?);
        let (once, theirs) = (PublicKey::from(*once), sender.x25519()?);
        let secrets = [&shared[..], &agree(&self.ecc, &once), &agree(&self.ecc, &theirs)].concat();
        let key = derive(&secrets, head, sender, &self.public());
        String::from_utf8(open(&key, &sealed.iv, body)?).ok()
    }
}

impl Published {
    /// What this client is told of a user's keys.
    pub async fn of(client: &Client, user_id: &str) -> Self {
        let answer = client.run(operation!("public_keys"), json!({ "id": user_id })).await;
        Self::from_json(&answer.data()["user"]["publicKeys"])
    }

    /// Reads the keys that an answer holds; the fingerprint beside them must be theirs.
    #[must_use]
    pub fn from_json(keys: &Value) -> Self {
        let published = Self { ecc: bytes(&keys["ecc"]), pqc: bytes(&keys["pqc"]) };
        assert_eq!(keys["fingerprint"], published.fingerprint());
        published
    }

    /// What two people read out to each other, computed as the schema describes it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let text = [b"quantumvault fingerprint 1", &self.ecc[..], &self.pqc].concat();
        let digest = Sha512::digest(text);
        let groups = digest[..60].chunks(5).map(|five| {
            let number = five.iter().fold(0_u64, |number, byte| number * 256 + u64::from(*byte));
            format!("{:05}", number % 100_000)
        });
        groups.collect::<Vec<_>>().join(" ")
    }

    fn x25519(&self) -> Option<PublicKey> {
        Some(PublicKey::from(<[u8; ECC]>::try_from(&self.ecc[..]).ok()?))
    }
}

impl Sealed {
    /// Reads the message that an answer holds.
    #[must_use]
    pub fn from_json(message: &Value) -> Self {
        Self { content: bytes(&message["encryptedContent"]), iv: bytes(&message["iv"]) }
    }

    /// Sends it.
    pub async fn send(&self, sender: &Client, recipient: &Client, client_message_id: &str) -> Answer {
        let input = json!({
            "recipientId": recipient.id,
            "encryptedContent": base64(&self.content),
            "iv": base64(&self.iv),
            "clientMessageId": client_message_id,
        });
        sender.run(operation!("send_message"), json!({ "input": input })).await
    }
}

fn agree(ours: &StaticSecret, theirs: &PublicKey) -> [u8; 32] {
    ours.diffie_hellman(theirs).to_bytes()
}

/// A message's key: bound to how it was agreed on, and to both people's keys.
fn derive(secrets: &[u8], head: &[u8], sender: &Published, recipient: &Published) -> [u8; 32] {
    let info = [PURPOSE, head, &sender.ecc, &sender.pqc, &recipient.ecc, &recipient.pqc].concat();
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, secrets).expand(&info, &mut key).expect("one block");
    key
}

fn stretch(passphrase: &str, salt: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Argon2::default().hash_password_into(passphrase.as_bytes(), salt, &mut key).expect("valid lengths");
    key
}

fn open(key: &[u8; 32], iv: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    cipher(key).decrypt(&Nonce::try_from(iv).ok()?, body).ok()
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(key.into())
}
