//! The orders of a run: the same seed makes the same sequence of orders.
#![expect(
    clippy::float_arithmetic,
    reason = "popularity is a matter of probabilities, and no money is involved"
)]

use std::fmt::Write;
use std::ops::RangeInclusive;

use bytes::Bytes;
use fastrand::Rng;

/// How orders choose their products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Popularity {
    /// Every product equally often
    Uniform,
    /// The n-th product in proportion to 1/n^s, where s is --zipf-exponent
    Zipf,
    /// The first product in 95 of 100 orders, the others equally often
    Hot,
}

/// The fraction of orders that contain the hot product.
const HOT_ORDERS: f64 = 0.95;
/// The end of an order that waits for its payment.
const PAYMENT: &str = r#"],"payment":{"within_s":3600}}"#;
/// The number of customers, of which each order has a random one.
const CUSTOMERS: u64 = 10_000;

/// The parameters of the orders.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) seed: u64,
    pub(super) products: u32,
    pub(super) popularity: Popularity,
    pub(super) zipf_exponent: f64,
    /// The range of lines per order, at most the number of products.
    pub(super) lines: RangeInclusive<u32>,
    /// The fraction of orders whose client waits for the outcome.
    pub(super) watched: f64,
    /// The fraction of orders that are paid, shipped in two parts, and partly returned.
    pub(super) changed: f64,
}

/// One order, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) body: Bytes,
    /// Whether the client waits for the outcome.
    pub(super) watched: bool,
    /// Whether the order waits for its payment, and is changed afterwards.
    pub(super) changes: bool,
    /// The product of the first line, counted from 0.
    pub(super) first_product: u32,
    /// How many lines the order has.
    pub(super) lines: usize,
}

/// A generator of random orders.
#[derive(Debug)]
pub(super) struct Workload {
    rng: Rng,
    profile: Profile,
    /// For Zipf: the cumulative probability of each product; else empty.
    up_to: Vec<f64>,
    chosen: Vec<u32>,
}

impl Workload {
    pub(super) fn new(profile: Profile) -> Self {
        let up_to = match profile.popularity {
            Popularity::Zipf => cumulative(profile.products, profile.zipf_exponent),
            Popularity::Uniform | Popularity::Hot => Vec::new(),
        };
        Self { rng: Rng::with_seed(profile.seed), profile, up_to, chosen: Vec::new() }
    }

    /// Makes the next order. Its products are distinct.
    pub(super) fn next(&mut self) -> Order {
        self.chosen.clear();
        let lines = self.rng.u32(self.profile.lines.clone());
        for line in 0..lines {
            let mut product = self.choose(line);
            while self.chosen.contains(&product) {
                product = (product + 1) % self.profile.products;
            }
            self.chosen.push(product);
        }
        let customer = self.rng.u64(..CUSTOMERS);
        let watched = self.rng.f64() < self.profile.watched;
        // Without changes, the same seed makes the same orders as ever.
        let changes = self.profile.changed > 0.0 && self.rng.f64() < self.profile.changed;
        Order {
            body: body(customer, &self.chosen, changes),
            watched,
            changes,
            first_product: self.chosen.first().copied().unwrap_or_default(),
            lines: self.chosen.len(),
        }
    }

    fn choose(&mut self, line: u32) -> u32 {
        match self.profile.popularity {
            Popularity::Uniform => self.rng.u32(..self.profile.products),
            Popularity::Hot if line == 0 && self.rng.f64() < HOT_ORDERS => 0,
            Popularity::Hot => self.rng.u32(..self.profile.products),
            Popularity::Zipf => {
                let at = self.rng.f64();
                let product = self.up_to.partition_point(|up_to| *up_to <= at);
                u32::try_from(product).unwrap_or(u32::MAX).min(self.profile.products - 1)
            }
        }
    }
}

/// The cumulative probabilities of Zipf's law over this many products.
fn cumulative(products: u32, exponent: f64) -> Vec<f64> {
    let weights = (1..=products).map(|rank| f64::from(rank).powf(-exponent));
    let sums: Vec<f64> = weights
        .scan(0.0, |sum, weight| {
            Some({
                *sum += weight;
                *sum
            })
        })
        .collect();
    let total = sums.last().copied().unwrap_or(1.0);
    sums.into_iter().map(|sum| sum / total).collect()
}

/// The id of a product, counted from 0.
pub(super) fn product_id(product: u32) -> String {
    format!("bench-{:04}", product + 1)
}

