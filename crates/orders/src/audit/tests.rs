use std::path::PathBuf;

use orders_core::decide::{OrderCommand, decide};
use platform::clock::ManualClock;
use testbed::write_past;

use super::*;
use crate::store::OrderStore;
use crate::store::laws::{
    START, cancel, cancel_units, carried_out, pay, place, place_to_pay, reserved, ship, take_back,
};
use crate::store::sqlite::Sqlite;

/// A store in a file of its own, after these commands.
async fn books(commands: Vec<OrderCommand>) -> (tempfile::TempDir, Arc<Sqlite>) {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(START));
    let store = Sqlite::open(&file_in(&folder), clock).expect("a new file");
    store.run(commands.into(), decide).await.expect("executed");
    (folder, Arc::new(store))
}

fn file_in(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("orders.db")
}

/// A whole round, and how much each of its steps read.
async fn round(store: Arc<Sqlite>, budget: ReadBudget) -> (Findings, Vec<u64>) {
    let (mut books, mut findings, mut steps) =
        (OrdersAudit::new(Arc::new(store.audit()), budget), Findings::default(), Vec::new());
    loop {
        let before = findings.rows;
        let progress = books.step(&mut findings).await.expect("a step");
        steps.push(findings.rows - before);
        if progress == Progress::RoundOver {
            return (findings, steps);
        }
    }
}

#[tokio::test]
async fn a_step_reads_no_more_than_a_page_and_a_round_reads_everything_once() {
    let (_folder, store) =
        books((1..=250).map(place).chain((1..=30).map(reserved)).collect()).await;
    let (findings, steps) = round(store, ReadBudget::SHORT).await;
    assert_eq!(steps, [100, 100, 50, 100, 100, 20, 0], "orders, and then commands");
    assert_eq!(findings.checked, [("INV-10", 250), ("INV-4", 250), ("INV-7", 250)].into());
    assert_eq!(findings.violations, []);
}

#[tokio::test]
async fn a_round_is_followed_by_another() {
    let (_folder, store) = books(vec![place(1)]).await;
    let mut books = OrdersAudit::new(Arc::new(store.audit()), ReadBudget::SHORT);
    let mut findings = Findings::default();
    let mut ends = Vec::new();
    for _ in 0..6 {
        ends.push(books.step(&mut findings).await.expect("a step") == Progress::RoundOver);
    }
    assert_eq!(ends, [[false, false, true], [false, false, true]].concat());
    assert_eq!(findings.checked["INV-4"], 2);
}

/// SQL that damages an order, and how it is named.
struct Damage {
    sql: String,
    invariant: Invariant,
    number: u128,
    message: &'static str,
}

