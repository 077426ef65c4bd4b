use super::{MODEL, enrol, register, setup_flow};
use crate::{
    authenticator_webauthn::{load, load_signed},
    tests::{error, site},
};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_resource::{Presenting, Stored, present};
use weir_testkit::TestSite;
use weir_webauthn::{
    metadata::{Model, read_signed},
    software::{Authenticator, Maker, Vouching},
};

const TYPES: &str = "authentik_stages_authenticator_webauthn.webauthndevicetype";
const STAGE: &str = "authentik_stages_authenticator_webauthn.authenticatorwebauthnstage";
const REFUSAL: &str = "Invalid device type. Contact your authentik administrator for help.";

/// Loads a plain list.
pub(super) async fn plain(site: &TestSite, models: &[(Uuid, &str)]) {
    let models: Vec<Model> = models
        .iter()
        .map(|(aaguid, name)| Model {
            aaguid: *aaguid,
            description: (*name).to_owned(),
            icon: None,
            roots: Vec::new(),
            is_revoked: false,
        })
        .collect();
    let mut unit = site.unit();
    load(&mut unit, &models).await.unwrap();
    unit.commit().await.unwrap();
}

/// Loads a metadata file of this maker's.
async fn signed(site: &TestSite, maker: &Maker, number: u64, entries: &[Value]) -> Result<(), weir_core::ApiError> {
    let file = maker.metadata(number, "2026-06-01", entries);
    let file = read_signed(&file, &[maker.root()], site.now()).unwrap();
    let mut unit = site.unit();
    load_signed(&mut unit, &file).await?;
    unit.commit().await
}

async fn names(site: &TestSite) -> Vec<(String, String)> {
    let sql = "SELECT aaguid, description FROM webauthn_device_type ORDER BY aaguid";
    let rows = site.db.read(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.text("aaguid").unwrap(), row.text("description").unwrap())).collect()
}

async fn shown(site: &TestSite, model: &str, pk: impl ToString) -> Value {
    let kind = site.app.site.registry.find(model).unwrap();
    let mut unit = site.unit();
    let stored: Stored = unit.find(kind, &pk.to_string()).await.unwrap().unwrap();
    let snapshot = site.app.site.snapshot();
    let cx = Presenting {
        site: &site.app.site,
        snapshot: &snapshot,
        query: &[],
        user_id: None,
        session: None,
        base_url: "https://id.example.org",
        operation: "",
    };
    Value::Object(present(&cx, &[stored]).await.unwrap().pop().unwrap())
}

#[tokio::test]
async fn the_unknown_model_is_always_there() {
    let site = site().await;
    let unknown = (Uuid::nil().to_string(), "authentik: Unknown devices".to_owned());
    assert_eq!(names(&site).await, std::slice::from_ref(&unknown));
    plain(&site, &[(Uuid::nil(), "Something else"), (MODEL, "Model\u{7}")]).await;
    assert_eq!(names(&site).await, [unknown, (MODEL.to_string(), "Model".to_owned())]);
    let expected = json!({"aaguid": MODEL, "description": "Model"});
    assert_eq!(shown(&site, TYPES, MODEL).await, expected);
    assert_eq!(site.events_of("custom_webauthn_device_types_loaded").await.len(), 1);
}

