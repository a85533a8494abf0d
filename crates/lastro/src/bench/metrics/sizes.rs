//! A histogram from `/metrics`: the cumulative count of values up to each bound.
#![expect(clippy::float_arithmetic, reason = "a mean, and a rank from a quantile, are fractions")]

use std::collections::BTreeMap;

use super::openmetrics::Page;

/// A histogram of batch sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    count: u64,
    sum: u64,
    /// The cumulative counts by bound. The bucket without a bound is left out: it equals `count`.
    up_to: BTreeMap<u64, u64>,
}

impl Sizes {
    /// The histograms of this name, by the value of this label.
    pub(super) fn in_page(page: &Page, name: &str, label: &str) -> BTreeMap<String, Self> {
        let mut found: BTreeMap<String, Self> = BTreeMap::new();
        for (its, count) in page.by_label(&format!("{name}_count"), label) {
            found.entry(its.to_owned()).or_default().count = count;
        }
        for (its, sum) in page.by_label(&format!("{name}_sum"), label) {
            found.entry(its.to_owned()).or_default().sum = sum;
        }
        for ([its, bound], count) in page.labelled(&format!("{name}_bucket"), [label, "le"]) {
            // A bound is written as `4.0` or `4`; +Inf does not parse and is left out.
            if let Ok(bound) = bound.strip_suffix(".0").unwrap_or(bound).parse() {
                found.entry(its.to_owned()).or_default().up_to.insert(bound, count);
            }
        }
        found
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        for (bound, count) in &other.up_to {
            let its = self.up_to.entry(*bound).or_default();
            *its = its.saturating_add(*count);
        }
    }

    /// The sizes added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let before = |bound| earlier.up_to.get(bound).copied().unwrap_or(0);
        Self {
            count: self.count.saturating_sub(earlier.count),
            sum: self.sum.saturating_sub(earlier.sum),
            up_to: self
                .up_to
                .iter()
                .map(|(bound, count)| (*bound, count.saturating_sub(before(bound))))
                .collect(),
        }
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The smallest bound that at least this fraction of the sizes does not exceed; none if there
    /// are no sizes or no bound is that large.
    pub(crate) fn at_most(&self, quantile: f64) -> Option<u64> {
        let rank = quantile * self.count as f64;
        let found = self.up_to.iter().find(|(_, count)| **count as f64 >= rank);
        found.filter(|_| self.count > 0).map(|(bound, _)| *bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> BTreeMap<String, Sizes> {
        Sizes::in_page(&Page::parse(text).expect("OpenMetrics"), "batch_size", "service")
    }

    fn page(count: u64, sum: u64, buckets: [u64; 3]) -> String {
        let mut text = format!(
            "batch_size_count{{service=\"orders\"}} {count}\nbatch_size_sum{{service=\"orders\"}} {sum}.0\n"
        );
        for (bound, up_to) in ["1.0", "10.0", "100"].into_iter().zip(buckets) {
            text += &format!("batch_size_bucket{{le=\"{bound}\",service=\"orders\"}} {up_to}\n");
        }
        text + &format!("batch_size_bucket{{le=\"+Inf\",service=\"orders\"}} {count}\n")
    }

    #[test]
    fn the_mean_is_exact_and_quantiles_are_bounds() {
        let found = sizes(&page(100, 250, [60, 98, 99]));
        let sizes = &found["orders"];
        assert_eq!((sizes.count(), sizes.mean()), (100, Some(2.5)));
        assert_eq!(
            [0.5, 0.6, 0.61, 0.99, 1.0].map(|q| sizes.at_most(q)),
            [Some(1), Some(1), Some(10), Some(100), None]
        );
        assert_eq!((Sizes::default().mean(), Sizes::default().at_most(0.5)), (None, None));
    }

    #[test]
    fn the_difference_of_two_moments_is_what_came_in_between() {
        let before = sizes(&page(100, 250, [60, 98, 99]));
        let after = sizes(&page(110, 350, [60, 108, 109]));
        let between = after["orders"].since(&before["orders"]);
        assert_eq!((between.count(), between.mean()), (10, Some(10.0)));
        assert_eq!((between.at_most(0.5), between.at_most(0.99)), (Some(10), Some(10)));
        assert_eq!(after["orders"].since(&Sizes::default()), after["orders"]);
    }

    #[test]
    fn histograms_of_several_processes_add_up() {
        let found = sizes(&page(100, 250, [60, 98, 99]));
        let mut both = found["orders"].clone();
        both.add(&found["orders"]);
        assert_eq!((both.count(), both.mean(), both.at_most(0.5)), (200, Some(2.5), Some(1)));
    }
}
