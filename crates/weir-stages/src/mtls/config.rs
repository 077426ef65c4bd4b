//! Definition of the mutual TLS stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::{Family, Ref, Resource, resource::UuidKeyed};
use weir_identity::AnyCertificate;

/// What happens without a good answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum StageMode {
    #[default]
    Optional,
    Required,
}

/// The part of a certificate that names the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum CertAttribute {
    Subject,
    CommonName,
    Email,
}

/// The part of a user that the certificate names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the contract's words")]
pub enum UserAttribute {
    Username,
    Email,
}

/// Takes the user from the certificate that the browser showed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MutualTLSStage {
    /// Name of the stage.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Whether people without a good certificate may go on.
    pub mode: StageMode,
    /// Authorities that vouch for certificates. Without any, those of the brand do.
    #[serde(default)]
    pub certificate_authorities: Vec<Ref<AnyCertificate>>,
    /// The part of the certificate that names the user.
    pub cert_attribute: CertAttribute,
    /// The part of the user that must equal it.
    pub user_attribute: UserAttribute,
}

impl UuidKeyed for MutualTLSStage {}
impl Resource for MutualTLSStage {
    const MODEL: &'static str = "authentik_stages_mtls.mutualtlsstage";
    const PATH: &'static str = "stages/mtls";
    const SCHEMA: &'static str = "MutualTLSStage";
    const VERBOSE: &'static str = "Mutual TLS Stage";
    const COMPONENT: &'static str = "ak-stage-mtls-form";
    const FAMILY: Option<Family> = Some(Family::Stage);
    const PARAM: &'static str = "stage_uuid";
    const PERMISSIONS: &'static [&'static str] = &["pass_outpost_certificate"];
}
