//! The bus with signatures: its laws hold as before, and what the other service has not signed is
//! delivered only where nobody demands a signature.

use std::collections::BTreeSet;

use async_nats::HeaderMap;

use super::super::signature::SIGNATURE;
use super::super::signature::tests::Keys;
use super::*;

async fn fresh(ack_wait: Duration) -> Arc<dyn Bus> {
    signing("tester", &nats_url(), ack_wait, Keys::new().of_itself()).await
}

crate::bus::laws::bus_laws!(fresh);

/// Connects a service with these signatures.
async fn signing(
    service: &str,
    url: &str,
    ack_wait: Duration,
    signatures: Arc<Signatures>,
) -> Arc<Nats> {
    let bus = Arc::new(Nats { signatures, ..connect(url, service, ack_wait, QUIET).await });
    eventually(PATIENCE, "the bus is connected", async || bus.reachable().ok()).await;
    bus
}

/// Receives and acknowledges until this message has come, and returns all that came.
async fn all_up_to(bus: &Nats, last: &str) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    let receiving = async {
        while !texts.contains(last) {
            let deliveries = bus.receive(CHANNEL, 10, QUIET).await.unwrap_or_default();
            texts.extend(deliveries.iter().map(|its| String::from_utf8_lossy(&its.payload).into()));
            let tags = deliveries.into_iter().map(|delivery| delivery.tag).collect();
            let _ = bus.ack(CHANNEL, tags).await;
        }
    };
    timeout(PATIENCE, receiving).await.expect("the last message is received in time");
    texts
}

/// With every right at the broker, and every key but that of the service.
#[tokio::test]
async fn what_is_forged_with_every_right_at_the_broker_is_dropped_where_signatures_are_demanded() {
    let keys = Keys::new();
    keys.make(&["orders", "inventory", "thief"]);
    let thief = keys.signatures("thief", &["orders"], SignatureMode::Off);
    for mode in [SignatureMode::Off, SignatureMode::Report, SignatureMode::Require] {
        let server = Server::start().await;
        let theirs = keys.signatures("inventory", &["orders"], mode);
        let sender = signing("sender", &server.url(), ACK_WAIT, theirs.clone()).await;
        let ours = keys.signatures("orders", &["inventory"], mode);
        // What is not acknowledged comes again at once.
        let receiver = signing("tester", &server.url(), 2 * QUIET, ours).await;
        publish(&sender, "first").await;

        let operator = operator(&server).await;
        let sign = |by: &Signatures, subject, text: &str| by.sign(subject, id(2), text.as_bytes());
        let forged = [
            ("none", None),
            ("unknown", sign(&thief, SUBJECT, "unknown")),
            ("subject", sign(&theirs, "lastro.else", "subject")),
            ("payload", sign(&theirs, SUBJECT, "another")),
            ("nonsense", Some("v1;kid=;".to_owned())),
        ];
        for (text, signature) in &forged {
            let mut headers = HeaderMap::new();
            headers.insert(SENDER, id(2).to_string());
            if let Some(signature) = signature {
                headers.insert(SIGNATURE, signature.as_str());
            }
            let sent = operator.publish_with_headers(SUBJECT, headers, (*text).into()).await;
            sent.expect("sent").await.expect("stored");
        }
        publish(&sender, "last").await;

        let expected =
            forged.iter().map(|(text, _)| *text).filter(|_| mode != SignatureMode::Require);
        let expected = expected.chain(["first", "last"]).map(str::to_owned).collect();
        assert_eq!(all_up_to(&receiver, "last").await, expected, "{mode:?}");
        eventually(PATIENCE, "nothing is left to come again", async || {
            let _ = receiver.receive(CHANNEL, 10, QUIET).await;
            let found = operator.get_stream(declare::stream_name(SUBJECT)).await.ok()?;
            (found.cached_info().state.messages == 0).then_some(())
        })
        .await;
        let expected = match mode {
            SignatureMode::Off => {
                assert_eq!(receiver.trouble(), [""; 0]);
                continue;
            }
            SignatureMode::Report => "5 batches of messages had no valid signature, the last of ",
            SignatureMode::Require => {
                "5 batches of messages had no valid signature and were dropped, "
            }
        };
        assert!(receiver.trouble().concat().starts_with(expected), "{:?}", receiver.trouble());
    }
}

/// The signature is part of what the broker counts.
#[tokio::test]
async fn a_message_as_large_as_the_broker_takes_is_signed_and_arrives() {
    let server = Server::start().await;
    let bus = signing("tester", &server.url(), ACK_WAIT, Keys::new().of_itself()).await;
    publish(&bus, "first").await;
    let fits = bus.max_bytes(CHANNEL);
    all(bus.publish(CHANNEL, vec![vec![7; fits]]).await).expect("stored");
    for size in [5, fits] {
        let mut got = bus.receive(CHANNEL, 1, PATIENCE).await.expect("no failure");
        let Delivery { payload, tag, .. } = got.remove(0);
        assert_eq!(payload.len(), size);
        bus.ack(CHANNEL, vec![tag]).await.expect("acknowledged");
    }
}
