//! The report for people: a table.
#![expect(clippy::float_arithmetic, reason = "bytes are shown as MiB")]

use std::fmt::{self, Display, Formatter};

use super::{Report, milliseconds};
use crate::bench::load::Loop;
use crate::bench::tally::Times;
use crate::bench::workload::Popularity;

const MIB: f64 = 1_048_576.0;

impl Display for Report {
    /// Writes one paragraph for each part of the report.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.counts(f)?;
        self.times(f)?;
        self.batches(f)?;
        self.processes(f)?;
        self.accounts(f)
    }
}

impl Report {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let its = &self.setting;
        writeln!(f, "{}", its.shop)?;
        match its.kind {
            Loop::Closed { clients } => write!(f, "closed loop of {clients} clients")?,
            Loop::Open { rate, connections } => {
                write!(
                    f,
                    "open loop, Poisson arrivals at {rate}/s on up to {connections} connections"
                )?;
            }
        }
        let warm_up = its.warm_up.as_secs_f64();
        let lasted = self.lasted.as_secs_f64();
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "; {lasted:.1} s measured after {warm_up:.1} s of warm-up{interrupted}")?;
        let popularity = match its.popularity {
            Popularity::Uniform => "chosen evenly".to_owned(),
            Popularity::Zipf => format!("chosen by Zipf's law with exponent {}", its.zipf_exponent),
            Popularity::Hot => "of which one is in 95 % of the orders".to_owned(),
        };
        let lines = match its.lines {
            (least, most) if least == most => format!("{least}"),
            (least, most) => format!("{least} to {most}"),
        };
        writeln!(
            f,
            "{} products of {} units, {popularity}; {lines} lines per order; seed {}\n",
            its.products, its.stock, its.seed
        )
    }

    fn counts(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let measured = &self.tally.measured;
        let all = &self.tally.whole;
        let window = &self.window;
        let whole = &self.whole;
        writeln!(f, "{:<24}{:>12}{:>12}{:>12}", "orders", "measured", "per second", "whole run")?;
        let mut row = |name: &str, measured: u64, rate: f64, whole: u64| {
            writeln!(f, "  {name:<22}{measured:>12}{rate:>12.1}{whole:>12}")
        };
        row("accepted", measured.accepted, self.rate(measured.accepted), all.accepted)?;
        row(
            "confirmed",
            window.confirmed,
            self.rate_of_services(window.confirmed),
            whole.confirmed,
        )?;
        if whole.reserved > 0 {
            let changes = &self.tally.changes;
            let rate = self.rate_of_services(window.reserved);
            row("reserved for payment", window.reserved, rate, whole.reserved)?;
            row("changes", changes.measured, self.rate(changes.measured), changes.done)?;
        }
        row("rejected", window.rejected, self.rate_of_services(window.rejected), whole.rejected)?;
        row("shed (overloaded)", measured.shed, self.rate(measured.shed), all.shed)?;
        row("failed", measured.failed(), self.rate(measured.failed()), all.failed())?;
        for (kind, count) in &all.errors {
            let measured = measured.errors.get(kind).copied().unwrap_or(0);
            writeln!(f, "    {kind:<20}{measured:>12}{:>24}", count)?;
        }
        for (kind, count) in &self.tally.changes.errors {
            writeln!(f, "    change: {kind:<12}{count:>36}")?;
        }
        if self.tally.unsent > 0 {
            writeln!(f, "  {} orders were due but never sent", self.tally.unsent)?;
        }
        writeln!(f)
    }

    fn times(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = ["p50", "p90", "p99", "p99.9", "max", "samples"];
        write!(f, "{:<24}", "milliseconds")?;
        for name in names {
            write!(f, "{name:>10}")?;
        }
        writeln!(f)?;
        let (receipts, usual) = self.receipts();
        time_row(f, "until the receipt", &receipts)?;
        if usual.is_some() {
            time_row(f, "  as measured", &self.tally.receipts)?;
        }
        time_row(f, "until the outcome", &self.tally.outcomes)?;
        if !self.tally.changes.times.is_empty() {
            time_row(f, "until a change is done", &self.tally.changes.times)?;
        }
        match usual {
            Some(usual) => writeln!(
                f,
                "  corrected for coordinated omission by an expected interval of {:.2} ms, the median;\n  the outcome \
                 as measured, of {} % of the orders\n",
                milliseconds(usual),
                self.setting.settle_sample
            ),
            None => {
                time_row(f, "sent late by", &self.tally.held)?;
                writeln!(
                    f,
                    "  measured from the scheduled time of each order, so that no wait is omitted;\n  the outcome of {} \
                     % of the orders\n",
                    self.setting.settle_sample
                )
            }
        }
    }

    fn batches(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<24}{:>10}{:>10}{:>10}{:>10}",
            "commands per commit", "mean", "p50", "p99", "commits"
        )?;
        for (service, sizes) in &self.window.batches {
            let mean = sizes.mean().map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1}"));
            let at_most = |quantile| {
                sizes.at_most(quantile).map_or_else(|| "-".to_owned(), |size| format!("≤ {size}"))
            };
            let p50 = at_most(0.5);
            let p99 = at_most(0.99);
            writeln!(f, "  {service:<22}{mean:>10}{p50:>10}{p99:>10}{:>10}", sizes.count())?;
        }
        writeln!(f)
    }

    fn processes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<24}{:>10}{:>10}{:>14}{:>12}",
            "processes", "CPU s", "cores", "µs per order", "memory MiB"
        )?;
        for cost in self.costs() {
            let seconds = cost.cpu.map(|cpu| cpu.as_secs_f64());
            let cores = seconds.map(|seconds| super::per(seconds, self.between.as_secs_f64()));
            let memory = cost.resident_bytes.map(|bytes| bytes as f64 / MIB);
            let shown = |number: Option<f64>, decimals| match number {
                Some(number) => format!("{number:.decimals$}"),
                None => "-".to_owned(),
            };
            let seconds = shown(seconds, 2);
            let cores = shown(cores, 2);
            let per_order = shown(self.cpu_us_per_order(cost), 0);
            let memory = shown(memory, 1);
            writeln!(
                f,
                "  {:<22}{seconds:>10}{cores:>10}{per_order:>14}{memory:>12}",
                cost.process
            )?;
        }
        writeln!(f)
    }

    fn accounts(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let whole = &self.whole;
        let after = self.settled_after.as_secs_f64();
        writeln!(
            f,
            "{} accepted = {} confirmed + {} rejected + {} without an outcome, {after:.1} s after the load",
            whole.placed,
            whole.confirmed,
            whole.rejected,
            i128::from(whole.placed) - i128::from(whole.settled()),
        )?;
        match &self.audit {
            Some(audit) => write!(f, "{audit}")?,
            None => writeln!(
                f,
                "The databases were NOT audited: name them, for example with --data-dir."
            )?,
        }
        for problem in self.problems() {
            writeln!(f, "FAILED: {problem}")?;
        }
        Ok(())
    }
}

fn time_row(f: &mut Formatter<'_>, name: &str, times: &Times) -> fmt::Result {
    write!(f, "  {name:<22}")?;
    for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
        if times.is_empty() {
            write!(f, "{:>10}", "-")?;
        } else {
            write!(f, "{:>10.2}", milliseconds(times.value_at_quantile(quantile)))?;
        }
    }
    writeln!(f, "{:>10}", times.len())
}
