//! What a seed decides before a world begins: its size, and how often which faults happen.

use std::fmt;

use crate::random::Random;

/// A class of faults. Each world has some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Messages are lost.
    Loss,
    /// Messages are duplicated.
    Duplicates,
    /// Messages take seconds, or a day, and overtake each other.
    Delays,
    /// Acknowledgements are lost.
    LostAcks,
    /// The broker is away, or one replica cannot reach it.
    Outages,
    /// The broker loses streams, consumers or messages.
    Wipes,
    /// Old messages come again.
    Replays,
    /// Malformed messages, alone or beside good ones.
    Garbage,
    /// Messages about other lines than their order's.
    Forgeries,
    /// Messages of another deployment.
    Strangers,
    /// Messages of a version that is not known yet.
    Versions,
    /// A transaction fails, and the replica knows.
    Aborts,
    /// A commit succeeds, and the replica does not learn its fate.
    UnknownDone,
    /// A commit fails, and the replica does not learn its fate.
    UnknownNotDone,
    /// A commit succeeds later, and the replica does not learn its fate.
    LateCommits,
    /// A disk fails, and the process ends.
    DiskErrors,
    /// Processes crash at calls of their ports, and start again.
    Crashes,
    /// Calls of ports take seconds.
    Slowness,
    /// Clocks are wrong, jump or stand still.
    Clocks,
    /// Clients hang up.
    HangUps,
    /// Clients send malformed requests.
    Rubbish,
}

impl Fault {
    pub(crate) const ALL: [Self; 21] = [
        Self::Loss,
        Self::Duplicates,
        Self::Delays,
        Self::LostAcks,
        Self::Outages,
        Self::Wipes,
        Self::Replays,
        Self::Garbage,
        Self::Forgeries,
        Self::Strangers,
        Self::Versions,
        Self::Aborts,
        Self::UnknownDone,
        Self::UnknownNotDone,
        Self::LateCommits,
        Self::DiskErrors,
        Self::Crashes,
        Self::Slowness,
        Self::Clocks,
        Self::HangUps,
        Self::Rubbish,
    ];

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Everything about a world that is decided before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) seed: u64,
    /// Replicas of each service.
    pub(crate) order_services: u64,
    pub(crate) inventory_services: u64,
    /// Batches of orders that one replica executes side by side.
    pub(crate) committers: usize,
    pub(crate) customers: u64,
    /// The number of requests of each customer.
    pub(crate) requests: u64,
    pub(crate) products: u64,
    pub(crate) locations: u64,
    /// The most units of each product that come in at the beginning.
    pub(crate) units: u64,
    pub(crate) lines: u64,
    /// The longest pause of a customer between two requests.
    pub(crate) rest_ms: u64,
    /// The longest pause of a sweeper between two steps.
    pub(crate) sweep_pause_ms: u64,
    /// How often each fault happens, in a thousand cases. Faults that never happen are left out.
    pub(crate) faults: Vec<(Fault, u64)>,
}

impl Config {
    pub(crate) fn of(seed: u64) -> Self {
        let random = Random::of(seed, "config");
        // Half of the faults in most worlds, few in some, none in others.
        let share = *random.pick(&[0, 100, 250, 500, 500, 700]);
        let faults = Fault::ALL.into_iter().filter(|_| random.chance(share));
        let faults = faults.map(|fault| (fault, *random.pick(&[5, 20, 60, 150]))).collect();
        let rest_ms = *random.pick(&[500, 3_000, 3_000, 600_000]);
        // A single replica matters: while it is down, its work waits.
        let replicas = || *random.pick(&[1, 2, 2, 2, 3, 3]);
        Self {
            seed,
            order_services: replicas(),
            inventory_services: replicas(),
            committers: random.index(3) + 1,
            customers: random.within(1..=6),
            requests: random.within(2..=10),
            products: random.within(1..=4),
            locations: random.within(1..=3),
            units: random.within(2..=40),
            lines: random.within(1..=3),
            rest_ms,
            // Slow worlds last for hours: sweeping often would take most of the computing time.
            sweep_pause_ms: (rest_ms / 100).max(*random.pick(&[50, 250, 1000, 5000])),
            faults,
        }
    }

