//! Files in the repository that must equal the output of a program. `LASTRO_BLESS=1` rewrites them.

use std::path::{Path, PathBuf};

/// Compares `actual` with the file at `path`, which is relative to the root of the repository.
#[track_caller]
pub fn check(path: &str, actual: &str) {
    let file = root().join(path);
    if std::env::var_os("LASTRO_BLESS").is_some() {
        std::fs::write(&file, actual).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        return;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    let difference = difference(&expected, actual);
    assert!(
        difference.is_empty(),
        "{path} differs from the program's output (LASTRO_BLESS=1 rewrites it):\n{difference}"
    );
}

/// The file at `path`, which is relative to the root of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The lines that only one of the two texts has, or, if both have the same lines, the first line
/// that differs.
fn difference(expected: &str, actual: &str) -> String {
    let only_in = |one: &str, other: &str, sign: char| {
        let others: std::collections::BTreeSet<_> = other.lines().collect();
        one.lines()
            .filter(|line| !others.contains(line))
            .map(|line| format!("{sign} {line}\n"))
            .collect::<String>()
    };
    let lines = only_in(expected, actual, '-') + &only_in(actual, expected, '+');
    if !lines.is_empty() || expected == actual {
        return lines;
    }
    let place = expected.lines().zip(actual.lines()).position(|(one, other)| one != other);
    format!(
        "the same lines in another order or number, from line {}\n",
        place.map_or(0, |line| line + 1)
    )
}

#[test]
fn a_difference_is_printed_line_by_line() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), "");
    assert_eq!(difference("a\nb\nc\n", "a\nB\nc\n"), "- b\n+ B\n");
    assert!(difference("a\nb\n", "b\na\n").contains("from line 1"));
}
