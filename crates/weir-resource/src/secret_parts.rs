//! Secrets inside of fields that hold mappings ([`Resource::SECRET_PARTS`](weir_core::Resource::SECRET_PARTS)).

use serde_json::{Value, map::Entry};
use weir_core::{Map, ResourceType};
use weir_events::MASK;

/// Puts the mask in place of the secrets of one field.
pub(crate) fn hide(kind: &ResourceType, field: &str, value: &mut Value) {
    for (_, part) in kind.secret_parts.iter().filter(|(name, _)| *name == field) {
        if let Some(secret) = value.get_mut(*part).filter(|secret| !secret.is_null()) {
            *secret = MASK.into();
        }
    }
}

/// What comes back as it was shown, as null or not at all stays as it was.
pub(crate) fn keep(kind: &ResourceType, old: Option<&Map>, doc: &mut Map) {
    for (field, part) in kind.secret_parts {
        let Some(mapping) = doc.get_mut(*field).and_then(Value::as_object_mut) else { continue };
        let kept = old.and_then(|old| old.get(*field)?.get(*part).cloned());
        match (mapping.entry(*part), kept) {
            (Entry::Vacant(place), Some(kept)) => {
                place.insert(kept);
            }
            (Entry::Occupied(mut place), kept) if place.get().is_null() || place.get() == MASK => match kept {
                Some(kept) => {
                    place.insert(kept);
                }
                None => {
                    place.remove();
                }
            },
            _ => {}
        }
    }
}
