//! Sources: other systems whose people sign in here. Definitions of sources, their connections and mappings; the pages
//! a browser passes on its way there and back; who a person is here, and the way into a flow.
//!
//! The engine knows sources only as buttons (`weir_flow::sources`), so nothing below stands on this crate. A kind of
//! source is a folder like [`oauth`] and one line in each list below. Start at [`sign_in::Arrival`], which is the same
//! for every kind.

pub mod base;
pub mod connect;
pub mod connections;
pub mod inbuilt;
pub mod mapping;
pub mod matching;
pub mod oauth;
mod remote;
mod routes;
mod say;
pub mod sign_in;

use connections::{GroupConnection, GroupConnectionHooks, UserConnection, UserConnectionHooks};
use oauth::OAuthSources;
use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_flow::{App, StageKinds, sources::SourceKinds};
use weir_http::{Route, flow::PageRoute};
use weir_policy::{expression::Expressions, expression_policy::ExpressionHooks, outbound::Outbound};
use weir_resource::{AnySource, HookSet};

/// The definitions of all kinds.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<inbuilt::InbuiltSource>(),
        ResourceType::of::<oauth::OAuthSource>(),
        ResourceType::of::<mapping::OAuthSourcePropertyMapping>(),
        ResourceType::of::<UserConnection<AnySource>>(),
        ResourceType::of::<UserConnection<oauth::OAuthSource>>(),
        ResourceType::of::<GroupConnection<AnySource>>(),
        ResourceType::of::<GroupConnection<oauth::OAuthSource>>(),
    ]
}

/// What the parts of this crate share; one per process.
#[derive(Clone)]
pub struct Shared {
    /// OAuth sources.
    pub oauth: Arc<OAuthSources>,
    /// The only way out.
    pub outbound: Arc<Outbound>,
    /// Looks at expressions before they are saved; none in tests without worker.
    pub expressions: Option<Arc<Expressions>>,
}

/// Special behaviour of their resources.
pub fn hooks(set: &mut HookSet, shared: &Shared) {
    set.add(inbuilt::InbuiltSource::MODEL, Arc::new(inbuilt::InbuiltHooks));
    let oauth = oauth::OAuthHooks { outbound: Arc::clone(&shared.outbound), sources: Arc::clone(&shared.oauth) };
    set.add(oauth::OAuthSource::MODEL, Arc::new(oauth));
    if let Some(expressions) = &shared.expressions {
        let hooks = Arc::new(ExpressionHooks(Arc::clone(expressions)));
        set.add(mapping::OAuthSourcePropertyMapping::MODEL, hooks);
    }
    set.add(UserConnection::<AnySource>::MODEL, Arc::new(UserConnectionHooks));
    set.add(UserConnection::<oauth::OAuthSource>::MODEL, Arc::new(UserConnectionHooks));
    set.add(GroupConnection::<AnySource>::MODEL, Arc::new(GroupConnectionHooks));
    set.add(GroupConnection::<oauth::OAuthSource>::MODEL, Arc::new(GroupConnectionHooks));
}

/// Kinds that a browser can sign in with.
pub fn kinds() -> SourceKinds {
    SourceKinds::default().with(oauth::OAuthSource::MODEL, oauth::OAuth)
}

/// Stages without rows that the flows of sources need.
pub fn stages(kinds: StageKinds) -> StageKinds {
    kinds.with(connect::Connect)
}

/// Operations beyond those that follow from the definitions.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    [routes::routes(engine), oauth::routes()].into_iter().flatten().collect()
}

/// The pages a browser passes.
pub fn pages(shared: &Shared) -> Vec<PageRoute> {
    oauth::pages(&shared.oauth)
}
