//! The checks of `/readyz` as metrics, read at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::readiness::{Health, Readiness};

/// Collects whether the program is ready, and the state of each check.
#[derive(Clone, Debug)]
pub struct ReadinessNumbers(pub Readiness);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    check: &'static str,
    state: &'static str,
}

/// The states that a check can be in. Each has a series, which is 1 or 0.
const STATES: [&str; 3] = ["up", "degraded", "down"];

fn state(health: &Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Degraded(_) => "degraded",
        Health::Down(_) => "down",
    }
}

impl Collector for ReadinessNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.0.snapshot();
        let ready = ConstGauge::new(i64::from(now.is_ready()));
        let help = "1 while /readyz answers 200, 0 while it answers 503";
        ready.encode(encoder.encode_descriptor("ready", help, None, MetricType::Gauge)?)?;
        let help = "The checks of /readyz: 1 for the state that a check is in, 0 for the others";
        let mut family = encoder.encode_descriptor("readiness", help, None, MetricType::Gauge)?;
        for (check, health) in &now.checks {
            for state_of_series in STATES {
                let is_in = ConstGauge::new(i64::from(state(health) == state_of_series));
                let labels = CheckLabels { check, state: state_of_series };
                is_in.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::telemetry::render;

    #[test]
    fn each_check_is_in_one_state_and_a_draining_program_is_not_ready() {
        let (readiness, mut registry) = (Readiness::default(), Registry::default());
        registry.register_collector(Box::new(ReadinessNumbers(readiness.clone())));
        readiness.set("orders bus", Health::Degraded("away".into()));
        let has = |line: &str| render(&registry).lines().any(|its| its == line);
        assert!(has(r#"readiness{check="orders bus",state="degraded"} 1"#));
        assert!(has(r#"readiness{check="orders bus",state="up"} 0"#));
        assert!(has("ready 1"), "degraded is ready\n{}", render(&registry));
        readiness.set("orders database", Health::Down("away".into()));
        assert!(has(r#"readiness{check="orders database",state="down"} 1"#) && has("ready 0"));
        readiness.set("orders database", Health::Up);
        assert!(has(r#"readiness{check="orders database",state="down"} 0"#) && has("ready 1"));
        readiness.drain();
        assert!(has("ready 0"));
    }
}
