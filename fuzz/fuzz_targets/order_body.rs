#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::order_body::check(bytes));