impl From<(String, Invariant, u128, &'static str)> for Damage {
    fn from((sql, invariant, number, message): (String, Invariant, u128, &'static str)) -> Self {
        Self { sql, invariant, number, message }
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_an_order_or_its_command_is_named_once() {
    for Damage { sql, invariant, number, message } in damages() {
        let commands = vec![place(1), place(2), place(3), reserved(1), reserved(3), cancel(3)];
        let (folder, store) = books(commands).await;
        write_past(&file_in(&folder), &sql);
        let (findings, _) = round(store, ReadBudget::SHORT).await;
        let [found] = &findings.violations[..] else { panic!("{sql}: {:?}", findings.violations) };
        assert_eq!(found.invariant, invariant, "{sql}: {found:?}");
        let named = found.offender.contains(&format!("order {}", crate::store::laws::id(number)));
        assert!(named && found.offender.contains(message), "{sql}: {found:?}");
    }
}

/// SQL that damages one of three orders: 1 is confirmed, 2 is received, 3 is being cancelled.
fn damages() -> Vec<Damage> {
    let state =
        |set: &str, order: u32| format!("UPDATE order_states SET {set} WHERE order_no = {order}");
    let order = |set: &str, order: u32| format!("UPDATE orders SET {set} WHERE order_no = {order}");
    let pending = |set: &str| format!("UPDATE pending_commands SET {set} WHERE order_no = 2");
    let damages = vec![
        (state("status = 'fulfilled'", 1), INV_4, 1, "its state is"),
        (state("revision = 3", 3), INV_4, 3, "its state is"),
        (state("settled = 0", 1), INV_4, 1, "its state is"),
        (state("last_seq = 7", 1), INV_4, 1, "its state is"),
        (state("digest = zeroblob(16)", 3), INV_4, 3, "its state is"),
        (state("updated_at = 0", 1), INV_4, 1, "was updated at 1970"),
        ("DELETE FROM order_states WHERE order_no = 1".to_owned(), INV_7, 1, "is received"),
        (
            state("history = replace(history, '\"confirmed\"', '\"rejected\"')", 1),
            INV_4,
            1,
            "entry 2 says rejected, its registers say confirmed",
        ),
        (
            state("history = replace(history, '[\"456\",\"main\",1],', '')", 1),
            INV_4,
            1,
            "entry 2 does not follow: the order has other units than it wants",
        ),
        (
            state(
                "history = replace(history, '[\"456\",\"main\",1],', '[\"456\",\"main\",2],')",
                1,
            ),
            INV_10,
            1,
            "entry 2: more is allocated than the order wants of 456",
        ),
        (state("refund_due_minor = 1", 1), INV_9, 1, "1 minor units are said to be given back"),
        (
            state("history = replace(history, '\"revision\":2', '\"revision\":3')", 3),
            INV_4,
            3,
            "entry 3 does not follow: the revision does not follow",
        ),
        (
            state("history = replace(history, '[\"456\",0]', '[\"456\",1]')", 3),
            INV_4,
            3,
            "entry 3 does not follow: the purpose is not that of the change",
        ),
        (order("total_minor = 1", 1), INV_4, 1, "its total is 1 minor units"),
        (order("lines = replace(lines, '1999', '1998')", 2), INV_4, 2, "its total is 6997"),
        (order("digest = zeroblob(16)", 2), INV_4, 2, "its digest is 0000"),
        ("DELETE FROM pending_commands WHERE order_no = 2".to_owned(), INV_7, 2, "revision None"),
        (pending("revision = 2"), INV_7, 2, "revision Some(2)"),
        (pending("since = 0"), INV_7, 2, "pending since 1970"),
    ];
    damages.into_iter().map(Damage::from).collect()
}

#[tokio::test]
async fn whatever_is_wrong_with_the_money_or_the_units_of_an_order_is_named_once() {
    for Damage { sql, invariant, number, message } in
        damages_of_money().into_iter().chain(damages_of_units())
    {
        let commands = vec![
            place_to_pay(1, 60),
            place_to_pay(2, 60),
            place(3),
            place(4),
            reserved(1),
            reserved(2),
            reserved(3),
            reserved(4),
            cancel_units(4, "c", "789", 1),
            carried_out(4, &one_of_each()),
            pay(2, "ch_1"),
            cancel_units(2, "c", "456", 1),
            ship(3, "s", "789", 2),
            take_back(3, "r", "789", 1),
        ];
        let (folder, store) = books(commands).await;
        write_past(&file_in(&folder), &sql);
        let (findings, _) = round(store, ReadBudget::SHORT).await;
        let of_it = format!("order {}", crate::store::laws::id(number));
        let found: Vec<_> =
            findings.violations.iter().filter(|found| found.offender.starts_with(&of_it)).collect();
        let [found] = &found[..] else { panic!("{sql}: {:?}", findings.violations) };
        assert_eq!(found.invariant, invariant, "{sql}: {found:?}");
        assert!(found.offender.contains(message), "{sql}: {found:?}");
    }
}

/// Revision 2 of an order of which a unit was cancelled.
fn one_of_each() -> Intent {
    let one = |product: &str| {
        (product.parse().expect("an id"), contract::Quantity::new(1).expect("a quantity"))
    };
    let wanted = contract::Wanted::sum(["456", "789"].map(one)).expect("two products");
    Intent { revision: Revision::FIRST.next(), ..Intent::placed(wanted) }
}

/// SQL that damages one of four orders: 1 waits for its payment, 2 is paid and a unit of it was
/// cancelled, 3 was shipped and came back, 4 has one unit less than was ordered.
fn damages_of_money() -> Vec<Damage> {
    let damages = vec![
        ("DELETE FROM payment_deadlines".to_owned(), INV_7, 1, "is reserved, and has no deadline"),
        (
            "UPDATE payment_deadlines SET order_no = 2".to_owned(),
            INV_7,
            1,
            "is reserved, and has no deadline",
        ),
        (
            "UPDATE payment_deadlines SET pay_by = pay_by + 1".to_owned(),
            INV_7,
            1,
            "its deadline is 2",
        ),
        (
            "UPDATE payment_deadlines SET armed_at = armed_at + 1, pay_by = pay_by + 1".to_owned(),
            INV_7,
            1,
            "its deadline is 2",
        ),
        (state("refund_due_minor = NULL", 2), INV_9, 2, "0 minor units are said to be given back"),
        (state("refund_due_minor = 1998", 2), INV_9, 2, "it is 2999"),
        (state("refund_due_minor = 1", 1), INV_9, 1, "it is 0"),
        (history("\"amount\":6997", "\"amount\":6998", 2), INV_9, 2, "it is 3000"),
        (
            history("\"amount\":6997", "\"amount\":3", 2),
            INV_4,
            2,
            "entry 3 does not follow: the payment is less than what the order costs",
        ),
    ];
    damages.into_iter().map(Damage::from).collect()
}

fn damages_of_units() -> Vec<Damage> {
    let damages = vec![
        (
            history("[\"789\",\"main\",1,0,0]", "[\"789\",\"main\",3,0,0]", 3),
            INV_10,
            3,
            "entry 4: more came back than was shipped of 789",
        ),
        (
            history("\"shipped\":[[\"789\",\"main\",2]]", "\"shipped\":[[\"789\",\"shop\",2]]", 3),
            INV_10,
            3,
            "entry 3: more is shipped than was allocated of 789 at shop",
        ),
        (
            history("\"shipped\":[[\"789\",\"main\",2]]", "\"shipped\":[[\"789\",\"main\",3]]", 3),
            INV_10,
            3,
            "entry 3: more is shipped than the order keeps of 789",
        ),
        (
            history("[\"456\",0],[\"789\",2]", "[\"456\",2],[\"789\",2]", 2),
            INV_10,
            2,
            "entry 4: the order wants more than was ordered of 456",
        ),
        (
            history("[\"456\",0],[\"789\",2]", "[\"789\",2]", 2),
            INV_10,
            2,
            "entry 4: the order wants other products than were ordered",
        ),
        (
            history("[\"456\",\"main\",1],[\"789\",\"main\",1]", "[\"789\",\"main\",1]", 4),
            INV_10,
            4,
            "entry 4: other units are allocated than the order keeps of 456",
        ),
    ];
    damages.into_iter().map(Damage::from).collect()
}

/// Changes the row of an order.
fn state(set: &str, order: u32) -> String {
    format!("UPDATE order_states SET {set} WHERE order_no = {order}")
}

/// Changes the history of an order.
fn history(old: &str, new: &str, order: u32) -> String {
    state(&format!("history = replace(history, '{old}', '{new}')"), order)
}

#[tokio::test]
async fn a_deadline_without_an_order_is_named() {
    let (folder, store) = books(vec![place_to_pay(1, 60), reserved(1)]).await;
    write_past(&file_in(&folder), "UPDATE payment_deadlines SET order_no = 7");
    let (findings, _) = round(store, ReadBudget::SHORT).await;
    let offenders: Vec<_> =
        findings.violations.iter().map(|violation| violation.offender.as_str()).collect();
    let [reserved, orphan] = offenders[..] else { panic!("{offenders:#?}") };
    assert!(reserved.ends_with("is reserved, and has no deadline"), "{reserved}");
    assert_eq!(orphan, "a deadline is set for order_no 7, which does not exist");
}

#[tokio::test]
async fn a_pending_command_without_an_order_is_named() {
    let (folder, store) = books(vec![place(1), place(2)]).await;
    write_past(&file_in(&folder), "DELETE FROM orders WHERE order_no = 2");
    let (findings, _) = round(store, ReadBudget::SHORT).await;
    let [found] = &findings.violations[..] else { panic!("{:?}", findings.violations) };
    assert_eq!(found.invariant, INV_7);
    assert_eq!(found.offender, "a command is pending for order_no 2, which does not exist");
}

/// The history of one is judged by one snapshot: whatever is written between two pages, none is
/// taken for broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_move_while_they_are_read_are_no_violation() {
    let (_folder, store) = books(Vec::new()).await;
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 1..=200 {
                for step in [place(n), reserved(n), cancel(n)] {
                    store.run(Arc::new([step]), decide).await.expect("executed");
                }
            }
        }
    });
    while !writer.is_finished() {
        let (findings, _) =
            round(store.clone(), ReadBudget { page: 7, below: 7, round: 1_000 }).await;
        assert_eq!(findings.violations, []);
    }
    writer.await.expect("no panic");
    let (findings, _) = round(store, ReadBudget::SHORT).await;
    assert_eq!((findings.checked["INV-4"], findings.violations), (200, Vec::new()));
}

