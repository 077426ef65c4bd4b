//! What is the same every time: requests to providers, and what counts as a good statement. Whole sign-ins with a real
//! provider are component tests.

use super::{
    OAuthSource, Pkce, apple,
    client::{self, Ties},
    discovery::Discovery,
    id_token::{self, Expected},
    providers::{PROVIDERS, ProviderType},
};
use crate::remote::Trouble;
use chrono::{DateTime, TimeZone as _, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_core::{Map, Resource};
use weir_policy::outbound::{Outbound, OutboundSettings};

/// A key made for these tests.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgFFlx+UrEyZ0/4MDu\n\
9ZW5BrZ94HS9qreaaGahlAbGhUOhRANCAARz1IT5pbcF6NE1DioquwRz6qe9FgCs\n\
UPXPcOIjX5YXACkRtSJco2P0OfZ6ytIBTCIxtUclFuXXzUb87vZ377pr\n\
-----END PRIVATE KEY-----";

fn source(fields: Value) -> OAuthSource {
    let mut body = json!({
        "name": "n", "slug": "s", "provider_type": "openidconnect", "consumer_key": "client", "consumer_secret": "secret",
        "authorization_url": "https://id.example.test/auth?tenant=1&state=forged",
        "access_token_url": "https://id.example.test/token",
    });
    body.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    serde_json::from_value(body).unwrap()
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 5, 1, 12, 0, 0).unwrap()
}

fn request(source: &OAuthSource) -> (String, BTreeMap<String, String>) {
    let ties = Ties { state: "st", nonce: "no", verifier: "ver", redirect_uri: "https://weir.example.test/back/" };
    let url = client::authorization_request(source, &ties).unwrap();
    (format!("{}{}", url.host_str().unwrap(), url.path()), url.query_pairs().into_owned().collect())
}

#[test]
fn a_request_keeps_parameters_of_the_address_but_not_those_that_are_ours() {
    let (at, query) = request(&source(json!({"additional_scopes": "groups email"})));
    assert_eq!(at, "id.example.test/auth");
    assert_eq!((query["tenant"].as_str(), query["state"].as_str(), query["nonce"].as_str()), ("1", "st", "no"));
    assert_eq!((query["client_id"].as_str(), query["response_type"].as_str()), ("client", "code"));
    assert_eq!(query["scope"], "openid email profile groups");
    assert!(!query.contains_key("code_challenge"));
}

#[test]
fn scopes_can_be_replaced_and_without_openid_nothing_signed_is_expected() {
    let plain = source(json!({"additional_scopes": "*read:me"}));
    let (_, query) = request(&plain);
    assert_eq!(query["scope"], "read:me");
    assert!(!query.contains_key("nonce") && !client::expects_statement(&plain));
}

#[test]
fn the_proof_of_possession_is_sent_as_the_source_says() {
    let challenge = |pkce: &str| request(&source(json!({"pkce": pkce}))).1;
    let plain = challenge("plain");
    assert_eq!((plain["code_challenge"].as_str(), plain["code_challenge_method"].as_str()), ("ver", "plain"));
    let hashed = challenge("S256");
    // printf ver | openssl dgst -sha256 -binary | basenc --base64url
    assert_eq!(hashed["code_challenge"], "z1Qq2hNe4-3LvnsxADGSx1KVx-_w7-dZOgoLD3ktUlY");
    assert_eq!(hashed["code_challenge_method"], "S256");
    let twitter = source(json!({"provider_type": "twitter", "pkce": "none"}));
    assert_eq!(twitter.pkce, Pkce::Off);
    assert_eq!(request(&twitter).1["code_challenge_method"], "S256", "this provider insists on it");
}

