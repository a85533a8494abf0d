//! Every relative link of the documents leads to a file of this repository, and every anchor to a
//! heading of its document. The files and tests that the documents name exist.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The document whose tables name tests.
const NAMES_TESTS: &str = "docs/reliability.md";

#[test]
fn every_link_and_anchor_of_the_documents_leads_somewhere() {
    let tracked = tracked_files();
    let documents = texts(&tracked, ".md");
    assert!(documents.contains_key("README.md"), "the documents are found");
    assert_eq!(broken_links(&documents, &tracked), [""; 0]);
}

#[test]
fn every_source_file_that_a_document_names_exists() {
    let tracked = tracked_files();
    assert_eq!(missing_files(&texts(&tracked, ".md"), &tracked), [""; 0]);
}

#[test]
fn every_test_that_the_page_about_reliability_names_exists() {
    let tracked = tracked_files();
    let documents = texts(&tracked, ".md");
    let code: String = texts(&tracked, ".rs").into_values().collect();
    assert_eq!(missing_tests(&documents[NAMES_TESTS], &code), [""; 0]);
}

/// The tracked files whose names have this ending, by path.
fn texts(tracked: &BTreeSet<String>, end: &str) -> BTreeMap<String, String> {
    let read = |path: &String| {
        let text = std::fs::read_to_string(root().join(path)).expect("a tracked file is text");
        (path.clone(), text)
    };
    tracked.iter().filter(|path| path.ends_with(end)).map(read).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The paths that git tracks, from the root of the repository.
fn tracked_files() -> BTreeSet<String> {
    let git = Command::new("git")
        // The folder may belong to another user, as in a container.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
    let paths = String::from_utf8(git.stdout).expect("paths in UTF-8");
    paths.split_terminator('\0').map(str::to_owned).collect()
}

/// One line for each link that leads nowhere: `document, line: what is wrong`.
fn broken_links(documents: &BTreeMap<String, String>, files: &BTreeSet<String>) -> Vec<String> {
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        documents.iter().map(|(path, text)| (path.as_str(), anchors(text))).collect();
    let mut broken = Vec::new();
    for (path, text) in documents {
        for (number, line) in prose(text) {
            for link in links(&line) {
                if let Err(why) = follow(path, link, &anchors, files) {
                    broken.push(format!("{path}, line {number}: {link} {why}"));
                }
            }
        }
    }
    broken
}

/// Whether a link of the document `from` leads to a file, and its anchor to a heading.
///
/// # Errors
///
/// What is wrong with the link, to follow its name in a sentence.
fn follow(
    from: &str,
    link: &str,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
    files: &BTreeSet<String>,
) -> Result<(), &'static str> {
    if is_absolute(link) {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, at)| (path, Some(at)));
    let target = if path.is_empty() {
        from.to_owned()
    } else {
        resolve(from, path).ok_or("leads out of the repository")?
    };
    let folder = format!("{target}/");
    if !files.contains(&target) && !files.iter().any(|file| file.starts_with(&folder)) {
        return Err("is not a tracked file or folder");
    }
    let Some(anchor) = anchor else { return Ok(()) };
    match anchors.get(target.as_str()) {
        None => Err("has an anchor and is not a document"),
        Some(known) if known.contains(anchor) => Ok(()),
        Some(_) => Err("is not a heading there"),
    }
}

/// Whether a link has a scheme (`https:`) or a host (`//`). Such a link is not followed.
fn is_absolute(link: &str) -> bool {
    let scheme = link.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || ['+', '-', '.'].contains(&c);
    link.starts_with("//") || !scheme.is_empty() && scheme.chars().all(is_scheme)
}

/// The path of a link, from the root of the repository. Nothing if the link leads out of it.
fn resolve(from: &str, link: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside code fences, numbered from 1, without code spans.
fn prose(text: &str) -> Vec<(usize, String)> {
    let prose_of = |(number, line)| (number, spans(line).0.concat());
    outside_fences(text).into_iter().map(prose_of).collect()
}

/// The lines outside code fences, numbered from 1.
fn outside_fences(text: &str) -> Vec<(usize, &str)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mark = fence_mark(line.trim_start());
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if mark.starts_with(open) && is_only(line, mark) => {
                fence = None;
            }
            (Some(_), _) => {}
            (None, None) => lines.push((number, line)),
        }
    }
    lines
}

/// The backticks or tildes of a fence that `line` begins with.
fn fence_mark(line: &str) -> Option<&str> {
    ['`', '~'].into_iter().find_map(|c| {
        let length = line.len() - line.trim_start_matches(c).len();
        (length >= 3).then(|| &line[..length])
    })
}

/// A fence is closed by a line that has nothing but the mark.
fn is_only(line: &str, mark: &str) -> bool {
    line.trim() == mark
}

