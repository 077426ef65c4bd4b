//! Asks the questions of an administrator's choice (stages.md §3).

mod answer;
mod challenge;
mod config;
mod hooks;
mod question;
mod stage;

pub use challenge::{Choice, PromptChallenge, PromptResponse, StagePrompt};
pub use config::{Prompt, PromptStage, PromptType};
pub use hooks::hooks;
pub use question::{Asking, question};
pub use stage::Ask;
