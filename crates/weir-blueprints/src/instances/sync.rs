//! Brings instances in line with the files, and applies them.

use serde_json::{Value, json};
use weir_core::{ApiError, Map, Resource as _, ResourceType};
use weir_resource::{Actor, Site, Stored, Unit, store};

use super::hooks::metadata_body;
use super::{BlueprintInstance, Status, request_of};
use crate::discover::{BlueprintFile, content_hash};
use crate::error::BlueprintError;
use crate::import::{Environment, LogLine, Report, apply_in};
use crate::shipped;

/// Where the set of served models is remembered that the files were last applied with.
const MODELS_KEY: &str = "blueprints_models";

/// What a look at all files did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// Names of the blueprints applied.
    pub applied: Vec<String>,
    /// Names and problems of those refused.
    pub refused: Vec<(String, String)>,
}

fn kind(site: &Site) -> Result<&'static ResourceType, ApiError> {
    let found = site.registry.find(BlueprintInstance::MODEL);
    found.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("{} is not registered", BlueprintInstance::MODEL)))
}

/// Makes an instance of every file that wants one, and applies those whose content changed, or all of them if other
/// models are served than last time: entries that were skipped may have become possible. Safe to run on several nodes.
pub async fn apply_all(site: &Site, environment: Environment<'_>) -> Result<Startup, ApiError> {
    let kind = kind(site)?;
    let models = models_digest(site);
    let is_known = {
        let sql = "SELECT value FROM installation WHERE key = $1";
        let row = site.db.read_one(sql, &[MODELS_KEY.into()]).await.map_err(store)?;
        row.map(|row| row.text("value")).transpose().map_err(store)?.as_deref() == Some(models.as_str())
    };
    let listing = environment.library.list();
    for (path, reason) in &listing.skipped {
        tracing::warn!(path, reason, "file is no blueprint");
    }
    let mut files: Vec<&BlueprintFile> = listing.files.iter().filter(|file| file.is_instantiated()).collect();
    files.sort_by_key(|file| {
        let shipped = shipped::FILES.iter().position(|(path, _)| *path == file.path);
        (shipped.unwrap_or(usize::MAX), file.path.clone())
    });
    let startup = apply_files(site, environment, kind, files, !is_known).await?;
    mark_orphans(site, kind, environment).await?;
    if !is_known {
        let mut unit = Unit::new(site, Actor::system());
        let sql = "INSERT INTO installation (key, value) VALUES ($1, $2) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        unit.tx.begin_write().await.map_err(store)?;
        unit.tx.write(sql, &[MODELS_KEY.into(), models.into()]).await.map_err(store)?;
        unit.commit().await?;
    }
    Ok(startup)
}

/// Files may refer to what others make: those refused or with gaps are tried again as long as others get further.
async fn apply_files(
    site: &Site,
    environment: Environment<'_>,
    kind: &'static ResourceType,
    mut files: Vec<&BlueprintFile>,
    again: bool,
) -> Result<Startup, ApiError> {
    let mut startup = Startup::default();
    let mut again = again;
    loop {
        let mut open = Vec::new();
        let count = files.len();
        startup.refused.clear();
        for file in files {
            if !apply_file(site, environment, kind, file, again, &mut startup).await? {
                open.push(file);
            }
        }
        if open.is_empty() || open.len() == count {
            break;
        }
        (files, again) = (open, true);
    }
    for (name, problems) in &startup.refused {
        tracing::error!(name, problems, "blueprint refused");
    }
    Ok(startup)
}

fn models_digest(site: &Site) -> String {
    let mut models: Vec<&str> = site.registry.all().map(|kind| kind.model).collect();
    models.sort_unstable();
    content_hash(&models.join("\n"))
}

/// Whether nothing is left to be done for the file.
async fn apply_file(
    site: &Site,
    environment: Environment<'_>,
    kind: &'static ResourceType,
    file: &BlueprintFile,
    again: bool,
    startup: &mut Startup,
) -> Result<bool, ApiError> {
    let find = |snapshot: &weir_resource::Snapshot| {
        snapshot.of_model(kind.model).find(|object| object.text("path") == file.path).map(|object| Stored::of(object))
    };
    let is_current = |instance: &Stored| {
        let hash = instance.text("last_applied_hash") == file.hash;
        instance.doc.get("enabled") == Some(&Value::Bool(false))
            || (hash && !again && ["successful", "warning"].contains(&instance.text("status")))
    };
    // Most starts change nothing: no lock is taken then.
    if find(&site.snapshot()).is_some_and(|instance| is_current(&instance)) {
        return Ok(true);
    }
    let mut unit = Unit::new(site, Actor::system());
    unit.lock_configuration().await?;
    // Asked again under the lock: another node may have been first.
    let instance = match find(&unit.snapshot) {
        Some(instance) if is_current(&instance) => {
            unit.rollback().await?;
            return Ok(true);
        }
        Some(instance) => instance,
        None => create(&mut unit, kind, file).await?,
    };
    let name = instance.name();
    let report = apply_stored(unit, environment, kind, &instance).await?;
    if !report.success {
        startup.refused.push((name, report.problems().join("; ")));
    } else if !startup.applied.contains(&name) {
        startup.applied.push(name);
    }
    Ok(report.success && !report.has_gaps)
}

