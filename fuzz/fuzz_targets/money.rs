#![no_main]

#[path = "../properties/money.rs"]
mod money;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| money::check(bytes));
