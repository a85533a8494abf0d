#![no_main]

#[path = "../properties/key_header.rs"]
mod key_header;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| key_header::check(bytes));
