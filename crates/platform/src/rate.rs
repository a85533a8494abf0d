//! Rate limits: a generic cell rate algorithm (GCRA), and a bounded table of it for addresses that
//! anybody can have.
//!
//! A cell is one number, the theoretical arrival time: when all that was admitted so far would have
//! been due at the rate. A request is admitted while that time is at most a burst ahead.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How many requests a client may make: 1 to [`Rate::MAX`] of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

/// What a limit says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The limit.
    pub rate: Rate,
    /// How many more requests are admitted now.
    pub remaining: u32,
    /// How long until the next request is admitted, or one like that which was refused; zero if one
    /// is admitted now.
    pub wait: Duration,
    /// Whether the request is admitted.
    pub is_admitted: bool,
}

impl Rate {
    /// The most requests per second, and at once, that a limit may allow.
    pub const MAX: u32 = 1_000_000;
    /// The searches of one key.
    pub const SEARCHES: Self = Self { per_second: 20, burst: 40 };
    const SECOND: u64 = 1_000_000_000;

    /// A rate in the long run, and how many requests may come at once; twice the rate if `None`.
    /// Returns `None` if a number is not 1 to [`MAX`](Self::MAX).
    pub fn new(per_second: u32, burst: Option<u32>) -> Option<Self> {
        let burst = burst.unwrap_or(per_second.saturating_mul(2).min(Self::MAX));
        let range = 1..=Self::MAX;
        let fits = range.contains(&per_second) && range.contains(&burst);
        fits.then_some(Self { per_second, burst })
    }

    /// Requests per second in the long run.
    pub fn per_second(self) -> u32 {
        self.per_second
    }

    /// Requests at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time that one request takes at this rate, in nanoseconds.
    fn interval(self) -> u64 {
        Self::SECOND / u64::from(self.per_second)
    }

    /// Decides about a request of this cost that comes at `now`, in nanoseconds, and returns the
    /// arrival time after it.
    fn decide(self, arrival: u64, now: u64, cost: u32) -> (Verdict, u64) {
        let interval = self.interval();
        let tolerance = interval.saturating_mul(u64::from(self.burst));
        let before = arrival.max(now);
        // Nothing costs more than all that there is.
        let cost = interval.saturating_mul(u64::from(cost.min(self.burst)));
        let after = before.saturating_add(cost);
        let is_admitted = after - now <= tolerance;
        let kept = if is_admitted { after } else { before };
        let room = tolerance.saturating_sub(kept - now);
        let needed = if is_admitted { interval } else { cost };
        let verdict = Verdict {
            rate: self,
            remaining: u32::try_from(room / interval).unwrap_or(u32::MAX),
            wait: Duration::from_nanos(kept.saturating_add(needed).saturating_sub(now + tolerance)),
            is_admitted,
        };
        (verdict, kept)
    }
}

/// Time since the program began to count, in nanoseconds. It never goes back.
#[derive(Debug)]
struct Stopwatch(Instant);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The limit of one client.
#[derive(Debug)]
pub struct Limit {
    rate: Rate,
    arrival: AtomicU64,
    stopwatch: Stopwatch,
}

impl Limit {
    /// A limit of which nothing is used.
    pub fn new(rate: Rate) -> Self {
        Self { rate, arrival: AtomicU64::new(0), stopwatch: Stopwatch::start() }
    }

    /// Counts a request, if it is admitted.
    pub fn take(&self) -> Verdict {
        let now = self.stopwatch.now();
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            let (verdict, after) = self.rate.decide(arrival, now, 1);
            let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
            match self.arrival.compare_exchange_weak(arrival, after, order, failed) {
                Ok(_) => return verdict,
                Err(changed) => arrival = changed,
            }
        }
    }
}

/// The limits of all addresses, in a bounded table: an address that finds no room takes that of
/// the one that has used the least.
#[derive(Debug)]
pub struct AddressLimits {
    rate: Rate,
    stopwatch: Stopwatch,
    hasher: RandomState,
    buckets: Box<[Mutex<Bucket>]>,
}

/// Addresses whose hashes fall together, as (hash, arrival time).
type Bucket = [(u64, u64); 4];

impl AddressLimits {
    /// 131 072 addresses in about 2.5 MiB.
    const BUCKETS: usize = 1 << 15;

    /// Limits of which nothing is used.
    pub fn new(rate: Rate) -> Self {
        let buckets = (0..Self::BUCKETS).map(|_| Mutex::new(Bucket::default())).collect();
        Self { rate, stopwatch: Stopwatch::start(), hasher: RandomState::new(), buckets }
    }

    /// Counts a request of an address, if it is admitted. It counts like `cost` requests. The
    /// addresses of one IPv6 network (/64) are one.
    pub fn take(&self, address: IpAddr, cost: u32) -> Verdict {
        let hash = self.hasher.hash_one(network_of(address));
        let now = self.stopwatch.now();
        let at = usize::try_from(hash % Self::BUCKETS as u64).expect("it is less than a usize");
        let mut bucket = self.buckets[at].lock().expect("nothing panics under this lock");
        let own = bucket.iter().position(|(known, _)| *known == hash);
        let slot = own.unwrap_or_else(|| {
            let emptiest = bucket.iter().enumerate().min_by_key(|(_, (_, arrival))| *arrival);
            let slot = emptiest.map_or(0, |(slot, _)| slot);
            bucket[slot] = (hash, 0);
            slot
        });
        let (verdict, arrival) = self.rate.decide(bucket[slot].1, now, cost);
        bucket[slot].1 = arrival;
        verdict
    }
}

