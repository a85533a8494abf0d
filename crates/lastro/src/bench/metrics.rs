//! What the services count, read from their `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::process::ProgramError;
use tokio::time::Instant;

use super::wire::{Endpoint, Line};
use openmetrics::Page;
pub(super) use sizes::Sizes;

mod openmetrics;
mod sizes;

const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the metrics of every process.
#[derive(Debug)]
pub(super) struct Scraper {
    processes: Vec<(String, Line)>,
}

/// The metrics of all processes at one moment. All counts but `pending` only increase.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) at: Instant,
    pub(super) placed: u64,
    pub(super) confirmed: u64,
    /// Orders that got their stock and waited for their payment.
    pub(super) reserved: u64,
    pub(super) rejected: u64,
    /// Commands in flight, as the sweeper last reported them.
    pub(super) pending: u64,
    /// The number of commands per commit, by service.
    pub(super) batches: BTreeMap<String, Sizes>,
    pub(super) processes: Vec<Cost>,
}

/// The resources that a process has used; none if it does not report them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) process: String,
    pub(super) cpu: Option<Duration>,
    pub(super) resident_bytes: Option<u64>,
}

impl Scraper {
    /// A scraper of these processes by name.
    pub(super) fn new(processes: &[(String, Endpoint)]) -> Self {
        Self {
            processes: processes
                .iter()
                .map(|(name, endpoint)| (name.clone(), Line::to(endpoint)))
                .collect(),
        }
    }

    /// Reads the metrics of all processes.
    ///
    /// # Errors
    ///
    /// A process does not report metrics, or none of them is an Order Service.
    pub(super) async fn scrape(&mut self) -> Result<Numbers, ProgramError> {
        let at = Instant::now();
        let mut pages = Vec::with_capacity(self.processes.len());
        for (name, line) in &mut self.processes {
            let answer = line.get("/metrics", PATIENCE).await;
            let answer = answer.map_err(|broken| failed(name, &broken.to_string()))?;
            if !answer.status.is_success() {
                return Err(failed(name, answer.status.as_str()));
            }
            let page = std::str::from_utf8(&answer.body).ok().and_then(Page::parse);
            pages.push((
                name.clone(),
                page.ok_or_else(|| failed(name, "the response is not OpenMetrics text"))?,
            ));
        }
        Numbers::of(at, &pages).ok_or_else(|| {
            ProgramError::failed(
                "no process reports orders_placed_total; name the Order Service's metrics address with --metrics-url",
            )
        })
    }
}

fn failed(name: &str, reason: &str) -> ProgramError {
    ProgramError::failed(format!("cannot read /metrics of {name}: {reason}; see --metrics-url"))
}

impl Numbers {
    fn of(at: Instant, pages: &[(String, Page)]) -> Option<Self> {
        let sum = |name: &str, label: Option<(&str, &str)>| {
            pages
                .iter()
                .filter_map(|(_, page)| page.sum(name, label))
                .reduce(|sum, more| sum.saturating_add(more))
        };
        let settled =
            |outcome| sum("orders_settled_total", Some(("outcome", outcome))).unwrap_or(0);
        // Replicas share a database, and each reports all commands in flight.
        let pending = pages
            .iter()
            .filter_map(|(_, page)| page.sum("commands_pending", None))
            .max()
            .unwrap_or(0);
        let mut batches: BTreeMap<String, Sizes> = BTreeMap::new();
        for (service, sizes) in
            pages.iter().flat_map(|(_, page)| Sizes::in_page(page, "batch_size", "service"))
        {
            batches.entry(service).or_default().add(&sizes);
        }
        Some(Self {
            at,
            placed: sum("orders_placed_total", None)?,
            confirmed: settled("confirmed"),
            reserved: settled("reserved"),
            rejected: settled("rejected"),
            pending,
            batches,
            processes: pages.iter().map(|(name, page)| Cost::of(name, page)).collect(),
        })
    }

