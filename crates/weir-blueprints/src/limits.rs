//! How much one blueprint may ask for. Generous for real ones, small enough that a hostile one costs little.

/// Longest text that is parsed.
pub const MAX_TEXT_BYTES: usize = 8 << 20;
/// Nodes of the tree after aliases and merges have been expanded.
pub const MAX_NODES: usize = 400_000;
/// Nesting of mappings, sequences and tags in the text.
pub const MAX_DEPTH: usize = 64;
/// Entries of one blueprint.
pub const MAX_ENTRIES: usize = 20_000;
/// Steps of evaluation for a whole blueprint: each value made or copied is one.
pub const MAX_STEPS: usize = 2_000_000;
/// Bytes of text made or copied while a whole blueprint is evaluated.
pub const MAX_EVALUATED_BYTES: usize = 64 << 20;
/// Nesting while evaluating: a context value may contain tags that read the context again. Each level takes stack, some
/// 20 KB of it without optimisation.
pub const MAX_EVALUATION_DEPTH: usize = 64;
/// Width and precision of one `%` conversion.
pub const MAX_FORMAT_WIDTH: usize = 10_000;
/// Size of a file read by `!File`.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
