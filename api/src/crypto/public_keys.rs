//! Checks public keys before they are published, and rejects those to which encryption would be weak or fail.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};

/// Length of an X25519 key (RFC 7748).
pub const ECC_BYTES: usize = 32;
/// Length of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const PQC_BYTES: usize = 1184;

/// The prime 2^255 - 19, lowest byte first.
const P: [u8; ECC_BYTES] = {
    let mut p = [0xff; ECC_BYTES];
    p[0] = 0xed;
    p[ECC_BYTES - 1] = 0x7f;
    p
};
/// Arbitrary secret. X25519 turns it into a multiple of eight, which maps only points of small order to zero.
const SECRET: [u8; ECC_BYTES] = [1; ECC_BYTES];
/// Modulus of ML-KEM.
const Q: u16 = 3329;
/// Length of the seed at the end of an encapsulation key.
const SEED_BYTES: usize = 32;

/// Checks an X25519 key. The error completes a sentence that begins with the field.
///
/// X25519 itself accepts any 32 bytes. Some of them are alternative encodings of a point. Some are points that map
/// every secret to zero (RFC 7748, section 6.1).
pub fn check_ecc(key: &[u8]) -> Result<(), String> {
    check_length(key, ECC_BYTES)?;
    if !key.iter().rev().lt(P.iter().rev()) {
        return Err("is not the canonical form of an X25519 key: it must be below 2^255 - 19".to_owned());
    }
    let small = || "is an X25519 point of small order".to_owned();
    let secret = PrivateKey::from_private_key(&X25519, &SECRET).map_err(|_| small())?;
    agreement::agree(&secret, UnparsedPublicKey::new(&X25519, key), small(), |_| Ok(()))
}

/// Checks an ML-KEM-768 encapsulation key (FIPS 203, section 7.2). The error completes a sentence as well.
pub fn check_pqc(key: &[u8]) -> Result<(), String> {
    check_length(key, PQC_BYTES)?;
    // Three bytes hold two coefficients of twelve bits.
    let is_reduced = key[..PQC_BYTES - SEED_BYTES].chunks_exact(3).all(|three| {
        let [a, b, c] = [three[0], three[1], three[2]].map(u16::from);
        (a | (b & 0xf) << 8) < Q && (b >> 4 | c << 4) < Q
    });
    if is_reduced {
        Ok(())
    } else {
        Err(format!("is not an ML-KEM-768 encapsulation key: a coefficient is not below {Q}"))
    }
}

fn check_length(key: &[u8], expected: usize) -> Result<(), String> {
    if key.len() == expected { Ok(()) } else { Err(format!("must have {expected} bytes, but has {}", key.len())) }
}

#[cfg(test)]
mod tests {
    use ml_kem::{KeyExport, MlKem768, kem::Kem, ml_kem_768::EncapsulationKey};
    use x25519_dalek::{PublicKey, StaticSecret};

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn an_x25519_key_is_canonical_and_of_large_order() {
        for _ in 0..20 {
            check_ecc(PublicKey::from(&StaticSecret::random()).as_bytes()).unwrap();
        }
        // The base point, and the largest value below the modulus whose order is not small.
        let mut nine = [0; 32];
        nine[0] = 9;
        check_ecc(&nine).unwrap();
        let mut largest = P;
        largest[0] -= 2;
        check_ecc(&largest).unwrap();

        // The five canonical points of small order.
        let minus_one = P.map(|byte| if byte == 0xed { 0xec } else { byte });
        for small in [
            vec![0; 32],
            [vec![1], vec![0; 31]].concat(),
            minus_one.to_vec(),
            bytes("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            bytes("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        ] {
            assert_eq!(check_ecc(&small).unwrap_err(), "is an X25519 point of small order");
            let small = PublicKey::from(<[u8; 32]>::try_from(small).unwrap());
            assert!(!StaticSecret::random().diffie_hellman(&small).was_contributory(), "the other crate agrees");
        }
        // Alternative encodings: of 0, 1 and 18, of the largest, and with the bit that RFC 7748 ignores.
        let spelled = |lowest| [vec![lowest], vec![0xff; 30], vec![0x7f]].concat();
        let with_high_bit = [&nine[..31], &[0x80]].concat();
        for other in [spelled(0xed), spelled(0xee), spelled(0xff), vec![0xff; 32], with_high_bit] {
            assert!(check_ecc(&other).unwrap_err().starts_with("is not the canonical form"), "{other:?}");
        }
        for length in [0, 31, 33] {
            assert_eq!(check_ecc(&vec![9; length]).unwrap_err(), format!("must have 32 bytes, but has {length}"));
        }
    }

    #[test]
    fn an_ml_kem_key_is_what_another_implementation_takes() {
        let (_, key) = MlKem768::generate_keypair();
        let key = key.to_bytes();
        check_pqc(&key).unwrap();
        // Sets each coefficient to the largest valid, the smallest invalid, and the largest encodable value.
        for at in 0..768 {
            for (value, is_allowed) in [(Q - 1, true), (Q, false), (0xfff, false)] {
                let mut changed = key;
                let three = &mut changed[at / 2 * 3..];
                let [low, high] = value.to_le_bytes();
                if at % 2 == 0 {
                    (three[0], three[1]) = (low, three[1] & 0xf0 | high);
                } else {
                    let [low, high] = (value << 4).to_le_bytes();
                    (three[1], three[2]) = (three[1] & 0xf | low, high);
                }
                assert_eq!(check_pqc(&changed).is_ok(), is_allowed, "{value} at {at}");
                assert_eq!(EncapsulationKey::new(&changed).is_ok(), is_allowed, "{value} at {at}");
            }
        }
        // Any seed is valid.
        let mut seeded = key;
        seeded[PQC_BYTES - SEED_BYTES..].fill(0xff);
        check_pqc(&seeded).unwrap();
        for length in [0, 1183, 1185, 1568] {
            assert_eq!(check_pqc(&vec![0; length]).unwrap_err(), format!("must have 1184 bytes, but has {length}"));
        }
    }
}
