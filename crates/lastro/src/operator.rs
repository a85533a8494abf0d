//! Who runs a tool that writes to the databases past the services.

/// The actor in the admin log: `operator:` and the user of the machine.
pub(crate) fn operator() -> String {
    let user = whoami::username();
    let user = user.unwrap_or_else(|_| rustix::process::getuid().as_raw().to_string());
    format!("operator:{}", user.chars().take(100).collect::<String>())
}
