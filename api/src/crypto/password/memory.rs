//! The memory that Argon2 works in: kept from one hash to the next, so that a flood of them takes no more than a few.

use std::time::{Duration, Instant};

use argon2::{Argon2, Block};
use parking_lot::Mutex;
use zeroize::Zeroize;

/// Memory of hashes that are done, for those to come.
///
/// The allocator of each thread keeps what is given back to it, and hashes run on whichever thread is free: after a
/// while each of those threads would hold as much.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Free>>);

struct Free {
    blocks: Vec<Block>,
    since: Instant,
}

impl Memory {
    /// Hashes a password, in as much memory as its parameters ask for.
    pub(super) fn digest(
        &self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        digest: &mut [u8],
    ) -> argon2::Result<()> {
        let mut blocks = self.lock(Vec::pop).map(|free| free.blocks).unwrap_or_default();
        blocks.resize(argon2.params().block_count(), Block::new());
        let done = argon2.hash_password_into_with_memory(password, salt, digest, &mut blocks);
        // What is left of a password is not to be found in the memory of another's.
        blocks.iter_mut().zeroize();
        self.lock(|free| free.push(Free { blocks, since: Instant::now() }));
        done
    }

    /// Releases what has not been used for this long.
    pub(super) fn release_unused(&self, unused_for: Duration) {
        self.lock(|free| free.retain(|free| free.since.elapsed() < unused_for));
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Vec<Free>) -> T) -> T {
        work(&mut self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, Params, Version};

    use super::*;

    #[test]
    fn one_hash_after_another_uses_the_same_memory_and_leaves_nothing_in_it() {
        let memory = Memory::default();
        for blocks in [64, 32, 128] {
            let params = Params::new(blocks, 1, 1, None).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let mut digest = [0; 32];
            memory.digest(&argon2, b"password", &[7; 16], &mut digest).unwrap();
            let mut known = [0; 32];
            argon2.hash_password_into(b"password", &[7; 16], &mut known).unwrap();
            assert_eq!(digest, known);
        }
        memory.release_unused(Duration::from_mins(1));
        memory.lock(|kept| {
            assert_eq!(kept.iter().map(|free| free.blocks.len()).collect::<Vec<_>>(), [128]);
            assert!(kept[0].blocks.iter().all(|block| block.as_ref().iter().all(|&word| word == 0)));
        });
        memory.release_unused(Duration::ZERO);
        assert!(memory.lock(|kept| kept.is_empty()));
    }
}
