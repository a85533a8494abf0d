//! The program `inventory-service`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    inventory::main()
}
