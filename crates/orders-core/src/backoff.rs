//! How long to wait before an unanswered command is sent again. The number of retries has no limit
//! (R8).

use std::time::Duration;

/// The bound of the first wait. Each further bound is twice as long.
const FIRST_BOUND: Duration = Duration::from_secs(1);
/// The longest bound, and so the longest wait.
pub const LONGEST: Duration = Duration::from_secs(300);
/// How long after it was recorded a command first becomes due for a retry, in microseconds.
///
/// The first sending follows the commit at once, and its answer usually takes milliseconds.
pub const FIRST_ANSWER_WAIT_MICROS: i64 = 1_000_000;

/// Returns the wait after an attempt, with full jitter: evenly distributed from zero to a bound
/// that doubles with each attempt, from 1 s to 5 min.
///
/// `attempt` is the number of the attempt that was just sent, from 1. `random` is a random number
/// with an even distribution; the caller draws it. See R8, and Brooker, "Exponential Backoff And
/// Jitter".
pub fn delay(attempt: u32, random: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let bound = FIRST_BOUND.saturating_mul(1 << doublings).min(LONGEST);
    let micros = u128::from(random) * bound.as_micros() / u128::from(u64::MAX);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_from_one_second_to_five_minutes() {
        let bounds: Vec<u64> = (1..=11).map(|attempt| delay(attempt, u64::MAX).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(delay(u32::MAX, u64::MAX), LONGEST);
        assert_eq!(delay(0, u64::MAX), FIRST_BOUND);
    }

    #[test]
    fn the_random_number_scales_the_wait_from_zero_to_the_bound() {
        assert_eq!(delay(5, 0), Duration::ZERO);
        assert_eq!(delay(5, u64::MAX / 2).as_secs(), 7);
    }
}
