//! Random sequences, one for each purpose: drawing from one leaves the others unchanged.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

/// A sequence that its seed and its purpose determine.
#[derive(Debug)]
pub(crate) struct Random(Mutex<fastrand::Rng>);

impl Random {
    pub(crate) fn of(seed: u64, purpose: &str) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(fingerprint(seed, purpose.as_bytes()))))
    }

    /// True in `per_mille` of a thousand cases.
    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.below(1000) < per_mille
    }

    /// Any number below `bound`; 0 if there is none.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.with(|rng| if bound == 0 { 0 } else { rng.u64(0..bound) })
    }

    pub(crate) fn within(&self, range: RangeInclusive<u64>) -> u64 {
        self.with(|rng| rng.u64(range))
    }

    /// An index into something of `length` elements, which is not 0.
    pub(crate) fn index(&self, length: usize) -> usize {
        self.with(|rng| rng.usize(0..length))
    }

    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    pub(crate) fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        self.with(|rng| std::array::from_fn(|_| rng.u8(..)))
    }

    pub(crate) fn u64(&self) -> u64 {
        self.with(|rng| rng.u64(..))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().expect("nothing panics under this lock"))
    }
}

/// A hash of the bytes (FNV-1a, 64 bits), which depends on `start`.
pub(crate) fn fingerprint(start: u64, bytes: &[u8]) -> u64 {
    let mixed = start.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xcbf2_9ce4_8422_2325;
    bytes
        .iter()
        .fold(mixed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
