use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::slots::Slot;

const MOST: usize = 2;
const CAPACITY: usize = 256;

/// Anonymous of which each address may have two connections and two requests.
fn anonymous() -> Arc<Anonymous> {
    Anonymous::new(Some(2), Some(2))
}

fn address(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

async fn open(slots: &Arc<Slots>, anonymous: &Arc<Anonymous>, n: u8) -> Option<Slot> {
    slots.take(anonymous.of_connection(address(n))).await
}

fn is_evicted(slot: &Slot) -> bool {
    slot.evicted().is_cancelled()
}

impl Anonymous {
    /// How many connections and requests the table has for an address; `None` if it is not there.
    fn numbers(&self, n: u8) -> Option<(usize, usize)> {
        let held = self.held();
        let its = held.get(&network_of(address(n)))?;
        Some((its.connections.len(), its.requests as usize))
    }
}

#[tokio::test]
async fn beyond_the_limit_the_connection_that_was_idle_for_longest_gives_way() {
    let (slots, anonymous) = (Slots::with_capacity(CAPACITY), anonymous());
    let mut its = Vec::new();
    for _ in 0..4 {
        its.push(open(&slots, &anonymous, 1).await.expect("room"));
    }
    let other = open(&slots, &anonymous, 2).await.expect("room");
    its[0].becomes_busy();
    assert!(!its.iter().any(is_evicted), "each has time to show a key");
    its.iter().chain([&other]).for_each(Slot::counts);
    assert_eq!(its.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, true, false]);
    assert!(!is_evicted(&other));
}

#[tokio::test]
async fn a_connection_on_which_a_key_was_shown_does_not_count_for_its_address() {
    let (slots, anonymous) = (Slots::with_capacity(CAPACITY), anonymous());
    let mut its = Vec::new();
    for _ in 0..100 {
        let slot = open(&slots, &anonymous, 1).await.expect("room");
        slot.becomes_busy();
        slot.shows_key();
        slot.becomes_idle();
        slot.counts();
        its.push(slot);
    }
    assert_eq!(anonymous.numbers(1), None);
    assert!(!its.iter().any(is_evicted));
}

#[tokio::test]
async fn a_connection_counts_for_its_address_again_once_a_wrong_key_was_shown() {
    let (slots, anonymous) = (Slots::with_capacity(CAPACITY), anonymous());
    let mut its = Vec::new();
    for _ in 0..=MOST {
        let slot = open(&slots, &anonymous, 1).await.expect("room");
        slot.shows_key();
        its.push(slot);
    }
    assert_eq!(anonymous.numbers(1), None);
    for slot in &its {
        slot.becomes_busy();
        slot.shows_no_key();
        slot.shows_no_key();
        slot.becomes_idle();
    }
    let evicted: Vec<_> = its.iter().map(is_evicted).collect();
    assert!(evicted[0] && !evicted[1..].contains(&true), "{evicted:?}");
    drop(its);
    assert_eq!(anonymous.numbers(1), None);
}

#[tokio::test]
async fn a_burst_is_bounded_even_while_no_connection_counts() {
    let (slots, anonymous) = (Slots::with_capacity(CAPACITY), anonymous());
    let mut its = Vec::new();
    for _ in 0..=MOST * BURST {
        its.push(open(&slots, &anonymous, 1).await.expect("room"));
    }
    assert_eq!(its.iter().filter(|slot| is_evicted(slot)).count(), 1);
    assert!(is_evicted(&its[0]));
    its.iter().for_each(Slot::becomes_busy);
    assert!(open(&slots, &anonymous, 1).await.is_none(), "all of them are busy");
    assert!(open(&slots, &anonymous, 2).await.is_some());
}

#[test]
fn no_address_has_more_requests_in_flight_than_it_may_have() {
    let anonymous = anonymous();
    let begin = |text: &str| anonymous.begin(text.parse().expect("an address"));
    let (first, second) = (begin("2001:db8::1").expect("room"), begin("2001:db8::2"));
    assert_eq!(begin("2001:db8::3").expect_err("one network"), TooMany(2));
    assert!(begin("2001:db8:0:1::1").is_ok());
    drop(first);
    assert!(begin("2001:db8::3").is_ok());
    drop(second);
    assert!(anonymous.held().is_empty());
}

/// What happens to one of the connections or requests that there are.
#[derive(Clone, Debug)]
enum Step {
    Open(u8),
    Close(Index),
    CloseEvicted,
    ShowKey(Index),
    Count(Index),
    BecomeBusy(Index),
    BecomeIdle(Index),
    Begin(u8),
    End(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        8 => (0..3_u8).prop_map(Step::Open),
        1 => index().prop_map(Step::Close),
        1 => Just(Step::CloseEvicted),
        2 => index().prop_map(Step::ShowKey),
        4 => index().prop_map(Step::Count),
        3 => index().prop_map(Step::BecomeBusy),
        2 => index().prop_map(Step::BecomeIdle),
        3 => (0..3_u8).prop_map(Step::Begin),
        2 => index().prop_map(Step::End),
    ]
}

