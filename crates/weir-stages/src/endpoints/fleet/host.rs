//! What Fleet tells of a host, in the words of the contract's `DeviceFacts`. Nothing in an answer is trusted to be
//! there, or to be short.

use super::VENDOR;
use serde_json::{Value, json};
use weir_core::Map;

/// Longest text that is kept, characters.
const LONGEST: usize = 500;
/// Most entries of a list that are kept.
const MOST: usize = 5000;
/// Serial numbers that makers leave as they are: they name no device.
const PLACEHOLDERS: [&str; 9] = [
    "0",
    "none",
    "n/a",
    "unknown",
    "default string",
    "not specified",
    "not applicable",
    "system serial number",
    "to be filled by o.e.m.",
];

/// What of a host counts here.
#[derive(Debug, PartialEq)]
pub(super) struct Host {
    /// What the device calls itself: its serial number, or a name within Fleet.
    pub(super) identifier: String,
    /// Name for people.
    pub(super) name: String,
    /// The team, where it is in one.
    pub(super) team: Option<String>,
    /// E-mail addresses of people who use it, lower case, with whether it is their own device.
    pub(super) people: Vec<(String, bool)>,
    /// The contract's `DeviceFacts`.
    pub(super) facts: Value,
}

/// Reads a host; none when it cannot be told from others.
pub(super) fn read(host: &Value) -> Option<Host> {
    let serial = text(host, "hardware_serial").filter(|serial| is_serial(serial));
    let own = || text(host, "uuid").or_else(|| Some(host.get("id")?.as_u64()?.to_string()));
    let identifier = serial.clone().or_else(|| Some(format!("{VENDOR}/{}", own()?)))?;
    let name = ["display_name", "computer_name", "hostname"].iter().find_map(|field| text(host, field));
    // Newer servers call teams fleets.
    let team = text(host, "team_name").or_else(|| text(host, "fleet_name"));
    Some(Host {
        name: name.unwrap_or_else(|| identifier.clone()),
        people: people(host),
        facts: facts(host, serial.as_deref(), team.as_deref()),
        identifier,
        team,
    })
}

/// The team that facts told of.
pub(super) fn team_of(facts: &Value) -> Option<&str> {
    facts.get("vendor")?.get(VENDOR)?.get("team")?.as_str()
}

fn is_serial(serial: &str) -> bool {
    // A slash is in our own names, which no device may give itself.
    !PLACEHOLDERS.contains(&serial.to_lowercase().as_str()) && !serial.contains('/')
}

fn clean(raw: &str) -> Option<String> {
    let short: String = raw.chars().filter(|c| *c != '\0').take(LONGEST).collect();
    let short = short.trim();
    (!short.is_empty()).then(|| short.to_owned())
}

fn text(from: &Value, field: &str) -> Option<String> {
    clean(from.get(field)?.as_str()?)
}

fn list<'v>(from: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    from.get(field).and_then(Value::as_array).into_iter().flatten().take(MOST)
}

/// Those that were set, of these.
fn part<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    Value::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn string(from: &Value, field: &str) -> Option<Value> {
    text(from, field).map(Value::from)
}

fn people(host: &Value) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    for entry in list(host, "device_mapping") {
        let Some(email) = text(entry, "email").map(|email| email.to_lowercase()) else { continue };
        // Whom an identity provider or an administrator named: browsers know more addresses than owners.
        let source = text(entry, "source").unwrap_or_default();
        let is_own = ["mdm_idp_accounts", "idp", "custom"].contains(&source.as_str());
        match found.iter_mut().find(|(known, _)| *known == email) {
            Some((_, known)) => *known |= is_own,
            None => found.push((email, is_own)),
        }
    }
    // Somebody alone with a device needs nobody's word for it.
    if let [(_, is_own)] = found.as_mut_slice() {
        *is_own = true;
    }
    found
}

fn family(platform: &str) -> &'static str {
    match platform {
        "darwin" => "mac_os",
        "ios" | "ipados" => "i_os",
        "windows" => "windows",
        "android" => "android",
        "freebsd" => "bsd",
        "" | "unknown" => "other",
        // Chromebooks, and the distributions by their names.
        _ => "linux",
    }
}

