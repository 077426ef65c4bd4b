//! Configuration by which a device management system lets agents enrol themselves.
//!
//! What an agent reads is public: on macOS the managed preferences `URL` and `RegistrationToken` of the domain
//! `io.goauthentik.platform`; on Windows two values of those names below one key of the registry; on Linux nothing, so
//! that it is told by its command line. Agents for other systems read nothing that is known.

use super::{EnrollmentToken, facts::Family, token};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use uuid::Uuid;
use weir_core::{ApiError, validate};
use weir_flow::App;
use weir_http::{Call, Reply};
use weir_identity::kind;
use weir_resource::Unit;

/// The domain of the agent's preferences on macOS.
const DOMAIN: &str = "io.goauthentik.platform";
/// Where the agent looks on Windows, as the registry's configuration service provider names it.
const REGISTRY: &str = "./Vendor/MSFT/Registry/HKLM/SOFTWARE/authentik Security Inc./Platform/ManagedConfig";
/// Name of the domain that the agent joins on Linux: it tells several apart on one machine.
const JOINED: &str = "weir";

/// What is to be configured.
#[derive(Deserialize, JsonSchema)]
struct MdmBody {
    /// The system of the devices.
    platform: Family,
    /// The token by which they enrol themselves; one of the connector's own.
    enrollment_token: Uuid,
}

/// A file for a device management system.
#[derive(Debug)]
struct File {
    text: String,
    mime: &'static str,
    name: &'static str,
}

/// What agents are told.
struct Told<'a> {
    /// Address of this site.
    url: &'a str,
    /// Key of the enrolment token.
    key: &'a str,
    /// Name of the connector, for people.
    name: &'a str,
    /// What tells this configuration from others, the same each time.
    seed: String,
}

/// Answers with the configuration. It holds the token's key: whoever may not see that gets none.
pub(super) async fn config(engine: &App, mut call: Call) -> Result<Reply, ApiError> {
    let body: MdmBody = call.typed().await?;
    let connector = call.target()?;
    let tokens = kind::<EnrollmentToken>(&call.app.site)?;
    let wanted = body.enrollment_token.to_string();
    let unknown = || ApiError::field("enrollment_token", validate::invalid_pk(&Value::from(wanted.clone())));
    if !call.grants.may(&tokens.permission("view"), Some(&wanted)) {
        return Err(unknown());
    }
    let mut unit = Unit::new(&call.app.site, call.actor());
    let token = unit.find(tokens, &wanted).await?.ok_or_else(unknown)?;
    if token.text("connector") != connector.pk {
        return Err(unknown());
    }
    if !call.grants.may("authentik_endpoints_connectors_agent.view_enrollment_token_key", Some(&wanted)) {
        return Err(ApiError::forbidden());
    }
    let make = maker(body.platform)?;
    let key = token::view_key(&mut unit, &token).await?;
    let url = engine.site_url(&unit.snapshot.settings, &call.info());
    let name = connector.name();
    let made = make(&Told { url: &url, key: &key, name: &name, seed: format!("{} {wanted}", connector.pk) });
    unit.commit().await?;
    Ok(Reply::ok(&json!({"config": made.text, "mime_type": made.mime, "filename": made.name})))
}

/// How a configuration for a system is written.
fn maker(platform: Family) -> Result<fn(&Told<'_>) -> File, ApiError> {
    match platform {
        Family::Linux => Ok(linux),
        Family::MacOs => Ok(mac_os),
        Family::Windows => Ok(windows),
        Family::Unix | Family::Bsd | Family::Android | Family::IOs | Family::Other => {
            Err(ApiError::field("platform", "Agents on this platform cannot be configured by device management."))
        }
    }
}

/// A text in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML has no way to write the other controls.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// An identifier that stays the same, so that a newer profile replaces an older one.
fn identifier(told: &Told<'_>, part: &str) -> String {
    let digest = Sha256::digest(format!("{part} {}", told.seed));
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(digest) {
        *byte = hashed;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string().to_uppercase()
}

/// A configuration profile of Apple's.
fn mac_os(told: &Told<'_>) -> File {
    let payload = |fields: &[(&str, &str)]| {
        fields.iter().fold(String::new(), |mut all, (name, value)| {
            let _ = write!(all, "<key>{name}</key><string>{}</string>", escaped(value));
            all
        })
    };
    let (inner, outer) = (identifier(told, "payload"), identifier(told, "profile"));
    let inner = payload(&[
        ("PayloadDisplayName", told.name),
        ("PayloadIdentifier", &format!("{DOMAIN}.{inner}")),
        ("PayloadType", DOMAIN),
        ("PayloadUUID", &inner),
        ("RegistrationToken", told.key),
        ("URL", told.url),
    ]);
    let outer = payload(&[
        ("PayloadDisplayName", told.name),
        ("PayloadIdentifier", &outer),
        ("PayloadScope", "System"),
        ("PayloadType", "Configuration"),
        ("PayloadUUID", &outer),
    ]);
    let version = "<key>PayloadVersion</key><integer>1</integer>";
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict><key>PayloadContent</key><array><dict>{inner}{version}</dict></array>\
         {outer}{version}</dict></plist>\n"
    );
    File { text, mime: "application/x-apple-aspen-config", name: "weir-agent.mobileconfig" }
}

/// Commands of SyncML that set the two values.
fn windows(told: &Told<'_>) -> File {
    let mut text = String::new();
    for (number, (name, value)) in (1..).zip([("RegistrationToken", told.key), ("URL", told.url)]) {
        let _ = writeln!(
            text,
            "<Replace><CmdID>{number}</CmdID><Item><Target><LocURI>{REGISTRY}/{name}</LocURI></Target>\
             <Meta><Format xmlns=\"syncml:metinf\">chr</Format><Type xmlns=\"syncml:metinf\">text/plain</Type></Meta>\
             <Data>{}</Data></Item></Replace>",
            escaped(value)
        );
    }
    File { text, mime: "application/xml", name: "weir-agent.xml" }
}

/// A text for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A script: the agent for Linux looks for no configuration.
fn linux(told: &Told<'_>) -> File {
    let (key, url) = (quoted(told.key), quoted(told.url));
    let text = format!(
        "#!/bin/sh\nset -eu\nAK_SYS_INSECURE_ENV_TOKEN={key} exec ak-sysd domains join {JOINED} --authentik-url {url}\n"
    );
    File { text, mime: "text/x-shellscript", name: "weir-agent.sh" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told<'static> {
        Told { url: "https://id.example/a&b'c", key: "k<1>'&", name: "Us & \"them\"", seed: "s".to_owned() }
    }

    #[test]
    fn what_is_told_is_told_in_the_way_of_each_system() {
        let (mac, other) = (mac_os(&told()), mac_os(&Told { seed: "t".to_owned(), ..told() }));
        assert!(mac.text.contains("<key>RegistrationToken</key><string>k&lt;1&gt;'&amp;</string>"), "{}", mac.text);
        assert_eq!(mac.text, mac_os(&told()).text);
        assert_ne!(mac.text, other.text, "another configuration does not replace this one");
        let windows = windows(&told());
        assert!(windows.text.contains("ManagedConfig/URL</LocURI>"), "{}", windows.text);
        assert!(windows.text.contains("<Data>https://id.example/a&amp;b'c</Data>"), "{}", windows.text);
        let linux = linux(&told());
        assert!(linux.text.contains(r"AK_SYS_INSECURE_ENV_TOKEN='k<1>'\''&' exec"), "{}", linux.text);
        assert!(linux.text.ends_with("--authentik-url 'https://id.example/a&b'\\''c'\n"), "{}", linux.text);
    }
}
