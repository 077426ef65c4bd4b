//! What set-up pages show of an `otpauth` address: a QR code to scan, and the key to type where scanning fails.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code that scanners need.
const MARGIN: i32 = 4;

/// The QR code of a text as an inline picture; empty when the text is too long for one. Drawn dark on light in every
/// theme, because not every app reads the reverse.
pub fn qr_code(text: &str) -> String {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return String::new() };
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        let mut start = None;
        // One rectangle for each run of dark modules; past the edge all are light.
        for x in 0..=size {
            match (start, code.get_module(x, y)) {
                (None, true) => start = Some(x),
                (Some(from), false) => {
                    let width = x - from;
                    path.push_str(&format!("M{} {}h{width}v1h-{width}z", from + MARGIN, y + MARGIN));
                    start = None;
                }
                _ => {}
            }
        }
    }
    let side = size + 2 * MARGIN;
    format!(
        "<svg class=\"qr\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\" aria-hidden=\"true\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    )
}

/// The key of an `otpauth` address in groups of four; empty when there is none.
pub fn otp_key(address: &str) -> String {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let secret = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "secret");
    let letters: Vec<char> = secret.map(|(_, secret)| secret.chars().collect()).unwrap_or_default();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_with_its_margin_and_nothing_of_the_text() {
        let svg = qr_code("otpauth://totp/a:<b>?secret=ABC");
        assert!(svg.starts_with("<svg class=\"qr\" viewBox=\"0 0 37 37\"") && svg.ends_with("</svg>"), "{svg}");
        // The upper left corner of every code.
        assert!(svg.contains("M4 4h7v1h-7z") && !svg.contains("M3 "), "{svg}");
        assert!(!svg.contains("<b>") && !svg.contains("secret"));
        assert_eq!(qr_code(&"x".repeat(5000)), "");
    }

    #[test]
    fn the_key_stands_in_groups() {
        let address = "otpauth://totp/W:ann?secret=GEZDGNBVGY3TQOJQ&algorithm=SHA1";
        assert_eq!(otp_key(address), "GEZD GNBV GY3T QOJQ");
        for odd in ["", "otpauth://totp/x", "otpauth://totp/x?algorithm=SHA1"] {
            assert_eq!(otp_key(odd), "");
        }
    }
}
