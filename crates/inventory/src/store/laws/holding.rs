//! Who holds units of a product.

use super::changing::{Revised, revise};
use super::*;
use crate::store::{Holder, HolderFilter, HolderPage, HolderPosition};

impl Fresh {
    async fn page_of_holders(
        &self,
        name: &str,
        at: Option<&str>,
        from: Option<HolderPosition>,
        limit: u32,
    ) -> HolderPage {
        let (product_id, location_id) = (product(name), at.map(location));
        let filter = HolderFilter { product_id, location_id, from, limit };
        let page = self.store.holders(filter).await.expect("a page").expect("a product");
        assert!(page.begins && page.holders.len() <= limit as usize, "{page:?}");
        page
    }

    /// All holders, page by page.
    async fn holders(&self, name: &str, at: Option<&str>, limit: u32) -> Vec<Holder> {
        let mut from = None;
        let mut found = Vec::new();
        loop {
            let page = self.page_of_holders(name, at, from, limit).await;
            found.extend(page.holders);
            from = page.next;
            if from.is_none() {
                return found;
            }
        }
    }

    async fn reserved(&self, name: &str, at: Option<&str>) -> i64 {
        let levels = self.levels(name).await.into_iter();
        let counted = levels.filter(|(its, ..)| at.is_none_or(|at| at == its));
        counted.map(|(_, _, reserved)| reserved).sum()
    }
}

fn orders(holders: &[Holder]) -> Vec<u128> {
    holders.iter().map(|holder| holder.order_id.0.as_u128()).collect()
}

pub(crate) async fn the_holders_of_a_product_add_up_to_what_is_reserved(fresh: Fresh) {
    fresh.run([stocked("MUG", 10), stocked("TEE", 100)].concat()).await;
    fresh.run(vec![put_location("SHOP", 1), received("MUG", "SHOP", 50)]).await;
    for n in 1..=20_u32 {
        fresh.clock.set(Timestamp(START.0 + i64::from(n)));
        let both = [("MUG", n % 3 + 1), ("TEE", 1)];
        let lines = if n % 4 == 0 { &both[..] } else { &both[..1] };
        fresh.run(vec![place(n.into(), lines)]).await;
        match n % 5 {
            0 => drop(fresh.run(vec![cancel(n.into(), lines)]).await),
            1 => drop(fresh.run(vec![received("MUG", "SHOP", 1000 + n)]).await),
            _ => {}
        }
    }
    for (name, at) in [("MUG", None), ("MUG", Some("main")), ("MUG", Some("SHOP")), ("TEE", None)] {
        let all = fresh.holders(name, at, 100).await;
        let held: i64 = all.iter().map(|holder| holder.quantity).sum();
        assert_eq!(held, fresh.reserved(name, at).await, "{name} {at:?}");
        for holder in &all {
            let n = i64::try_from(holder.order_id.0.as_u128()).expect("small");
            assert!(n % 5 != 0, "it was cancelled: {holder:?}");
            assert_eq!(holder.since_micros, START.0 + n);
            assert!(at.is_none_or(|at| holder.location_id == location(at)), "{holder:?}");
        }
        assert!(orders(&all).is_sorted_by(|one, next| one >= next), "newest first: {all:?}");
        for limit in [1, 2, 5] {
            assert_eq!(fresh.holders(name, at, limit).await, all, "{limit}");
        }
    }
    let nowhere =
        HolderFilter { product_id: product("CAP"), location_id: None, from: None, limit: 1 };
    assert_eq!(fresh.store.holders(nowhere).await.expect("a read"), None);
    let nobody = fresh.page_of_holders("TEE", Some("SHOP"), None, 9).await;
    assert_eq!((nobody.holders.len(), nobody.next), (0, None));
    // What was shipped is held no more.
    fresh.run(vec![place(30, &[("TEE", 1)]), place(31, &[("TEE", 1)])]).await;
    fresh.run(vec![fulfill(30, &[("TEE", 1)])]).await;
    let left = orders(&fresh.holders("TEE", None, 9).await);
    assert_eq!((left[0], left.contains(&30)), (31, false));
}

/// Those that are out are held no more, and those whose shipment was cancelled are held again. What
/// came back from the customer is nobody's.
pub(crate) async fn units_that_are_taken_back_are_held_again(fresh: Fresh) {
    fresh.run(stocked("MUG", 9).to_vec()).await;
    let wants = &[("MUG", 4)][..];
    let held = async || -> Vec<_> {
        let holders = fresh.holders("MUG", None, 9).await;
        let total: i64 = holders.iter().map(|holder| holder.quantity).sum();
        assert_eq!(total, fresh.reserved("MUG", None).await);
        holders.iter().map(|it| (it.order_id.0.as_u128(), it.quantity)).collect()
    };
    let out = Revised { wants, ships: &[("MUG", "main", 4)], returns: &[] };
    let part = Revised { ships: &[("MUG", "main", 3)], ..out };
    let back = Revised { returns: &[("MUG", "main", [1, 1, 0])], ..part };
    fresh.run(vec![place(1, wants), place(2, &[("MUG", 1)]), revise(1, 2, out)]).await;
    assert_eq!(held().await, [(2, 1)]);
    fresh.run(vec![revise(1, 3, part)]).await;
    assert_eq!(held().await, [(1, 1), (2, 1)]);
    fresh.run(vec![revise(1, 4, back)]).await;
    assert_eq!(held().await, [(1, 1), (2, 1)]);
    let less = Revised { wants: &[("MUG", 3)], ..back };
    fresh.run(vec![revise(1, 5, less)]).await;
    assert_eq!(held().await, [(2, 1)]);
}

pub(crate) async fn a_page_of_holders_looks_at_a_bounded_part_of_the_ledger(fresh: Fresh) {
    fresh.run(stocked("MUG", 5).to_vec()).await;
    fresh.run(vec![place(1, &[("MUG", 2)]), place(2, &[("MUG", 1)])]).await;
    for first in (0..4500).step_by(500) {
        fresh.run((first..first + 500).map(|n| received("MUG", "main", n + 10)).collect()).await;
    }
    let mut from = None;
    let mut pages = Vec::new();
    loop {
        let page = fresh.page_of_holders("MUG", None, from, 9).await;
        pages.push(orders(&page.holders));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![], vec![], vec![2, 1]]);
    let from = Some(HolderPosition { movement: i64::MAX, units: 1 });
    let filter = HolderFilter { product_id: product("MUG"), location_id: None, from, limit: 1 };
    let page = fresh.store.holders(filter).await.expect("a read").expect("a product");
    assert!(!page.begins, "no movement of this ledger: {page:?}");
}

pub(crate) async fn holders_are_complete_while_units_move_between_pages(fresh: Fresh) {
    fresh.run(stocked("MUG", 100).to_vec()).await;
    fresh.run((1..=9).map(|n| place(n, &[("MUG", 1)])).collect()).await;
    let first = fresh.page_of_holders("MUG", None, None, 3).await;
    assert_eq!(orders(&first.holders), [9, 8, 7]);
    // One that was listed and one that was not go, and another one comes.
    fresh.run(vec![cancel(8, &[("MUG", 1)]), cancel(5, &[("MUG", 1)])]).await;
    fresh.run(vec![place(10, &[("MUG", 1)])]).await;
    let second = fresh.page_of_holders("MUG", None, first.next, 3).await;
    assert_eq!(orders(&second.holders), [6, 4, 3]);
    let third = fresh.page_of_holders("MUG", None, second.next, 3).await;
    assert_eq!((orders(&third.holders), third.next), (vec![2, 1], None));
}
