//! Asks the questions of an administrator's choice.

mod answer;
mod challenge;
mod config;
mod hooks;
mod preview;
mod question;
mod routes;
mod stage;
#[cfg(test)]
mod tests;

pub use challenge::{Choice, PromptChallenge, PromptResponse, StagePrompt};
pub use config::{Prompt, PromptStage, PromptType};
pub use hooks::hooks;
pub use preview::preview;
pub use question::{Asking, question};
pub use routes::routes;
pub use stage::Ask;
