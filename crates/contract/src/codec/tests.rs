use super::*;
use crate::answers::StockAllocated;
use crate::commands::AllocateStock;
use crate::{
    Allocation, Allocations, BookedAt, Digest, Facts, Intent, MAX_ALLOCATIONS, MAX_ID_LENGTH,
    MAX_LINES, MAX_RETURNED, OrderId, Quantity, Returned, ReturnedUnits, Revision, Shortage,
    ShortageReason, Wanted,
};

/// The largest message that NATS accepts unless it is configured otherwise.
const MIB: usize = 1024 * 1024;

fn command(product: &str) -> AllocateStock {
    let line = (product.parse().expect("an id"), Quantity::new(2).expect("a quantity"));
    let intent = Intent::placed(Wanted::sum([line]).expect("one line"));
    let digest = intent.digest();
    AllocateStock::first(OrderId(uuid::Uuid::from_u128(7)), intent, digest, 1_795_804_200_000_000)
}

#[test]
fn batches_keep_the_order_of_messages_and_the_limits() {
    let long = "p".repeat(64);
    let sent: Vec<_> = (0..450).map(|n| command(if n % 2 == 0 { "a" } else { &long })).collect();
    let batches = encode(&sent, usize::MAX).batches;
    assert_eq!(batches.len(), 3);
    assert!(batches.iter().all(|batch| batch.len() <= MAX_BATCH_BYTES));
    let read: Result<Vec<AllocateStock>, _> =
        batches.iter().flat_map(|batch| decode(batch)).collect();
    assert_eq!(read.as_deref(), Ok(&sent[..]));
    assert_eq!(encode::<AllocateStock>(&[], usize::MAX), Encoded::default());
}

/// A command whose message has this many bytes.
fn command_of(bytes: usize) -> AllocateStock {
    let mut command = AllocateStock { traceparent: Some(String::new()), ..command("a") };
    let rest = serde_json::to_vec(&command).expect("JSON").len();
    command.traceparent = Some("t".repeat(bytes - rest));
    command
}

#[test]
fn a_batch_is_filled_to_its_last_byte_and_a_larger_message_travels_alone() {
    // Two messages with a comma between them and brackets around them.
    let half = (MAX_BATCH_BYTES - 3) / 2;
    let rest = MAX_BATCH_BYTES - 3 - half;
    for (sizes, batches) in [
        (&[half, rest][..], &[MAX_BATCH_BYTES][..]),
        (&[half, rest + 1], &[half + 2, rest + 3]),
        (&[MAX_BATCH_BYTES], &[MAX_BATCH_BYTES + 2]),
        (&[1000, MAX_BATCH_BYTES, 1000], &[1002, MAX_BATCH_BYTES + 2, 1002]),
    ] {
        let sent: Vec<_> = sizes.iter().map(|bytes| command_of(*bytes)).collect();
        let Encoded { batches: written, counts, too_large } = encode(&sent, usize::MAX);
        let read: Vec<_> =
            written.iter().map(|batch| decode::<AllocateStock>(batch).len()).collect();
        assert_eq!((too_large, counts), (Vec::new(), read));
        assert_eq!(written.iter().map(Vec::len).collect::<Vec<_>>(), batches);
        let read: Result<Vec<AllocateStock>, _> =
            written.iter().flat_map(|batch| decode(batch)).collect();
        assert_eq!(read, Ok(sent));
    }
}

#[test]
fn no_batch_is_larger_than_the_bus_allows_and_what_does_not_fit_takes_no_neighbour_along() {
    for (limit, sizes, batches, too_large) in [
        (2000, &[998, 997][..], &[1998][..], &[][..]),
        (1997, &[998, 997], &[1000, 999], &[]),
        (1000, &[500, 999, 400, 998], &[903, 1000], &[(1, 1001)]),
        (1000, &[999], &[], &[(0, 1001)]),
        (1_000_000, &[MAX_BATCH_BYTES, 1000], &[MAX_BATCH_BYTES + 2, 1002], &[]),
    ] {
        let sent: Vec<_> = sizes.iter().map(|bytes| command_of(*bytes)).collect();
        let encoded = encode(&sent, limit);
        assert_eq!(encoded.batches.iter().map(Vec::len).collect::<Vec<_>>(), batches);
        let left: Vec<_> =
            encoded.too_large.iter().map(|message| (message.index, message.bytes)).collect();
        assert_eq!(left, too_large);
        let read: Vec<AllocateStock> = encoded
            .batches
            .iter()
            .flat_map(|batch| decode(batch))
            .map(|message| message.expect("a message"))
            .collect();
        let fits = |index: usize| !too_large.iter().any(|(left, _)| *left == index);
        let sent = sent.into_iter().enumerate().filter(|(index, _)| fits(*index));
        assert_eq!(read, sent.map(|(_, message)| message).collect::<Vec<_>>());
    }
}

