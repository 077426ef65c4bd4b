//! The server's side of a run: where an expression's questions arrive and who answers them.

use super::{
    Expressions, attributes, functions,
    query::{Asking, Query},
    session, sets, web,
};
use crate::{PolicyCx, PolicyRequest, outbound::OutboundResponse};
use async_trait::async_trait;
use weir_expression::{Call, Host, Object, Raise, Value};

/// What one run may ask.
pub struct Desk<'a, 'c, 'r> {
    /// What all runs share.
    pub expressions: &'a Expressions,
    /// The surroundings of policies.
    pub cx: &'a mut PolicyCx<'c>,
    /// The question the run is part of.
    pub request: &'a mut PolicyRequest<'r>,
    /// Name of the policy or mapping.
    pub name: &'a str,
    /// Whether it is the run of a policy, not of a mapping or prompt.
    pub is_policy: bool,
    /// Query sets and managers, by number.
    pub sets: Vec<Query>,
    /// Answers of other servers, by number.
    pub responses: Vec<OutboundResponse>,
    /// Users made by the run, so far.
    pub claimed: usize,
}

impl Desk<'_, '_, '_> {
    /// What queries are run with.
    pub fn asking(&mut self) -> Asking<'_> {
        Asking { site: self.cx.site, snapshot: self.cx.snapshot, tx: &mut *self.cx.tx }
    }

    fn keep(&mut self, query: Query) -> String {
        self.sets.push(query);
        format!("set:{}", self.sets.len() - 1)
    }

    /// A query set for the expression.
    pub fn set(&mut self, query: Query) -> Value {
        Object::new("QuerySet", self.keep(query)).into()
    }

    /// A manager for the expression: like a query set, but only its methods give rows.
    pub fn manager(&mut self, query: Query) -> Value {
        Object::new("Manager", self.keep(query)).into()
    }

    fn response(&self, number: &str) -> Result<&OutboundResponse, Raise> {
        let found = number.parse::<usize>().ok().and_then(|number| self.responses.get(number));
        found.ok_or_else(|| Raise::new("RuntimeError", "There is no such response."))
    }

    async fn method(&mut self, object: &str, call: Call) -> Result<Value, Raise> {
        let (kind, key) = object.split_once(':').unwrap_or((object, ""));
        match kind {
            "set" => sets::call(self, key, &call).await,
            "response" => session::method(self.response(key)?, &call.name),
            session::SESSION => {
                let asked = session::request(&call)?;
                if self.request.is_kept_from_asking(|| session::shown(&asked)) {
                    return Err(functions::not_asked());
                }
                let response = session::send(&self.expressions.outbound, asked).await?;
                let shown = session::response(&format!("response:{}", self.responses.len()), &response);
                self.responses.push(response);
                Ok(shown.into())
            }
            web::HTTP => web::call(self.request.http, &call),
            "plan" => self.plan_method(&call),
            _ => attributes::method(self, kind, key, &call).await,
        }
    }

    fn plan_method(&mut self, call: &Call) -> Result<Value, Raise> {
        match call.name.as_str() {
            "redirect" => {
                let to = call.arg(0, "destination").or_else(|| call.kwarg("url")).and_then(Value::as_str);
                let to = to.ok_or_else(|| Raise::new("TypeError", "redirect() needs an address."))?;
                self.request.plan_redirect = Some(super::convert::clean(to));
                Ok(Value::None)
            }
            other => Err(Raise::no_attribute("FlowPlan", other)),
        }
    }
}

#[async_trait]
impl Host for Desk<'_, '_, '_> {
    async fn attribute(&mut self, object: &str, name: &str) -> Result<Value, Raise> {
        let (kind, key) = object.split_once(':').unwrap_or((object, ""));
        match kind {
            "response" => session::attribute(self.response(key)?, name),
            "set" => Err(Raise::no_attribute("QuerySet", name)),
            _ => attributes::attribute(self, kind, key, name).await,
        }
    }

    async fn call(&mut self, call: Call) -> Result<Value, Raise> {
        match call.object.clone() {
            Some(object) => self.method(&object, call).await,
            None => functions::call(self, &call).await,
        }
    }
}
