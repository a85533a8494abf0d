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
    ] {
        let history = read_history(ID, &format!("[{text}]")).expect("an entry");
        assert_eq!(history[0].seq, 2);
        assert_eq!(write_entries(&history), text);
    }
}

#[test]
fn the_lines_of_an_order_are_pinned() {
    let text = r#"[["789",2,1999],["456",1,2999]]"#;
    let lines = read_lines(ID, text).expect("two lines");
    assert_eq!(write_lines(&lines), text);
}

#[test]
fn a_column_that_the_domain_does_not_allow_is_named() {
    for (text, reason) in [
        ("[]", "1 to 100 lines"),
        (r#"[["no id",2,1999]]"#, "an id must be"),
        (r#"[["789",0,1999]]"#, "from 1 to 1000000"),
        ("garbage", "expected value"),
    ] {
        let error = read_lines(ID, text).expect_err(text).to_string();
        assert!(error.contains("orders of order 0000") && error.contains(reason), "{error}");
    }
    for (text, reason) in [
        (r#"[{"status":"lost","at":7,"decided_at":5}]"#, "the status lost"),
        (r#"[{"status":"confirmed","at":7}]"#, "neither an intent nor an answer"),
        (r#"[{"status":"confirmed","at":7,"revision":2,"decided_at":5}]"#, "neither"),
        (r#"[{"status":"confirmed","at":7,"decided_at":5,"more":1}]"#, "unknown field"),
        (
            r#"[{"status":"confirmed","at":7,"decided_at":5,"allocated":[["b","x",1],["a","x",1]]}]"#,
            "sorted by product",
        ),
        ("[", "EOF"),
    ] {
        let error = read_history(ID, text).expect_err(text).to_string();
        assert!(error.contains("order_states of order") && error.contains(reason), "{error}");
    }
}