/// What cannot be read is named, and hides nothing that lies behind it.
#[tokio::test]
async fn a_row_that_makes_no_sense_is_an_offender_and_no_hindrance() {
    for (sql, message) in [
        ("UPDATE order_states SET status = 'lost' WHERE order_no = 2", "status is lost"),
        (
            "UPDATE order_states SET history = replace(history, 'confirmed', 'lost') WHERE order_no = 2",
            "entry 2 with the status lost",
        ),
        ("UPDATE order_states SET history = '[' WHERE order_no = 2", "history is EOF"),
        ("UPDATE order_states SET revision = -1 WHERE order_no = 2", "revision is -1"),
        ("UPDATE orders SET lines = '[]' WHERE order_no = 2", "an order must have 1 to 100 lines"),
        ("UPDATE orders SET currency = 'XXX' WHERE order_no = 2", "currency is XXX"),
    ] {
        let (folder, store) =
            books((1..=5).map(place).chain([reserved(2), cancel(2)]).collect()).await;
        let behind = "UPDATE orders SET total_minor = 1 WHERE order_no = 3";
        write_past(&file_in(&folder), &format!("{sql}; {behind}"));
        let (findings, _) = round(store, ReadBudget { page: 4, below: 4, round: 1_000 }).await;
        let offenders: Vec<_> =
            findings.violations.iter().map(|violation| violation.offender.as_str()).collect();
        let [unreadable, behind] = offenders[..] else { panic!("{sql}: {offenders:#?}") };
        let id = "order 00000000-0000-0000-0000-000000000002 cannot be read: ";
        assert!(unreadable.starts_with(id) && unreadable.contains(message), "{sql}: {unreadable}");
        assert!(behind.contains("000000000003: its total is 1 minor units"), "{sql}: {behind}");
        assert_eq!(findings.checked["INV-4"], 4, "{sql}");
    }
}

