//! The lines of the suite's table, for people and as JSON.
#![expect(clippy::float_arithmetic, reason = "ratios and medians are fractions")]

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

/// One line of the table: a measure, or the ratio of two. Each run has one value.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) row: &'static str,
    pub(super) form: &'static str,
    pub(super) measure: String,
    pub(super) numerator: Quantity,
    pub(super) denominator: Option<Quantity>,
    pub(super) target: Option<Target>,
    /// What a line of a series varies, and its value.
    pub(super) at: Option<(&'static str, u64)>,
}

/// What was measured, once in each run.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) values: Vec<f64>,
}

/// The bound that the median shall keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::AtLeast(bound) => value >= bound,
                Self::AtMost(bound) => value <= bound,
                Self::Below(bound) => value < bound,
            }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::Below(bound) => write!(f, "< {bound}"),
        }
    }
}

impl Quantity {
    pub(super) fn new(name: impl Into<String>, unit: &'static str) -> Self {
        Self { name: name.into(), unit, values: Vec::new() }
    }
}

/// The median; of an even number of values, the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

impl Line {
    /// The value of each run.
    fn values(&self) -> Vec<f64> {
        match &self.denominator {
            None => self.numerator.values.clone(),
            Some(denominator) => {
                let pairs = self.numerator.values.iter().zip(&denominator.values);
                pairs.map(|(numerator, denominator)| numerator / denominator).collect()
            }
        }
    }

    /// The least and the greatest value.
    fn spread(values: &[f64]) -> [f64; 2] {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        [least, most]
    }

    fn json(&self) -> Value {
        let values = self.values();
        let [least, most] = Self::spread(&values);
        let value = median(&values);
        let quantity = |its: &Quantity| json!({"name": its.name, "unit": its.unit, "median": median(&its.values), "values": its.values});
        json!({
            "row": self.row,
            "form": self.form,
            "measure": self.measure,
            "numerator": quantity(&self.numerator),
            "denominator": self.denominator.as_ref().map(quantity),
            "value": value,
            "unit": if self.denominator.is_some() { "ratio" } else { self.numerator.unit },
            "runs": values.len(),
            "min": least,
            "max": most,
            "at": self.at.map(|(variable, value)| json!({"variable": variable, "value": value})),
            "target": self.target.map(|target| target.to_string()),
            "met": self.target.map(|target| target.is_met_by(value)),
        })
    }
}

/// The result of a run of the suite.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) quick: bool,
    pub(super) lines: Vec<Line>,
    /// The rows that could not be measured, and why.
    pub(super) failed: Vec<String>,
}

impl Table {
    pub(super) fn json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "quick": self.quick,
            "cores": cores(),
            "failed": self.failed,
            "lines": self.lines.iter().map(Line::json).collect::<Vec<_>>(),
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.quick {
            writeln!(
                f,
                "QUICK: short and few measurements, which show only that the suite works\n"
            )?;
        }
        writeln!(f, "{} cores, with the load on the same cores\n", cores())?;
        writeln!(
            f,
            "{:<9} {:<11}{:<46}{:>10}  {:>17} {:>4}  {:<16}numerator ÷ denominator",
            "row", "form", "measure", "median", "min – max", "runs", "target"
        )?;
        self.lines.iter().try_for_each(|line| write!(f, "{line}"))?;
        self.failed.iter().try_for_each(|row| writeln!(f, "FAILED: {row}"))
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let values = self.values();
        let value = median(&values);
        let [least, most] = Self::spread(&values).map(number);
        let spread = format!("{least} – {most}");
        let target = match self.target {
            Some(target) if target.is_met_by(value) => format!("{target} met"),
            Some(target) => format!("{target} MISSED"),
            None => String::new(),
        };
        write!(
            f,
            "{:<9} {:<11}{:<46}{:>10}  {spread:>17} {:>4}  {target:<16}{}",
            self.row,
            self.form,
            self.measure,
            number(value),
            values.len(),
            self.numerator
        )?;
        match &self.denominator {
            Some(denominator) => writeln!(f, " ÷ {denominator}"),
            None => writeln!(f),
        }
    }
}

impl Display for Quantity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", number(median(&self.values)), self.unit, self.name)
    }
}

/// A number with three digits that matter. A ratio to nothing is none.
fn number(value: f64) -> String {
    match value.abs() {
        nothing if !nothing.is_finite() => "-".to_owned(),
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(numerator: &[f64], denominator: Option<&[f64]>, target: Target) -> Line {
        let quantity = |name: &str, values: &[f64]| Quantity {
            values: values.to_vec(),
            ..Quantity::new(name, "/s")
        };
        Line {
            row: "embedded",
            form: "embedded",
            measure: "confirmed orders ÷ null server".to_owned(),
            numerator: quantity("confirmed", numerator),
            denominator: denominator.map(|values| quantity("null server", values)),
            target: Some(target),
            at: None,
        }
    }

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_to_nothing_is_none_and_meets_no_target() {
        let line = line(&[1.0], Some(&[0.0]), Target::AtLeast(0.5));
        let json = line.json();
        assert_eq!((&json["value"], &json["met"]), (&Value::Null, &false.into()));
        assert!(line.to_string().contains("- – -    1  ≥ 0.5 MISSED"), "{line}");
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_its_runs() {
        let line = line(&[10.0, 30.0, 20.0], Some(&[20.0, 40.0, 80.0]), Target::AtLeast(0.5));
        let json = line.json();
        assert_eq!(
            (&json["value"], &json["min"], &json["max"]),
            (&0.5.into(), &0.25.into(), &0.75.into())
        );
        assert_eq!(
            (&json["runs"], &json["met"], &json["unit"]),
            (&3.into(), &true.into(), &"ratio".into())
        );
        let text = line.to_string();
        assert!(text.contains("0.50        0.25 – 0.75    3  ≥ 0.5 met"), "{text}");
        assert!(text.contains("20.0 /s confirmed ÷ 40.0 /s null server"), "{text}");
    }

    #[test]
    fn a_target_that_is_missed_is_seen() {
        for (target, met) in [
            (Target::AtLeast(15.0), true),
            (Target::AtMost(15.0), true),
            (Target::Below(15.0), false),
            (Target::AtLeast(15.1), false),
        ] {
            let line = line(&[15.0], None, target);
            assert_eq!(line.json()["met"], met, "{target}");
            assert_eq!(line.to_string().contains("MISSED"), !met, "{target}");
        }
    }

    #[test]
    fn a_table_says_if_it_is_quick_and_which_rows_failed() {
        let failed = vec!["row hot: no luck".to_owned()];
        let table = |quick| Table { quick, lines: Vec::new(), failed: failed.clone() }.to_string();
        assert!(table(true).starts_with("QUICK") && !table(false).contains("QUICK"));
        assert!(table(true).ends_with("\nFAILED: row hot: no luck\n"), "{}", table(true));
    }
}
