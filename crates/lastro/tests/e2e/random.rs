//! Randomness that can be had again: a test prints its seed, and takes it from `LASTRO_SEED`.

/// SplitMix64.
///
/// **Source:** Steele, Lea, Flood: "Fast splittable pseudorandom number generators".
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by `LASTRO_SEED`, or else by what differs from run to run. The seed is printed.
    pub(crate) fn seeded(test: &str) -> Self {
        let given = std::env::var("LASTRO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        println!("{test}: LASTRO_SEED={seed}");
        Self(seed)
    }

    /// Another one, that goes its own way.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
