//! Countries, networks, distances.

use super::{GeoIPPolicy, Point, countries::countries};
use crate::{
    Mode, PolicyBinding, RequestInfo,
    tests::{Door, World},
};
use chrono::TimeDelta;
use serde_json::{Value, json};
use weir_events::{Event, Origin, action};

const NO_ASN: &str = "GeoIP: client IP not found in ASN database.";
const NO_CITY: &str = "GeoIP: client IP address not found in City database.";
const WRONG_ASN: &str = "Client IP is not part of an allowed autonomous system.";
const WRONG_COUNTRY: &str = "Client IP is not in an allowed country.";

async fn policy(world: &World, fields: Value) -> String {
    let mut body = json!({"name": format!("g{}", world.site.random.uuid()), "countries": []});
    body.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    world.create::<GeoIPPolicy>(body).await.pk
}

#[test]
fn the_countries_are_those_of_the_standard() {
    let all = countries();
    assert_eq!(all.len(), 249);
    assert!(all.contains(&("DE", "Germany")) && all.iter().all(|(code, name)| code.len() == 2 && !name.is_empty()));
}

#[test]
fn distances_are_along_the_surface() {
    let (berlin, sydney) = (Point { lat: 52.52, long: 13.405 }, Point { lat: -33.8688, long: 151.2093 });
    assert!((berlin.distance(sydney) - 16_090.0).abs() < 30.0, "{}", berlin.distance(sydney));
    assert!(berlin.distance(berlin) < 0.001);
    let (west, east) = (Point { lat: 0.0, long: -179.9 }, Point { lat: 0.0, long: 179.9 });
    assert!((west.distance(east) - 22.2).abs() < 0.1);
}

#[tokio::test]
async fn one_of_country_and_network_is_enough() {
    let world = World::without_worker().await;
    let (de, net) = (json!({"country": "DE"}), json!({"asn": 64512}));
    for (fields, context, passing, told) in [
        (json!({}), json!({}), Some(true), ""),
        (json!({"countries": ["DE"]}), json!({"geoip": de}), Some(true), ""),
        (json!({"countries": ["FR"]}), json!({"geoip": de}), Some(false), WRONG_COUNTRY),
        (json!({"countries": ["FR"]}), json!({}), None, NO_CITY),
        (json!({"asns": [64512]}), json!({"asn": net}), Some(true), ""),
        (json!({"asns": [1]}), json!({"asn": net}), Some(false), WRONG_ASN),
        (json!({"asns": [1]}), json!({}), None, NO_ASN),
        (json!({"asns": [1], "countries": ["DE"]}), json!({"asn": net, "geoip": de}), Some(true), ""),
        (json!({"asns": [1], "countries": ["FR"]}), json!({"asn": net, "geoip": de}), Some(false), WRONG_ASN),
        (json!({"asns": [1], "countries": ["DE"]}), json!({"geoip": de}), None, NO_ASN),
    ] {
        let policy = policy(&world, fields.clone()).await;
        let tried = world.try_policy(&policy, None, &RequestInfo::default(), context.clone()).await;
        assert_eq!(tried.said(), (passing, told), "{fields} {context}");
    }
}

#[tokio::test]
async fn where_somebody_was_before_limits_where_they_can_be() {
    let world = World::without_worker().await;
    world.people().await;
    let ada = world.account("ada").await;
    let http = RequestInfo::default();
    let sydney = json!({"geoip": {"country": "AU", "lat": -33.8688, "long": 151.2093}});
    let potsdam = json!({"geoip": {"country": "DE", "lat": 52.39, "long": 13.06}});
    let far = policy(&world, json!({"check_history_distance": true, "history_max_distance_km": 100})).await;
    let fast = policy(&world, json!({"check_impossible_travel": true})).await;
    assert_eq!(world.try_policy(&far, Some(&ada), &http, sydney.clone()).await.passing, Some(true), "no history");
    let mut tx = world.site.db.tx();
    let origin = Origin { user_id: Some(ada.id), ..Origin::system() };
    let hours = [30, 2];
    for (age, geo) in hours.into_iter().zip([json!({"country": "DE"}), json!({"lat": 52.52, "long": 13.405})]) {
        let event = Event::new(action::LOGIN, "authentik.core", json!({"geo": geo}));
        let then = world.site.clock.now() - TimeDelta::hours(age);
        weir_events::record(&mut tx, &*world.site.random, then, TimeDelta::days(1), &origin, event).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(world.try_policy(&far, Some(&ada), &http, potsdam.clone()).await.passing, Some(true));
    let tried = world.try_policy(&far, Some(&ada), &http, sydney.clone()).await;
    let told = "Distance from previous authentication is larger than threshold.";
    assert_eq!((tried.said(), &tried.raw["reason"]), ((Some(false), told), &json!("distance")));
    let tried = world.try_policy(&fast, Some(&ada), &http, sydney.clone()).await;
    assert_eq!(tried.said(), (Some(false), "Distance is further than possible."));
    let allowed = tried.raw["allowed_distance_km"].as_f64().unwrap();
    assert!((2100.0..2101.0).contains(&allowed), "{allowed}");
    assert_eq!(world.try_policy(&fast, Some(&ada), &http, potsdam).await.passing, Some(true));
    // Nobody, or nowhere, has no history.
    assert_eq!(world.try_policy(&far, None, &http, sydney).await.passing, Some(true));
    assert_eq!(world.try_policy(&far, Some(&ada), &http, json!({})).await.passing, Some(true));
}

#[tokio::test]
async fn bindings_are_asked_with_the_place_of_the_client() {
    use weir_geo::test_support::{city, database};
    let world = World::without_worker().await;
    let path = std::env::temp_dir().join(format!("weir-policy-city-{}.mmdb", std::process::id()));
    let local = database("GeoLite2-City", &[("127.0.0.0", 8, city("DE", "Berlin", 52.52, 13.405))]);
    std::fs::write(&path, local).unwrap();
    world.site.geo.open(Some(path.clone()), None);
    std::fs::remove_file(path).unwrap();
    let door = world.create::<Door>(json!({"name": "door"})).await.pk;
    let german = policy(&world, json!({"countries": ["DE"]})).await;
    world.create::<PolicyBinding>(json!({"target": door, "policy": german, "order": 0})).await;
    let (result, events) = world.ask_from(&door, Mode::Any, None, "127.0.0.1").await;
    assert!(result.passing && events.is_empty());
    let (result, events) = world.ask_from(&door, Mode::Any, None, "192.0.2.1").await;
    assert_eq!((result.passing, result.messages, events.len()), (false, vec![NO_CITY.to_owned()], 1));
}