/// The network of an address, as a number: limits count the addresses of one IPv6 network (/64) as
/// one.
pub fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => (u128::from(address) >> 64) | 1 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };

    /// Requests at these milliseconds, and how many of them are admitted.
    fn admitted(times: &[u64]) -> usize {
        let mut arrival = 0;
        let mut count = 0;
        for ms in times {
            let (verdict, after) = RATE.decide(arrival, ms * 1_000_000, 1);
            arrival = after;
            count += usize::from(verdict.is_admitted);
        }
        count
    }

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
        assert_eq!(admitted(&[0; 20]), 5);
        assert_eq!(admitted(&[0, 0, 0, 0, 0, 99, 100, 100, 200]), 7);
        assert_eq!(admitted(&(0..100).map(|n| n * 100).collect::<Vec<_>>()), 100);
    }

    #[test]
    fn what_is_said_of_the_wait_is_what_happens() {
        let mut arrival = 0;
        for expected in [4, 3, 2, 1, 0] {
            let (verdict, after) = RATE.decide(arrival, 1, 1);
            assert_eq!((verdict.is_admitted, verdict.remaining), (true, expected));
            arrival = after;
        }
        let (verdict, after) = RATE.decide(arrival, 1, 1);
        assert!(!verdict.is_admitted && after == arrival);
        let wait = u64::try_from(verdict.wait.as_nanos()).expect("short");
        assert!(!RATE.decide(arrival, wait, 1).0.is_admitted);
        assert!(RATE.decide(arrival, 1 + wait, 1).0.is_admitted);
    }

    /// However requests come, at most burst + rate × time of them are admitted.
    #[test]
    fn no_pattern_of_requests_gets_more_than_the_rate() {
        let mut random = 1_u64;
        for _ in 0..200 {
            let mut now = 0;
            let times = (0..500).map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                now += (random >> 33) % 60;
                now
            });
            let times: Vec<u64> = times.collect();
            let most = 5 + times.last().expect("a time") / 100;
            assert!(admitted(&times) as u64 <= most);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_limit_and_a_network_of_ipv6_one() {
        let limits = AddressLimits::new(RATE);
        let take = |text: &str| limits.take(text.parse().expect("an address"), 1).is_admitted;
        assert_eq!((0..9).filter(|_| take("192.0.2.1")).count(), 5);
        assert!(take("192.0.2.2"));
        assert_eq!((0..9).filter(|n| take(&format!("2001:db8::{n}"))).count(), 5);
        assert!(take("2001:db8:0:1::1"));
        assert!(!take("::ffff:192.0.2.1"), "the same address in another form");
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!([take("192.0.2.1"), take("192.0.2.1")], [true, false]);
        let third = "192.0.2.3".parse().expect("an address");
        assert!(limits.take(third, 4).is_admitted);
        let refused = limits.take(third, 4);
        assert_eq!((refused.is_admitted, refused.remaining), (false, 1));
        assert_eq!(refused.wait, Duration::from_millis(300));
        // What costs more than a burst takes all of it.
        assert!(limits.take("192.0.2.4".parse().expect("an address"), 20).is_admitted);
        assert!(!take("192.0.2.4"));
    }

    #[test]
    fn a_rate_is_at_least_one_and_at_most_a_million() {
        assert_eq!(Rate::new(50, None), Some(Rate { per_second: 50, burst: 100 }));
        assert_eq!(Rate::new(Rate::MAX, None).map(Rate::burst), Some(Rate::MAX));
        for (per_second, burst) in
            [(0, None), (1, Some(0)), (Rate::MAX + 1, None), (1, Some(u32::MAX))]
        {
            assert_eq!(Rate::new(per_second, burst), None);
        }
    }

    #[test]
    fn an_address_at_its_limit_stays_there_while_many_others_come() {
        let limits = AddressLimits::new(Rate { per_second: 1, burst: 5 });
        let greedy = IpAddr::from([192, 0, 2, 1]);
        assert_eq!((0..9).filter(|_| limits.take(greedy, 1).is_admitted).count(), 5);
        let mut admitted = 0;
        for n in 0..1_000_000_u32 {
            assert!(limits.take(IpAddr::V4(n.into()), 1).is_admitted, "a new address is admitted");
            admitted += usize::from(n % 1000 == 0 && limits.take(greedy, 1).is_admitted);
        }
        // The table has lost nothing of it: only the time that passed counts.
        assert!(admitted < 500, "{admitted}");
    }

    #[test]
    fn threads_that_share_a_limit_get_no_more_than_one_would() {
        let limit = Limit::new(Rate { per_second: 1, burst: 100 });
        let admitted = std::thread::scope(|threads| {
            let take = || (0..100).filter(|_| limit.take().is_admitted).count();
            let running: Vec<_> = (0..4).map(|_| threads.spawn(take)).collect();
            running.into_iter().map(|thread| thread.join().expect("it ends")).sum::<usize>()
        });
        assert!((100..110).contains(&admitted), "{admitted}");
    }
}
