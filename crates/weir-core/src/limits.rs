//! Limits that hold everywhere; request limits are configuration of the server.

/// Longest text accepted where the contract names no length, in characters.
pub const TEXT_CHARS: usize = 65_536;
/// Deepest JSON accepted in a body.
pub const JSON_DEPTH: usize = 64;
/// Largest list accepted in one field.
pub const LIST_ITEMS: usize = 10_000;
