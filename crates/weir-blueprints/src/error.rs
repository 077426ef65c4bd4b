//! Why a blueprint could not be read, applied or written.

use std::fmt;

use weir_core::ApiError;

/// What can go wrong with a blueprint.
#[derive(Debug, thiserror::Error)]
pub enum BlueprintError {
    /// The blueprint itself is at fault; the text is meant for its author.
    #[error("{0}")]
    Invalid(Problem),
    /// The store or another part of the server failed; says nothing about the blueprint.
    #[error("the server failed")]
    Failed(#[source] ApiError),
}

/// A fault in a blueprint: what, and where if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line of the text, counted from 1.
    pub line: Option<usize>,
    /// One sentence for the author.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl BlueprintError {
    /// A fault at a line of the text.
    pub fn at(line: usize, text: impl Into<String>) -> Self {
        Self::Invalid(Problem { line: Some(line), text: text.into() })
    }

    /// A fault of the whole, or one whose place is not known.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(Problem { line: None, text: text.into() })
    }

    /// Adds the line if the fault has none yet.
    #[must_use]
    pub fn or_at(self, line: usize) -> Self {
        match self {
            Self::Invalid(Problem { line: None, text }) => Self::at(line, text),
            other => other,
        }
    }
}

impl From<ApiError> for BlueprintError {
    /// Refusals of values are the blueprint's fault, everything else is ours.
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Fields(errors) => {
                let texts = errors
                    .iter()
                    .flat_map(|(field, errors)| errors.iter().map(move |error| format!("{field}: {}", error.text)));
                Self::invalid(texts.collect::<Vec<_>>().join(" "))
            }
            error if error.status() >= 500 || error.status() == 429 => Self::Failed(error),
            error => Self::invalid(error.to_string()),
        }
    }
}

impl From<BlueprintError> for ApiError {
    fn from(error: BlueprintError) -> Self {
        match error {
            BlueprintError::Invalid(problem) => Self::general(problem.to_string()),
            BlueprintError::Failed(error) => error,
        }
    }
}
