//! What the process uses, measured at each scrape, and when it was started.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The unit of times in `/proc`: a hundredth of a second (`USER_HZ`) on every machine that this
/// program is built for.
const MILLIS_PER_TICK: u64 = 10;

/// When this process was started, as the time since the epoch. It is computed once, because the time
/// of the machine's start, which it is counted from, follows the wall clock.
static STARTED: LazyLock<Option<Duration>> = LazyLock::new(|| {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let machine = std::fs::read_to_string("/proc/stat").ok()?;
    let since_boot = Duration::from_millis(ticks_in(&stat)?.checked_mul(MILLIS_PER_TICK)?);
    Duration::from_secs(booted_in(&machine)?).checked_add(since_boot)
});

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

/// Returns how many files and connections this process has open, or `None` where there is no
/// `/proc`.
fn open_files() -> Option<u64> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

/// The start of the process in ticks since that of the machine: `starttime`, the 22nd field of
/// `/proc/PID/stat`. The second one, which is in parentheses, may contain anything.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, from_third) = stat.rsplit_once(") ")?;
    from_third.split(' ').nth(19)?.parse().ok()
}

/// The start of the machine in seconds since the epoch: `btime` in `/proc/stat`.
fn booted_in(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Collects all that under the names that all Prometheus client libraries use.
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
        let gauges = [
            (
                "process_start_time",
                "When the process was started",
                Some(Unit::Seconds),
                STARTED.map(|started| started.as_secs_f64()),
            ),
            (
                "process_resident_memory",
                "Resident memory of the process",
                Some(Unit::Bytes),
                resident_bytes().map(as_gauge),
            ),
            (
                "process_open_fds",
                "Files and connections that are open",
                None,
                open_files().map(as_gauge),
            ),
            (
                "process_max_fds",
                "The most files and connections that may be open",
                None,
                getrlimit(Resource::Nofile).current.map(as_gauge),
            ),
        ];
        for (name, help, unit, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?)?;
        }
        Ok(())
    }
}

/// Gauges have floating point, which is exact up to 2⁵³.
fn as_gauge(number: u64) -> f64 {
    number as f64
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
    fn a_scrape_shows_since_when_the_process_runs_and_what_it_has_open() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessNumbers));
        let text = render(&registry);
        let gauge = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok())
                .unwrap_or_else(|| panic!("{name} is not in\n{text}"))
        };
        let now = std::fs::metadata("/proc/self").and_then(|own| own.modified()).expect("a time");
        let now = now.duration_since(std::time::UNIX_EPOCH).expect("after it");
        let started = Duration::from_secs_f64(gauge("process_start_time_seconds"));
        // The start of the machine is told in whole seconds.
        let away = now.abs_diff(started);
        assert!(away < Duration::from_secs(3600), "it was started at {started:?}, now is {now:?}");
        let (open, most) = (gauge("process_open_fds"), gauge("process_max_fds"));
        assert!(open >= 3.0 && open <= most, "{open} of {most}");
        assert_eq!(
            render(&registry).lines().filter(|line| line.starts_with("process_start")).count(),
            1
        );
    }

    #[test]
    fn the_start_is_read_behind_a_name_that_looks_like_fields() {
        let stat = "7 (a) 1 b) S 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 4 0 12345 1000 10";
        assert_eq!(ticks_in(stat), Some(12345));
        assert_eq!(ticks_in("7 (a) S 1 7"), None);
        assert_eq!(booted_in("cpu 1 2\nbtime 1790000000\n"), Some(1_790_000_000));
        assert_eq!(booted_in("cpu 1 2\n"), None);
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
