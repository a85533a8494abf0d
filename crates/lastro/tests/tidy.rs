//! Checks the architecture: the dependencies between crates, and the rules for every file. A
//! boundary that is not checked is not a boundary.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates of this workspace that each crate may depend on, and further ones that its tests may
/// use.
const MAY_KNOW: [(&str, &[&str], &[&str]); 14] = [
    ("contract", &[], &[]),
    ("orders-core", &["contract"], &[]),
    ("inventory-core", &["contract"], &[]),
    ("faults", &[], &[]),
    ("platform", &["faults"], &["testbed"]),
    ("storage", &["platform"], &["testbed"]),
    ("web", &["platform"], &[]),
    ("dashboard", &["web"], &[]),
    (
        "orders",
        &["contract", "dashboard", "orders-core", "faults", "platform", "storage", "web"],
        &["testbed"],
    ),
    (
        "inventory",
        &["contract", "inventory-core", "faults", "platform", "storage", "web"],
        &["testbed"],
    ),
    ("lastro", &ALL_BELOW_THE_PROGRAM, &["properties", "testbed"]),
    ("sim", &ALL_BUT_THE_TOP, &[]),
    ("testbed", &[], &[]),
    // For the fuzz targets and the tests.
    ("properties", &["contract", "orders-core", "platform", "web", "orders", "inventory"], &[]),
];
/// The crates below the programs and the simulator.
const ALL_BUT_THE_TOP: [&str; 9] = [
    "contract",
    "dashboard",
    "orders-core",
    "inventory-core",
    "platform",
    "storage",
    "web",
    "orders",
    "inventory",
];
/// The program has crash points of its own.
const ALL_BELOW_THE_PROGRAM: [&str; 10] = [
    "contract",
    "dashboard",
    "faults",
    "orders-core",
    "inventory-core",
    "platform",
    "storage",
    "web",
    "orders",
    "inventory",
];
/// The pure cores: they see only these crates and the standard library, and are the same in every
/// build.
const CORES: [&str; 2] = ["orders-core", "inventory-core"];
const A_CORE_MAY_SEE: [&str; 2] = ["contract", "thiserror"];
/// Names of adapters, and of the libraries that they use.
const ADAPTERS: [&str; 7] =
    ["sqlite", "postgres", "embedded", "nats", "rusqlite", "tokio_postgres", "async_nats"];
/// The files of the adapters, and those that assemble services from them.
const MAY_NAME_ADAPTERS: [&str; 11] = [
    "/store/sqlite",
    "/store/postgres",
    "storage/src",
    "platform/src/bus/embedded",
    "platform/src/bus/nats",
    "platform/src/process.rs",
    // Throwaway servers.
    "testbed/src",
    "/src/run.rs",
    "lastro/src/serve.rs",
    // Writes rows past the services.
    "lastro/src/bench/suite/loader",
    // The databases of the worlds, and independent reads of them.
    "sim/src",
];
/// A file has a seam long before this length.
const MAX_LINES: usize = 500;

#[test]
fn crates_stand_on_each_other_as_the_architecture_says() {
    assert_eq!(crates_that_know_too_much(&metadata()), [""; 0]);
}

/// Cargo reads the manifests of all members, also of those that a program does not need.
#[test]
fn the_image_is_built_with_every_member_of_the_workspace() {
    let text = |path: &str| std::fs::read_to_string(root().join(path)).expect("readable");
    let manifest = text("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = "));
    let members: Vec<String> = serde_json::from_str(members.expect("members")).expect("a list");
    let dockerfile = text("deploy/Dockerfile");
    let stubs = format!("for crate in {}; do", members.join(" "));
    assert!(dockerfile.contains(&stubs), "deploy/Dockerfile: {stubs}");
    let kept = kept_for_the_image();
    for member in members {
        let member = member.trim_end_matches("/*");
        assert!(kept.iter().any(|its| its == member), ".dockerignore: !{member}");
    }
}

