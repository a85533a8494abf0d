//! `asyncapi.json`, which describes the events of both services and the messages between them.
//!
//! It is made here from what the programs and the contract say about themselves, so the test fails
//! when a type of event, a channel or a schema changes. `LASTRO_BLESS=1` rewrites the file. Real
//! events and the stored examples of messages must fit its schemas.

use std::collections::BTreeSet;

use contract::answers::{ANSWERS_CHANNEL, StockAllocated};
use contract::codec::MAX_BATCH_MESSAGES;
use contract::commands::{AllocateStock, COMMANDS_CHANNEL};
use serde_json::{Map, Value, json};
use testbed::{Deployment, Form, PATIENCE, WAIT, eventually, golden};
use tokio::time::timeout;
use utoipa::{PartialSchema, ToSchema};

mod schema;

/// A feed of events.
struct Feed {
    /// The name of its channel, and of its messages before their type.
    name: &'static str,
    path: &'static str,
    types: &'static [&'static str],
    schema: &'static str,
    says: &'static str,
}

const FEEDS: [Feed; 2] = [
    Feed {
        name: "orderEvents",
        path: "/api/orders/events",
        types: orders::EVENT_TYPES,
        schema: "OrderEvent",
        says: "Every entry of every order's history, with the order as it was after it.",
    },
    Feed {
        name: "stockEvents",
        path: "/api/inventory/events",
        types: inventory::EVENT_TYPES,
        schema: "StockEvent",
        says: "Every change of the stock of a product at a location, one event per transaction.",
    },
];

/// A channel of the broker, in which one service sends batches and the other receives them.
struct Channel {
    name: &'static str,
    address: &'static str,
    schema: &'static str,
    sender: &'static str,
    receiver: &'static str,
    says: &'static str,
}

const CHANNELS: [Channel; 2] = [
    Channel {
        name: "commands",
        address: COMMANDS_CHANNEL,
        schema: "AllocateStock",
        sender: "The Order Service",
        receiver: "The Inventory Service",
        says: "What the stock of orders shall be. A command is sent again until it is answered.",
    },
    Channel {
        name: "answers",
        address: ANSWERS_CHANNEL,
        schema: "StockAllocated",
        sender: "The Inventory Service",
        receiver: "The Order Service",
        says: "What orders have of the stock: the answer to each command.",
    },
];

/// The document, made from the description of the API over HTTP.
fn document(api: &Value) -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    let mut schemas = Map::new();
    for feed in FEEDS {
        add_schema(&mut schemas, feed.schema, &api["components"]["schemas"]);
        add_feed(&feed, api, &mut channels, &mut operations, &mut messages);
    }
    messages.insert("summary".to_owned(), summary());
    add_messages(&mut schemas);
    for channel in CHANNELS {
        add_channel(&channel, &mut channels, &mut operations, &mut messages);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "lastro",
            "version": api["info"]["version"],
            "description": "The events that the services publish over HTTP, as pages and as server-sent events, and the messages that they exchange over a broker. A broker may lose, repeat and reorder messages; the events of a feed are neither lost nor reordered.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "http": {
                "host": "127.0.0.1:8080",
                "protocol": "http",
                "description": "The services themselves; all of it is in openapi.json",
            },
            "broker": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "Only the two services use it",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas, "messages": messages},
    })
}

/// The message of a stream that asked for summaries.
fn summary() -> Value {
    json!({
        "name": "summary",
        "contentType": "application/json",
        "summary": "What happened since the last summary; only if the client asked with `summary_ms`",
        "payload": {
            "type": "object",
            "properties": {
                "counts": {
                    "type": "object",
                    "additionalProperties": {"type": "integer", "minimum": 1},
                    "description": "How many events of each type there were",
                },
                "subjects": {
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                    "maxItems": 50,
                    "description": "What the newest events were about, each once, newest first",
                },
                "events": {"type": "integer", "minimum": 1, "description": "How many events there were"},
            },
            "required": ["counts", "subjects", "events"],
            "additionalProperties": false,
        },
    })
}

/// Adds a schema of the API with all that it refers to.
fn add_schema(schemas: &mut Map<String, Value>, name: &str, known: &Value) {
    if schemas.contains_key(name) {
        return;
    }
    assert!(known[name].is_object(), "{name} is not described");
    schemas.insert(name.to_owned(), known[name].clone());
    for other in schema::referred(&known[name]) {
        add_schema(schemas, &other, known);
    }
}

