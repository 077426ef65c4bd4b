//! Where an application is launched.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use weir_identity::Account;

/// What stands for a field of the user in an address; nothing else is replaced.
const FIELDS: [&str; 8] = ["username", "name", "email", "uid", "uuid", "pk", "id", "path"];

/// The address for a user; none when the application has none. Values are percent-encoded, so that nobody's name
/// changes where the address leads. An address that asks for a field there is not is left as it is.
pub fn launch_url(template: &str, user: Option<&Account>, install_id: &str) -> Option<String> {
    if template.is_empty() {
        return None;
    }
    let Some(user) = user else { return Some(template.to_owned()) };
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("%(") {
        let Some((field, after)) = after.split_once(")s") else { return Some(template.to_owned()) };
        if !FIELDS.contains(&field) {
            return Some(template.to_owned());
        }
        let value = match field {
            "username" => user.username.clone(),
            "name" => user.name.clone(),
            "email" => user.email.clone(),
            "uid" => user.uid(install_id),
            "uuid" => user.uuid.to_string(),
            "path" => user.path.clone(),
            _ => user.id.to_string(),
        };
        out.push_str(before);
        out.extend(utf8_percent_encode(&value, NON_ALPHANUMERIC));
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
