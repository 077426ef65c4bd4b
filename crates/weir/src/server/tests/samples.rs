//! An object of any kind, made from its definition alone: new kinds join by themselves.

use std::{future::Future, pin::Pin};

use serde_json::{Value, json};
use weir_core::{ApiError, Backing, Field, Kind, Map, Resource as _, ResourceType};
use weir_identity::{AuthenticatedSession, session};
use weir_resource::{Actor, Stored, Unit};
use weir_store::Val;

use super::stand::{Stand, map};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Fields that a definition cannot tell how to fill.
fn by_hand(kind: &ResourceType, owner: i64, number: i64) -> Value {
    const END: &str = "2031-01-01T00:00:00Z";
    match kind.model {
        "authentik_endpoints.deviceuserbinding" | "authentik_policies.policybinding" => json!({"user": owner}),
        "authentik_endpoints_connectors_fleet.fleetconnector" => json!({"url": format!("https://s{number}.example/")}),
        "authentik_policies_reputation.reputationpolicy" => json!({"check_ip": true, "check_username": true}),
        "authentik_policies_reputation.reputation" => {
            json!({"identifier": format!("s{number}"), "ip": "192.0.2.1", "score": 1, "ip_geo_data": {},
                   "ip_asn_data": {}, "updated": END, "expires": END})
        }
        "authentik_blueprints.blueprintinstance" => {
            json!({"content": format!("version: 1\nmetadata:\n  name: s{number}\nentries: []\n")})
        }
        "authentik_core.groupsourceconnection" | "authentik_sources_oauth.groupoauthsourceconnection" => {
            json!({"identifier": "bosses"})
        }
        "authentik_core.objectattribute" => json!({"object_type": "authentik_core.group"}),
        "authentik_core.userconsent" => json!({"application_id": format!("s{number}"), "permissions": "email"}),
        "authentik_providers_scim.scimprovider" => json!({"url": format!("https://s{number}.example/v2")}),
        "authentik_sources_oauth.oauthsource" => json!({"provider_type": "github"}),
        "authentik_stages_identification.identificationstage" => json!({"user_fields": ["username"]}),
        "authentik_stages_redirect.redirectstage" => json!({"mode": "static", "target_static": "https://s.example/"}),
        _ => json!({}),
    }
}

/// Columns that no definition names.
fn columns(kind: &ResourceType) -> Vec<(&'static str, Val)> {
    match kind.model {
        "authentik_core.userconsent" => vec![("security_epoch", 0_i64.into())],
        _ => Vec::new(),
    }
}

impl Stand {
    /// Another object of a kind; somebody owns it when the kind has owners.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn sample<'a>(
        &'a self,
        kind: &'static ResourceType,
        owner: i64,
        depth: u8,
    ) -> Boxed<'a, Result<Stored, String>> {
        Box::pin(async move {
            if depth > 5 {
                return Err("references go too deep".to_owned());
            }
            if kind.model == AuthenticatedSession::MODEL {
                return self.session(kind, owner).await;
            }
            let number = i64::try_from(self.core.site.random.uuid().as_u128() % 1_000_000).unwrap_or_default() + 1;
            let mut doc = Map::new();
            let hand = map(by_hand(kind, owner, number));
            for field in &kind.fields {
                let is_owner = kind.owner == Some(field.name.as_str());
                let needed =
                    field.required || is_owner || kind.unique.iter().any(|set| set.contains(&field.name.as_str()));
                if is_owner {
                    doc.insert(field.name.clone(), owner.into());
                } else if hand.contains_key(&field.name) || (field.read_only && field.reference.is_none()) {
                    continue;
                } else if needed && !field.nullable {
                    doc.insert(field.name.clone(), self.value(field, owner, number, depth).await?);
                }
            }
            doc.extend(hand);
            // What clients may not write the server gives itself.
            let is_kept = kind.owner.and_then(|owner| kind.find_field(owner)).is_some_and(|field| field.read_only);
            let actor = match (is_kept, kind.backing) {
                (true, Backing::Document) => Actor { user_id: Some(owner), ..Actor::system() },
                _ => Actor::system(),
            };
            let mut unit = Unit::new(&self.core.site, actor);
            let made = match kind.backing {
                Backing::Document => unit.create(kind, &doc, None).await,
                Backing::Table(_) if kind.operations.create && !is_kept => unit.create(kind, &doc, None).await,
                Backing::Table(_) => unit.make(kind, doc.clone(), columns(kind)).await,
            };
            let made = made.map_err(|error| match error {
                ApiError::Internal(cause) => format!("{cause:#}"),
                other => format!("{}", other.body()),
            })?;
            unit.commit().await.map_err(|error| format!("{error:?}"))?;
            Ok(made)
        })
    }

    /// Sessions begin by signing in.
    async fn session(&self, kind: &'static ResourceType, owner: i64) -> Result<Stored, String> {
        let site = &self.core.site;
        let (key, now) = (session::new_key(&*site.random), site.clock.now());
        let mut unit = self.unit();
        let wish = session::LogIn {
            old: None,
            key: &key,
            user_id: owner,
            epoch: None,
            expires: now + chrono::TimeDelta::days(1),
            ip: "192.0.2.1",
            user_agent: "test",
        };
        session::log_in(&mut unit.tx, &*site.random, now, wish).await.map_err(|error| format!("{error:?}"))?;
        let sql = "SELECT uuid FROM identity_session WHERE key_digest = $1";
        let row =
            unit.tx.read_one(sql, &[weir_identity::digest(&key).into()]).await.map_err(|error| format!("{error:?}"))?;
        let uuid = row.ok_or("no session")?.text("uuid").map_err(|error| format!("{error:?}"))?;
        let found = unit.find(kind, &uuid).await.map_err(|error| format!("{error:?}"))?;
        unit.commit().await.map_err(|error| format!("{error:?}"))?;
        found.ok_or_else(|| "the session is not there".to_owned())
    }

    fn value<'a>(&'a self, field: &'a Field, owner: i64, number: i64, depth: u8) -> Boxed<'a, Result<Value, String>> {
        Box::pin(async move {
            if let Some(reference) = &field.reference {
                let targets = self.core.site.registry.targets(&reference.model);
                let target = targets.iter().find(|kind| kind.operations.create).or(targets.first());
                let target = *target.ok_or_else(|| format!("{}: there is no {}", field.name, reference.model))?;
                let made = self.sample(target, owner, depth + 1).await?;
                let key = made.pk_value();
                return Ok(if field.is_reference_list() { json!([key]) } else { key });
            }
            Ok(simple(&field.kind, number))
        })
    }
}

fn simple(kind: &Kind, number: i64) -> Value {
    match kind {
        Kind::Bool => true.into(),
        Kind::Int { min, max } => number.clamp(*min, *max).into(),
        Kind::Float => json!(1.5),
        Kind::Text { format, .. } => match format.as_deref() {
            Some("email") => format!("s{number}@example.org").into(),
            Some("uri" | "launch_url") => format!("https://s{number}.example/").into(),
            Some("expression") => "return True".into(),
            Some("duration") => "hours=1".into(),
            _ => format!("s{number}").into(),
        },
        Kind::Uuid => uuid::Uuid::from_u128(number.unsigned_abs().into()).to_string().into(),
        Kind::DateTime => "2031-01-01T00:00:00Z".into(),
        Kind::Choice(values) => values.first().cloned().into(),
        Kind::Object | Kind::Any => json!({}),
        Kind::List(item) => json!([simple(item, number)]),
    }
}
