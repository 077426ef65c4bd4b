//! Duration texts: `weeks=3;days=2;hours=1;minutes=2;seconds=3`.

use chrono::TimeDelta;

/// Reads a duration text. Keys down to microseconds, floats and signs allowed, separated by `;`.
///
/// # Errors
/// The sentence for the client when a part is unknown or no number.
pub fn parse(text: &str) -> Result<TimeDelta, String> {
    const REFUSAL: &str = "is not in the correct format of 'hours=3;minutes=1'.";
    let refuse = || format!("{text} {REFUSAL}");
    let mut total_micros = 0f64;
    let mut parts = 0;
    for part in text.split(';') {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        let (key, value) = part.split_once('=').ok_or_else(refuse)?;
        let value: f64 = value.trim().parse().map_err(|_| refuse())?;
        if !value.is_finite() {
            return Err(refuse());
        }
        let unit = match key.trim().to_ascii_lowercase().as_str() {
            "microseconds" => 1.0,
            "milliseconds" => 1e3,
            "seconds" => 1e6,
            "minutes" => 60e6,
            "hours" => 3_600e6,
            "days" => 86_400e6,
            "weeks" => 604_800e6,
            _ => return Err(refuse()),
        };
        total_micros += unit * value;
        parts += 1;
    }
    // A thousand years keeps every later date calculation in range.
    if parts == 0 || total_micros.abs() > 3.2e16 {
        return Err(refuse());
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the check above")]
    let micros = total_micros.round() as i64;
    Ok(TimeDelta::microseconds(micros))
}
