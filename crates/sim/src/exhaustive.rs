//! Every interleaving, within small bounds: the real cores, in every order in which things can happen to them.

mod batches;
mod bounds;
mod calm;
mod cast;
mod choices;
mod hand;
mod hash;
mod model;
mod order_book;
mod search;
mod state;
mod step;
mod stock_book;
mod story;
mod truth;
mod violation;
mod wire;

use std::process::ExitCode;

use bounds::Bounds;

pub(crate) fn run() -> ExitCode {
    let a: Vec<u8> = std::env::args().skip(1).map(|s| s.parse().unwrap()).collect();
    let b = Bounds { orders: a[0], twins: a[1] == 1, units: a[2], receives: a[3], batch: a[4] as usize, busy: a[5] as usize };
    let t = std::time::Instant::now();
    let e = search::explore(b, 100_000_000);
    println!("{b}: {} states, {} steps, depth {}, left {} {:?}", e.states, e.steps, e.depth, e.left_over, t.elapsed());
    if let Some(f) = e.found {
        for (n, l) in (1..).zip(&f.story) { println!("{n:>3}. {l}"); }
        println!("{:?}", f.violation);
    }
    ExitCode::SUCCESS
}
