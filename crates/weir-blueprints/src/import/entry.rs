//! One resolved entry against the store.

use serde_json::{Map, Value};
use weir_core::{Backing, Resource as _, ResourceType, validate::Mode};
use weir_resource::Stored;

use super::{Holder, Known, Request, Run, run};
use crate::entry::{ResolvedEntry, ResolvedPermission, State};
use crate::error::BlueprintError;
use crate::instances::BlueprintInstance;
use crate::lookup;
use crate::schedules::{self, Applied};
use crate::tags::{Missing, Source, Wanted};

type Result<T> = std::result::Result<T, BlueprintError>;

const META_APPLY: &str = "authentik_blueprints.metaapplyblueprint";
const META_PASSWORD: &str = "authentik_blueprints.metausersetpassword";
const USER: &str = "authentik_core.user";
const TOKEN: &str = "authentik_core.token";
const ROLE: &str = "authentik_rbac.role";

/// Fields that only blueprints have.
#[derive(Default)]
struct Extras {
    password: Option<String>,
    key: Option<String>,
    permissions: Vec<String>,
}

impl Extras {
    fn take(kind: &ResourceType, body: &mut Map<String, Value>) -> Result<Self> {
        let mut extras = Self::default();
        if matches!(kind.model, USER | ROLE) {
            extras.permissions = texts("permissions", body.shift_remove("permissions"))?;
        }
        if kind.model == USER {
            extras.password = text("password", body.shift_remove("password"))?;
        }
        if kind.model == TOKEN {
            extras.key = text("key", body.shift_remove("key"))?;
        }
        Ok(extras)
    }
}

fn text(field: &str, value: Option<Value>) -> Result<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(BlueprintError::invalid(format!("{field}: Not a valid string."))),
    }
}

