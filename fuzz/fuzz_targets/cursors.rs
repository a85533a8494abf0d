#![no_main]

#[path = "../properties/cursors.rs"]
mod cursors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cursors::check(bytes));