async fn create(unit: &mut Unit<'_>, kind: &'static ResourceType, file: &BlueprintFile) -> Result<Stored, ApiError> {
    let name = file.name();
    // Another blueprint may have this name already; the path has none yet.
    let is_taken = unit.snapshot.by_unique(kind.model, "name", name).is_some();
    let name = if is_taken { &file.path } else { name };
    let body = Map::from_iter([("name".to_owned(), name.into()), ("path".to_owned(), file.path.clone().into())]);
    unit.create(kind, &body, None).await
}

/// Applies an instance now and notes what became of it.
///
/// # Errors
/// 404 for an unknown instance; those of the store. A refused blueprint is told by the report.
pub async fn apply_instance(
    site: &Site,
    actor: Actor,
    environment: Environment<'_>,
    pk: &str,
) -> Result<Report, ApiError> {
    let kind = kind(site)?;
    let mut unit = Unit::new(site, actor);
    unit.lock_configuration().await?;
    let instance = unit.find(kind, pk).await?.ok_or_else(ApiError::not_found)?;
    let report = apply_stored(unit, environment, kind, &instance).await?;
    if !report.success {
        tracing::error!(name = instance.name(), problems = report.problems().join("; "), "blueprint refused");
    }
    Ok(report)
}

/// The objects and the note on the instance are one transaction. After a refusal only the note remains.
async fn apply_stored(
    mut unit: Unit<'_>,
    environment: Environment<'_>,
    kind: &'static ResourceType,
    instance: &Stored,
) -> Result<Report, ApiError> {
    let request = match request_of(environment.library, instance) {
        Ok(request) => request,
        Err(BlueprintError::Invalid(problem)) => {
            let mut report = Report::default();
            report.logs.push(LogLine {
                timestamp: unit.site.clock.now(),
                level: "error",
                event: problem.to_string(),
                attributes: Map::new(),
            });
            let status = if instance.text("content").is_empty() { Status::Orphaned } else { Status::Error };
            note(&mut unit, kind, instance, status, None).await?;
            unit.commit().await?;
            return Ok(report);
        }
        Err(BlueprintError::Failed(error)) => return Err(error),
    };
    let before = std::sync::Arc::clone(&unit.snapshot);
    let point = unit.tx.savepoint().await.map_err(store)?;
    let report = apply_in(&mut unit, environment, &request).await?;
    if report.success {
        unit.tx.release(point).await.map_err(store)?;
        let has_remarks = report.logs.iter().any(|line| line.level == "warning");
        let status = if has_remarks { Status::Warning } else { Status::Successful };
        note(&mut unit, kind, instance, status, Some((&request.text, &report))).await?;
    } else {
        unit.tx.rollback_to(point).await.map_err(store)?;
        unit.snapshot = before;
        note(&mut unit, kind, instance, Status::Error, None).await?;
    }
    unit.commit().await?;
    Ok(report)
}

async fn note(
    unit: &mut Unit<'_>,
    kind: &'static ResourceType,
    instance: &Stored,
    status: Status,
    applied: Option<(&str, &Report)>,
) -> Result<(), ApiError> {
    let now = unit.site.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut fields = Map::new();
    fields.insert("status".to_owned(), status.as_str().into());
    fields.insert("last_applied".to_owned(), now.into());
    if let Some((text, report)) = applied {
        let metadata = crate::format::Document::parse_metadata(text).ok().flatten();
        fields.insert("last_applied_hash".to_owned(), content_hash(text).into());
        fields.insert("managed_models".to_owned(), json!(report.models));
        fields.insert("metadata".to_owned(), metadata_body(metadata.as_ref()));
    }
    // A blueprint may delete its own instance.
    if unit.find(kind, &instance.pk).await?.is_some() {
        unit.set(kind, &instance.pk, fields).await?;
    }
    Ok(())
}

/// Notes the instances whose file is gone.
async fn mark_orphans(site: &Site, kind: &'static ResourceType, environment: Environment<'_>) -> Result<(), ApiError> {
    let snapshot = site.snapshot();
    let orphans: Vec<Stored> = snapshot
        .of_model(kind.model)
        .filter(|object| object.text("content").is_empty() && object.text("status") != Status::Orphaned.as_str())
        .filter(|object| environment.library.read(object.text("path")).is_err())
        .map(|object| Stored::of(object))
        .collect();
    for orphan in orphans {
        let mut unit = Unit::new(site, Actor::system());
        note(&mut unit, kind, &orphan, Status::Orphaned, None).await?;
        unit.commit().await?;
    }
    Ok(())
}