fn texts(field: &str, value: Option<Value>) -> Result<Vec<String>> {
    let wrong = || BlueprintError::invalid(format!("{field}: A list of texts is needed."));
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.into_iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

impl Run<'_, '_, '_> {
    pub(super) async fn entry(&mut self, mut entry: ResolvedEntry, missing: &[Missing]) -> Result<()> {
        self.remap(&mut entry.identifiers);
        self.remap(&mut entry.attrs);
        match entry.model.as_str() {
            META_APPLY => return Box::pin(self.apply_other(entry)).await,
            META_PASSWORD => return self.set_password_of(entry).await,
            schedules::MODEL => return self.schedule(&entry).await,
            _ => {}
        }
        let kind = self.kind(&entry.model)?;
        if !kind.operations.create && !kind.operations.update {
            return Err(BlueprintError::invalid(format!("Objects of {} cannot be managed by blueprints", kind.model)));
        }
        let found = self.identify(kind, &entry.identifiers).await?;
        let object = match (entry.state, found) {
            (State::Absent, found) => return self.remove(kind, found).await,
            (State::MustCreated, Some(found)) => {
                return Err(BlueprintError::invalid(format!("{} {} exists already", kind.model, found.name())));
            }
            (State::Created, Some(found)) => {
                self.told("Object exists already", &found);
                found
            }
            (State::Present, Some(found)) => {
                self.tell_missing(kind, missing);
                self.update(kind, found, &entry).await?
            }
            (State::Present | State::Created | State::MustCreated, None) => {
                self.tell_missing(kind, missing);
                self.create(kind, &entry).await?
            }
        };
        self.shared.report.models.insert(kind.model);
        if let Some(given) = entry.identifiers.get("pk").and_then(Value::as_str)
            && given != object.pk
        {
            self.remapped.insert(given.to_owned(), object.pk_value());
        }
        if let Some(id) = entry.id {
            self.ids.insert(id, Known::of(&object));
        }
        for permission in &entry.permissions {
            self.grant_on(&object, permission).await?;
        }
        Ok(())
    }

    /// The program has its schedules; a blueprint makes none.
    async fn schedule(&mut self, entry: &ResolvedEntry) -> Result<()> {
        const KNOWN: [&str; 7] = ["pk", "id", "identifier", "uid", "actor_name", "crontab", "paused"];
        for name in entry.attrs.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
            self.log("warning", format!("{} has no field {name}, it is ignored", schedules::MODEL), &[]);
        }
        let (event, found) = match schedules::apply(self.shared.unit, entry).await? {
            Applied::Unknown => {
                let named: Vec<String> = entry.identifiers.iter().map(|(name, v)| format!("{name} {v}")).collect();
                let event = format!("There is no schedule with {}; the entry is passed over", named.join(", "));
                self.log("warning", event, &[("model", schedules::MODEL.into())]);
                return Ok(());
            }
            Applied::Same(found) => ("Object is as it should be", found),
            Applied::Changed(found) => ("Object updated", found),
        };
        let key = Value::String(found.id.to_string());
        let attributes = [("model", schedules::MODEL.into()), ("pk", key.clone()), ("name", found.uid.into())];
        self.log("info", event, &attributes);
        self.shared.report.models.insert(schedules::MODEL);
        if let Some(id) = &entry.id {
            self.ids.insert(id.clone(), Known { bindable: key.clone(), key });
        }
        Ok(())
    }

    /// A search without result is null (spec/flows.md, blueprints). Whoever meant an object is told where that leaves a
    /// reference empty.
    fn tell_missing(&mut self, kind: &ResourceType, missing: &[Missing]) {
        for Missing { line, field, wanted } in missing {
            let is_reference =
                kind.find_field(field).is_some_and(|field| field.reference.is_some() && !field.read_only);
            if let Wanted::Object { model, fields, is_key: true } = wanted
                && is_reference
            {
                let shown = fields.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
                let event = format!("{field}: There is no {model} with {shown}.");
                self.log("warning", event, &[("line", (*line).into())]);
                self.shared.report.has_gaps = true;
            }
        }
    }

    fn told(&mut self, event: &str, object: &Stored) {
        let attributes =
            [("model", object.kind.model.into()), ("pk", object.pk_value()), ("name", object.name().into())];
        self.log("info", event, &attributes);
    }

    /// Replaces keys given in the document by what they turned out to be.
    fn remap(&self, fields: &mut Map<String, Value>) {
        if !self.remapped.is_empty() {
            fields.values_mut().for_each(|value| self.remap_value(value));
        }
    }

    fn remap_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(real) = self.remapped.get(text.as_str()) {
                    *value = real.clone();
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.remap_value(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.remap_value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The object with the given key, else the one with all the other identifiers.
    async fn identify(
        &mut self,
        kind: &'static ResourceType,
        identifiers: &Map<String, Value>,
    ) -> Result<Option<Stored>> {
        if identifiers.is_empty() {
            return Err(BlueprintError::invalid("An entry needs identifiers"));
        }
        if let Some(pk) = identifiers.get("pk") {
            let found = lookup::find(self.shared.unit, kind, &[("pk", pk)]).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let others: Vec<(&str, &Value)> =
            identifiers.iter().filter(|(name, _)| *name != "pk").map(|(name, value)| (name.as_str(), value)).collect();
        if others.is_empty() {
            return Ok(None);
        }
        lookup::find(self.shared.unit, kind, &others).await
    }

    fn body(entry: &ResolvedEntry) -> Map<String, Value> {
        let mut body = entry.identifiers.clone();
        body.shift_remove("pk");
        // Look-ups such as `name__iexact` are no fields.
        body.retain(|name, _| !name.contains("__"));
        body.extend(entry.attrs.clone());
        body
    }

    async fn create(&mut self, kind: &'static ResourceType, entry: &ResolvedEntry) -> Result<Stored> {
        if !kind.operations.create {
            return Err(BlueprintError::invalid(format!("Objects of {} cannot be made", kind.model)));
        }
        let mut body = Self::body(entry);
        let extras = Extras::take(kind, &mut body)?;
        self.warn_of_unknown(kind, &body);
        // Numbered keys are given by the database alone.
        let is_numbered = matches!(kind.backing, Backing::Table(def) if def.pk_is_int);
        let pk = entry.identifiers.get("pk").and_then(Value::as_str).filter(|_| !is_numbered).map(str::to_owned);
        let object = self.shared.unit.create(kind, &body, pk).await?;
        self.apply_extras(&object, extras).await?;
        self.told("Object created", &object);
        Ok(object)
    }

    async fn update(&mut self, kind: &'static ResourceType, found: Stored, entry: &ResolvedEntry) -> Result<Stored> {
        let mut body = Self::body(entry);
        let extras = Extras::take(kind, &mut body)?;
        self.warn_of_unknown(kind, &body);
        let snapshot = &self.shared.unit.snapshot;
        let differs = |(name, given): (&String, &Value)| {
            kind.find_field(name).is_some_and(|field| {
                let stored = found.doc.get(name).unwrap_or(&field.default);
                !field.read_only && !lookup::is_same(snapshot, field, stored, given)
            })
        };
        let object = if body.iter().any(differs) {
            let object = self.shared.unit.update(kind, &found.pk, &body, Mode::Patch).await?;
            self.told("Object updated", &object);
            object
        } else {
            self.told("Object is as it should be", &found);
            found
        };
        self.apply_extras(&object, extras).await?;
        Ok(object)
    }

    async fn remove(&mut self, kind: &'static ResourceType, found: Option<Stored>) -> Result<()> {
        let Some(found) = found else { return Ok(()) };
        if !kind.operations.destroy {
            return Err(BlueprintError::invalid(format!("Objects of {} cannot be deleted", kind.model)));
        }
        self.shared.unit.delete(kind, &found.pk).await?;
        self.told("Object deleted", &found);
        Ok(())
    }

    /// Fields the API would ignore too; often they are misspelt.
    fn warn_of_unknown(&mut self, kind: &'static ResourceType, body: &Map<String, Value>) {
        for name in body.keys().filter(|name| kind.find_field(name).is_none()) {
            self.log("warning", format!("{} has no field {name}, it is ignored", kind.model), &[]);
        }
    }

    async fn apply_extras(&mut self, object: &Stored, extras: Extras) -> Result<()> {
        let accounts = self.shared.environment.accounts;
        let unit = &mut *self.shared.unit;
        if let Some(password) = extras.password {
            accounts.set_password(unit, object, &password).await?;
        }
        if let Some(key) = extras.key {
            accounts.set_token_key(unit, object, &key).await?;
        }
        let holder = match object.kind.model {
            USER => Holder::User(object.int_pk()),
            _ => Holder::Role(&object.pk),
        };
        for permission in &extras.permissions {
            accounts.grant(unit, holder, permission, None).await?;
        }
        Ok(())
    }

    async fn grant_on(&mut self, object: &Stored, given: &ResolvedPermission) -> Result<()> {
        let accounts = self.shared.environment.accounts;
        let full = if given.permission.contains('.') {
            given.permission.clone()
        } else {
            format!("{}.{}", object.kind.app_label(), given.permission)
        };
        let mut holders = Vec::new();
        if let Some(user) = &given.user {
            let id = user.as_i64().or_else(|| user.as_str()?.parse().ok());
            holders.push(Holder::User(id.ok_or_else(|| BlueprintError::invalid("A permission names no known user"))?));
        }
        if let Some(role) = &given.role {
            let id = role.as_str().ok_or_else(|| BlueprintError::invalid("A permission names no known role"))?;
            holders.push(Holder::Role(id));
        }
        if holders.is_empty() {
            return Err(BlueprintError::invalid("A permission needs a user or a role"));
        }
        for holder in holders {
            accounts.grant(self.shared.unit, holder, &full, Some(object)).await?;
        }
        Ok(())
    }

    /// `metausersetpassword`: {user_identifiers, raw_password}.
    async fn set_password_of(&mut self, mut entry: ResolvedEntry) -> Result<()> {
        let identifiers = match entry.attrs.shift_remove("user_identifiers") {
            Some(Value::Object(map)) => map,
            _ => return Err(BlueprintError::invalid("user_identifiers: This field is required.")),
        };
        let password = text("raw_password", entry.attrs.shift_remove("raw_password"))?
            .ok_or_else(|| BlueprintError::invalid("raw_password: This field is required."))?;
        let kind = self.kind(USER)?;
        let user = self.identify(kind, &identifiers).await?;
        let user = user.ok_or_else(|| BlueprintError::invalid("There is no such user"))?;
        self.shared.environment.accounts.set_password(self.shared.unit, &user, &password).await?;
        self.told("Password set", &user);
        Ok(())
    }

    /// `metaapplyblueprint`: {identifiers, required}.
    async fn apply_other(&mut self, entry: ResolvedEntry) -> Result<()> {
        let identifiers = match entry.attrs.get("identifiers") {
            Some(Value::Object(map)) => map.clone(),
            Some(_) => return Err(BlueprintError::invalid("identifiers: A mapping is needed.")),
            None => entry.identifiers.clone(),
        };
        let is_required = entry.attrs.get("required") != Some(&Value::Bool(false));
        let shown = Value::Object(identifiers.clone()).to_string();
        let Some((name, request)) = self.other(&identifiers).await? else {
            if is_required {
                return Err(BlueprintError::invalid(format!("There is no blueprint {shown} to apply first")));
            }
            self.log("info", format!("There is no blueprint {shown} to apply first"), &[]);
            return Ok(());
        };
        let Some(request) = request else { return Ok(()) };
        if self.shared.open.contains(&name) {
            // It is being applied already, further up.
            return Ok(());
        }
        self.log("info", format!("Applying {name} first"), &[]);
        self.shared.open.push(name.clone());
        run(self.shared, &request).await.map_err(|error| match error {
            BlueprintError::Invalid(problem) => BlueprintError::invalid(format!("{name}: {problem}")),
            failed => failed,
        })?;
        self.shared.open.pop();
        Ok(())
    }

    /// Name and content of another blueprint: an instance, else a file of this name. No content: nothing to do.
    async fn other(&mut self, identifiers: &Map<String, Value>) -> Result<Option<(String, Option<Request>)>> {
        let library = self.shared.environment.library;
        let kind = self.shared.unit.site.registry.find(BlueprintInstance::MODEL);
        let instance = match kind {
            Some(kind) => self.identify(kind, identifiers).await?,
            None => None,
        };
        if let Some(instance) = instance {
            if instance.doc.get("enabled") == Some(&Value::Bool(false)) {
                self.told("Blueprint is switched off", &instance);
                return Ok(Some((instance.name(), None)));
            }
            return Ok(Some((instance.name(), Some(crate::instances::request_of(library, &instance)?))));
        }
        let Some(name) = identifiers.get("name").and_then(Value::as_str) else { return Ok(None) };
        let listing = self.shared.listing.get_or_insert_with(|| library.list());
        let Some(file) = listing.files.iter().find(|file| file.name() == name) else { return Ok(None) };
        let text = library.read(&file.path)?;
        let request = Request { text, source: Source::Disk, context: Map::new(), overrides: Map::new() };
        Ok(Some((name.to_owned(), Some(request))))
    }
}
