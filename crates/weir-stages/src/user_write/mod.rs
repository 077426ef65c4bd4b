//! Writes what prompts collected to a user.

mod apply;
mod config;
mod hooks;
mod stage;
#[cfg(test)]
mod tests;

pub use config::{CreationMode, UserWriteStage};
pub use stage::UserWrite;

use std::sync::Arc;
use weir_core::Resource;
use weir_resource::HookSet;

/// Special behaviour of the definition.
pub fn hooks(set: &mut HookSet) {
    set.add(UserWriteStage::MODEL, Arc::new(hooks::UserWriteHooks));
}
