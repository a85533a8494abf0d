//! A broker that does not let the services delete a stream, as the one that is deployed: it answers
//! nothing to whoever tries. What only a deletion cures is named with what to do.

use super::*;

const WHAT_TO_DO: &str = "the stream has lost its files: lastro-test-channel must be deleted, and the broker does not let \
     the service do that: it does not answer, perhaps for lack of a permission; \
     run: nats stream rm -f lastro-test-channel; \
     the service creates it again, and what it held is sent again";

/// A server with a user for the services, and one for its operator.
async fn server() -> Server {
    Server::start_with_settings(
        "no_auth_user: service
         authorization: { users: [
             { user: service, password: s, permissions: {
                 publish: { deny: [\"$JS.API.STREAM.DELETE.>\"] }
             } }
             { user: operator, password: o }
         ] }",
    )
    .await
}

async fn delete_by_hand(server: &Server) {
    let connecting = ConnectOptions::with_user_and_password("operator".into(), "o".into());
    let client = connecting.connect(server.url()).await.expect("a connection");
    jetstream::new(client).delete_stream(declare::stream_name(SUBJECT)).await.expect("deleted");
}

#[tokio::test]
async fn a_publisher_that_may_not_delete_a_broken_stream_says_so_and_does_not_wait_for_long() {
    let server = server().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    publish(&bus, "before").await;
    server.remove_files_of(&declare::stream_name(SUBJECT));
    eventually(PATIENCE, "it is named in time", async || {
        let begun = Instant::now();
        // It may go on in the file that it has open; a large message makes it want another.
        let published = all(bus.publish(CHANNEL, vec![vec![0; 900_000]; 8]).await);
        let is_in_time = begun.elapsed() < ANSWER_WAIT;
        let is_named = bus.trouble().iter().any(|line| line == WHAT_TO_DO);
        (published.is_err() && is_in_time && is_named).then_some(())
    })
    .await;
    delete_by_hand(&server).await;
    publish(&bus, "after").await;
    receive(&bus, "after").await;
    assert_eq!(bus.trouble(), [""; 0]);
}

#[tokio::test]
async fn a_receiver_that_may_not_delete_a_broken_stream_says_so_and_does_not_wait_for_long() {
    let server = server().await;
    let bus = connected(&server.url(), ACK_WAIT).await;
    // More than the broker keeps in memory.
    for _ in 0..5 {
        all(bus.publish(CHANNEL, vec![vec![0; 900_000]; 8]).await).expect("stored");
    }
    server.remove_files_of(&declare::stream_name(SUBJECT));
    eventually(PATIENCE, "it is named in time", async || {
        let begun = Instant::now();
        let _ = bus.receive(CHANNEL, 10, QUIET).await;
        let is_in_time = begun.elapsed() < ANSWER_WAIT;
        let is_named = bus.trouble().iter().any(|line| line == WHAT_TO_DO);
        (is_in_time && is_named).then_some(())
    })
    .await;
    delete_by_hand(&server).await;
    publish(&bus, "after").await;
    receive(&bus, "after").await;
    eventually(PATIENCE, "nothing is named", async || {
        let _ = bus.receive(CHANNEL, 10, QUIET).await;
        bus.trouble().is_empty().then_some(())
    })
    .await;
}
