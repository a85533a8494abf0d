use super::*;

const ID: OrderId = OrderId(uuid::Uuid::from_u128(7));

#[test]
fn the_lines_of_an_order_are_pinned() {
    let text = r#"[["789",2,1999],["456",1,2999]]"#;
    let lines = read_lines(ID, text).expect("two lines");
    assert_eq!(write_lines(&lines), text);
}

#[test]
fn the_options_of_an_order_are_pinned() {
    let mut terms = crate::store::laws::placement(1, None).terms;
    assert_eq!(write_options(&terms, None), None, "a plain order has none");
    for text in [
        r#"{"payment":{"within_s":60}}"#,
        r#"{"payment":{"within_s":900}}"#,
        r#"{"payment":{"within_s":604800}}"#,
        r#"{"trace":"0af7651916cd43dd8448eb211c80319c"}"#,
        r#"{"payment":{"within_s":60},"trace":"0af7651916cd43dd8448eb211c80319c"}"#,
    ] {
        let PackedOptions { payment, trace } = read_options(ID, Some(text)).expect("options");
        let payment = payment.map(|payment| read_payment(ID, &payment));
        terms.payment = payment.transpose().expect("a payment");
        let trace_id = trace.map(|trace| trace.parse().expect("an id"));
        assert_eq!(write_options(&terms, trace_id).as_deref(), Some(text));
    }
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
        (r#"{"payment":{"within_s":59}}"#, "a payment within 59 s"),
        (r#"{"payment":{"within_s":604801}}"#, "a payment within 604801 s"),
        (r#"{"payment":{}}"#, "missing field"),
        (r#"{"split":false}"#, "unknown field"),
        ("{", "EOF"),
    ] {
        let payment = |options: PackedOptions| read_payment(ID, &options.payment.expect("one"));
        let read = read_options(ID, Some(text)).and_then(payment);
        let error = read.expect_err(text).to_string();
        assert!(error.contains("options") && error.contains(reason), "{error}");
    }
}
