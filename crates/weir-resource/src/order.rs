//! What lists may be ordered by.

use weir_core::{Backing, Field, Kind, ResourceType};

/// What a list may be ordered by.
#[derive(Clone, Copy)]
pub(crate) enum By {
    /// A field.
    Field(&'static Field),
    /// The key.
    Key,
    /// A column that is no field.
    Column(&'static str),
    /// When a document was made.
    Created,
    /// When a document was last changed.
    Changed,
}

impl By {
    /// What a name in `ordering` means; none for what no list can be ordered by.
    pub(crate) fn find(kind: &'static ResourceType, name: &str) -> Option<Self> {
        match kind.fields.iter().find(|f| f.name == name) {
            Some(field) => {
                let sortable = !field.write_only && !matches!(field.kind, Kind::List(_) | Kind::Object | Kind::Any);
                sortable.then_some(Self::Field(field))
            }
            None if name == "pk" || name == kind.pk => Some(Self::Key),
            None if matches!(kind.backing, Backing::Document) => match name {
                "created" => Some(Self::Created),
                "last_updated" => Some(Self::Changed),
                _ => None,
            },
            None => None,
        }
    }
}