/// The prose of a line and its code spans. A span ends with as many backticks as it begins with.
fn spans(line: &str) -> (Vec<&str>, Vec<&str>) {
    let mut prose = Vec::new();
    let mut code = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        prose.push(&rest[..at]);
        let span = &rest[at..];
        let ticks = span.len() - span.trim_start_matches('`').len();
        let mark = &span[..ticks];
        match span[ticks..].find(mark) {
            Some(length) => {
                code.push(&span[ticks..ticks + length]);
                rest = &span[2 * ticks + length..];
            }
            None => {
                prose.push(mark);
                rest = &span[ticks..];
            }
        }
    }
    prose.push(rest);
    (prose, code)
}

/// One line for each Rust file that a document names in a code span and that does not exist.
///
/// A name is the end of a path, such as `store/{sqlite,postgres}/load.rs` or `*/src/store.rs`.
fn missing_files(documents: &BTreeMap<String, String>, files: &BTreeSet<String>) -> Vec<String> {
    let exists = |name: &str| files.iter().any(|file| ends_with(file, name));
    let mut missing = Vec::new();
    for (path, text) in documents {
        for (number, line) in outside_fences(text) {
            let names = spans(line).1.into_iter().filter(|span| is_rust_file(span));
            let gone = names.flat_map(alternatives).filter(|name| !exists(name));
            missing
                .extend(gone.map(|name| format!("{path}, line {number}: {name} does not exist")));
        }
    }
    missing
}

fn is_rust_file(span: &str) -> bool {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "_-./*{,}".contains(c);
    span.ends_with(".rs") && span.chars().all(is_of_path)
}

/// What a name with braces stands for: `{a,b}/c.rs` for `a/c.rs` and `b/c.rs`.
fn alternatives(name: &str) -> Vec<String> {
    let braces = name.split_once('{').and_then(|(before, rest)| {
        let (inside, after) = rest.split_once('}')?;
        Some((before, inside, after))
    });
    let Some((before, inside, after)) = braces else { return vec![name.to_owned()] };
    inside.split(',').flat_map(|one| alternatives(&format!("{before}{one}{after}"))).collect()
}

/// Whether a path ends with these components. The component `*` is any one.
fn ends_with(path: &str, name: &str) -> bool {
    let mut components = path.rsplit('/');
    name.rsplit('/')
        .all(|wanted| components.next().is_some_and(|its| wanted == "*" || wanted == its))
}

/// One line for each test that the text names in a code span and that the code does not have.
fn missing_tests(text: &str, code: &str) -> Vec<String> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    // The name of a test is a sentence. Names of other things are shorter.
    let is_test = |span: &&str| span.matches('_').count() >= 3 && span.chars().all(is_of_name);
    let names: BTreeSet<&str> = code.split(|c: char| !is_of_name(c)).collect();
    let mut missing = Vec::new();
    for (number, line) in outside_fences(text) {
        let gone = spans(line).1.into_iter().filter(is_test).filter(|name| !names.contains(name));
        missing.extend(gone.map(|name| format!("line {number}: there is no test {name}")));
    }
    missing
}

/// The targets of a line: `[text](target "title")`, `[name]: target` and `href="target"`.
fn links(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        let rest = &line[at + 2..];
        let inside = rest.find(')').map_or(rest, |end| &rest[..end]);
        found.push(inside);
    }
    for (at, mark) in line.match_indices("href=\"") {
        let rest = &line[at + mark.len()..];
        found.extend(rest.split_once('"').map(|(inside, _)| inside));
    }
    if line.starts_with('[') && !line.starts_with("[^") {
        found.extend(line.split_once("]: ").map(|(_, target)| target));
    }
    found.into_iter().filter_map(target).collect()
}

/// A target without its title and without the angle brackets around it.
fn target(inside: &str) -> Option<&str> {
    let first = inside.split_whitespace().next()?;
    Some(first.trim_start_matches('<').trim_end_matches('>'))
}

/// The anchors of a document: its headings as GitHub names them, and the ids of HTML elements.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in outside_fences(text) {
        if let Some(heading) = heading(line) {
            let name = anchor(heading);
            let numbered = (1..).map(|count| format!("{name}-{count}"));
            let mut names = std::iter::once(name.clone()).chain(numbered);
            anchors.extend(names.find(|name| !anchors.contains(name)));
        }
        for attribute in ["id=\"", "name=\""] {
            for (at, _) in line.match_indices(attribute) {
                let id = line[at + attribute.len()..].split_once('"').map(|(id, _)| id.to_owned());
                anchors.extend(id);
            }
        }
    }
    anchors
}

/// The text of a heading line, `## Text ##`.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    let is_heading = (1..=6).contains(&level) && text.starts_with(' ');
    is_heading.then(|| text.trim().trim_end_matches('#').trim_end())
}

