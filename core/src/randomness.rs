//! Randomness as a parameter: keys, nonces and ids come from whoever builds the process.

/// A source of unpredictable bytes.
pub trait Randomness: Send + Sync + 'static {
    /// Fills `bytes` from a cryptographically secure source, or stops the process: no caller could go on safely.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Randomness {
    /// `N` unpredictable bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// Repeatable bytes for tests: a counter hashed with a seed. Never for keys that protect anyone.
#[derive(Debug)]
pub struct SeededRandomness {
    seed: u64,
    counter: std::sync::atomic::AtomicU64,
}

impl SeededRandomness {
    /// A stream fixed by `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: std::sync::atomic::AtomicU64::new(0) }
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut context = ring::digest::Context::new(&ring::digest::SHA256);
            context.update(&self.seed.to_le_bytes());
            context.update(&count.to_le_bytes());
            chunk.copy_from_slice(&context.finish().as_ref()[..chunk.len()]);
        }
    }
}