#[test]
fn the_image_is_built_with_every_file_that_a_program_includes() {
    let kept = kept_for_the_image();
    let mut included = 0;
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let macros = ["include_str!(\"", "include_bytes!(\""];
        let found = macros.iter().flat_map(|name| text.split(name).skip(1));
        for file in found.filter_map(|rest| rest.split('"').next()) {
            let mut whole = PathBuf::from("crates").join(path);
            whole.pop();
            for part in Path::new(file) {
                if part == ".." {
                    whole.pop()
                } else {
                    whole.push(part);
                    true
                };
            }
            assert!(kept.iter().any(|its| whole.starts_with(its)), ".dockerignore: {whole:?}");
            included += 1;
        }
    }
    assert!(included > 5, "the files are found");
}

/// What `.dockerignore` does not ignore.
fn kept_for_the_image() -> Vec<String> {
    let text = std::fs::read_to_string(root().join(".dockerignore")).expect("readable");
    text.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect()
}

#[test]
fn every_file_keeps_the_rules() {
    let files = sources();
    assert!(files.len() > 50, "the sources are found");
    let broken: Vec<_> = files.iter().flat_map(|(path, text)| broken_rules(path, text)).collect();
    assert_eq!(broken, [""; 0]);
}

/// Who depends on whom, as cargo sees it.
fn metadata() -> Value {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    serde_json::from_slice(&cargo.stdout).expect("cargo writes JSON")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file of every crate, by its path below `crates/`.
fn sources() -> BTreeMap<String, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root().join("crates")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(root().join("crates"))
                    .expect("below crates/")
                    .display()
                    .to_string();
                found.insert(name, std::fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

fn crates_that_know_too_much(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let ours: BTreeSet<_> = packages.iter().map(name).collect();
    let mut reported = Vec::new();
    for package in packages {
        let package_name = name(package);
        let Some((_, always, in_tests)) = MAY_KNOW.iter().find(|(its, ..)| *its == package_name)
        else {
            reported.push(format!("MAY_KNOW does not say what {package_name} may know"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let known = name(dependency);
            let for_tests = dependency["kind"] == "dev" && in_tests.contains(&known.as_str());
            let impure = CORES.contains(&package_name.as_str())
                && dependency["kind"].is_null()
                && !A_CORE_MAY_SEE.contains(&known.as_str());
            if impure || ours.contains(&known) && !for_tests && !always.contains(&known.as_str()) {
                reported.push(format!("{package_name} must not know {known}"));
            }
        }
    }
    reported
}

/// The rules that a file breaks. `path` begins with the name of its crate.
fn broken_rules(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let mut reported = Vec::new();
    if text.lines().count() > MAX_LINES {
        reported.push(format!("{path} has more than {MAX_LINES} lines"));
    }
    if is_root_of_a_crate(path) && !text.contains("\n#![forbid(unsafe_code)]\n") {
        reported.push(format!("{path} must say #![forbid(unsafe_code)]"));
    }
    let debris = ["todo", "unimplemented", "dbg"]
        .into_iter()
        .filter(|name| code.contains(&format!("{name}!(")));
    reported.extend(debris.map(|name| format!("{path} has a {name}! left in it")));
    if CORES.iter().any(|core| path.starts_with(core))
        && code.replace("cfg(test)", "").contains("cfg")
    {
        reported.push(format!("{path} is not the same in every build"));
    }
    if is_test(path) {
        return reported;
    }
    if !MAY_NAME_ADAPTERS.iter().any(|home| path.contains(home)) {
        let named =
            ADAPTERS.into_iter().filter(|adapter| paths(&code).any(|path| path.contains(adapter)));
        reported.extend(named.map(|adapter| format!("{path} names the adapter {adapter}")));
    }
    reported
}

fn is_root_of_a_crate(path: &str) -> bool {
    ["/src/lib.rs", "/src/main.rs", "/tests/api/main.rs", "/tests/forms/main.rs", "/tests/tidy.rs"]
        .iter()
        .any(|root| path.ends_with(root))
}

/// Whether the file contains tests, or code that only tests use.
fn is_test(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    parts.iter().any(|part| ["tests", "tests.rs", "laws", "laws.rs"].contains(part))
}

/// Every path in the code, such as `crate::store::Store`, split into its parts. A single name is
/// not a path.
fn paths(code: &str) -> impl Iterator<Item = Vec<&str>> {
    let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter_map(|word| {
        let parts: Vec<_> = word.split("::").filter(|part| !part.is_empty()).collect();
        (word.contains("::") && !parts.is_empty()).then_some(parts)
    })
}

/// The text without comments, string literals and the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let (mut code, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['/', '"', '\'']) {
        code.push_str(&rest[..at]);
        rest = &rest[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("'\"'") {
            3
        } else if code.ends_with("r#") && rest.starts_with('"') {
            rest.find("\"#").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with('"') {
            length_of_string(rest)
        } else {
            code.push_str(&rest[..1]);
            1
        };
        rest = &rest[skipped..];
    }
    code + rest
}

/// The length of the string literal at the start of `text`, with its quotes.
fn length_of_string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_crate_that_knows_too_much_is_reported() {
        let package =
            |name: &str, dependencies: Value| json!({"name": name, "dependencies": dependencies});
        let metadata = json!({"packages": [
            package("platform", json!([{"name": "contract", "kind": null}, {"name": "testbed", "kind": "dev"}])),
            package("orders", json!([{"name": "inventory", "kind": "dev"}, {"name": "testbed", "kind": null}])),
            package("contract", json!([{"name": "serde", "kind": null}])),
            package("inventory", json!([{"name": "contract", "kind": null}])),
            package("orders-core", json!([{"name": "uuid", "kind": "dev"}, {"name": "tokio", "kind": null}])),
            package("common", json!([])),
            package("testbed", json!([])),
        ]});
        let expected = [
            "platform must not know contract",
            "orders must not know inventory",
            "orders must not know testbed",
            "orders-core must not know tokio",
            "MAY_KNOW does not say what common may know",
        ];
        assert_eq!(crates_that_know_too_much(&metadata), expected);
    }

    #[test]
    fn a_core_that_differs_between_builds_is_reported() {
        let path = "orders-core/src/decide.rs";
        assert_eq!(broken_rules(path, "#[cfg(test)]\nmod tests;"), [""; 0]);
        let expected = format!("{path} is not the same in every build");
        assert_eq!(broken_rules(path, "#[cfg(feature = \"x\")]\nfn f() {}"), [expected.as_str()]);
        assert_eq!(broken_rules(path, "if cfg!(debug_assertions) {}"), [expected.as_str()]);
    }

    #[test]
    fn a_service_that_names_an_adapter_is_reported() {
        for code in [
            "use crate::store::sqlite::Sqlite;",
            "fn f() { platform::bus::embedded::Embedded::new(); }",
        ] {
            assert_eq!(broken_rules("orders/src/service.rs", code).len(), 1, "{code}");
            assert_eq!(broken_rules("orders/src/run.rs", code), [""; 0]);
            assert_eq!(broken_rules("orders/src/store/sqlite/read.rs", code), [""; 0]);
            assert_eq!(broken_rules("orders/src/worker/tests.rs", code), [""; 0]);
        }
        assert_eq!(broken_rules("orders/src/service.rs", "use rusqlite::Connection;").len(), 1);
        assert_eq!(
            broken_rules("orders/src/service.rs", "mod sqlite;\nlet url = \"sqlite::memory:\";"),
            [""; 0]
        );
    }

    #[test]
    fn a_file_that_is_too_long_unsafe_or_unfinished_is_reported() {
        assert_eq!(
            broken_rules("orders/src/a.rs", &"\n".repeat(501)),
            ["orders/src/a.rs has more than 500 lines"]
        );
        assert_eq!(
            broken_rules("orders/src/lib.rs", "pub mod a;\n"),
            ["orders/src/lib.rs must say #![forbid(unsafe_code)]"]
        );
        assert_eq!(
            broken_rules("orders/src/lib.rs", "//! It.\n#![forbid(unsafe_code)]\n"),
            [""; 0]
        );
        assert_eq!(
            broken_rules("orders/src/a.rs", "fn f() { todo!() }"),
            ["orders/src/a.rs has a todo! left in it"]
        );
    }

    #[test]
    fn literals_and_comments_are_no_code() {
        let text = "a('\"'); b(\"\\\"x::y\"); c(r#\"\"z::\"#); 'x' / d // e::f\ng";
        assert_eq!(code(text), "a(); b(); c(r#); 'x' / d \ng");
    }
}