/// A connection as the test knows it.
struct Live {
    slot: Slot,
    address: u8,
    has_key: bool,
    is_busy: bool,
}

/// All that is held, as the test knows it.
struct Model {
    slots: Arc<Slots>,
    anonymous: Arc<Anonymous>,
    connections: Vec<Live>,
    requests: Vec<(u8, InFlight)>,
}

impl Model {
    fn connections_of(&self, n: u8) -> usize {
        let counts = |live: &&Live| live.address == n && !live.has_key && !is_evicted(&live.slot);
        self.connections.iter().filter(counts).count()
    }

    fn requests_of(&self, n: u8) -> usize {
        self.requests.iter().filter(|(address, _)| *address == n).count()
    }

    /// A connection that was not evicted.
    fn pick(&mut self, index: &Index) -> Option<&mut Live> {
        let mut alive: Vec<_> =
            self.connections.iter_mut().filter(|live| !is_evicted(&live.slot)).collect();
        let at = (!alive.is_empty()).then(|| index.index(alive.len()))?;
        Some(alive.swap_remove(at))
    }

    async fn open(&mut self, n: u8) {
        let all_busy = self
            .connections
            .iter()
            .filter(|live| live.address == n && !live.has_key && !is_evicted(&live.slot))
            .all(|live| live.is_busy);
        let is_full = self.connections_of(n) >= MOST * BURST;
        let slot = open(&self.slots, &self.anonymous, n).await;
        assert_eq!(slot.is_none(), is_full && all_busy);
        if let Some(slot) = slot {
            self.connections.push(Live { slot, address: n, has_key: false, is_busy: false });
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Open(n) => self.open(n).await,
            Step::Close(index) if !self.connections.is_empty() => {
                let at = index.index(self.connections.len());
                self.connections.swap_remove(at);
            }
            Step::CloseEvicted => self.connections.retain(|live| !is_evicted(&live.slot)),
            Step::Begin(n) => {
                let before = self.requests_of(n);
                match self.anonymous.begin(address(n)) {
                    Ok(request) => self.requests.push((n, request.expect("a limit"))),
                    Err(TooMany(most)) => assert_eq!(before, most as usize),
                }
            }
            Step::End(index) if !self.requests.is_empty() => {
                let at = index.index(self.requests.len());
                self.requests.swap_remove(at);
            }
            Step::Close(_) | Step::End(_) => {}
            Step::ShowKey(index) => {
                if let Some(live) = self.pick(&index) {
                    live.slot.shows_key();
                    live.has_key = true;
                }
            }
            Step::Count(index) => {
                if let Some(live) = self.pick(&index) {
                    live.slot.counts();
                }
            }
            Step::BecomeBusy(index) => {
                if let Some(live) = self.pick(&index) {
                    live.slot.becomes_busy();
                    live.is_busy = true;
                }
            }
            Step::BecomeIdle(index) => {
                if let Some(live) = self.pick(&index) {
                    live.slot.becomes_idle();
                    live.is_busy = false;
                }
            }
        }
    }

    fn check(&self) {
        for n in 0..3 {
            let numbers = (self.connections_of(n), self.requests_of(n));
            assert!(numbers.0 <= MOST * BURST && numbers.1 <= 2, "{numbers:?}");
            assert_eq!(self.anonymous.numbers(n), Some(numbers).filter(|its| *its != (0, 0)));
        }
        let evicted_in_vain = |live: &Live| live.is_busy || live.has_key;
        let evicted = self.connections.iter().filter(|live| is_evicted(&live.slot));
        assert!(!evicted.into_iter().any(evicted_in_vain));
        let is_idle = |live: &&Live| !live.is_busy && !is_evicted(&live.slot);
        let idle = self.connections.iter().filter(is_idle).count();
        assert_eq!(self.slots.numbers(), (idle, CAPACITY - self.connections.len()));
    }
}

proptest! {
    #[test]
    fn the_table_has_what_is_held_whatever_happens(
        steps in prop::collection::vec(step(), 0..250)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model {
                slots: Slots::with_capacity(CAPACITY),
                anonymous: anonymous(),
                connections: Vec::new(),
                requests: Vec::new(),
            };
            for step in steps {
                model.take(step).await;
                model.check();
            }
            let (slots, anonymous) = (model.slots.clone(), model.anonymous.clone());
            drop(model);
            assert_eq!(slots.numbers(), (0, CAPACITY));
            assert!(anonymous.held().is_empty());
        });
    }
}