/// Adds the schemas of the messages between the services.
fn add_messages(schemas: &mut Map<String, Value>) {
    let mut described = Vec::new();
    AllocateStock::schemas(&mut described);
    StockAllocated::schemas(&mut described);
    described.push((AllocateStock::name().into_owned(), AllocateStock::schema()));
    described.push((StockAllocated::name().into_owned(), StockAllocated::schema()));
    for (name, schema) in described {
        let schema = serde_json::to_value(schema).expect("JSON");
        let known = schemas.entry(name.clone()).or_insert_with(|| schema.clone());
        assert_eq!(*known, schema, "{name} is described twice");
    }
}

fn add_feed(
    feed: &Feed,
    api: &Value,
    channels: &mut Map<String, Value>,
    operations: &mut Map<String, Value>,
    messages: &mut Map<String, Value>,
) {
    let Feed { name, path, types, schema, says } = feed;
    let mut of_channel = Map::new();
    for event_type in *types {
        // Behind `dev.lastro.` and what it is about.
        let short = event_type.splitn(4, '.').nth(3).expect("what happened");
        messages.insert(
            format!("{name}.{short}"),
            json!({
                "name": event_type,
                "contentType": "application/json",
                "summary": "A CloudEvent 1.0 in JSON",
                "payload": {"$ref": format!("#/components/schemas/{schema}")},
            }),
        );
        let message = format!("#/components/messages/{name}.{short}");
        of_channel.insert(short.to_owned(), json!({"$ref": message}));
    }
    of_channel.insert("summary".to_owned(), json!({"$ref": "#/components/messages/summary"}));
    channels.insert(
        (*name).to_owned(),
        json!({
            "address": path,
            "description": says,
            "servers": [{"$ref": "#/servers/http"}],
            "messages": of_channel,
        }),
    );
    let operation = &api["paths"][path]["get"];
    let parameters = operation["parameters"].as_array().expect("parameters");
    let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
    let query: Map<_, _> = query
        .map(|parameter| {
            let mut schema = parameter["schema"].clone();
            schema["description"] = parameter["description"].clone();
            (parameter["name"].as_str().expect("a name").to_owned(), schema)
        })
        .collect();
    operations.insert(
        operation["operationId"].as_str().expect("an id").to_owned(),
        json!({
            "action": "send",
            "channel": {"$ref": format!("#/channels/{name}")},
            "summary": operation["summary"],
            "description": operation["description"],
            "bindings": {"http": {
                "method": "GET",
                "query": {"type": "object", "properties": query, "additionalProperties": false},
                "bindingVersion": "0.3.0",
            }},
        }),
    );
}

fn add_channel(
    channel: &Channel,
    channels: &mut Map<String, Value>,
    operations: &mut Map<String, Value>,
    messages: &mut Map<String, Value>,
) {
    let Channel { name, address, schema, sender, receiver, says } = channel;
    messages.insert((*name).to_owned(), json!({
        "name": format!("{schema} batch"),
        "contentType": "application/json",
        "summary": "A batch of messages, of which each is read by itself",
        "headers": {
            "type": "object",
            "properties": {
                "Lastro-Sender": {"type": "string", "format": "uuid", "description": "The id of the database that sends it"},
                "Lastro-Sig": {"type": "string", "description": "The signature, if the services sign"},
            },
            "required": ["Lastro-Sender"],
        },
        "payload": {
            "type": "array",
            "items": {"$ref": format!("#/components/schemas/{schema}")},
            "minItems": 1,
            "maxItems": MAX_BATCH_MESSAGES,
        },
    }));
    channels.insert((*name).to_owned(), json!({
        "address": format!("{{channel}}.{address}"),
        "description": says,
        "servers": [{"$ref": "#/servers/broker"}],
        "parameters": {"channel": {
            "default": "lastro",
            "description": "The name of the deployment at the broker: `channel` in the URL of the bus",
        }},
        "messages": {"batch": {"$ref": format!("#/components/messages/{name}")}},
    }));
    for (action, who, verb) in [("send", sender, "sends"), ("receive", receiver, "receives")] {
        operations.insert(
            format!("{action}.{name}"),
            json!({
                "action": action,
                "channel": {"$ref": format!("#/channels/{name}")},
                "summary": format!("{who} {verb} {name}"),
            }),
        );
    }
}