/// The name that GitHub gives a heading: of a link its text alone, in lower case, without
/// punctuation, with a hyphen for each space.
fn anchor(heading: &str) -> String {
    let mut text = heading.to_owned();
    while let Some(middle) = text.find("](")
        && let Some(length) = text[middle..].find(')')
    {
        text.replace_range(middle..=middle + length, "");
    }
    let kept = |c: char| c.is_alphanumeric() || [' ', '-', '_'].contains(&c);
    let name: String = text.to_lowercase().chars().filter(|c| kept(*c)).collect();
    name.replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of documents that are given as `(path, text)`, beside the file `src/a.rs`.
    fn broken<const N: usize>(documents: [(&str, &str); N]) -> Vec<String> {
        let owned = documents.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let documents = BTreeMap::from(owned);
        let mut files: BTreeSet<_> = documents.keys().cloned().collect();
        files.insert("src/a.rs".to_owned());
        broken_links(&documents, &files)
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let readme = "[a](docs/b.md) [b](docs/b.md#two-words) [c](src/a.rs) [d](src) [e](#here)\n\
                      [f](https://example.org/x#y) <https://x.org> [g](mailto:a@b.c)\n\
                      ![picture](src/a.rs \"title\") [h](<src/a.rs>)\n\n[id]: docs/b.md\n# Here\n";
        let other = "# Two words\n[up](../README.md#here) [beside](./b.md)\n";
        assert_eq!(broken([("README.md", readme), ("docs/b.md", other)]), [""; 0]);
    }

    #[test]
    fn a_broken_link_is_found_with_its_line() {
        let text = "fine\n[a](b.md) and [c](../out.md)\n[r]: gone.md\n<a href=\"nowhere\">x</a>\n";
        let expected = [
            "README.md, line 2: b.md is not a tracked file or folder",
            "README.md, line 2: ../out.md leads out of the repository",
            "README.md, line 3: gone.md is not a tracked file or folder",
            "README.md, line 4: nowhere is not a tracked file or folder",
        ];
        assert_eq!(broken([("README.md", text)]), expected);
    }

    #[test]
    fn a_broken_anchor_is_found() {
        let text = "# One\n[a](#one) [b](#two) [c](d.md#one) [e](src/a.rs#L1)\n";
        let expected = [
            "README.md, line 2: #two is not a heading there",
            "README.md, line 2: d.md#one is not a heading there",
            "README.md, line 2: src/a.rs#L1 has an anchor and is not a document",
        ];
        assert_eq!(broken([("README.md", text), ("d.md", "# Other\n")]), expected);
    }

    #[test]
    fn code_has_neither_links_nor_headings() {
        let text = "```sh\n# a comment\n[a](gone.md)\n```\n~~~\n```\n[b](gone.md)\n~~~\n\
                    `[c](gone.md)` and ``[d](gone.md) ` ``\n[e](#a-comment)\n";
        assert_eq!(
            broken([("README.md", text)]),
            ["README.md, line 10: #a-comment is not a heading there"]
        );
    }

    #[test]
    fn a_file_that_does_not_exist_is_found() {
        let text = "`src/a.rs`, `a.rs`, `*/a.rs`, `src/{a,b}.rs`, `x/a.rs`, `f(a).rs`\n\
                    ```\n`gone.rs`\n```\n";
        let documents = BTreeMap::from([("README.md".to_owned(), text.to_owned())]);
        let expected =
            ["src/b.rs", "x/a.rs"].map(|name| format!("README.md, line 1: {name} does not exist"));
        assert_eq!(missing_files(&documents, &BTreeSet::from(["src/a.rs".to_owned()])), expected);
    }

    #[test]
    fn a_test_that_does_not_exist_is_found() {
        let text = "`a_b_c_d` and `short_name`\n`e_f_g_h`\n";
        assert_eq!(missing_tests(text, "fn a_b_c_d() {}"), ["line 2: there is no test e_f_g_h"]);
    }

    #[test]
    fn headings_are_named_as_github_names_them() {
        for (heading, name) in [
            ("Bird's view", "birds-view"),
            ("R1: A 2xx follows a durable commit", "r1-a-2xx-follows-a-durable-commit"),
            ("All the time: `lastro verify --watch`", "all-the-time-lastro-verify---watch"),
            ("The [README](../README.md), *again*", "the-readme-again"),
            ("Configuração – é só isto", "configuração--é-só-isto"),
            ("`store_laws`", "store_laws"),
        ] {
            assert_eq!(anchor(heading), name);
        }
    }

    #[test]
    fn headings_of_the_same_text_are_numbered() {
        let names = anchors("# A\n## A\n## A\n### B ##\n#no heading\n<a id=\"c\"></a>\n");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "a-1", "a-2", "b", "c"]);
    }
}
