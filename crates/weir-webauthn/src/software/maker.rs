//! A maker of authenticators: a root, and certificates for models; also a FIDO Alliance that signs lists.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// A maker with a root certificate.
pub struct Maker {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl Maker {
    /// A new one.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = Self::params();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// Parameters of a certificate without a name, valid from 2020 to 2060.
    pub fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2060, 1, 1);
        params.is_ca = IsCa::ExplicitNoCa;
        params
    }

    /// The root as DER.
    pub fn root(&self) -> Vec<u8> {
        self.root.clone()
    }

    /// The root as PEM.
    pub fn root_pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.root);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// A certificate for this key.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn leaf(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }

    /// A certificate for attestations of a model, and its key.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn packed_leaf(&self, aaguid: Uuid) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        (self.leaf(&Self::packed_params(aaguid), &key), key)
    }

    /// Parameters of such a certificate.
    pub fn packed_params(aaguid: Uuid) -> CertificateParams {
        let mut params = Self::params();
        let name = &mut params.distinguished_name;
        name.push(DnType::CountryName, "SE");
        name.push(DnType::OrganizationName, "Maker of Software");
        name.push(DnType::OrganizationalUnitName, "Authenticator Attestation");
        name.push(DnType::CommonName, "Software authenticator");
        let value = super::der::write(4, aaguid.as_bytes());
        let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4], value);
        params.custom_extensions.push(extension);
        params
    }

    /// An ECDSA signature by a certificate's key.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn sign(key: &KeyPair, message: &[u8]) -> Vec<u8> {
        key.sign(message).unwrap()
    }

    /// A metadata file with these entries, signed with ES256 by a certificate of this maker's.
    ///
    /// # Panics
    /// When the library refuses.
    pub fn metadata(&self, number: u64, next_update: &str, entries: &[Value]) -> String {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["mds.example.org".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2060, 1, 1));
        let chain = [self.leaf(&params, &key), self.root()].map(|der| BASE64_STANDARD.encode(der));
        let header = json!({"alg": "ES256", "typ": "JWT", "x5c": chain});
        let payload = json!({"legalHeader": "", "no": number, "nextUpdate": next_update, "entries": entries});
        let part = |value: Value| crate::encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(payload));
        let signature = Self::sign(&key, signed.as_bytes());
        format!("{signed}.{}", crate::encode(&jose(&signature)))
    }

    /// An entry of such a file.
    pub fn entry(&self, aaguid: Uuid, description: &str, status: &str) -> Value {
        json!({
            "aaguid": aaguid,
            "metadataStatement": {
                "description": description,
                "attestationRootCertificates": [BASE64_STANDARD.encode(&self.root)],
            },
            "statusReports": [{"status": status, "effectiveDate": "2026-01-01"}],
            "timeOfLastStatusChange": "2026-01-01",
        })
    }
}

/// The two numbers of a signature over P-256, one after the other.
fn jose(signature: &[u8]) -> Vec<u8> {
    let numbers = crate::der::all(crate::der::only(signature).unwrap().content).unwrap();
    let mut out = Vec::new();
    for number in numbers {
        let digits: Vec<u8> = number.content.iter().copied().skip_while(|b| *b == 0).collect();
        out.extend(vec![0; 32 - digits.len()]);
        out.extend(digits);
    }
    out
}