/// Five orders come for each that is read. Rounds end all the same, and find what is wrong with a
/// new one and with an old one.
#[tokio::test]
async fn a_table_that_grows_faster_than_it_is_read_is_read_all_the_same() {
    let (folder, store) = books((1..=40).map(place).collect()).await;
    let mut books =
        OrdersAudit::new(Arc::new(store.audit()), ReadBudget { page: 4, below: 4, round: 12 });
    let mut last = 40;
    let mut round = async || {
        let mut findings = Findings::default();
        while books.step(&mut findings).await.expect("a step") == Progress::UnderWay {
            store.run((last + 1..=last + 20).map(place).collect(), decide).await.expect("executed");
            last += 20;
        }
        assert!(findings.rows <= 4 * 12, "of orders and of commands: {}", findings.rows);
        findings.violations.into_iter().map(|violation| violation.offender).collect::<Vec<_>>()
    };
    assert_eq!(round().await, [""; 0]);
    assert_eq!(round().await, [""; 0]);
    // There were 40 when the first round began, and 160 when the second did: of the new ones, that
    // read 41 to 52, and the next begins with 161.
    let damage = |n: u128| {
        let sql = format!("UPDATE orders SET total_minor = 1 WHERE order_id = x'{n:032x}'");
        write_past(&file_in(&folder), &sql);
        format!("{n:012x}: its total is 1")
    };
    let (old, skipped, fresh) = (damage(3), damage(90), damage(161));
    let message = round().await;
    assert!(message.iter().any(|message| message.contains(&fresh)), "{message:?}");
    let (mut found, mut rounds) = ([false; 2], 0);
    while found != [true; 2] {
        let message = round().await;
        for (found, damage) in found.iter_mut().zip([&old, &skipped]) {
            *found |= message.iter().any(|message| message.contains(damage));
        }
        rounds += 1;
        assert!(rounds < 60, "{found:?}");
    }
}