    pub(crate) fn per_mille(&self, fault: Fault) -> u64 {
        self.faults.iter().find(|(one, _)| *one == fault).map_or(0, |(_, per_mille)| *per_mille)
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.per_mille(fault) > 0
    }

    pub(crate) fn has_any(&self, faults: &[Fault]) -> bool {
        faults.iter().any(|fault| self.has(*fault))
    }

    /// Smaller worlds that may fail in the same way. Each lacks one thing.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut smaller: Vec<Self> = Vec::new();
        for at in 0..self.faults.len() {
            let mut less = self.clone();
            less.faults.remove(at);
            smaller.push(less);
        }
        let sizes: [fn(&mut Self) -> &mut u64; 7] = [
            |config| &mut config.customers,
            |config| &mut config.requests,
            |config| &mut config.order_services,
            |config| &mut config.inventory_services,
            |config| &mut config.products,
            |config| &mut config.locations,
            |config| &mut config.lines,
        ];
        for size in sizes {
            for to in [1, *size(&mut self.clone()) / 2, *size(&mut self.clone()) - 1] {
                let mut less = self.clone();
                if (1..*size(&mut less)).contains(&to) {
                    *size(&mut less) = to;
                    smaller.push(less);
                }
            }
        }
        smaller
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut config = Self::of(words.next()?.parse().ok()?);
        for word in words {
            let (name, value) = word.split_once('=')?;
            match name {
                "orders" => config.order_services = value.parse().ok()?,
                "inventory" => config.inventory_services = value.parse().ok()?,
                "committers" => config.committers = value.parse().ok()?,
                "customers" => config.customers = value.parse().ok()?,
                "requests" => config.requests = value.parse().ok()?,
                "products" => config.products = value.parse().ok()?,
                "locations" => config.locations = value.parse().ok()?,
                "units" => config.units = value.parse().ok()?,
                "lines" => config.lines = value.parse().ok()?,
                "rest" => config.rest_ms = value.parse().ok()?,
                "sweep" => config.sweep_pause_ms = value.parse().ok()?,
                "faults" => {
                    config.faults = value
                        .split(',')
                        .filter(|one| !one.is_empty())
                        .map(fault)
                        .collect::<Option<_>>()?;
                }
                _ => return None,
            }
        }
        Some(config)
    }
}

fn fault(text: &str) -> Option<(Fault, u64)> {
    let (name, per_mille) = text.split_once(':')?;
    Some((Fault::ALL.into_iter().find(|fault| fault.name() == name)?, per_mille.parse().ok()?))
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed, order_services, inventory_services, committers, customers, requests, ..
        } = self;
        write!(
            f,
            "{seed} orders={order_services} inventory={inventory_services} committers={committers} "
        )?;
        write!(
            f,
            "customers={customers} requests={requests} products={} locations={} ",
            self.products, self.locations
        )?;
        write!(
            f,
            "units={} lines={} rest={} sweep={} ",
            self.units, self.lines, self.rest_ms, self.sweep_pause_ms
        )?;
        let faults: Vec<_> =
            self.faults.iter().map(|(fault, rate)| format!("{}:{rate}", fault.name())).collect();
        write!(f, "faults={}", faults.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_reads_back_what_it_writes() {
        for seed in 0..200 {
            let config = Config::of(seed);
            assert_eq!(Config::parse(&config.to_string()), Some(config));
        }
        assert_eq!(Config::parse("7"), Some(Config::of(7)));
        assert_eq!(Config::parse("7 faults=loss:5,fire:6"), None);
    }

    #[test]
    fn seeds_differ_in_what_they_have() {
        let configs: Vec<_> = (0..500).map(Config::of).collect();
        assert!(configs.iter().any(|config| config.faults.is_empty()));
        for fault in Fault::ALL {
            let with = configs.iter().filter(|config| config.has(fault)).count();
            assert!((50..400).contains(&with), "{fault:?} in {with} of 500");
        }
    }

    #[test]
    fn what_is_smaller_has_less_of_one_thing() {
        let config = Config::of(3);
        let smaller = config.smaller();
        assert!(
            !smaller.is_empty()
                && smaller.iter().all(|less| *less != config && less.seed == config.seed)
        );
    }
}
