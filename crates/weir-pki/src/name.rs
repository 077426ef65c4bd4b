//! Distinguished names as text (RFC 4514).

use x509_parser::{
    asn1_rs::ToDer as _,
    x509::{AttributeTypeAndValue, X509Name},
};

/// The names that RFC 4514 §3 gives to attribute types; all others are written as numbers.
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// A name, its most specific part first.
pub(crate) fn rfc4514(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter_rdn().map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(id, _)| *id == kind).map(|(_, short)| *short);
    match (short, attribute.as_str()) {
        (Some(short), Ok(text)) => format!("{short}={}", escape(text)),
        // A value without a text of its own, or under a number: its encoding (§2.4).
        (short, _) => {
            let bytes = attribute.attr_value().to_der_vec().unwrap_or_default();
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}=#{digits}", short.unwrap_or(&kind))
        }
    }
}

fn escape(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (at, character) in text.chars().enumerate() {
        let special = "\"+,;<>\\".contains(character)
            || (at == 0 && "# ".contains(character))
            || (at == last && character == ' ');
        match character {
            '\0' => escaped.push_str("\\00"),
            _ if special => escaped.extend(['\\', character]),
            _ => escaped.push(character),
        }
    }
    escaped
}
