//! Sentences of pages around a sign-in.

use weir_http::flow::PageReply;

/// State unknown, used, late, or of another browser.
pub const STALE: &str =
    "This sign-in was already used, took too long, or began in another browser. Please start again.";
/// The person said no at the provider.
pub const CANCELLED: &str = "The sign-in was cancelled.";
/// The provider or our settings for it are at fault.
pub const TROUBLE: &str =
    "Signing in with this source does not work at the moment. Please try again later or tell your administrator.";
/// Connecting while acting as somebody else.
pub const IMPERSONATED: &str = "Accounts cannot be connected while you act as another user.";
/// Before connecting, when another site led here.
pub const CONFIRM: &str =
    "Another site led you here. If you go on, the identity you sign in with next will also open your account here.";
/// The source has no flow for this.
pub const NO_ENROLLMENT: &str = "This source is not set up for new users.";
/// The source has no flow for this.
pub const NO_AUTHENTICATION: &str = "This source is not set up for signing in.";
/// Matching refused.
pub const NOT_MATCHED: &str = "You cannot sign in with this account.";
/// The identity belongs to another user.
pub const OTHERS: &str = "This identity is already connected with another account.";
/// The user has another identity at this source.
pub const ALREADY: &str = "Your account is already connected with another identity of this source.";
/// What matching needs was not told.
pub const INCOMPLETE: &str = "The source did not tell what is needed to find your account.";
/// Policies refused without words.
pub const POLICIES: &str = "You are not allowed to sign in with this source.";

/// A refusal with a way on.
pub fn with_way_on(text: &str, label: &str, href: String) -> PageReply {
    match PageReply::denied(text) {
        PageReply::Say { status, title, text, cookies, .. } => {
            PageReply::Say { status, title, text, way_on: Some((label.to_owned(), href)), cookies }
        }
        other => other,
    }
}
