#![no_main]

#[path = "../properties/order_body.rs"]
mod order_body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| order_body::check(bytes));