#[tokio::test]
async fn the_committed_description_of_the_events_is_the_one_that_the_programs_imply() {
    let shop = Deployment::in_form(Form::Embedded).await;
    let document = document(&shop.description().await);
    let text = serde_json::to_string_pretty(&document).expect("JSON");
    golden::check("asyncapi.json", &format!("{text}\n"));
    // Every reference leads somewhere.
    for pointer in schema::references(&document) {
        let found = document.pointer(pointer.strip_prefix('#').expect("of this document"));
        assert!(found.is_some(), "{pointer} leads nowhere");
    }
}

/// Does to an order all that can be done to it after it was placed.
async fn change_an_order(shop: &Deployment) {
    shop.stock("TEE", 3).await;
    let id = shop.reserved(&[("TEE", 3)]).await;
    shop.let_deadlines_pass().await;
    shop.order_once(&id, "expired").await;
    shop.pay(&id, "ch_1").await.ok();
    let mut unit = json!({"lines": [{"product_id": "TEE", "quantity": 1}]});
    shop.change(&id, "cancellations", "K1", &unit).await.ok();
    let shipped = shop.change(&id, "shipments", "K2", &unit).await;
    let shipment = shipped.header("location").expect("a path").to_owned();
    shop.put(&format!("{shipment}/tracking"), &json!({"number": "BR1"})).await.ok();
    shop.post_with(&format!("{shipment}/cancel"), &[WAIT], &json!({})).await.ok();
    shop.change(&id, "shipments", "K3", &json!({})).await.ok();
    unit["lines"][0]["disposition"] = json!("quarantine");
    shop.change(&id, "returns", "K4", &unit).await.ok();
    let refund = json!({"reference": "re_1", "amount": 10});
    shop.post(&format!("/api/orders/{id}/refunds"), &refund).await.ok();
}

#[tokio::test]
async fn real_events_fit_their_schemas() {
    let shop = Deployment::open().await;
    let document = document(&shop.description().await);
    shop.stock("MUG", 3).await;
    let cancelled = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&cancelled, "cancel").await.ok();
    shop.order_once(&cancelled, "cancelled").await;
    let fulfilled = shop.confirmed(&[("MUG", 1)]).await;
    shop.ask(&fulfilled, "fulfill").await.ok();
    shop.order_once(&fulfilled, "fulfilled").await;
    shop.settle(&[("MUG", 999)]).await;
    change_an_order(&shop).await;
    for feed in FEEDS {
        let path = format!("{}?limit=200", feed.path);
        let events = eventually(PATIENCE, "the feed has all types of events", async || {
            let events = shop.get(&path).await.ok()["data"].as_array().expect("events").clone();
            let types: BTreeSet<_> =
                events.iter().filter_map(|event| event["type"].as_str()).collect();
            (types.len() == feed.types.len()).then_some(events.clone())
        })
        .await;
        for event in &events {
            schema::check(
                &document,
                &json!({"$ref": format!("#/components/schemas/{}", feed.schema)}),
                event,
            );
            assert!(feed.types.iter().any(|known| event["type"] == *known), "{event}");
        }
        let mut stream = shop.stream(&format!("{}?summary_ms=250", feed.path), &[]).await;
        let summary = timeout(PATIENCE, stream.next()).await.expect("in time").expect("a summary");
        let payload = &document["components"]["messages"][summary.event]["payload"];
        schema::check(&document, payload, &summary.data);
    }
}

/// The examples are those that every version must read for ever.
#[tokio::test]
async fn messages_fit_their_schemas() {
    let document = document(&Deployment::open().await.description().await);
    let examples = ["allocate_stock_v1", "stock_allocated_v1"]
        .map(|name| golden::read(&format!("crates/contract/examples/{name}.json")));
    for (channel, examples) in CHANNELS.iter().zip(&examples) {
        let batch: Value = examples.parse().expect("JSON");
        let payload = &document["components"]["messages"][channel.name]["payload"];
        schema::check(&document, payload, &batch);
        assert!(batch.as_array().is_some_and(|messages| !messages.is_empty()));
    }
    assert_eq!(CHANNELS.map(|channel| channel.address), contract::CHANNELS);
}