#[test]
fn every_provider_is_of_the_contract_and_complete() {
    for facts in &PROVIDERS {
        assert_eq!(serde_json::to_value(facts.kind).unwrap(), facts.name);
        let own = source(json!({"provider_type": facts.name, "profile_url": "https://id.example.test/me"}));
        assert!(own.check().is_empty(), "{}: {:?}", facts.name, own.check());
        let (at, query) = request(&own);
        match facts.authorization_url {
            // Fixed addresses are not the client's to choose.
            Some(fixed) if !facts.customizable => assert!(fixed.starts_with(&format!("https://{at}")), "{at}"),
            _ => assert_eq!(at, "id.example.test/auth"),
        }
        let id = if facts.kind == ProviderType::WeChat { "appid" } else { "client_id" };
        assert_eq!(query[id], "client", "{}", facts.name);
        assert!(!facts.claims.identifier.is_empty());
        let bare = source(json!({"provider_type": facts.name, "authorization_url": null, "access_token_url": null}));
        let lacks = facts.authorization_url.is_none();
        assert_eq!(bare.check().has("authorization_url"), lacks, "{}", facts.name);
    }
    assert_eq!(PROVIDERS.len(), 16);
}

#[test]
fn what_is_known_of_a_providers_own_servers_does_not_hold_on_others() {
    let on = |fields: Value| source(fields).check();
    for name in ["gitlab", "github", "entraid"] {
        let at_home = source(json!({"provider_type": name, "authorization_url": null, "access_token_url": null}));
        assert!(!at_home.runs_elsewhere() && at_home.profile_address().is_some(), "{name}");
        let elsewhere = source(json!({"provider_type": name}));
        assert!(elsewhere.runs_elsewhere(), "{name}");
        assert_eq!((elsewhere.keys_address(), elsewhere.profile_address()), (None, None), "{name}");
        // Somebody must tell who the person is.
        assert!(on(json!({"provider_type": name})).has("profile_url"), "{name}");
        assert!(on(json!({"provider_type": name, "profile_url": "https://id.example.test/me"})).is_empty(), "{name}");
        assert!(
            on(json!({"provider_type": name, "oidc_jwks_url": "https://id.example.test/keys"})).is_empty(),
            "{name}"
        );
        assert!(on(json!({"provider_type": name, "authorization_url": null})).has("authorization_url"), "{name}");
    }
    // A tenant of the provider's own server is no other server.
    let tenant = "https://login.microsoftonline.com/11-22/oauth2/v2.0/token";
    let entra = source(json!({"provider_type": "entraid", "access_token_url": tenant}));
    assert!(!entra.runs_elsewhere() && entra.keys_address().is_some());
    let claims = Map::from_iter([("tid".to_owned(), "11-22".into())]);
    assert!(!id_token::is_issuer(&entra, "https://id.example.test", &claims));
    assert!(id_token::is_issuer(&source(json!({"provider_type": "entraid"})), "https://id.example.test", &claims));
}

#[test]
fn a_source_that_describes_itself_needs_no_addresses_and_bad_ones_are_refused() {
    let told = json!({"authorization_url": null, "access_token_url": null, "oidc_well_known_url": "https://a.test/x"});
    assert!(source(told).check().is_empty());
    for bad in ["javascript:alert(1)", "file:///etc/passwd", "no address", "https://"] {
        assert!(source(json!({"profile_url": bad})).check().has("profile_url"), "{bad}");
    }
    assert!(source(json!({"user_path_template": "/a/"})).check().has("user_path_template"));
}

#[test]
fn apple_gets_a_signed_secret_and_tells_the_name_once() {
    let apple = source(json!({"provider_type": "apple", "consumer_key": "client;team;key", "consumer_secret": PEM}));
    assert_eq!(client::client_id(&apple), "client");
    assert_eq!(request(&apple).1["response_mode"], "form_post");
    let secret = apple::client_secret(&apple, now()).unwrap();
    let header = jsonwebtoken::decode_header(&secret).unwrap();
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::ES256, Some("key")));
    let claims = jsonwebtoken::dangerous::insecure_decode::<Map>(&secret).unwrap().claims;
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("team"), &json!("client")));
    assert_eq!(claims["aud"], "https://appleid.apple.com");
    for bad in [json!({"consumer_key": "client"}), json!({"consumer_secret": "no key"})] {
        let mut fields = json!({"provider_type": "apple", "consumer_key": "a;b;c", "consumer_secret": PEM});
        fields.as_object_mut().unwrap().extend(bad.as_object().cloned().unwrap());
        let error = apple::client_secret(&source(fields), now()).unwrap_err();
        assert!(!error.0.contains("no key"), "{error}");
    }
    let user = r#"{"name": {"firstName": "Ann", "lastName": "Example"}}"#;
    assert_eq!(apple::full_name(Some(user)).as_deref(), Some("Ann Example"));
    assert_eq!((apple::full_name(Some("[]")), apple::full_name(None)), (None, None));
}

