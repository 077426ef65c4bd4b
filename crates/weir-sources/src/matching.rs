//! Which user here a person at a source is.

use crate::{
    base::{SourceBase, UserMatchingMode},
    connections::{self, Connected},
    say,
};
use serde_json::Value;
use uuid::Uuid;
use weir_core::Map;
use weir_identity::{Account, UserField, accounts};
use weir_store::{StoreError, Tx};

/// What follows from who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// Connected with this user.
    Known(Connected, Box<Account>),
    /// Found by mail address or name; to be connected at the end of the flow.
    Found(Box<Account>),
    /// The person who is signed in, to be connected now.
    Oneself(i64),
    /// Nobody: new here.
    New,
    /// Not to be let in.
    Refused(Refusal),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The identity is somebody else's.
    Others,
    /// The user has another identity.
    Already,
    /// The source did not tell this property.
    Missing(&'static str),
    /// A user with this property is there, or there is more than one, or they are inactive.
    Taken(&'static str),
    /// The user behind the connection cannot sign in.
    Inactive,
}

impl Refusal {
    /// For the person.
    pub fn text(self) -> &'static str {
        match self {
            Self::Others => say::OTHERS,
            Self::Already => say::ALREADY,
            Self::Missing(_) => say::INCOMPLETE,
            Self::Taken(_) | Self::Inactive => say::NOT_MATCHED,
        }
    }

    /// For events, and for stages that go on after it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Others => "connected_with_other",
            Self::Already => "connected_otherwise",
            Self::Missing(_) => "missing_property",
            Self::Taken(_) => "property_taken",
            Self::Inactive => "inactive",
        }
    }

    /// The property it is about.
    pub fn property(self) -> Option<&'static str> {
        match self {
            Self::Missing(property) | Self::Taken(property) => Some(property),
            _ => None,
        }
    }
}

/// What is known of the person.
pub struct Claimant<'a> {
    /// Who it is at the source.
    pub identifier: &'a str,
    /// Properties after mapping.
    pub properties: &'a Map,
    /// The provider says that it has not verified the mail address.
    pub is_mail_unverified: bool,
    /// Who is signed in here.
    pub signed_in: Option<i64>,
}

/// Decides.
///
/// # Errors
/// Those of the store.
pub async fn decide(
    tx: &mut Tx,
    source: Uuid,
    base: &SourceBase,
    claimant: &Claimant<'_>,
) -> Result<Match, StoreError> {
    let connected = connections::find(&mut *tx, source, claimant.identifier).await?;
    if let Some(user) = claimant.signed_in {
        return match connected {
            Some(known) if known.user == user => Ok(match accounts::find(&mut *tx, user).await? {
                Some(account) => Match::Known(known, Box::new(account)),
                None => Match::Refused(Refusal::Inactive),
            }),
            Some(_) => Ok(Match::Refused(Refusal::Others)),
            None => Ok(match connections::find_of_user(&mut *tx, source, user).await? {
                Some(_) => Match::Refused(Refusal::Already),
                None => Match::Oneself(user),
            }),
        };
    }
    if let Some(known) = connected {
        let account = accounts::find(&mut *tx, known.user).await?.filter(|account| account.is_active);
        return Ok(account.map_or(Match::Refused(Refusal::Inactive), |account| Match::Known(known, Box::new(account))));
    }
    by_mode(tx, source, base.user_matching_mode, claimant).await
}

async fn by_mode(
    tx: &mut Tx,
    source: Uuid,
    mode: UserMatchingMode,
    claimant: &Claimant<'_>,
) -> Result<Match, StoreError> {
    let (property, field, links) = match mode {
        UserMatchingMode::Identifier => return Ok(Match::New),
        UserMatchingMode::EmailLink => ("email", UserField::Email, true),
        UserMatchingMode::EmailDeny => ("email", UserField::Email, false),
        UserMatchingMode::UsernameLink => ("username", UserField::Username, true),
        UserMatchingMode::UsernameDeny => ("username", UserField::Username, false),
    };
    let value = claimant.properties.get(property).and_then(Value::as_str).unwrap_or_default();
    if value.is_empty() {
        return Ok(Match::Refused(Refusal::Missing(property)));
    }
    // A username in other letters is another username; a mail address is not another mail box.
    let folds = property == "email" || !links;
    let found = accounts::identify_all(&mut *tx, &[field], value, folds).await?;
    if found.is_empty() {
        return Ok(Match::New);
    }
    // Who may type any address at the provider must not become whoever has it here.
    let proven = property != "email" || !claimant.is_mail_unverified;
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(account), None) if links && proven && account.is_active && !is_internal(&account) => {
            Ok(match connections::find_of_user(&mut *tx, source, account.id).await? {
                Some(_) => Match::Refused(Refusal::Already),
                None => Match::Found(Box::new(account)),
            })
        }
        _ => Ok(Match::Refused(Refusal::Taken(property))),
    }
}

fn is_internal(account: &Account) -> bool {
    account.kind == accounts::INTERNAL_SERVICE_ACCOUNT
}
