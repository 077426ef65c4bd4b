//! The environment of expressions (platform.md §2): variables, helpers, and objects of the site, answered by the host
//! while the interpreter waits in its worker process.

use crate::{PolicyCx, RequestInfo};
use serde_json::Value;
use weir_core::Map;
use weir_identity::Account;

/// Evaluates expressions of prompts, mappings and policies.
pub struct Expressions {
    pool: weir_expression::Pool,
}

/// What an expression outside a policy sees.
pub struct Environment<'a> {
    /// Name of the object the expression belongs to; events carry it.
    pub name: &'a str,
    /// `user`.
    pub user: Option<&'a Account>,
    /// `http_request`.
    pub http: &'a RequestInfo,
    /// Further variables by name, as JSON. A value under `pending_user` becomes a user object.
    pub variables: Map,
}

impl Expressions {
    /// An evaluator over a pool of workers.
    pub fn new(pool: weir_expression::Pool) -> Self {
        Self { pool }
    }

    /// The syntax error of a source, if it has one.
    ///
    /// # Errors
    /// When no worker is available.
    pub async fn syntax_error(&self, source: &str) -> anyhow::Result<Option<String>> {
        let _ = (&self.pool, source);
        anyhow::bail!("not built")
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// The exception's text, or why it could not run.
    pub async fn evaluate(&self, cx: &mut PolicyCx<'_>, source: &str, env: Environment<'_>) -> anyhow::Result<Value> {
        let _ = (cx, source, env.name, env.user, env.http, env.variables);
        anyhow::bail!("not built")
    }
}
