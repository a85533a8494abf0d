//! The commands that messages for people name are commands of the program.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::Cli;

/// What stands for a value in a message, if not every text is one.
const VALUES: [(&str, &str); 2] = [("AMOUNT", "1"), ("UNITS", "1")];

/// The sources that people see texts of: of every crate, without tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if ["tests", "laws"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text of a source without its tests and comments, and with lines that go on joined.
fn texts(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut texts = String::new();
    let mut goes_on = false;
    for line in lines {
        let line = if goes_on { line.trim_start() } else { line };
        let joined = line.strip_suffix('\\');
        goes_on = joined.is_some();
        texts.push_str(joined.unwrap_or(line));
        texts.push_str(if goes_on { "" } else { "\n" });
    }
    texts
}

/// The commands in back-ticks.
fn commands(texts: &str) -> Vec<String> {
    let starts = texts.match_indices("`lastro ").map(|(at, _)| &texts[at + 1..]);
    starts.map(|rest| rest.split('`').next().unwrap_or_default().to_owned()).collect()
}

/// The words of a command, with something for each value that the program writes.
fn words(command: &str) -> Vec<String> {
    let mut filled = String::new();
    for (at, part) in command.split(['{', '}']).enumerate() {
        filled.push_str(if at % 2 == 0 { part } else { "1" });
    }
    let value = |word: &str| {
        let value = VALUES.iter().find(|(name, _)| *name == word);
        value.map_or(word, |(_, value)| value).to_owned()
    };
    filled.split_whitespace().map(value).collect()
}

/// Whether the program understands a command as it stands.
fn fault(command: &str) -> Option<String> {
    let error = Cli::command().try_get_matches_from(words(command)).err()?;
    (error.kind() != ErrorKind::DisplayHelp).then(|| format!("`{command}`: {error}"))
}

#[test]
fn every_command_that_a_message_names_is_understood_as_it_stands() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the crates");
    let mut files = Vec::new();
    for member in fs::read_dir(crates).expect("the crates") {
        let folder = member.expect("a crate").path().join("src");
        if folder.is_dir() {
            sources(&folder, &mut files);
        }
    }
    let mut named = 0;
    let mut faults = Vec::new();
    for file in files {
        let texts = texts(&fs::read_to_string(&file).expect("a source"));
        let commands = commands(&texts);
        named += commands.len();
        faults.extend(commands.iter().filter_map(|command| fault(command)));
        for bare in ["run: lastro ", "see: lastro ", "run lastro "] {
            let is_bare = texts.contains(bare);
            faults.extend(
                is_bare.then(|| format!("{}: a command without back-ticks", file.display())),
            );
        }
    }
    assert_eq!(faults, [""; 0]);
    assert!(named > 25, "the commands are found: {named}");
}

#[test]
fn a_command_that_lacks_something_is_a_fault() {
    assert_eq!(fault("lastro orders pay {id} --reference TEXT"), None);
    assert_eq!(fault("lastro keys create --help"), None);
    for wrong in ["lastro orders pay {id}", "lastro keys create", "lastro stock", "lastro nothing"]
    {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
    let source = r#"
        /// Not `lastro x`.
        note("see `lastro orders \
            show ORDER`");"#;
    assert_eq!(commands(&texts(source)), ["lastro orders show ORDER"]);
}
