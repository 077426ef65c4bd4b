//! Schedules of tasks in blueprints. The program and its objects have them; a blueprint says when they run and whether
//! they wait.

use serde_json::{Map, Value, json};
use weir_core::ApiError;
use weir_events::{Event, action};
use weir_resource::{Unit, store};
use weir_store::jobs::schedules::{self, Schedule};

use crate::entry::{ResolvedEntry, State};
use crate::error::BlueprintError;
use crate::writer::{Output, OutputEntry};

/// Their model.
pub const MODEL: &str = "authentik_tasks_schedules.schedule";
const APP: &str = "authentik_tasks_schedules";

type Result<T> = std::result::Result<T, BlueprintError>;

/// Changes when a schedule runs and whether it waits; what is none stays. Whether something changed.
///
/// # Errors
/// 400 for a crontab that cannot be read; those of the store.
pub async fn change(
    unit: &mut Unit<'_>,
    known: &Schedule,
    crontab: Option<&str>,
    paused: Option<bool>,
) -> std::result::Result<bool, ApiError> {
    let now = unit.site.clock.now();
    if let Some(crontab) = crontab {
        schedules::next_run(crontab, now).map_err(|sentence| ApiError::field("crontab", sentence))?;
    }
    schedules::update(&mut unit.tx, known.id, now, crontab, paused).await.map_err(store)?;
    let mut diff = Map::new();
    if let Some(new) = crontab.filter(|new| *new != known.crontab) {
        diff.insert("crontab".to_owned(), json!({"previous_value": known.crontab, "new_value": new}));
    }
    if let Some(new) = paused.filter(|new| *new != known.paused) {
        diff.insert("paused".to_owned(), json!({"previous_value": known.paused, "new_value": new}));
    }
    if diff.is_empty() {
        return Ok(false);
    }
    let pk = known.id.simple().to_string();
    let model = json!({"app": APP, "model_name": "schedule", "pk": pk, "name": known.uid});
    unit.event(Event::new(action::MODEL_UPDATED, APP, json!({"model": model, "diff": diff}))).await?;
    Ok(true)
}

/// What came of an entry.
pub(crate) enum Applied {
    /// There is no such schedule here.
    Unknown,
    /// It is as the entry says.
    Same(Schedule),
    /// It was changed.
    Changed(Schedule),
}

/// Brings a schedule to what an entry says.
pub(crate) async fn apply(unit: &mut Unit<'_>, entry: &ResolvedEntry) -> Result<Applied> {
    if entry.identifiers.is_empty() {
        return Err(BlueprintError::invalid("An entry needs identifiers"));
    }
    let known = schedules::all(&mut unit.tx).await.map_err(|error| BlueprintError::from(store(error)))?;
    let mut fitting = None;
    for schedule in known {
        if is_meant(&schedule, &entry.identifiers)? {
            fitting = Some(schedule);
            break;
        }
    }
    let Some(found) = fitting else {
        return Ok(Applied::Unknown);
    };
    match entry.state {
        State::Absent => return Err(BlueprintError::invalid(format!("Objects of {MODEL} cannot be deleted"))),
        State::MustCreated => {
            return Err(BlueprintError::invalid(format!("{MODEL} {} exists already", found.uid)));
        }
        State::Created => return Ok(Applied::Same(found)),
        State::Present => {}
    }
    let wrong = |field: &str, what: &str| BlueprintError::invalid(format!("{field}: {what}"));
    let crontab = match entry.attrs.get("crontab") {
        None => None,
        Some(Value::String(text)) if !text.is_empty() => Some(text.as_str()),
        Some(_) => return Err(wrong("crontab", "Not a valid string.")),
    };
    let paused = match entry.attrs.get("paused") {
        None => None,
        Some(Value::Bool(paused)) => Some(*paused),
        Some(_) => return Err(wrong("paused", "Must be a valid boolean.")),
    };
    if crontab.is_none_or(|text| text == found.crontab) && paused.is_none_or(|paused| paused == found.paused) {
        return Ok(Applied::Same(found));
    }
    change(unit, &found, crontab, paused).await?;
    Ok(Applied::Changed(found))
}

/// Whether all identifiers name this schedule.
fn is_meant(schedule: &Schedule, identifiers: &Map<String, Value>) -> Result<bool> {
    for (name, value) in identifiers {
        let own = match name.as_str() {
            "pk" | "id" => Some(schedule.id.to_string()),
            "identifier" => schedule.identifier.clone(),
            "uid" => Some(schedule.uid.clone()),
            "actor_name" => Some(schedule.actor_name.clone()),
            "rel_obj_id" => schedule.rel_obj.as_ref().map(|object| object.id.clone()),
            _ => return Err(BlueprintError::invalid(format!("{MODEL} has no identifier {name}"))),
        };
        let given = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_same = match &own {
            None => value.is_null(),
            Some(own) => *own == given,
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The schedules of the program. Those of objects have keys that mean nothing elsewhere.
pub(crate) async fn exported(unit: &mut Unit<'_>) -> std::result::Result<Vec<OutputEntry>, ApiError> {
    let mut known = schedules::all(&mut unit.tx).await.map_err(store)?;
    known.retain(|schedule| schedule.identifier.is_some() && schedule.rel_obj.is_none());
    known.sort_by(|a, b| a.identifier.cmp(&b.identifier));
    let entry = |schedule: Schedule| OutputEntry {
        model: MODEL.to_owned(),
        id: None,
        state: State::Present,
        identifiers: vec![("identifier".to_owned(), text(schedule.identifier.unwrap_or_default()))],
        attrs: vec![
            ("crontab".to_owned(), text(schedule.crontab)),
            ("paused".to_owned(), Value::Bool(schedule.paused).into()),
        ],
    };
    Ok(known.into_iter().map(entry).collect())
}

fn text(text: String) -> Output {
    Value::String(text).into()
}
