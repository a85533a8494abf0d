//! The properties of the fuzz targets (`fuzz/`), on their seeds and on some thousand inputs that
//! are derived from them: always the same inputs, on any compiler, in a moment. `scripts/fuzz`
//! looks for more.
#![forbid(unsafe_code)]

use std::path::Path;

use fastrand::Rng;
use properties::{cursors, import_rows, key_header, messages, money, order_body};

const INPUTS: usize = 4000;
/// The pieces that inputs are made of, beside parts of the seeds.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    ".",
    "-",
    "=",
    ";",
    "0",
    "9",
    "1e5",
    "null",
    "true",
    "\\u0061",
    "\\ud800",
    "\n",
    " ",
    "é",
    "9223372036854775808",
    "\"schema\":2,",
];

#[test]
fn every_order_body_is_read_to_the_cent_or_refused() {
    check("order_body", order_body::check);
}

#[test]
fn every_price_is_what_its_digits_say() {
    check("money", money::check);
}

#[test]
fn every_message_is_written_and_read_back_the_same() {
    check("messages", messages::check);
}

#[test]
fn every_cursor_has_one_spelling_and_one_list() {
    check("cursors", cursors::check);
}

#[test]
fn every_key_is_taken_as_it_was_sent_or_refused() {
    check("key_header", key_header::check);
}

#[test]
fn every_row_of_an_import_is_read_the_same_however_the_file_is_cut() {
    check("import_rows", import_rows::check);
}

fn check(target: &str, property: fn(&[u8])) {
    let seeds = seeds(target);
    let mut random = Rng::with_seed(1);
    let made =
        std::iter::repeat_with(|| changed(&seeds, &mut random)).take(INPUTS).collect::<Vec<_>>();
    for input in seeds.iter().chain(&made) {
        let held = std::panic::catch_unwind(|| property(input));
        assert!(held.is_ok(), "{target} does not hold for: {}", input.escape_ascii());
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("seeds")
        .map(|entry| entry.expect("a seed").path())
        .collect();
    paths.sort();
    assert!(paths.len() > 2, "{paths:?}");
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

/// A seed after one to six small changes.
fn changed(seeds: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = random.choice(seeds).expect("a seed").clone();
    for _ in 0..random.usize(1..=6) {
        let at = random.usize(0..=bytes.len());
        let end = random.usize(at..=bytes.len().min(at + 8));
        match random.u8(0..5) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, random.choice(PIECES).expect("a piece").bytes())),
            2 => drop(bytes.splice(at..end, [random.u8(..)])),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => {
                let other = random.choice(seeds).expect("a seed");
                let from = random.usize(0..=other.len());
                drop(bytes.splice(at..end, other[from..other.len().min(from + 16)].to_vec()));
            }
        }
    }
    bytes
}
