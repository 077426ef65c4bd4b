//! The list of templates.

use serde_json::{Value, json};
use std::sync::Arc;
use weir_flow::App;
use weir_http::{Access, Reply, Route};

/// Which templates stages may name.
pub fn routes(engine: &Arc<App>) -> Vec<Route> {
    let mailer = Arc::clone(&engine.mail);
    vec![Route::new("stages_email_templates_list", Access::SignedIn, move |_call| {
        let mailer = Arc::clone(&mailer);
        async move {
            // The contract borrows the shape of kinds of objects, of which only name and description say something here.
            let all: Vec<Value> = mailer
                .templates
                .list()
                .into_iter()
                .map(|info| {
                    json!({
                        "name": info.name, "description": info.description, "component": "", "model_name": "",
                        "requires_enterprise": false, "deprecated": false,
                    })
                })
                .collect();
            Ok(Reply::ok(&all))
        }
    })]
}