/// An order of 100 products with the longest ids, whose stock comes from as many locations as an
/// order may have.
fn largest_order() -> (Intent, Allocations) {
    let id = |number: usize| format!("{number:0>width$}", width = MAX_ID_LENGTH);
    let million = Quantity::new(Quantity::MAX).expect("a quantity");
    let line = |number: usize| (id(number).parse().expect("an id"), million);
    let wanted = Wanted::sum((0..MAX_LINES).map(line)).expect("a hundred lines");
    let allocation = |number: usize| Allocation {
        product_id: id(number % MAX_LINES).parse().expect("an id"),
        location_id: id(number / MAX_LINES).parse().expect("an id"),
        quantity: million,
    };
    let allocations = Allocations::sorted((0..MAX_ALLOCATIONS).map(allocation).collect())
        .expect("as many allocations as an order may have");
    let revision = Revision::try_from(u32::MAX).expect("a revision");
    let returned = |number: usize| ReturnedUnits {
        product_id: id(number % MAX_LINES).parse().expect("an id"),
        location_id: id(number / MAX_LINES).parse().expect("an id"),
        restocked: Quantity::MAX,
        quarantined: Quantity::MAX,
        written_off: Quantity::MAX,
    };
    let returned = Returned::sorted((0..MAX_RETURNED).map(returned).collect())
        .expect("as many entries as the returns of an order may have");
    (Intent { revision, wanted, shipped: allocations.clone(), returned }, allocations)
}

#[test]
fn the_largest_messages_fit_into_a_mebibyte() {
    let (intent, allocated) = largest_order();
    let traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let shortage = |line: &crate::WantedLine| Shortage {
        product_id: line.product_id.clone(),
        requested: Quantity::new(line.quantity).expect("a quantity"),
        available: i64::MIN,
        reason: ShortageReason::TooManyAllocations,
    };
    let shortages = intent.wanted.iter().map(shortage).collect();
    let booked_at = |entry: &ReturnedUnits| BookedAt {
        product_id: entry.product_id.clone(),
        location_id: entry.location_id.clone(),
        booked_at: entry.location_id.clone(),
    };
    let booked_at = intent.returned.iter().map(booked_at).collect();
    let digest = intent.digest();
    let order_id = OrderId(uuid::Uuid::from_u128(7));
    let answer = StockAllocated {
        schema: u32::MAX,
        order_id,
        facts: Facts { revision: intent.revision, allocated, shortages, booked_at },
        digest,
        attempt: u32::MAX,
        decided_at_micros: i64::MIN,
        sent_at_micros: i64::MIN,
        traceparent: traceparent.clone(),
    };
    let command = AllocateStock {
        schema: u32::MAX,
        attempt: u32::MAX,
        traceparent,
        ..AllocateStock::first(order_id, intent, digest, i64::MIN)
    };
    // Room for the headers of the broker's message.
    for message in [encode_one(&command), encode_one(&answer)] {
        assert!(message.len() < MIB - 4096, "{} bytes", message.len());
    }
}

#[test]
fn a_bad_element_does_not_affect_its_neighbours() {
    let good = serde_json::to_string(&command("a")).expect("JSON");
    let newer = good.replace("\"schema\":1", "\"schema\":2");
    let read = decode::<AllocateStock>(format!("[{good},{{}},{newer},7,{good}]").as_bytes());
    assert!(read[0].is_ok() && read[4].is_ok());
    assert!(matches!(read[1], Err(Undecodable::Malformed { .. })));
    assert_eq!(read[2], Err(Undecodable::UnknownVersion(2)));
    assert!(matches!(&read[3], Err(Undecodable::Malformed { bytes, .. }) if bytes == b"7"));
}

