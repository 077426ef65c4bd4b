//! Sources on the identification page.

use uuid::Uuid;
use weir_core::Ref;
use weir_flow::{
    StageCx,
    sources::{self, LoginSource},
};
use weir_resource::AnySource;

/// The buttons of those sources that are switched on and meant for browsers, in order of their names.
pub fn buttons(cx: &StageCx<'_>, wanted: &[Ref<AnySource>]) -> Vec<LoginSource> {
    let ids = wanted.iter().map(|source| source.uuid());
    let mut found: Vec<(LoginSource, Uuid)> =
        ids.filter_map(|id| Some((sources::button(cx.app, &cx.unit.snapshot, id)?, id))).collect();
    found.sort_by_cached_key(|(button, id)| (button.name.to_lowercase(), *id));
    found.into_iter().map(|(button, _)| button).collect()
}
