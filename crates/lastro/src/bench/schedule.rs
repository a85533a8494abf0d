//! The schedule of orders in an open loop.
#![expect(
    clippy::float_arithmetic,
    reason = "a Poisson process is drawn by the logarithm of a random number"
)]

use std::time::Duration;

use fastrand::Rng;

/// A Poisson process: the times, since the start, at which independent customers order, on average
/// `rate` per second. The iterator never ends. The gaps are drawn from an exponential distribution
/// by inverse transform sampling.
#[derive(Debug)]
pub(super) struct Arrivals {
    rng: Rng,
    mean_gap_s: f64,
    at: Duration,
}

impl Arrivals {
    pub(super) fn new(rate: f64, seed: u64) -> Self {
        // The orders use the seed itself; the arrivals need another sequence.
        Self { rng: Rng::with_seed(!seed), mean_gap_s: 1.0 / rate, at: Duration::ZERO }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let gap = -(1.0 - self.rng.f64()).ln() * self.mean_gap_s;
        self.at += Duration::from_secs_f64(gap);
        Some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let times: Vec<f64> =
            Arrivals::new(1000.0, 1).take(100_000).map(|at| at.as_secs_f64()).collect();
        assert!(times.is_sorted());
        let last = times.last().copied().unwrap_or_default();
        assert!((98.0..102.0).contains(&last), "100 000 arrivals took {last} s");
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Of exponential gaps, 1/e are longer than the mean.
        let longer = gaps.iter().filter(|gap| **gap > 0.001).count();
        assert!(
            (36_000..37_600).contains(&longer),
            "{longer} of 100 000 gaps are longer than the mean"
        );
    }

    #[test]
    fn a_seed_makes_the_same_arrivals_again() {
        let first = |seed| Arrivals::new(50.0, seed).take(100).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }
}