/// serde would read an array by position: `[2]` would be a message of schema version 2.
/// A delivery of 0.94 MB would otherwise be 150 000 entries in the quarantine.
#[test]
fn a_batch_of_more_elements_than_are_ever_sent_is_one_malformed_element() {
    let batch = |count: usize, element: &str| format!("[{}]", vec![element; count].join(","));
    let good = serde_json::to_string(&command("456")).unwrap();
    for element in [good.as_str(), "0", r#"{"schema":99}"#] {
        let most = batch(MAX_BATCH_MESSAGES, element);
        assert_eq!(decode::<AllocateStock>(most.as_bytes()).len(), MAX_BATCH_MESSAGES);
        for count in [MAX_BATCH_MESSAGES + 1, 150_000] {
            let large = batch(count, element);
            let read = decode::<AllocateStock>(large.as_bytes());
            let [Err(Undecodable::Malformed { reason, bytes })] = &read[..] else {
                panic!("{count} of {element} are {} elements", read.len());
            };
            assert!(reason.starts_with("more than 200 elements"), "{reason}");
            assert_eq!(bytes, large.as_bytes());
        }
    }
}

#[test]
fn an_array_is_not_a_message() {
    let good = command("a");
    let wanted = &good.intent.wanted;
    let values = serde_json::to_value((
        (1, "AllocateStock", good.order_id, 1, wanted),
        (Allocations::default(), Returned::default(), good.digest, 1, 2, ()),
    ))
    .expect("JSON");
    for element in ["[2]", "[1]", "[]", &values.to_string()] {
        let read = decode::<AllocateStock>(format!("[{element}]").as_bytes());
        assert!(
            matches!(&read[..], [Err(Undecodable::Malformed { bytes, .. })] if bytes == element.as_bytes()),
            "{read:?}"
        );
    }
}

#[test]
fn garbage_is_one_malformed_element() {
    for garbage in [&b""[..], b"[", b"garbage", b"\xff\xfe", b"{}", b"[1,", &vec![b'['; 100_000]] {
        let read = decode::<AllocateStock>(garbage);
        assert!(matches!(&read[..], [Err(Undecodable::Malformed { .. })]), "{read:?}");
    }
}

/// Registers that no sender builds are refused, member by member.
#[test]
fn a_message_with_impossible_registers_is_malformed() {
    let good = serde_json::to_string(&command("a")).expect("JSON");
    let spoiled = |from: &str, to: &str| {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from}");
        text
    };
    let shipped = r#""shipped":[{"product_id":"a","location_id":"x","quantity":0}],"digest""#;
    let returned = r#""returned":[{"product_id":"a","location_id":"x"}],"digest""#;
    for bad in [
        spoiled("AllocateStock", "StockAllocated"),
        spoiled(r#""revision":1"#, r#""revision":0"#),
        spoiled(r#""quantity":2"#, r#""quantity":1000001"#),
        spoiled(r#"[{"product_id":"a","quantity":2}]"#, "[]"),
        spoiled(r#""digest""#, shipped),
        spoiled(r#""digest""#, returned),
    ] {
        let read = decode::<AllocateStock>(format!("[{bad}]").as_bytes());
        assert!(matches!(&read[..], [Err(Undecodable::Malformed { .. })]), "{bad}");
    }
}

/// A broker may still hold messages of every version that was ever written.
#[test]
fn every_stored_example_is_still_read_and_written_in_the_same_bytes() {
    let commands =
        read_back::<AllocateStock>(include_str!("../../examples/allocate_stock_v1.json"));
    let answers =
        read_back::<StockAllocated>(include_str!("../../examples/stock_allocated_v1.json"));
    assert_eq!((commands.len(), answers.len()), (5, 7));
    for command in &commands {
        assert_eq!(command.digest, command.intent.digest());
    }
    let digests = |answer: &StockAllocated| answer.digest;
    let answered: Vec<Digest> = answers.iter().map(digests).collect();
    let sent: Vec<Digest> =
        [0, 0, 0, 1, 2, 3, 4].map(|index: usize| commands[index].digest).to_vec();
    assert_eq!(answered, sent);
    assert_eq!(answers[1].facts.shortages.len(), 2);
}

/// Reads a file of examples, one message per line, and checks that each is written as it is read.
fn read_back<M: Serialize + DeserializeOwned>(file: &str) -> Vec<M> {
    let messages: Result<Vec<M>, _> = decode(file.as_bytes()).into_iter().collect();
    let messages = messages.expect("every example can be read");
    let lines = file.lines().filter(|line| line.starts_with('{'));
    for (message, line) in messages.iter().zip(lines) {
        let written = serde_json::to_string(message).expect("JSON");
        assert_eq!(written, line.trim_end_matches(','));
    }
    messages
}
