//! Applies blueprints: every entry becomes a create, a patch or a deletion on the one write path, all in one
//! transaction.

mod entry;
mod order;
mod report;
#[cfg(test)]
mod tests;

pub use report::{LogLine, Report};

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value};
use weir_core::{ApiError, ResourceType};
use weir_resource::{Actor, Presenting, Site, Stored, Unit, policy_target_uuid, present_one};

use crate::discover::{Library, Listing};
use crate::entry::{Evaluation, layered_context};
use crate::error::BlueprintError;
use crate::format::Document;
use crate::limits::MAX_FILE_BYTES;
use crate::lookup;
use crate::tags::{Resolver, Source};

use order::Order;

type Result<T> = std::result::Result<T, BlueprintError>;

/// Blueprints that apply each other go no deeper than this.
const MAX_NESTING: usize = 8;

/// Who gets a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A user, by number.
    User(i64),
    /// A role, by key.
    Role(&'a str),
}

/// What blueprints may do beyond the fields of the API: passwords, keys of tokens, permissions.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Sets a user's password.
    async fn set_password(
        &self,
        unit: &mut Unit<'_>,
        user: &Stored,
        password: &str,
    ) -> std::result::Result<(), ApiError>;

    /// Sets a token's key.
    async fn set_token_key(&self, unit: &mut Unit<'_>, token: &Stored, key: &str) -> std::result::Result<(), ApiError>;

    /// Gives a permission, on one object or on all.
    async fn grant(
        &self,
        unit: &mut Unit<'_>,
        holder: Holder<'_>,
        permission: &str,
        object: Option<&Stored>,
    ) -> std::result::Result<(), ApiError>;
}

/// What every run needs.
#[derive(Clone, Copy)]
pub struct Environment<'e> {
    /// Where blueprints on disk are found.
    pub library: &'e Library,
    /// Passwords, keys and permissions.
    pub accounts: &'e dyn Accounts,
}

/// One blueprint to be applied.
#[derive(Clone, Debug)]
pub struct Request {
    /// The text.
    pub text: String,
    /// Where it comes from.
    pub source: Source,
    /// Context of the instance.
    pub context: Map<String, Value>,
    /// Context of this run; wins.
    pub overrides: Map<String, Value>,
}

/// Applies a blueprint in a transaction of its own. Nothing is changed unless the report says success.
pub async fn apply(
    site: &Site,
    actor: Actor,
    environment: Environment<'_>,
    request: &Request,
) -> std::result::Result<Report, ApiError> {
    let mut unit = Unit::new(site, actor);
    let report = apply_in(&mut unit, environment, request).await?;
    if report.success {
        unit.commit().await?;
    } else {
        unit.rollback().await?;
    }
    Ok(report)
}

/// The same, always undone.
pub async fn validate(
    site: &Site,
    actor: Actor,
    environment: Environment<'_>,
    request: &Request,
) -> std::result::Result<Report, ApiError> {
    let mut unit = Unit::new(site, actor);
    let report = apply_in(&mut unit, environment, request).await;
    unit.rollback().await?;
    report
}

/// Applies a blueprint as a part of other work. If the report does not say success, the caller must undo the unit.
pub async fn apply_in(
    unit: &mut Unit<'_>,
    environment: Environment<'_>,
    request: &Request,
) -> std::result::Result<Report, ApiError> {
    // Look-ups must see what others wrote, and nobody may write between a look-up and what follows from it.
    unit.lock_configuration().await?;
    let mut shared = Shared { unit, environment, report: Report::default(), open: Vec::new(), listing: None };
    let outcome = Box::pin(run(&mut shared, request)).await;
    let Shared { mut report, unit, .. } = shared;
    match outcome {
        Ok(()) => {
            report.success = true;
            Ok(report)
        }
        Err(BlueprintError::Invalid(problem)) => {
            let mut attributes = Map::new();
            if let Some(line) = problem.line {
                attributes.insert("line".to_owned(), line.into());
            }
            report.log(unit, "error", problem.to_string(), attributes);
            Ok(report)
        }
        Err(BlueprintError::Failed(error)) => Err(error),
    }
}

