//! The metrics and labels that an expression of Prometheus names.

use std::collections::BTreeSet;

/// Words that are no metric.
const WORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "inf", "nan"];
/// Words before a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Samples, such as `order_settle_seconds_bucket`.
    pub(super) samples: BTreeSet<String>,
    /// Labels with their samples, as in `up{job="x"}`.
    pub(super) matched: BTreeSet<(String, String)>,
    /// Labels in lists, as in `by (service)`, of any of the samples.
    pub(super) listed: BTreeSet<String>,
}

impl Named {
    pub(super) fn by(expression: &str) -> Self {
        let mut named = Self::default();
        let mut last = String::new();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            let (taken, after) = match first {
                '"' => up_to(rest, '"'),
                '[' => up_to(rest, ']'),
                '{' => up_to(rest, '}'),
                _ if is_of_word(first) => {
                    rest.split_at(rest.find(|next| !is_of_word(next)).unwrap_or(rest.len()))
                }
                _ => rest.split_at(first.len_utf8()),
            };
            rest = after;
            if first == '{' {
                let labels = words_outside_quotes(taken).into_iter();
                named.matched.extend(labels.map(|label| (last.clone(), label)));
            } else if LISTS.contains(&taken) {
                let (list, after) = up_to(rest.trim_start(), ')');
                named.listed.extend(words_outside_quotes(list));
                rest = after;
            } else if is_name(taken) && !WORDS.contains(&taken) && !is_function(rest) {
                last = taken.to_owned();
                named.samples.insert(last.clone());
            }
        }
        named
    }
}

/// Whether what follows a word makes it a function: its arguments, or the labels of a sum.
fn is_function(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.starts_with('(') || rest.starts_with("by ") || rest.starts_with("without ")
}

/// Splits behind the first `end` that is not the first character, and outside of quotes.
fn up_to(text: &str, end: char) -> (&str, &str) {
    let mut is_quoted = false;
    for (at, next) in text.char_indices().skip(1) {
        if next == end && !is_quoted {
            return text.split_at(at + next.len_utf8());
        }
        if next == '"' {
            is_quoted = !is_quoted;
        }
    }
    (text, "")
}

fn words_outside_quotes(text: &str) -> Vec<String> {
    let outside: Vec<&str> = text.split('"').step_by(2).collect();
    let words = outside.iter().flat_map(|part| part.split(|next| !is_of_word(next)));
    words.filter(|word| is_name(word)).map(str::to_owned).collect()
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '$'
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
}

#[test]
fn an_expression_names_samples_and_labels_and_no_function() {
    let named = Named::by(
        r#"histogram_quantile(0.99, sum by (le, service) (rate(a_bucket{route!~"/x|}", job="$job"}[5m]))) > 2e3
           and on(instance) max(b) > 1 or absent(c{d="e f"} offset 5m)"#,
    );
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(named.samples, set(&["a_bucket", "b", "c"]));
    assert_eq!(named.listed, set(&["le", "service", "instance"]));
    let pair = |metric: &str, label: &str| (metric.to_owned(), label.to_owned());
    let matched = [pair("a_bucket", "route"), pair("a_bucket", "job"), pair("c", "d")];
    assert_eq!(named.matched, matched.into());
}
