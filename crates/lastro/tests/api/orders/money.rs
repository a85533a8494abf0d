//! Money comes back digit by digit, in the decimals of its currency.

use testbed::{Deployment, JSON};

/// Places an order of `quantity` units at `price`, which is written into the body unchanged.
async fn shown(shop: &Deployment, currency: &str, quantity: u32, price: &str) -> String {
    let body = format!(
        r#"{{"customer_id":"C1","currency":"{currency}","products":[{{"product_id":"MUG","quantity":{quantity},"price":{price}}}]}}"#
    );
    let answer = shop.send("POST", "/api/orders", &[JSON], body).await;
    shop.get(&format!("/api/orders/{}", answer.text_at("/order_id"))).await.text
}

#[tokio::test]
async fn amounts_are_exact_in_every_currency() {
    let shop = Deployment::open().await;
    for (currency, quantity, price, shown_price, total) in [
        ("BRL", 2, "19.99", "19.99", "39.98"),
        ("BRL", 3, "19.9", "19.90", "59.70"),
        ("BRL", 1, "20", "20.00", "20.00"),
        ("BRL", 1, "0", "0.00", "0.00"),
        ("BRL", 1, "0.07", "0.07", "0.07"),
        ("BRL", 1_000_000, "1.15", "1.15", "1150000.00"),
        ("BRL", 1, "90071992547409.91", "90071992547409.91", "90071992547409.91"),
        ("JPY", 2, "1500", "1500", "3000"),
        ("KWD", 3, "1.234", "1.234", "3.702"),
        ("KWD", 1, "1.2", "1.200", "1.200"),
        ("CLF", 1, "1.2345", "1.2345", "1.2345"),
    ] {
        let order = shown(&shop, currency, quantity, price).await;
        for member in [format!(r#""price":{shown_price}}}"#), format!(r#""total":{total},"#)] {
            assert!(order.contains(&member), "{member} is not in {order}");
        }
        assert!(order.contains(&format!(r#""currency":"{currency}""#)), "{order}");
    }
}

#[tokio::test]
async fn the_total_is_that_of_all_lines() {
    let shop = Deployment::open().await;
    let lines = r#"{"product_id":"789","quantity":2,"price":19.99},{"product_id":"456","quantity":1,"price":29.99}"#;
    let body = format!(r#"{{"customer_id":"123456","products":[{lines}]}}"#);
    let id = shop.send("POST", "/api/orders", &[JSON], body).await.text_at("/order_id");
    let order = shop.get(&format!("/api/orders/{id}")).await.text;
    assert!(order.contains(r#""total":69.97,"#), "{order}");
    assert!(order.contains(&format!(r#""products":[{lines}]"#)), "{order}");
    let listed = shop.get("/api/orders").await.text;
    assert!(listed.contains(r#""total":69.97,"#), "{listed}");
}

#[tokio::test]
async fn the_shop_decides_what_its_prices_are_in() {
    let shop = Deployment::open_with(|launch| launch.env("LASTRO_CURRENCY", "JPY")).await;
    let body =
        r#"{"customer_id":"C1","products":[{"product_id":"MUG","quantity":2,"price":1500}]}"#;
    let id = shop.send("POST", "/api/orders", &[JSON], body).await.text_at("/order_id");
    let order = shop.get(&format!("/api/orders/{id}")).await.text;
    assert!(order.contains(r#""currency":"JPY","total":3000,"#), "{order}");
}
