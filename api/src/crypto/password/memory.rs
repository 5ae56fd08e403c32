//! Working memory of Argon2, reused so that a flood of hashes needs no more memory than a few.

use std::time::{Duration, Instant};

use argon2::{Argon2, Block};
use parking_lot::Mutex;
use zeroize::Zeroize;

/// Pool of working memory that finished hashes leave for later ones.
///
/// An allocator keeps freed memory per thread, and each hash runs on any free thread. Without the pool, every such
/// thread would retain a hash's memory. The benchmark `logins` guards this.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Free>>);

struct Free {
    blocks: Vec<Block>,
    since: Instant,
}

impl Memory {
    /// Hashes a password, with as much memory as its parameters require.
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
        // No trace of a password may remain in the memory of another hash.
        blocks.iter_mut().zeroize();
        self.lock(|free| free.push(Free { blocks, since: Instant::now() }));
        done
    }

    /// Releases memory that has been unused for this long.
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