/// `Ubuntu 22.04.1 LTS` in two: the version begins with the first word that is a number.
fn system(told: &str) -> (&str, &str) {
    let at = told.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let at = at.and_then(|word| told.find(&format!(" {word}")));
    at.map_or((told, ""), |at| (told.get(..at).unwrap_or(told).trim_end(), told.get(at..).unwrap_or_default().trim()))
}

fn bytes(gigs: Option<f64>) -> Option<i64> {
    let bytes = gigs? * 1e9;
    (0.0..9e18).contains(&bytes).then_some(bytes as i64)
}

fn disk(host: &Value, is_windows: bool) -> Option<Value> {
    let number = |field: &str| host.get(field).and_then(Value::as_f64).filter(|number| *number >= 0.0);
    let (total, free) = (number("gigs_total_disk_space").filter(|n| *n > 0.0), number("gigs_disk_space_available"));
    let used = total.zip(free).map(|(total, free)| (total - free).max(0.0));
    let encryption = host.get("disk_encryption_enabled").and_then(Value::as_bool);
    if total.is_none() && encryption.is_none() {
        return None;
    }
    Some(part([
        ("name", Some("system".into())),
        ("mountpoint", Some(if is_windows { "C:" } else { "/" }.into())),
        ("capacity_total_bytes", bytes(total).map(Value::from)),
        ("capacity_used_bytes", bytes(used).map(Value::from)),
        ("encryption_enabled", encryption.map(Value::from)),
    ]))
}

fn software(host: &Value) -> Vec<Value> {
    let one = |entry: &Value| {
        let path = entry.get("installed_paths").and_then(|paths| paths.get(0)).and_then(Value::as_str);
        Some(part([
            ("name", Some(string(entry, "name")?)),
            ("source", Some(text(entry, "source").unwrap_or_else(|| "unknown".to_owned()).into())),
            ("version", string(entry, "version")),
            ("path", path.and_then(clean).map(Value::from)),
        ]))
    };
    list(host, "software").filter_map(one).collect()
}

fn users(host: &Value) -> Vec<Value> {
    let one = |entry: &Value| {
        let id = entry.get("uid").and_then(Value::as_i64).map(|id| id.to_string()).or_else(|| text(entry, "uid"))?;
        Some(part([("id", Some(id.into())), ("username", string(entry, "username"))]))
    };
    list(host, "users").filter_map(one).collect()
}

/// What only Fleet knows.
fn vendor(host: &Value, team: Option<&str>) -> Value {
    let mdm = |field: &str| string(host.get("mdm")?, field);
    let number = |field: &str| host.get(field).filter(|value| value.is_number()).cloned();
    part([
        ("id", number("id")),
        ("uuid", string(host, "uuid")),
        ("status", string(host, "status")),
        ("seen_time", string(host, "seen_time")),
        ("osquery_version", string(host, "osquery_version")),
        ("orbit_version", string(host, "orbit_version")),
        ("team", team.map(Value::from)),
        ("mdm_name", mdm("name")),
        ("mdm_server_url", mdm("server_url")),
        ("mdm_enrollment_status", mdm("enrollment_status")),
        (
            "failing_policies",
            host.get("issues").and_then(|i| i.get("failing_policies_count")?.as_i64()).map(Value::from),
        ),
    ])
}