#[tokio::test]
async fn stages_and_devices_show_their_models() {
    let site = site().await;
    plain(&site, &[(MODEL, "Model")]).await;
    let maja = site.user("maja", "").await;
    let stage = setup_flow(&site, json!({"device_type_restrictions": [MODEL, Uuid::nil()]})).await;
    let own = json!({"aaguid": MODEL, "description": "Model"});
    let unknown = json!({"aaguid": Uuid::nil(), "description": "authentik: Unknown devices"});
    assert_eq!(shown(&site, STAGE, stage).await["device_type_restrictions_obj"], json!([own, unknown]));
    let validate = site.stage("authenticator_validate", "v", json!({"webauthn_allowed_device_types": [MODEL]})).await;
    let validate_model = "authentik_stages_authenticator_validate.authenticatorvalidatestage";
    assert_eq!(shown(&site, validate_model, validate).await["webauthn_allowed_device_types_obj"], json!([own]));
    let device = enrol(&site, maja, &mut Authenticator { aaguid: MODEL, ..Authenticator::default() }).await;
    let seen = shown(&site, device.kind.model(), &device.pk).await;
    assert_eq!((&seen["device_type"], &seen["aaguid"]), (&own, &json!(MODEL)));
    let mut free = Authenticator { aaguid: Uuid::from_bytes([1; 16]), ..Authenticator::default() };
    let other = enrol(&site, maja, &mut free).await;
    assert_eq!(shown(&site, other.kind.model(), &other.pk).await["device_type"], Value::Null);
}

#[tokio::test]
async fn a_plain_list_changes_nothing_of_a_signed_one_and_an_old_one_is_refused() {
    let site = site().await;
    let maker = Maker::new("Alliance");
    signed(&site, &maker, 7, &[maker.entry(MODEL, "Signed", "FIDO_CERTIFIED")]).await.unwrap();
    plain(&site, &[(MODEL, "Plain")]).await;
    assert!(names(&site).await.contains(&(MODEL.to_string(), "Signed".to_owned())));
    let older = signed(&site, &maker, 6, &[maker.entry(MODEL, "Older", "FIDO_CERTIFIED")]).await.unwrap_err();
    assert!(older.to_string().contains("number 7 was loaded before"), "{older}");
    signed(&site, &maker, 7, &[maker.entry(MODEL, "Again", "FIDO_CERTIFIED")]).await.unwrap();
    // A list without the model leaves it: stages that name it would else take all.
    signed(&site, &maker, 8, &[]).await.unwrap();
    assert!(names(&site).await.contains(&(MODEL.to_string(), "Again".to_owned())));
}

#[tokio::test]
async fn a_listed_model_with_known_makers_must_prove_that_it_is_one() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    let (alliance, maker) = (Maker::new("Alliance"), Maker::new("Maker"));
    signed(&site, &alliance, 1, &[maker.entry(MODEL, "Model", "FIDO_CERTIFIED")]).await.unwrap();
    let stage = setup_flow(&site, json!({"device_type_restrictions": [MODEL]})).await;
    let with = |vouching| Authenticator { aaguid: MODEL, vouching, ..Authenticator::default() };
    for vouching in [Vouching::None, Vouching::Own, Vouching::Packed(Box::new(Maker::new("Maker")))] {
        let shown = register(&site, maja, &mut with(vouching)).await;
        assert_eq!(error(&shown, "response").0, REFUSAL);
    }
    let device = enrol(&site, maja, &mut with(Vouching::Packed(Box::new(maker)))).await;
    assert_eq!(device.name, "Model");
    // Where any model is taken, nothing needs proof.
    site.change(STAGE, stage, json!({"device_type_restrictions": []})).await;
    enrol(&site, maja, &mut with(Vouching::None)).await;
}

#[tokio::test]
async fn a_revoked_model_passes_no_restriction() {
    let site = site().await;
    let maja = site.user("maja", "").await;
    let maker = Maker::new("Maker");
    signed(&site, &maker, 1, &[maker.entry(MODEL, "Model", "FIDO_CERTIFIED")]).await.unwrap();
    signed(&site, &maker, 2, &[maker.entry(MODEL, "Model", "REVOKED")]).await.unwrap();
    setup_flow(&site, json!({"device_type_restrictions": [MODEL]})).await;
    let vouching = Vouching::Packed(Box::new(maker));
    let shown = register(&site, maja, &mut Authenticator { aaguid: MODEL, vouching, ..Authenticator::default() }).await;
    assert_eq!(error(&shown, "response").0, REFUSAL);
}
