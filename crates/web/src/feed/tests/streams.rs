//! Feeds as server-sent events.

use super::*;

#[tokio::test]
async fn a_stream_has_one_message_per_event_with_the_cursor_behind_it() {
    let shop = Shop::of(rows(4));
    let answer = shop.ask("limit=3", &[STREAM]).await.unwrap();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(answer.headers()[name], value);
    }
    let mut stream = Messages(answer.into_body().into_data_stream());
    let start = shop.feed.cursors.encode(Mark::at(Position::START));
    assert_eq!(stream.next().await.unwrap(), format!("retry: 2000\nid: {start}"));
    for number in 0..7 {
        let (cursor, event, data) = stream.event().await;
        assert_eq!((event.as_str(), &data["number"]), (RECEIVED, &json!(number)));
        // A client that is cut off after any message goes on with the next.
        let mut resumed = shop.stream("after=latest", &[(LAST_EVENT_ID, &cursor)]).await;
        if number < 6 {
            assert_eq!(resumed.number().await, number + 1);
        }
        let page = shop.page(&format!("after={cursor}"), &[]).await.0;
        assert_eq!(page, (number + 1..7).collect::<Vec<_>>());
    }
    assert!(shop.metrics().contains("feed_streams{service=\"orders\"} 1\n"), "{}", shop.metrics());
    drop(stream);
    assert!(shop.metrics().contains("feed_streams{service=\"orders\"} 0\n"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_follows_what_is_made_and_sends_comments_while_nothing_is() {
    let shop = Shop::of([vec![(RECEIVED, 0)]]);
    let mut stream = shop.stream("after=latest&types=order.confirmed", &[]).await;
    let first = stream.next().await.unwrap();
    let started = Instant::now();
    assert_eq!(stream.next().await.unwrap(), ":");
    assert_eq!(started.elapsed().as_secs(), 15);
    // The events that are left out move the cursor of the client on.
    shop.makes(vec![(RECEIVED, 1)]);
    let position = Position { commit: 2, entry: 1 };
    let beyond = shop.feed.cursors.encode(Mark::behind(position, &format!("{RECEIVED}.1")));
    assert!(!first.ends_with(&beyond));
    assert_eq!(stream.next().await.unwrap(), format!(":\nid: {beyond}"));
    assert_eq!(stream.next().await.unwrap(), ":");
    shop.makes(vec![(CONFIRMED, 2)]);
    assert_eq!(stream.number().await, 2);
    assert_eq!(started.elapsed().as_secs(), 45);
}

#[tokio::test(start_paused = true)]
async fn a_stream_reads_the_next_page_only_when_the_last_one_was_taken() {
    let shop = Shop::of(rows(30));
    let mut stream = shop.stream("limit=5", &[]).await;
    let reads = || shop.memory.0.reads.lock().unwrap().clone();
    stream.next().await.unwrap();
    assert!(reads().is_empty());
    for taken in 1..=15 {
        stream.number().await;
        assert_eq!(reads().len(), usize::div_ceil(taken, 5));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_for_rare_events_scan_in_turns_and_pause_when_they_find_nothing() {
    let row = |its| (0..10).map(|n| (its, n)).collect();
    let rare = |n| if n == 2500 { CONFIRMED } else { RECEIVED };
    let shop = Shop::of((0..3500).map(|n| row(rare(n))));
    let reads = || shop.memory.0.reads.lock().unwrap().len();
    let mut stream = shop.stream("types=order.confirmed", &[]).await;
    stream.next().await.unwrap();
    for scans in 1..=2 {
        assert!(tokio::time::timeout(Duration::from_millis(49), stream.next()).await.is_err());
        assert_eq!(reads(), scans * 10);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut streams = Vec::new();
    for query in ["types=order.confirmed", "types=order.confirmed&summary_ms=250"].repeat(5) {
        streams.push(shop.stream(query, &[]).await);
    }
    *shop.memory.0.running.lock().unwrap() = (0, 0);
    futures_util::future::join_all(streams.iter_mut().map(Messages::event)).await;
    assert_eq!(*shop.memory.0.running.lock().unwrap(), (0, SCANS));
}

/// The client of a stream that ends with an error would not come back by itself.
#[tokio::test(start_paused = true)]
async fn a_stream_outlives_a_database_that_is_away() {
    let shop = Shop::of(rows(1));
    let mut stream = shop.stream("", &[]).await;
    assert_eq!(stream.number().await, 0);
    shop.memory.0.is_away.store(true, Ordering::Relaxed);
    shop.makes(vec![(CONFIRMED, 1)]);
    let started = Instant::now();
    assert_eq!(stream.next().await.unwrap(), ":");
    assert_eq!(started.elapsed().as_secs(), 15);
    let refused = shop.ask("", &[]).await.unwrap_err();
    assert_eq!(refused.code, Code::STORAGE_UNAVAILABLE);
    shop.memory.0.is_away.store(false, Ordering::Relaxed);
    assert_eq!(stream.number().await, 1);
}

#[tokio::test]
async fn streams_are_bounded_for_the_process_and_for_each_key() {
    let shop = Shop::with(Limits::default().with_streams(2));
    let first = shop.stream("", &[]).await;
    let _second = shop.stream("summary_ms=1000", &[]).await;
    let refused = shop.ask("", &[STREAM]).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s), (Code::OVERLOADED, Some(5)));
    assert_eq!(shop.page("", &[]).await.0, [0; 0], "pages are still answered");
    drop(first);
    let _third = shop.stream("", &[]).await;

    let shop = Shop::new();
    let limits = Arc::new(KeyLimits::new(None));
    let client = Principal { limits: Some(limits.clone()), ..Principal::anyone() };
    let waiting = limits.waits.clone().try_acquire_many_owned(KeyLimits::MAX_WAITS - 1).unwrap();
    let open = shop.ask_as(&client, "", &[STREAM]).await.unwrap();
    let refused = shop.ask_as(&client, "", &[STREAM]).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s), (Code::RATE_LIMITED, Some(5)));
    assert!(shop.ask("", &[STREAM]).await.is_ok(), "it is the limit of that key");
    drop((open, waiting));
    assert!(shop.ask_as(&client, "", &[STREAM]).await.is_ok());
    assert_eq!(limits.waits.available_permits(), KeyLimits::MAX_WAITS as usize);
}

#[tokio::test(start_paused = true)]
async fn summaries_come_at_most_once_in_their_time_and_read_no_documents() {
    let shop = Shop::of([vec![(RECEIVED, 1), (CONFIRMED, 1)], vec![(RECEIVED, 2)]]);
    let mut stream = shop.stream("summary_ms=500", &[]).await;
    let (_, event, data) = stream.event().await;
    let counts = json!({RECEIVED: 2, CONFIRMED: 1});
    assert_eq!(event, "summary");
    assert_eq!(data, json!({"counts": counts, "subjects": ["2", "1"], "events": 3}));
    let started = Instant::now();
    shop.makes(vec![(RECEIVED, 3)]);
    shop.makes(vec![(RECEIVED, 4)]);
    let (cursor, _, data) = stream.event().await;
    assert_eq!((started.elapsed().as_millis(), &data["events"]), (500, &json!(2)));
    assert_eq!(stream.next().await.unwrap(), ":", "nothing happens");
    shop.makes(vec![(CONFIRMED, 4)]);
    let mut resumed =
        shop.stream("summary_ms=500&types=order.received", &[(LAST_EVENT_ID, &cursor)]).await;
    resumed.next().await.unwrap();
    let next = resumed.next().await.unwrap();
    assert!(next.starts_with(":\nid: "), "{next}");
    assert_eq!(*shop.memory.0.shown.lock().unwrap(), [0; 0]);
}

/// A HEAD request drops the body of its answer without reading it.
#[tokio::test]
async fn a_stream_that_is_never_read_gives_its_permits_back() {
    let shop = Shop::with(Limits::default().with_streams(1));
    let mut answer = shop.ask("", &[STREAM]).await.unwrap();
    *answer.body_mut() = Body::empty();
    assert!(shop.ask("", &[STREAM]).await.is_ok());
}
