//! The CPU time and memory of the process, measured at each scrape.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::time::{ClockId, clock_gettime};

/// Returns the CPU time of all threads of this process since its start, user and system.
///
/// It is `CLOCK_PROCESS_CPUTIME_ID` of clock_gettime(2), which is finer than the ticks in
/// `/proc/self/stat`.
pub fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Returns the resident memory of this process in bytes, or `None` where there is no `/proc`.
///
/// It is `VmRSS` of proc(5), which is in KiB.
pub fn resident_bytes() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Collects both under the names that all Prometheus client libraries use.
#[derive(Debug)]
pub(super) struct ProcessNumbers;

impl Collector for ProcessNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = ConstCounter::new(cpu_time().as_secs_f64());
        let help = "CPU time of the process, user and system";
        cpu.encode(encoder.encode_descriptor(
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?)?;
        let Some(bytes) = resident_bytes() else { return Ok(()) };
        let resident = ConstGauge::new(bytes);
        let help = "Resident memory of the process";
        let kind = resident.metric_type();
        resident.encode(encoder.encode_descriptor(
            "process_resident_memory",
            help,
            Some(&Unit::Bytes),
            kind,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::telemetry::render;

    /// The value of a metric without labels, of this type and unit.
    fn value(text: &str, name: &str, family: &str, kind: &str, unit: &str) -> f64 {
        for line in [format!("# TYPE {family} {kind}"), format!("# UNIT {family} {unit}")] {
            assert!(text.lines().any(|its| its == line), "{line} is not in\n{text}");
        }
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    }

    #[test]
    fn a_scrape_shows_the_cpu_time_and_the_memory_of_the_process() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessNumbers));
        let cpu = |text: &str| {
            value(text, "process_cpu_seconds_total", "process_cpu_seconds", "counter", "seconds")
        };
        let text = render(&registry);
        let family = "process_resident_memory_bytes";
        assert!(
            value(&text, family, family, "gauge", "bytes") > 1e6,
            "a process holds more than a megabyte\n{text}"
        );
        let (before, mut after) = (cpu(&text), 0.0);
        // Each scrape costs some time of the CPU.
        while after <= before {
            after = cpu(&render(&registry));
        }
        assert!(before > 0.0);
    }

    #[test]
    fn memory_is_read_from_its_line() {
        assert_eq!(
            resident_in("VmPeak:\t  9000 kB\nVmRSS:\t     532 kB\nThreads:\t1\n"),
            Some(532 * 1024)
        );
        for text in ["", "VmRSS:\t532\n", "VmRSS:\t kB\n", "VmSize:\t532 kB\n"] {
            assert_eq!(resident_in(text), None, "{text}");
        }
    }
}
