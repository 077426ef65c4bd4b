//! The flow engine: a state machine over (flow, snapshot, session state, request, input) → (reply, effects, events).
//! Knows no HTTP server and no SQL; stages return outcomes, only the executor touches the session.
//!
//! Start at [`executor::Executor::run`]; a stage kind implements [`stage::Stage`].

pub mod app;
pub mod challenge;
pub mod confirm;
pub mod context;
pub mod definitions;
pub mod diagram;
pub mod dry_run;
pub mod executor;
pub mod inspector;
pub mod keys;
pub mod links;
pub mod mail;
pub mod media;
pub mod plan;
pub mod planner;
pub mod receipt;
pub mod redirect;
pub mod resources;
pub mod setup;
pub mod sources;
pub mod stage;
pub mod state;
pub mod switch;
pub mod sync;

#[cfg(test)]
mod tests;

pub use app::App;
pub use challenge::{Challenge, RedirectChallenge};
pub use context::{Key, PlanContext};
pub use definitions::{
    DeniedAction, Designation, Flow, FlowAuthentication, FlowStageBinding, InvalidResponseAction, Layout,
    NotConfiguredAction,
};
pub use executor::{Done, Executor, Input, Reply, SessionChange};
pub use keys::PendingUser;
pub use plan::{Marker, Plan, StageRef, Step};
pub use planner::{NotApplicable, Planner};
pub use stage::{Effect, LogIn, Outcome, Reject, Stage, StageCx, StageKinds, View};
pub use state::FlowState;
