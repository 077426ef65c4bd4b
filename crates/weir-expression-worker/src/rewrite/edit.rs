//! Changes to a text by position, and where its lines went.

use ruff_text_size::{TextRange, TextSize};

/// The order of changes at one position: what closes an earlier expression, what opens the next, what replaces text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Close,
    Open,
    Replace,
}

#[derive(Debug)]
struct Edit {
    range: TextRange,
    rank: Rank,
    text: String,
}

/// The changes of one rewriting.
#[derive(Debug, Default)]
pub(super) struct Edits {
    edits: Vec<Edit>,
}

impl Edits {
    /// Inserts before an expression. Of two at one position the first added is the outer one.
    pub(super) fn open(&mut self, at: TextSize, text: impl Into<String>) {
        self.edits.push(Edit { range: TextRange::empty(at), rank: Rank::Open, text: text.into() });
    }

    /// Inserts behind an expression. Of two at one position the first added is the inner one.
    pub(super) fn close(&mut self, at: TextSize, text: impl Into<String>) {
        self.edits.push(Edit { range: TextRange::empty(at), rank: Rank::Close, text: text.into() });
    }

    /// Replaces text.
    pub(super) fn replace(&mut self, range: TextRange, text: impl Into<String>) {
        self.edits.push(Edit { range, rank: Rank::Replace, text: text.into() });
    }

    /// The changed text and, for each of its lines, the line of the original (from 0) it begins in. `None` if two
    /// changes overlap.
    pub(super) fn apply(mut self, text: &str) -> Option<(String, Vec<u32>)> {
        self.edits.sort_by_key(|edit| (edit.range.start(), edit.rank));
        let mut out = Output { text: String::with_capacity(text.len() * 2), lines: vec![0] };
        let mut position = 0;
        let mut line = 0;
        for edit in &self.edits {
            let kept = text.get(position..edit.range.start().to_usize())?;
            line = out.copy(kept, line);
            out.insert(&edit.text, line);
            line += count_lines(text.get(edit.range.start().to_usize()..edit.range.end().to_usize())?);
            position = edit.range.end().to_usize();
        }
        out.copy(text.get(position..)?, line);
        Some((out.text, out.lines))
    }
}

struct Output {
    text: String,
    lines: Vec<u32>,
}

impl Output {
    fn copy(&mut self, text: &str, mut line: u32) -> u32 {
        for _ in 0..count_lines(text) {
            line += 1;
            self.lines.push(line);
        }
        self.text.push_str(text);
        line
    }

    fn insert(&mut self, text: &str, line: u32) {
        for _ in 0..count_lines(text) {
            self.lines.push(line);
        }
        self.text.push_str(text);
    }
}

fn count_lines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
}