fn facts(host: &Value, serial: Option<&str>, team: Option<&str>) -> Value {
    let family = family(&text(host, "platform").unwrap_or_default());
    let told = text(host, "os_version").unwrap_or_default();
    let (name, version) = system(&told);
    let some = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let mut facts = Map::new();
    let os = part([
        ("family", Some(family.into())),
        ("name", some(name)),
        ("version", some(version)),
        ("arch", string(host, "cpu_type")),
    ]);
    facts.insert("os".to_owned(), os);
    if let Some(hostname) = string(host, "hostname") {
        let addresses: Vec<String> = text(host, "primary_ip").into_iter().collect();
        let interface = |mac: Value| {
            let addresses = (!addresses.is_empty()).then(|| json!(addresses));
            json!([part([
                ("name", Some("primary".into())),
                ("hardware_address", Some(mac)),
                ("ip_addresses", addresses)
            ])])
        };
        let interfaces = string(host, "primary_mac").map_or_else(|| json!([]), interface);
        facts.insert("network".to_owned(), part([("hostname", Some(hostname)), ("interfaces", Some(interfaces))]));
    }
    if let Some(serial) = serial {
        let positive = |field: &str| host.get(field).and_then(Value::as_i64).filter(|n| *n > 0).map(Value::from);
        let hardware = part([
            ("serial", Some(serial.into())),
            ("model", string(host, "hardware_model")),
            ("manufacturer", string(host, "hardware_vendor")),
            ("cpu_name", string(host, "cpu_brand")),
            ("cpu_count", positive("cpu_logical_cores")),
            ("memory_bytes", positive("memory")),
        ]);
        facts.insert("hardware".to_owned(), hardware);
    }
    if let Some(disk) = disk(host, family == "windows") {
        facts.insert("disks".to_owned(), json!([disk]));
    }
    for (name, entries) in [("software", software(host)), ("users", users(host))] {
        if !entries.is_empty() {
            facts.insert(name.to_owned(), entries.into());
        }
    }
    facts.insert("vendor".to_owned(), json!({VENDOR: vendor(host, team)}));
    Value::Object(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_number_of_its_own_is_called_by_its_name_in_fleet() {
        for serial in ["", "0", "Default String", " None ", "chrome.google.com/x"] {
            let host = read(&json!({"id": 7, "uuid": "U", "hardware_serial": serial})).unwrap();
            assert_eq!(host.identifier, "fleetdm.com/U", "{serial}");
            assert!(host.facts.get("hardware").is_none());
        }
        assert_eq!(read(&json!({"id": 7})).unwrap().identifier, "fleetdm.com/7");
        assert_eq!(read(&json!({"hardware_serial": "S\0N"})).unwrap().identifier, "SN");
        for none in [json!({}), json!(null), json!("x"), json!({"id": -1, "uuid": 3})] {
            assert_eq!(read(&none), None);
        }
    }

    #[test]
    fn people_are_named_once_and_own_what_they_were_given_or_have_alone() {
        let people = |entries: Value| read(&json!({"id": 1, "device_mapping": entries})).unwrap().people;
        let of = |email: &str, source: &str| json!({"email": email, "source": source});
        assert_eq!(
            people(json!([of("Ann@Example.org", "google_chrome_profiles")])),
            [("ann@example.org".to_owned(), true)]
        );
        let two =
            json!([of("a@x", "google_chrome_profiles"), of("b@x", "google_chrome_profiles"), of("A@X", "custom")]);
        assert_eq!(people(two), [("a@x".to_owned(), true), ("b@x".to_owned(), false)]);
        assert_eq!(people(json!([{"email": ""}, {"email": 3}, null])), []);
    }

    #[test]
    fn systems_are_told_in_name_and_version() {
        for (told, name, version) in [
            ("Ubuntu 22.04.1 LTS", "Ubuntu", "22.04.1 LTS"),
            ("Microsoft Windows 11 Pro 22H2", "Microsoft Windows", "11 Pro 22H2"),
            ("Arch Linux rolling", "Arch Linux rolling", ""),
            ("14.1", "14.1", ""),
            ("", "", ""),
        ] {
            assert_eq!(system(told), (name, version), "{told}");
        }
        for (platform, wanted) in [("darwin", "mac_os"), ("ipados", "i_os"), ("rhel", "linux"), ("", "other")] {
            assert_eq!(family(platform), wanted);
        }
    }

    #[test]
    fn what_is_no_number_or_too_long_does_not_get_far() {
        let host = json!({
            "id": 1, "hostname": "h".repeat(9999), "gigs_total_disk_space": -1, "gigs_disk_space_available": "x",
            "memory": -5, "hardware_serial": "S", "software": [{"name": ""}, {"version": "1"}, 5], "users": {"uid": 1},
            "mdm": "on", "issues": 3,
        });
        let host = read(&host).unwrap();
        assert_eq!(host.name.len(), LONGEST);
        assert_eq!(host.facts["hardware"], json!({"serial": "S"}));
        for absent in ["disks", "software", "users"] {
            assert!(host.facts.get(absent).is_none(), "{absent}");
        }
        assert_eq!(host.facts["vendor"], json!({"fleetdm.com": {"id": 1}}));
    }
}