/// The body of an order. Prices are whole numbers, which are valid in every currency.
fn body(customer: u64, products: &[u32], with_payment: bool) -> Bytes {
    let mut text = String::with_capacity(64 + 64 * products.len());
    let written = write!(text, r#"{{"customer_id":"bench-{customer}","products":["#);
    written.expect("a string takes everything");
    for (at, product) in products.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // As `product_id`, which would make a string of its own.
        let id = product + 1;
        let price = 5 + product % 95;
        let written =
            write!(text, r#"{comma}{{"product_id":"bench-{id:04}","quantity":1,"price":{price}}}"#);
        written.expect("a string takes everything");
    }
    text.push_str(if with_payment { PAYMENT } else { "]}" });
    text.into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn profile(popularity: Popularity) -> Profile {
        Profile {
            seed: 7,
            products: 100,
            popularity,
            zipf_exponent: 1.0,
            lines: 1..=5,
            watched: 0.05,
            changed: 0.0,
        }
    }

    /// The products of this many orders.
    fn orders(profile: Profile, count: usize) -> Vec<Vec<String>> {
        let mut workload = Workload::new(profile);
        let order = |_| {
            let body: Value = serde_json::from_slice(&workload.next().body).expect("JSON");
            let lines = body["products"].as_array().expect("lines");
            lines
                .iter()
                .map(|line| line["product_id"].as_str().expect("an id").to_owned())
                .collect()
        };
        (0..count).map(order).collect()
    }

    fn share(orders: &[Vec<String>], product: u32) -> f64 {
        let with = orders.iter().filter(|lines| lines.contains(&product_id(product))).count();
        with as f64 / orders.len() as f64
    }

    #[test]
    fn a_seed_makes_the_same_orders_again_and_another_one_makes_others() {
        for popularity in [Popularity::Uniform, Popularity::Zipf, Popularity::Hot] {
            let other = Profile { seed: 8, ..profile(popularity) };
            assert_eq!(orders(profile(popularity), 50), orders(profile(popularity), 50));
            assert_ne!(orders(profile(popularity), 50), orders(other, 50));
        }
    }

    #[test]
    fn an_order_has_as_many_lines_as_asked_for_and_no_product_twice() {
        for popularity in [Popularity::Uniform, Popularity::Zipf, Popularity::Hot] {
            let few =
                Profile { products: 5, lines: 2..=5, zipf_exponent: 3.0, ..profile(popularity) };
            let mut lengths: Vec<usize> = Vec::new();
            for mut lines in orders(few, 500) {
                lengths.push(lines.len());
                lines.sort_unstable();
                assert!(lines.is_sorted_by(|one, next| one < next), "{lines:?}");
            }
            assert_eq!((lengths.iter().min(), lengths.iter().max()), (Some(&2), Some(&5)));
        }
    }

    #[test]
    fn products_are_as_popular_as_the_distribution_says() {
        let one_line = |popularity| Profile { lines: 1..=1, ..profile(popularity) };
        let close = |share: f64, expected: f64| {
            assert!((share - expected).abs() < 0.02, "{share} for {expected}");
        };
        let uniform = orders(one_line(Popularity::Uniform), 10_000);
        close(share(&uniform, 0), 0.01);
        close(share(&uniform, 99), 0.01);
        // The sum of 1/n up to 100 is 5.187.
        let zipf = orders(one_line(Popularity::Zipf), 10_000);
        close(share(&zipf, 0), 1.0 / 5.187);
        close(share(&zipf, 1), 0.5 / 5.187);
        close(share(&zipf, 99), 0.01 / 5.187);
        let hot = orders(profile(Popularity::Hot), 10_000);
        close(share(&hot, 0), 0.95);
        close(share(&hot, 50), 0.02);
    }

    #[test]
    fn the_watched_are_as_many_as_asked_for() {
        for (watched, expected) in [(0.0, 0..=0), (0.05, 400..=600), (1.0, 10_000..=10_000)] {
            let mut workload = Workload::new(Profile { watched, ..profile(Popularity::Uniform) });
            let seen = (0..10_000).filter(|_| workload.next().watched).count();
            assert!(expected.contains(&seen), "{seen} for {watched}");
        }
    }
    #[test]
    fn orders_that_change_wait_for_their_payment() {
        let mut workload = Workload::new(Profile { changed: 0.2, ..profile(Popularity::Uniform) });
        let orders: Vec<Order> = (0..1000).map(|_| workload.next()).collect();
        for order in &orders {
            let body: Value = serde_json::from_slice(&order.body).expect("JSON");
            assert_eq!(body["payment"].is_object(), order.changes);
            assert_eq!(body["products"].as_array().map(Vec::len), Some(order.lines));
            assert_eq!(body["products"][0]["product_id"], product_id(order.first_product));
        }
        let changing = orders.iter().filter(|order| order.changes).count();
        assert!((150..=250).contains(&changing), "{changing}");
    }
}
