//! Worlds that once showed a bug that has been fixed. They run before all others.

use crate::config::Config;

/// A configuration per line, each after a comment with the bug that it showed.
const TEXT: &str = include_str!("../corpus.txt");

pub(crate) fn worlds() -> Vec<Config> {
    let lines = TEXT.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            Config::parse(line).unwrap_or_else(|| panic!("corpus.txt has no such world: {line}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;
    use crate::wrappers::Wrappers;

    #[test]
    fn worlds_that_failed_once_fail_no_more() {
        for config in worlds() {
            let report = run::run(&config, Wrappers::NONE, false);
            assert_eq!(report.violation, None, "{config}");
        }
    }
}
