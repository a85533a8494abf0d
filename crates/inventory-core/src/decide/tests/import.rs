use super::stock::Stock;
use super::*;
use crate::admin::AdminEvent;

#[test]
fn a_row_counts_a_product_and_creates_or_renames_it() {
    check(
        "
        import  MUG 5 named Mug          -> created Mug #1 5
        import  MUG 7 named Mug          -> counted #2 7
        import  MUG 7 named Cup          -> renamed Mug Cup #3 7
        import  MUG 7                    -> counted #4 7     // an unchanged count is a movement too
        location SHOP 10
        import  MUG 2 @SHOP              -> counted #1 2
        levels  MUG                      -> SHOP 2/0 main 7/0
    ",
    );
}

/// A client corrects a row once, and not once for each reason.
#[test]
fn a_row_is_refused_with_every_reason_and_then_changes_nothing() {
    check(
        "
        import  TEE 5                    -> product_not_found
        import  TEE 5 @NOWHERE           -> product_not_found unknown_location
        import  TEE 5 named Tee @NOWHERE -> unknown_location
        stock   MUG 5
        place A MUG 3                    -> allocated
        import  MUG 2 named Cup          -> below_reserved
        import  MUG 1000000000001 named Cup -> out_of_range
        import  MUG 3                    -> counted #3 3     // and it was not renamed
        import  TEE -1 named Tee         -> below_reserved
        import  TEE 1                    -> product_not_found
        levels  MUG                      -> main 3/3
    ",
    );
}

#[test]
fn a_repeated_row_finds_its_count_and_renames_nothing() {
    check(
        "
        import  MUG 5 named Mug key K    -> created Mug #1 5
        import  MUG 6 named Cup          -> renamed Mug Cup #2 6
        import  MUG 5 named Mug key K    -> replayed Cup #1 5
        import  MUG 6 named Mug key K    -> key_reused
        import  TEE 5 named Tee key K    -> key_reused
        count   MUG 5 key K              -> key_reused       // nor is it a request of another kind
        levels  MUG                      -> main 6/0
    ",
    );
}

/// The ledger has each count with its actor and reason; only an old name is nowhere else.
#[test]
fn only_a_new_name_of_a_row_is_an_act_and_the_threshold_is_kept() {
    let mut stock = Stock::default();
    let threshold = PutProduct {
        product_id: product_id("MUG"),
        name: "Mug".to_owned(),
        low_stock_at: Some(3),
        precondition: Precondition::None,
        requester: Requester::default(),
    };
    let mut script = Script::default();
    let first = script.row("TEE", &["1", "named", "Tee"]);
    let second = script.row("MUG", &["9", "named", "Cup"]);
    stock.run(&[InventoryCommand::PutProduct(threshold)]);
    let acts = stock.acts(&[first, second]);
    let [AdminEvent::Product { before: Some(before), after }] = &acts[..] else {
        panic!("{acts:?}");
    };
    assert_eq!((before.name.as_str(), after.name.as_str()), ("Mug", "Cup"));
    assert_eq!(after.low_stock_at, Some(3));
}
