//! Writes tiny databases in MaxMind's format: a search tree with records of 24 bits, and a data section.

use serde_json::Value;
use std::net::Ipv4Addr;

/// Value types of the format that are written here.
const TEXT: u8 = 2;
const DOUBLE: u8 = 3;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// The bytes of a database that knows these IPv4 networks, e.g. `("81.2.69.0", 24, json!({…}))`. Networks must not lie
/// in each other.
pub fn database(kind: &str, networks: &[(&str, u8, Value)]) -> Vec<u8> {
    let mut nodes: Vec<[Record; 2]> = vec![[Record::Empty, Record::Empty]];
    let mut data = Vec::new();
    for (address, length, value) in networks {
        let bits = u32::from(address.parse::<Ipv4Addr>().unwrap_or(Ipv4Addr::UNSPECIFIED));
        let at = data.len();
        write(&mut data, value);
        put(&mut nodes, bits, *length, at);
    }
    let count = nodes.len();
    let mut bytes = Vec::new();
    for node in &nodes {
        for record in node {
            let number = match record {
                Record::Empty => count,
                Record::Node(index) => *index,
                Record::Data(at) => count + 16 + at,
            };
            bytes.extend(u32::try_from(number).unwrap_or_default().to_be_bytes().into_iter().skip(1));
        }
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xAB\xCD\xEFMaxMind.com");
    head(&mut bytes, kind, count);
    bytes
}

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    Data(usize),
}

fn put(nodes: &mut Vec<[Record; 2]>, bits: u32, length: u8, at: usize) {
    let mut node = 0;
    for depth in 0..length {
        let side = usize::try_from((bits >> (31 - depth)) & 1).unwrap_or_default();
        let next = nodes.len();
        let is_last = depth + 1 == length;
        let Some(record) = nodes.get_mut(node).and_then(|pair| pair.get_mut(side)) else { return };
        match (*record, is_last) {
            (_, true) => *record = Record::Data(at),
            (Record::Node(index), false) => node = index,
            (_, false) => {
                *record = Record::Node(next);
                nodes.push([Record::Empty, Record::Empty]);
                node = next;
            }
        }
    }
}

fn head(bytes: &mut Vec<u8>, kind: &str, count: usize) {
    control(bytes, MAP, 9);
    let number = |bytes: &mut Vec<u8>, name: &str, of: u8, value: u64| {
        text(bytes, name);
        unsigned(bytes, of, value);
    };
    number(bytes, "binary_format_major_version", UINT16, 2);
    number(bytes, "binary_format_minor_version", UINT16, 0);
    number(bytes, "build_epoch", UINT64, 1_700_000_000);
    number(bytes, "ip_version", UINT16, 4);
    number(bytes, "node_count", UINT32, count as u64);
    number(bytes, "record_size", UINT16, 24);
    text(bytes, "database_type");
    text(bytes, kind);
    text(bytes, "languages");
    control(bytes, ARRAY, 1);
    text(bytes, "en");
    text(bytes, "description");
    control(bytes, MAP, 1);
    text(bytes, "en");
    text(bytes, "A test");
}

/// The byte, or bytes, before a value: its type and size.
fn control(bytes: &mut Vec<u8>, of: u8, size: usize) {
    let (short, long) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
    let short = u8::try_from(short).unwrap_or_default();
    if of < 8 {
        bytes.push((of << 5) | short);
    } else {
        bytes.extend([short, of - 7]);
    }
    if let Some(long) = long {
        bytes.push(u8::try_from(long).unwrap_or_default());
    }
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    control(bytes, TEXT, value.len());
    bytes.extend(value.as_bytes());
}

fn unsigned(bytes: &mut Vec<u8>, of: u8, value: u64) {
    let all = value.to_be_bytes();
    let zeros = all.iter().take_while(|byte| **byte == 0).count();
    control(bytes, of, all.len() - zeros);
    bytes.extend(all.into_iter().skip(zeros));
}

fn write(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(map) => {
            control(bytes, MAP, map.len());
            for (name, value) in map {
                text(bytes, name);
                write(bytes, value);
            }
        }
        Value::String(value) => text(bytes, value),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => unsigned(bytes, UINT32, whole),
            None => {
                control(bytes, DOUBLE, 8);
                bytes.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            }
        },
        other => text(bytes, &other.to_string()),
    }
}

/// A city record.
pub fn city(country: &str, name: &str, lat: f64, long: f64) -> Value {
    serde_json::json!({
        "continent": {"code": "EU"}, "country": {"iso_code": country}, "city": {"names": {"en": name}},
        "location": {"latitude": lat, "longitude": long},
    })
}

/// An ASN record.
pub fn asn(number: u32, organisation: &str) -> Value {
    serde_json::json!({"autonomous_system_number": number, "autonomous_system_organization": organisation})
}
