use super::*;
use crate::store::laws::put_location;

#[tokio::test]
async fn locations_are_made_replaced_and_listed_as_they_serve() {
    let api = Api::new().await;
    let made = api.put("/locations/SHOP", json!({"name": "Shop", "priority": 7})).await;
    assert_eq!(
        (made.status, made.body),
        (StatusCode::CREATED, json!({"location_id": "SHOP", "name": "Shop", "priority": 7}))
    );
    let replaced = api.put("/locations/main", json!({"name": "Warehouse", "priority": 9})).await;
    assert_eq!(replaced.status, StatusCode::OK);
    let listed = api.get("/locations").await;
    assert_eq!(
        (listed.ids("location_id"), &listed.body["next_cursor"]),
        (vec!["SHOP", "main"], &Value::Null)
    );
}

#[tokio::test]
async fn locations_are_listed_page_by_page_and_no_more_than_the_maximum_are_created() {
    let api = Api::new().await;
    let made = (7..10)
        .cycle()
        .zip(1..MAX_LOCATIONS)
        .map(|(priority, n)| put_location(&format!("L{n}"), priority));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let done = api.service.batcher.submit_all(made.collect(), deadline).await;
    assert!(done.iter().all(Result::is_ok));
    let mut listed: Vec<(u64, String)> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/locations?limit=200{cursor}")).await;
        for row in page.body["data"].as_array().expect("a list") {
            let id = row["location_id"].as_str().expect("an id").to_owned();
            listed.push((row["priority"].as_u64().expect("a priority"), id));
        }
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed.len(), MAX_LOCATIONS);
    assert!(listed.is_sorted_by(|one, next| one < next), "each once, as they serve");
    let refused = api.put("/locations/SHOP", json!({"name": "Shop"})).await;
    assert_eq!(refused.problem(), (409, "too_many_locations", Vec::new()));
    let replaced = api.put("/locations/L1", json!({"name": "Shop"})).await;
    assert_eq!(replaced.status, StatusCode::OK);
    let of_products = web::cursor::encode("products", "main");
    let of_nothing = web::cursor::encode("locations", "main");
    for cursor in [of_products, of_nothing] {
        let refused = api.get(&format!("/locations?cursor={cursor}")).await;
        assert_eq!(refused.problem(), (400, "invalid_cursor", Vec::new()));
    }
}
