//! The queues of commands, measured at each scrape: a queue grows just when its worker is stuck.

use std::fmt;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::metrics::ServiceLabel;

/// Returns how many commands are in a queue now.
pub type QueueLength = Box<dyn Fn() -> usize + Send + Sync>;

/// The queues of a process, by service. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Queues(Arc<Mutex<Vec<(&'static str, QueueLength)>>>);

impl Queues {
    pub(super) fn add(&self, service: &'static str, length: QueueLength) {
        self.0.lock().expect("nothing panics under this lock").push((service, length));
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queues")
    }
}

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Commands that wait for a commit";
        let mut family =
            encoder.encode_descriptor("commands_queued", help, None, MetricType::Gauge)?;
        for (service, length) in &*self.0.lock().expect("nothing panics under this lock") {
            let length = ConstGauge::new(length() as u64);
            length.encode(family.encode_family(&ServiceLabel { service })?)?;
        }
        Ok(())
    }
}