/// What a blueprint shares with those it applies first.
struct Shared<'s, 'u> {
    unit: &'s mut Unit<'u>,
    environment: Environment<'s>,
    report: Report,
    /// Names of the blueprints being applied, outermost first.
    open: Vec<String>,
    listing: Option<Listing>,
}

async fn run(shared: &mut Shared<'_, '_>, request: &Request) -> Result<()> {
    if shared.open.len() >= MAX_NESTING {
        return Err(BlueprintError::invalid("Blueprints apply each other too deeply"));
    }
    let document = Document::parse(&request.text)?;
    let models =
        shared.unit.site.registry.all().map(|kind| (kind.model_name().to_owned(), kind.app_label().to_owned()));
    let context = layered_context(models, request.context.clone(), request.overrides.clone());
    let mut evaluation = Evaluation::new(&document, &context, request.source);
    let mut run = Run { shared, ids: BTreeMap::new(), remapped: BTreeMap::new() };
    let mut order = Order::new(&document.entries);
    while let Some(entry) = order.next() {
        let resolved = evaluation.resolve(entry, &mut run).await;
        let missing = evaluation.take_missing();
        if order.put_off(&missing) {
            continue;
        }
        match resolved.map_err(|error| error.or_at(entry.line))? {
            Some(resolved) => run.entry(resolved, &missing).await.map_err(|error| error.or_at(entry.line))?,
            None => run.log("debug", "Entry skipped, its conditions do not hold", &[("line", entry.line.into())]),
        }
    }
    Ok(())
}

/// One document being applied.
struct Run<'r, 's, 'u> {
    shared: &'r mut Shared<'s, 'u>,
    ids: BTreeMap<String, Known>,
    /// Keys given in the document and what they turned out to be.
    remapped: BTreeMap<String, Value>,
}

/// The object of an entry.
struct Known {
    key: Value,
    bindable: Value,
}

impl Known {
    fn of(object: &Stored) -> Self {
        let key = object.pk_value();
        let target = uuid::Uuid::parse_str(&object.pk).ok().filter(|_| object.kind.policy_target);
        let bindable = target.map_or_else(|| key.clone(), |id| policy_target_uuid(id).to_string().into());
        Self { key, bindable }
    }
}

impl Run<'_, '_, '_> {
    fn log(&mut self, level: &'static str, event: impl Into<String>, attributes: &[(&str, Value)]) {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.shared.report.log(self.shared.unit, level, event, attributes);
    }

    fn kind(&self, model: &str) -> Result<&'static ResourceType> {
        let found = self.shared.unit.site.registry.find(model);
        found.ok_or_else(|| BlueprintError::invalid(format!("There is no model {model}")))
    }

    async fn search(&mut self, model: &str, fields: &[(String, Value)]) -> Result<Option<Stored>> {
        let kind = self.kind(model)?;
        let mut conditions: Vec<(&str, &Value)> = Vec::with_capacity(fields.len());
        for (field, value) in fields {
            let value = value.as_str().and_then(|text| self.remapped.get(text)).unwrap_or(value);
            conditions.push((field, value));
        }
        lookup::find(self.shared.unit, kind, &conditions).await
    }
}

#[async_trait]
impl Resolver for Run<'_, '_, '_> {
    async fn find(&mut self, model: &str, fields: Vec<(String, Value)>) -> Result<Option<Value>> {
        Ok(self.search(model, &fields).await?.map(|object| object.pk_value()))
    }

    async fn find_object(&mut self, model: &str, fields: Vec<(String, Value)>) -> Result<Option<Value>> {
        let Some(object) = self.search(model, &fields).await? else { return Ok(None) };
        let unit = &self.shared.unit;
        let presenting = Presenting {
            site: unit.site,
            snapshot: &unit.snapshot,
            query: &[],
            user_id: unit.actor.user_id,
            session: None,
            base_url: "",
            operation: "",
        };
        Ok(Some(Value::Object(present_one(&presenting, &object).await?)))
    }

    fn key_of(&self, id: &str, for_policy_binding: bool) -> Result<Option<Value>> {
        let known = self.ids.get(id);
        Ok(known.map(|known| if for_policy_binding { &known.bindable } else { &known.key }.clone()))
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Option<String> {
        use std::io::Read as _;
        let mut text = String::new();
        let file = std::fs::File::open(path).ok()?;
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }
}
