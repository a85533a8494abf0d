//! Armed crash points: the process dies, or the thread panics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// Says what happens: `kill orders.committed 3` is a SIGKILL at the third pass, `panic …` a panic.
const VARIABLE: &str = "LASTRO_FAULT";

struct Fault {
    kills: bool,
    name: String,
    passes_left: AtomicU32,
}

/// Fails if the crash point is armed and this is the armed pass.
pub fn reached(name: &'static str) {
    match due(name) {
        Some(Fault { kills: true, .. }) => die(),
        Some(_) => panic!("{VARIABLE} requests a panic at {name}"),
        None => {}
    }
}

/// Kills the process from another thread, so that the code after the crash point may run partly.
pub fn begun(name: &'static str) {
    if due(name).is_some() {
        std::thread::spawn(|| die());
    }
}

/// The fault, if it is armed for this crash point and pass.
fn due(name: &str) -> Option<&'static Fault> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    let asked = || std::env::var(VARIABLE).ok().map(|text| parse(&text));
    let fault = FAULT.get_or_init(asked).as_ref()?;
    (fault.name == name && fault.passes_left.fetch_sub(1, Ordering::Relaxed) == 1).then_some(fault)
}

fn parse(text: &str) -> Fault {
    let words: Vec<_> = text.split(' ').collect();
    let [action @ ("kill" | "panic"), name, pass] = words[..] else { panic!("{VARIABLE}={text}") };
    let pass = pass.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text}"));
    Fault { kills: action == "kill", name: name.to_owned(), passes_left: AtomicU32::new(pass) }
}

fn die() -> ! {
    loop {
        // SIGKILL ends the process before the call returns.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
