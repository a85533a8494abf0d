use super::*;

const ID: OrderId = OrderId(uuid::Uuid::from_u128(7));

/// Databases keep these texts for ever. Each is read, and written in the same bytes.
#[test]
fn the_entries_of_a_history_are_pinned() {
    for text in [
        r#"{"status":"confirmed","at":7,"decided_at":5,"allocated":[["456","main",1],["789","main",2]]}"#,
        r#"{"status":"rejected","at":7,"decided_at":5,"shortages":[["456",1,0,"out_of_stock"]]}"#,
        r#"{"status":"cancelling","at":7,"reason":"too late","revision":2,"wanted":[["456",0],["789",0]]}"#,
        r#"{"status":"cancelled","at":7,"decided_at":5,"allocated":[]}"#,
        r#"{"status":"fulfilling","at":7,"revision":2,"shipped":[["456","main",1],["789","main",2]]}"#,
        r#"{"status":"fulfilled","at":7,"decided_at":5}"#,
        r#"{"status":"expiring","at":7,"revision":2}"#,
        r#"{"status":"reviving","at":7,"actor":"key:till","revision":3}"#,
        r#"{"status":"amending","at":7,"reason":"no","revision":2,"wanted":[["456",0],["789",2]],"key":["k","00112233445566778899aabbccddeeff"]}"#,
        r#"{"status":"amending","at":7,"revision":2,"shipped":[["789","main",1]],"key":["k","00112233445566778899aabbccddeeff"],"tracking":{"carrier":"Post","number":"7","url":"https://post.example/7"}}"#,
        r#"{"status":"amending","at":7,"revision":3,"shipped":[],"shipment":3}"#,
        r#"{"status":"amending","at":7,"revision":3,"returned":[["789","main",1,2,3]],"key":["k","00112233445566778899aabbccddeeff"]}"#,
        r#"{"status":"confirmed","at":7,"decided_at":5,"booked_at":[["789","lost","main"]]}"#,
        r#"{"status":"confirmed","at":7,"actor":"key:till","payment":{"reference":"ch_1","amount":6997}}"#,
        r#"{"status":"cancelled","at":7,"refund":{"reference":"re_1","amount":6997}}"#,
        r#"{"status":"fulfilled","at":7,"shipment":3,"tracking":{"number":"7"}}"#,
        r#"{"status":"fulfilled","at":7,"shipment":3,"tracking":{}}"#,
        r#"{"status":"reviving","at":7,"actor":"key:till","trace":"0af7651916cd43dd8448eb211c80319c","revision":3}"#,
        r#"{"status":"cancelled","at":7,"trace":"0af7651916cd43dd8448eb211c80319c","refund":{"reference":"re_1","amount":6997}}"#,
    ] {
        let history = read_history(ID, &format!("[{text}]")).expect(text);
        assert_eq!(history[0].seq, 2);
        assert_eq!(write_entries(&history), text);
    }
}

#[test]
fn an_entry_that_the_domain_does_not_allow_is_named() {
    for (text, reason) in [
        (r#"[{"status":"lost","at":7,"decided_at":5}]"#, "the status lost"),
        (r#"[{"status":"confirmed","at":7}]"#, "neither an intent nor an answer"),
        (r#"[{"status":"confirmed","at":7,"revision":2,"decided_at":5}]"#, "neither"),
        (r#"[{"status":"confirmed","at":7,"revision":2}]"#, "neither"),
        (r#"[{"status":"confirmed","at":7,"actor":"a","decided_at":5}]"#, "neither"),
        (r#"[{"status":"confirmed","at":7,"decided_at":5,"wanted":[["456",1]]}]"#, "neither"),
        (r#"[{"status":"confirmed","at":7,"shipment":2}]"#, "neither"),
        (r#"[{"status":"confirmed","at":7,"tracking":{}}]"#, "neither"),
        (
            r#"[{"status":"confirmed","at":7,"payment":{"reference":"a","amount":1},"refund":{"reference":"a","amount":1}}]"#,
            "neither",
        ),
        (r#"[{"status":"confirmed","at":7,"decided_at":5,"more":1}]"#, "unknown field"),
        (
            r#"[{"status":"confirmed","at":7,"decided_at":5,"allocated":[["b","x",1],["a","x",1]]}]"#,
            "sorted by product",
        ),
        (
            r#"[{"status":"amending","at":7,"revision":3,"returned":[["789","main",0,0,0]]}]"#,
            "1 to 1000000 units",
        ),
        (r#"[{"status":"fulfilled","at":7,"trace":"7","decided_at":5}]"#, "not the id of a trace"),
        ("[", "EOF"),
    ] {
        let error = read_history(ID, text).expect_err(text).to_string();
        assert!(error.contains("order_states of order") && error.contains(reason), "{error}");
    }
}
