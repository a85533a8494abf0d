//! A parser of the samples in the text format of OpenMetrics 1.0. Metadata, timestamps and
//! exemplars are skipped.

/// The metrics of one process.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page(Vec<Sample>);

#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Page {
    /// Parses a response of `/metrics`. Returns `None` if a line is neither a comment nor a sample.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(Sample::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The sum of all samples of this name, and of this label if given; none if there is no such
    /// sample. The samples must be whole numbers that are not negative.
    pub(super) fn sum(&self, name: &str, label: Option<(&str, &str)>) -> Option<u64> {
        let fits =
            |sample: &&Sample| label.is_none_or(|(name, value)| sample.label(name) == Some(value));
        let samples = self.named(name).filter(fits).filter_map(|sample| whole(sample.value));
        samples.reduce(|sum: u64, more| sum.saturating_add(more))
    }

    /// The value of the one sample of this name.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.named(name).next().map(|sample| sample.value)
    }

    /// The samples of this name that have both labels: the labels' values, and the sample's value.
    pub(super) fn labelled<'a>(
        &'a self,
        name: &'a str,
        labels: [&'a str; 2],
    ) -> impl Iterator<Item = ([&'a str; 2], u64)> {
        self.named(name).filter_map(move |sample| {
            Some(([sample.label(labels[0])?, sample.label(labels[1])?], whole(sample.value)?))
        })
    }

    /// The samples of this name that have the label: the label's value, and the sample's value.
    pub(super) fn by_label<'a>(
        &'a self,
        name: &'a str,
        label: &'a str,
    ) -> impl Iterator<Item = (&'a str, u64)> {
        self.named(name)
            .filter_map(move |sample| Some((sample.label(label)?, whole(sample.value)?)))
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

/// The whole number that a float holds.
fn whole(value: f64) -> Option<u64> {
    format!("{value:.0}").parse().ok()
}

impl Sample {
    /// Parses `name{label="value",…} value …`.
    fn parse(line: &str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), labels, value })
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str())
    }
}

/// Parses labels up to the closing brace, and returns the rest.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.strip_prefix(',').unwrap_or(rest);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        labels.push((name.to_owned(), value));
        rest = after;
    }
}

/// Parses a value up to the closing quote and removes its escapes, and returns the rest.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# HELP requests Some "requests" {of a kind}.
# TYPE requests counter
requests_total{service="orders",path="/a,b}\"c\\d\ne"} 3
requests_total{service="inventory"} 4 1700000000.5
requests_total{service="orders",path="/"} 2 # {trace_id="x"} 1.0

cpu_seconds_total 1.25e1
empty{} 0
size_bucket{le="+Inf",service="orders"} 9
# EOF
"#;

    #[test]
    fn samples_are_found_by_name_and_label() {
        let page = Page::parse(PAGE).expect("OpenMetrics");
        assert_eq!(page.sum("requests_total", None), Some(9));
        assert_eq!(page.sum("requests_total", Some(("service", "orders"))), Some(5));
        assert_eq!(page.sum("requests_total", Some(("path", "/a,b}\"c\\d\ne"))), Some(3));
        assert_eq!(page.sum("requests_total", Some(("service", "nobody"))), None);
        assert_eq!((page.sum("requests", None), page.sum("empty", None)), (None, Some(0)));
        assert_eq!(page.number("cpu_seconds_total"), Some(12.5));
        let labelled: Vec<_> = page.labelled("size_bucket", ["service", "le"]).collect();
        assert_eq!(labelled, [(["orders", "+Inf"], 9)]);
        let by_label: Vec<_> = page.by_label("requests_total", "service").collect();
        assert_eq!(by_label, [("orders", 3), ("inventory", 4), ("orders", 2)]);
    }

    #[test]
    fn what_is_not_openmetrics_is_refused() {
        for text in ["<html>", "a", "a{b=\"c\"", "a{b=\"c} 1", "a{b} 1", "a one", "a{} "] {
            assert_eq!(Page::parse(text), None, "{text}");
        }
        assert_eq!(Page::parse(""), Some(Page::default()));
    }
}
