//! Behaviour of the mutual TLS stage.

use super::{CertAttribute, MutualTLSStage, MutualTlsChallenge, MutualTlsResponse, StageMode, UserAttribute};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use weir_core::Resource;
use weir_flow::{Designation, Outcome, PendingUser, Reject, Stage, StageCx, View, keys};
use weir_identity::{Account, Brand, Grants, UserField, accounts};
use weir_pki::{CertificateKeyPair, Facts};
use weir_policy::request::Presenter;

/// The kind.
pub struct MutualTls;

/// Lets an outpost's account say that a client has the key of a certificate.
const PASS: &str = "authentik_stages_mtls.pass_outpost_certificate";

const NO_CERTIFICATE: &str = "Certificate required but no certificate was given.";
const NO_USER: &str = "No user found for certificate.";

/// What looking at the request led to.
enum Seen {
    Outcome(Outcome),
    Refused(&'static str),
}

impl MutualTls {
    /// The authorities of the stage, else those of the brand.
    fn authorities(cx: &StageCx<'_>, config: &MutualTLSStage) -> Vec<Arc<CertificateKeyPair>> {
        let snapshot = &cx.unit.snapshot;
        let brand = cx.request.brand.and_then(|id| snapshot.get::<Brand>(id));
        let references = match &config.certificate_authorities {
            own if !own.is_empty() => own.as_slice(),
            _ => brand.as_ref().map(|brand| brand.client_certificates.as_slice()).unwrap_or_default(),
        };
        references.iter().filter_map(|pair| snapshot.get::<CertificateKeyPair>(pair.uuid())).collect()
    }

    /// Whether the outpost that sends this request may vouch for its clients here.
    async fn outpost_may_pass(cx: &mut StageCx<'_>) -> Result<bool, Reject> {
        let outpost = cx.request.outpost.as_ref().and_then(|outpost| outpost.get("pk")?.as_i64());
        let Some(outpost) = outpost else { return Ok(false) };
        let grants = Grants::load(&mut cx.unit.tx, outpost).await?;
        Ok(grants.may(PASS, Some(&cx.stage_id.to_string())))
    }

    /// The first certificate of the request that an authority vouches for.
    async fn find(cx: &mut StageCx<'_>, authorities: &[Arc<CertificateKeyPair>]) -> Result<Option<Facts>, Reject> {
        let request = cx.request;
        if request.certificates.is_empty() {
            return Ok(None);
        }
        let now = cx.now();
        let authorities = CertificateKeyPair::authorities(authorities.iter().map(|pair| &**pair), now);
        for shown in &request.certificates {
            if shown.by == Presenter::Outpost && !Self::outpost_may_pass(cx).await? {
                tracing::warn!("an outpost passes on a certificate without the permission for it");
                continue;
            }
            match authorities.verify(&shown.chain, now) {
                Ok(facts) => return Ok(Some(facts)),
                Err(refusal) => {
                    tracing::info!(stage = cx.stage_name, %refusal, "a client's certificate was not accepted");
                }
            }
        }
        Ok(None)
    }

    /// The one active user whom the certificate names. Two would be one too many: nobody knows whose it is.
    async fn user(cx: &mut StageCx<'_>, config: &MutualTLSStage, facts: &Facts) -> Result<Option<Account>, Reject> {
        let named: Vec<String> = match config.cert_attribute {
            CertAttribute::Subject => vec![facts.subject.clone()],
            CertAttribute::CommonName => facts.common_name.clone().into_iter().collect(),
            CertAttribute::Email => facts.emails.clone(),
        };
        let mut found = BTreeMap::new();
        for name in named.iter().filter(|name| !name.is_empty()) {
            for account in Self::accounts(cx, config.user_attribute, name).await? {
                found.insert(account.id, account);
            }
        }
        let only = if found.len() == 1 { found.into_values().next() } else { None };
        Ok(only.filter(|account| account.is_active))
    }

    async fn accounts(cx: &mut StageCx<'_>, by: UserAttribute, value: &str) -> Result<Vec<Account>, Reject> {
        let field = match by {
            UserAttribute::Username => UserField::Username,
            UserAttribute::Email => UserField::Email,
        };
        Ok(accounts::identify_all(&mut cx.unit.tx, &[field], value, false).await?)
    }

    async fn look(cx: &mut StageCx<'_>, config: &MutualTLSStage) -> Result<Seen, Reject> {
        let authorities = Self::authorities(cx, config);
        if authorities.is_empty() {
            return Ok(Seen::Outcome(match config.mode {
                StageMode::Optional => Outcome::Next,
                StageMode::Required => Outcome::Deny(None),
            }));
        }
        let Some(facts) = Self::find(cx, &authorities).await? else {
            return Ok(match config.mode {
                StageMode::Optional => Seen::Outcome(Outcome::Next),
                StageMode::Required => Seen::Refused(NO_CERTIFICATE),
            });
        };
        let shown = json!({
            "serial_number": facts.serial_number,
            "subject": facts.subject,
            "issuer": facts.issuer,
            "fingerprint_sha256": facts.fingerprint_sha256,
            "fingerprint_sha1": facts.fingerprint_sha1,
        });
        if cx.flow.designation == Designation::Enrollment {
            cx.context.set(keys::CERTIFICATE, &shown);
            let data = cx.context.object_mut(keys::PROMPT_DATA);
            let known = [("email", facts.emails.into_iter().next()), ("name", facts.common_name)];
            data.extend(known.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))));
            return Ok(Seen::Outcome(Outcome::Next));
        }
        let Some(account) = Self::user(cx, config, &facts).await? else { return Ok(Seen::Refused(NO_USER)) };
        // A certificate beside another proof must be that person's own, or it would replace what was proven.
        match cx.context.get(keys::PENDING_USER) {
            Some(PendingUser::Known(id)) if id != account.id => return Ok(Seen::Refused(NO_USER)),
            Some(PendingUser::Claimed { .. }) => return Ok(Seen::Refused(NO_USER)),
            _ => {}
        }
        Self::accept(cx, &account, shown);
        Ok(Seen::Outcome(Outcome::Next))
    }

    fn accept(cx: &mut StageCx<'_>, account: &Account, certificate: Value) {
        cx.context.set(keys::CERTIFICATE, &certificate);
        cx.set_person(account);
        if !cx.context.has(keys::AUTH_METHOD) {
            cx.context.set(keys::AUTH_METHOD, &"mtls".to_owned());
        }
        cx.context.object_mut(keys::AUTH_METHOD_ARGS).insert("certificate".to_owned(), certificate);
    }
}

#[async_trait]
impl Stage for MutualTls {
    const MODEL: &'static str = MutualTLSStage::MODEL;
    type Config = MutualTLSStage;
    type Challenge = MutualTlsChallenge;
    type Response = MutualTlsResponse;

    fn is_silent(&self, _config: &MutualTLSStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &MutualTLSStage) -> Result<View<MutualTlsChallenge>, Reject> {
        Ok(match Self::look(cx, config).await? {
            Seen::Outcome(outcome) => View::Done(outcome),
            Seen::Refused(reason) => View::Ask(MutualTlsChallenge { error_message: reason.to_owned() }),
        })
    }

    /// Never reached: what is silent is viewed whatever was sent.
    async fn answer(&self, _: &mut StageCx<'_>, _: &MutualTLSStage, _: MutualTlsResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
