//! Named places where a test lets the process die or panic, to show that nothing is lost wherever it happens.
//!
//! They exist only with the feature `fault-points`, which nothing but the simulator and the development dependencies of
//! `lastro` switch on: a program that is built to be used has no trace of them. It must not be built together with the
//! simulator (`--workspace`), which would switch it on for all.

/// A place where the process may be made to fail.
///
/// **Shape:** `fault_point!("orders.committed")`; with `when condition`, only a pass on which the condition holds
/// counts; with `during` before the name, what follows runs on while the process dies.
#[cfg(feature = "fault-points")]
#[macro_export]
macro_rules! fault_point {
    ($name:literal $(, when $condition:expr)?) => {
        if true $(&& $condition)? { $crate::fault::reached($name); }
    };
    (during $name:literal $(, when $condition:expr)?) => {
        if true $(&& $condition)? { $crate::fault::begun($name); }
    };
}

/// A mistake that a test asks for, to show that it would be found: statements that take effect where they stand.
///
/// **Shape:** `planted!("release_twice" => statements)`. A `let` in them shadows.
#[cfg(feature = "fault-points")]
#[macro_export]
macro_rules! planted {
    ($name:literal => let $binding:ident = $wrong:expr) => {
        let $binding = if $crate::fault::is_planted($name) { $wrong } else { $binding };
    };
    ($name:literal => $wrong:expr) => {
        if $crate::fault::is_planted($name) {
            $wrong;
        }
    };
}

/// Nothing, in a program that is built to be used.
#[cfg(not(feature = "fault-points"))]
#[macro_export]
macro_rules! planted {
    ($($mistake:tt)*) => {};
}

/// Nothing, in a program that is built to be used.
#[cfg(not(feature = "fault-points"))]
#[macro_export]
macro_rules! fault_point {
    ($name:literal $(, when $condition:expr)?) => {};
    (during $name:literal $(, when $condition:expr)?) => {};
}

#[cfg(feature = "fault-points")]
pub use armed::{begun, reached};
#[cfg(feature = "fault-points")]
pub use mistake::{is_planted, plant, told_before};
#[cfg(feature = "fault-points")]
pub use storm::around;

/// The bus as it is.
#[cfg(not(feature = "fault-points"))]
pub fn around(bus: std::sync::Arc<dyn crate::bus::Bus>) -> std::sync::Arc<dyn crate::bus::Bus> {
    bus
}

#[cfg(feature = "fault-points")]
mod storm;

/// Of the time, auditors take one part in so many: a test that waits for them asks for a larger one, and waits
/// on a slow machine only as much longer as the machine is slower.
#[cfg(feature = "fault-points")]
pub fn audit_share(usual: u32) -> u32 {
    static SHARE: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    let told = || std::env::var("LASTRO_AUDIT_SHARE").ok().map(|text| text.parse().expect("a number"));
    SHARE.get_or_init(told).unwrap_or(usual)
}

/// As it is.
#[cfg(not(feature = "fault-points"))]
pub fn audit_share(usual: u32) -> u32 {
    usual
}

/// Which mistake is made. Each thread has its own: whoever plants one runs both services on its thread.
#[cfg(feature = "fault-points")]
mod mistake {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
        static TOLD: RefCell<HashMap<String, (i64, i64)>> = RefCell::default();
    }

    /// From now on this mistake is made on this thread, or none.
    pub fn plant(name: Option<&'static str>) {
        PLANTED.set(name);
        TOLD.take();
    }

    pub fn is_planted(name: &str) -> bool {
        PLANTED.get() == Some(name)
    }

    /// What this function was told about the same thing the time before: old news.
    pub fn told_before(about: String, news: (i64, i64)) -> (i64, i64) {
        TOLD.with_borrow_mut(|told| told.insert(about, news)).unwrap_or(news)
    }
}

#[cfg(feature = "fault-points")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// Says what happens: `kill orders.committed 3` is a SIGKILL at the third pass, `panic …` a panic; `storm` is
    /// another matter.
    pub(super) const VARIABLE: &str = "LASTRO_FAULT";

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
        let told = || std::env::var(VARIABLE).ok().filter(|text| text != super::storm::VALUE);
        let fault = FAULT.get_or_init(|| told().map(|text| parse(&text))).as_ref()?;
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
}