#[test]
fn an_issuer_with_a_tenant_is_the_tenants_that_the_statement_names() {
    let entra = source(json!({"provider_type": "entraid", "authorization_url": null, "access_token_url": null}));
    let is = |issuer: &str, tenant: &str| {
        let claims = Map::from_iter([("tid".to_owned(), tenant.into())]);
        id_token::is_issuer(&entra, issuer, &claims)
    };
    assert!(is("https://login.microsoftonline.com/11-22/v2.0", "11-22"));
    assert!(!is("https://login.microsoftonline.com/11-22/v2.0", "33-44"));
    assert!(!is("https://login.microsoftonline.com//v2.0", ""));
    assert!(!is("https://evil.test/v2.0", "evil.test/x"));
}

/// What is said of a statement signed with the client secret.
async fn judge(source: &OAuthSource, claims: Value, algorithm: Algorithm) -> Result<Option<Map>, Trouble> {
    let key = EncodingKey::from_secret(source.consumer_secret.0.as_bytes());
    let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap();
    let outbound = Outbound::new(OutboundSettings::default());
    let expected = Expected { source, nonce: "no", now: now() };
    id_token::verify(&outbound, &Discovery::default(), &token, &expected).await
}

fn claims(change: Value) -> Value {
    let at = now().timestamp();
    let mut claims = json!({
        "iss": "https://id.example.test", "aud": "client", "sub": "ann", "nonce": "no", "iat": at, "exp": at + 60,
    });
    claims.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
    claims
}

#[tokio::test]
async fn the_client_secret_signs_only_where_there_are_no_public_keys() {
    let plain = source(json!({"issuer": "https://id.example.test"}));
    let good = judge(&plain, claims(json!({})), Algorithm::HS256).await.unwrap().unwrap();
    assert_eq!(good["sub"], "ann");
    let with_keys = source(json!({"oidc_jwks": {"keys": []}}));
    let error = judge(&with_keys, claims(json!({})), Algorithm::HS256).await.unwrap_err();
    assert!(error.0.contains("algorithm"), "{error}");
}

#[tokio::test]
async fn each_wrong_claim_is_refused() {
    let plain = source(json!({"issuer": "https://id.example.test"}));
    let at = now().timestamp();
    for (change, words) in [
        (json!({"iss": "https://id.example.test/"}), "issuer"),
        (json!({"iss": null}), "issuer"),
        (json!({"aud": "other"}), "another client"),
        (json!({"aud": ["client", "other"]}), "another client"),
        (json!({"azp": "other"}), "another client"),
        (json!({"exp": at - 61}), "expired"),
        (json!({"exp": null}), "expired"),
        (json!({"iat": at + 3600}), "future"),
        (json!({"nbf": at + 3600}), "future"),
        (json!({"nonce": "other"}), "another sign-in"),
        (json!({"nonce": null}), "another sign-in"),
        (json!({"sub": ""}), "nobody"),
    ] {
        let error = judge(&plain, claims(change.clone()), Algorithm::HS256).await.unwrap_err();
        assert!(error.0.contains(words), "{change}: {error}");
    }
    let several = claims(json!({"aud": ["client", "other"], "azp": "client"}));
    assert!(judge(&plain, several, Algorithm::HS384).await.unwrap().is_some());
}
