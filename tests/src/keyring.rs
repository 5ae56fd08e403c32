//! The cryptography of a client device, in which the server takes no part.
//!
//! Each message has its own key, agreed on by a hybrid of X25519 (RFC 7748) and ML-KEM-768 (FIPS 203). The hybrid holds
//! while either of them does. HKDF with SHA-256 (RFC 5869) derives the key, which AES-256-GCM (NIST SP 800-38D) uses.

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

/// Domain separation between message keys and any other use of these secrets.
const PURPOSE: &[u8] = b"a message between two people 1";
const ECC: usize = 32;
const KEM_CIPHERTEXT: usize = 1088;
const SALT: usize = 16;
const IV: usize = 12;

/// Private keys of one person.
pub struct Keyring {
    ecc: StaticSecret,
    pqc: DecapsulationKey,
}

/// Public keys of a person, as the server returns them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// X25519.
    pub ecc: Vec<u8>,
    /// ML-KEM-768.
    pub pqc: Vec<u8>,
}

/// Message that only its recipient can decrypt.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Ephemeral X25519 key, ML-KEM ciphertext, and the message encrypted with AES-256-GCM.
    pub content: Vec<u8>,
    /// Initialisation vector.
    pub iv: Vec<u8>,
}

impl Keyring {
    /// Generates new keys.
    #[must_use]
    pub fn generate() -> Self {
        Self { ecc: StaticSecret::random(), pqc: MlKem768::generate_keypair().0 }
    }

    /// Returns the public keys.
    #[must_use]
    pub fn public(&self) -> Published {
        let ecc = PublicKey::from(&self.ecc).as_bytes().to_vec();
        Published { ecc, pqc: self.pqc.encapsulation_key().to_bytes().to_vec() }
    }

    /// Returns the private keys.
    #[must_use]
    pub fn secrets(&self) -> [Vec<u8>; 2] {
        [self.ecc.as_bytes().to_vec(), self.pqc.to_seed().expect("made from a seed").to_vec()]
    }

    /// Publishes the public keys with a vault that holds the private ones.
    pub async fn publish(&self, client: &Client, passphrase: &str) -> Answer {
        let Published { ecc, pqc } = self.public();
        let input = json!({
            "ecc": base64(ecc),
            "pqc": base64(pqc),
            "keyVault": base64(self.vault(passphrase)),
        });
        client.run(operation!("update_public_keys"), json!({ "input": input })).await
    }

    /// Encrypts the private keys under a passphrase, for another device of this person.
    #[must_use]
    pub fn vault(&self, passphrase: &str) -> Vec<u8> {
        let (salt, iv) = (<[u8; SALT]>::generate(), Nonce::generate());
        let wrapped = cipher(&stretch(passphrase, &salt)).encrypt(&iv, &*self.secrets().concat()).expect("short");
        [&salt[..], &iv, &wrapped].concat()
    }

    /// Decrypts the keys in a vault; none if the passphrase is wrong.
    #[must_use]
    pub fn from_vault(vault: &[u8], passphrase: &str) -> Option<Self> {
        let (salt, rest) = vault.split_at_checked(SALT)?;
        let (iv, wrapped) = rest.split_at_checked(IV)?;
        let secrets = open(&stretch(passphrase, salt), iv, wrapped)?;
        let (ecc, seed) = secrets.split_first_chunk::<ECC>()?;
        let pqc = MlKem768::from_seed(&Seed::try_from(seed).ok()?).0;
        Some(Self { ecc: StaticSecret::from(*ecc), pqc })
    }

    /// Encrypts a message and proves to its recipient who sent it.
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

    /// Decrypts a message from this sender; none if it is not authentic.
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
    /// Fetches a user's keys as this client.
    pub async fn of(client: &Client, user_id: &str) -> Self {
        let answer = client.run(operation!("public_keys"), json!({ "id": user_id })).await;
        Self::from_json(&answer.data()["user"]["publicKeys"])
    }

    /// Reads the keys of a response, whose fingerprint must match them.
    #[must_use]
    pub fn from_json(keys: &Value) -> Self {
        let published = Self { ecc: bytes(&keys["ecc"]), pqc: bytes(&keys["pqc"]) };
        assert_eq!(keys["fingerprint"], published.fingerprint());
        published
    }

    /// Returns the fingerprint that two people compare, computed as the schema describes it.
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
    /// Reads the message of a response.
    #[must_use]
    pub fn from_json(message: &Value) -> Self {
        Self { content: bytes(&message["encryptedContent"]), iv: bytes(&message["iv"]) }
    }

    /// Sends the message.
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

/// Derives a message's key, bound to its key agreement and to the keys of both people.
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