    pub(super) fn settled(&self) -> u64 {
        self.confirmed.saturating_add(self.reserved).saturating_add(self.rejected)
    }

    /// The difference to `earlier`. Values that do not accumulate, such as memory, are the present
    /// ones.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let batches = self.batches.iter().map(|(service, sizes)| {
            let before = earlier.batches.get(service).cloned().unwrap_or_default();
            (service.clone(), sizes.since(&before))
        });
        let processes = self.processes.iter().zip(&earlier.processes).map(|(now, before)| Cost {
            process: now.process.clone(),
            cpu: now.cpu.zip(before.cpu).map(|(now, before)| now.saturating_sub(before)),
            resident_bytes: now.resident_bytes,
        });
        Self {
            at: self.at,
            placed: self.placed.saturating_sub(earlier.placed),
            confirmed: self.confirmed.saturating_sub(earlier.confirmed),
            reserved: self.reserved.saturating_sub(earlier.reserved),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            pending: self.pending,
            batches: batches.collect(),
            processes: processes.collect(),
        }
    }
}

impl Cost {
    fn of(process: &str, page: &Page) -> Self {
        let cpu = page
            .number("process_cpu_seconds_total")
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            process: process.to_owned(),
            cpu,
            resident_bytes: page.sum("process_resident_memory_bytes", None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = r#"
orders_placed_total 10
orders_settled_total{outcome="confirmed"} 6
orders_settled_total{outcome="reserved"} 1
orders_settled_total{outcome="rejected"} 1
commands_pending 3
batch_size_count{service="orders"} 2
batch_size_sum{service="orders"} 5.0
batch_size_bucket{le="4.0",service="orders"} 2
batch_size_bucket{le="+Inf",service="orders"} 2
process_cpu_seconds_total 1.5
process_resident_memory_bytes 1000
# EOF
"#;

    fn numbers(pages: &[&str]) -> Option<Numbers> {
        let named = |(at, text): (usize, &&str)| {
            (format!("process {at}"), Page::parse(text).expect("OpenMetrics"))
        };
        Numbers::of(Instant::now(), &pages.iter().enumerate().map(named).collect::<Vec<_>>())
    }

    #[test]
    fn the_numbers_of_several_processes_add_up() {
        let inventory =
            "batch_size_count{service=\"inventory\"} 7\nprocess_cpu_seconds_total 0.5\n# EOF\n";
        let both = numbers(&[ORDERS, ORDERS, inventory]).expect("numbers");
        assert_eq!((both.placed, both.confirmed, both.rejected, both.settled()), (20, 12, 2, 16));
        assert_eq!(both.pending, 3, "two replicas see the same database");
        assert_eq!((both.batches["orders"].count(), both.batches["inventory"].count()), (4, 7));
        let costs: Vec<_> =
            both.processes.iter().map(|cost| (cost.cpu, cost.resident_bytes)).collect();
        let seconds = |s| Some(Duration::from_secs_f64(s));
        assert_eq!(
            costs,
            [(seconds(1.5), Some(1000)), (seconds(1.5), Some(1000)), (seconds(0.5), None)]
        );
        assert!(numbers(&[inventory]).is_none(), "no Order Service");
    }

    #[test]
    fn what_happened_in_between_is_the_difference() {
        let before = numbers(&[ORDERS]).expect("numbers");
        let later = ORDERS
            .replace("placed_total 10", "placed_total 25")
            .replace("seconds_total 1.5", "seconds_total 2");
        let later = later.replace("_count{service=\"orders\"} 2", "_count{service=\"orders\"} 3");
        let later = later.replace("memory_bytes 1000", "memory_bytes 900");
        let between = numbers(&[&later]).expect("numbers").since(&before);
        assert_eq!((between.placed, between.confirmed, between.pending), (15, 0, 3));
        assert_eq!(between.batches["orders"].count(), 1);
        assert_eq!(between.processes[0].cpu, Some(Duration::from_millis(500)));
        assert_eq!(between.processes[0].resident_bytes, Some(900));
    }
}
