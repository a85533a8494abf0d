//! What happens at a crash point: the process dies, or the thread panics.

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

/// A place was reached.
pub fn reached(name: &'static str) {
    match due(name) {
        Some(Fault { kills: true, .. }) => die(),
        Some(_) => panic!("{name} was told to panic"),
        None => {}
    }
}

/// What begins here will run while the process dies, and may or may not come to its end.
pub fn begun(name: &'static str) {
    if due(name).is_some() {
        std::thread::spawn(|| die());
    }
}

/// The fault, if this is its place and its pass.
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
        // It never returns from the first one.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
