//! Has Google vouch for a managed Chrome browser.
//!
//! The page shows a frame with an address of ours (`view`). Chrome announces there that it can be vouched for, is sent a
//! challenge of Google's, and comes back with its response, which Google judges (`google`). What came of it is put into
//! the plan of the session; an answer to the stage without it proves nothing.

mod challenge;
mod config;
mod google;
mod stage;
#[cfg(test)]
mod tests;
mod tokens;
mod view;

pub use challenge::{FrameChallenge, FrameResponse};
pub use config::AuthenticatorEndpointGdtcStage;
pub use stage::AuthenticatorEndpointGdtc;
pub(crate) use stage::{Proof, UNVERIFIED, page_address};
pub use view::pages;
