//! What a page is made of: the data the caller hands over.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::locale::Locale;
use crate::text_at;

/// The look a brand gives to every page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BrandView {
    /// Name shown in the window title and beside the logo.
    pub title: String,
    /// Address of the logo.
    pub logo: String,
    /// Address of the icon in the browser's tab.
    pub favicon: String,
    /// The administrator's own style; stands above ours in the cascade whatever its selectors.
    pub custom_css: String,
    /// Links below every page.
    pub footer_links: Vec<FooterLink>,
    /// `light`, `dark`; anything else follows the visitor's system.
    pub theme: String,
}

/// A link (or, without an address, a text) below every page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FooterLink {
    /// The text.
    pub name: String,
    /// http(s) or site-relative; others are shown as text.
    pub href: Option<String>,
}

/// How grave a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something worth knowing.
    Info,
    /// Something went well.
    Success,
    /// Something to look at.
    Warning,
    /// Something went wrong.
    Danger,
}

/// A message above the content, such as the ones policies leave.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// How grave it is.
    pub level: Level,
    /// Plain text.
    pub text: String,
}

/// What every page has.
#[derive(Debug, Clone, Copy)]
pub struct PageView<'a> {
    /// The brand of the request's host.
    pub brand: &'a BrandView,
    /// The visitor's language, see [`Locale::negotiate`].
    pub locale: &'static Locale,
    /// Nonce for the brand's style; the same one goes to [`crate::PagePolicy`].
    pub nonce: &'a str,
    /// The request's id, shown where things went wrong.
    pub request_id: &'a str,
    /// What comes before every path of the site: empty, or `/` and a name.
    pub prefix: &'a str,
    /// Messages for the visitor.
    pub notices: &'a [Notice],
}

/// One step of a flow.
#[derive(Debug, Clone, Copy)]
pub struct FlowPage<'a> {
    /// What every page has.
    pub view: PageView<'a>,
    /// The challenge exactly as the executor's API would answer it.
    pub challenge: &'a Value,
    /// The refused answer when the challenge has `response_errors`: fills the form again (never passwords).
    pub answer: Option<&'a Value>,
    /// The flow's slug.
    pub slug: &'a str,
    /// The flow's title; the challenge's own `flow_info` wins. For challenges made without one.
    pub title: &'a str,
    /// The flow's layout, likewise.
    pub layout: &'a str,
    /// Address of the flow's background, likewise.
    pub background: &'a str,
    /// Where the form is posted: the page's own address with its query.
    pub form_action: &'a str,
    /// Value of the hidden field [`crate::CSRF_FIELD`].
    pub csrf_token: &'a str,
    /// Further hidden fields (name, value); name them with [`crate::RESERVED_PREFIX`].
    pub hidden: &'a [(&'a str, &'a str)],
}

/// The layouts of a flow, as the contract names them.
pub const LAYOUTS: &[&str] = &[
    "stacked",
    "content_left",
    "content_right",
    "sidebar_left",
    "sidebar_right",
    "sidebar_left_frame_background",
    "sidebar_right_frame_background",
];

impl<'a> FlowPage<'a> {
    /// The challenge's component.
    pub fn component(&self) -> &'a str {
        text_at(self.challenge, "/component")
    }

    /// The layout in effect.
    pub fn layout(&self) -> &'static str {
        let wanted = self.info("/flow_info/layout", self.layout);
        LAYOUTS.iter().find(|layout| **layout == wanted).or(LAYOUTS.first()).map_or("stacked", |layout| layout)
    }

    /// The background in effect.
    pub fn background(&self) -> &'a str {
        self.info("/flow_info/background", self.background)
    }

    /// The title in effect.
    pub fn title(&self) -> &'a str {
        self.info("/flow_info/title", self.title)
    }

    /// The parameters of the page's address; of several with one name the last counts.
    pub(crate) fn query(&self) -> BTreeMap<String, String> {
        let query = self.form_action.split_once('?').map_or("", |(_, query)| query);
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    fn info(&self, pointer: &str, otherwise: &'a str) -> &'a str {
        let own = text_at(self.challenge, pointer);
        if own.is_empty() { otherwise } else { own }
    }
}

/// The page of somebody signed in, until the portal takes over.
#[derive(Debug, Clone, Copy)]
pub struct LandingPage<'a> {
    /// What every page has.
    pub view: PageView<'a>,
    /// Who is signed in.
    pub user: &'a LandingUser,
    /// His sessions, the current one among them.
    pub sessions: &'a [SessionView],
    /// Where his password is changed, if the brand offers it.
    pub change_password_url: Option<&'a str>,
    /// Where his details are changed, if the brand offers it.
    pub settings_url: Option<&'a str>,
    /// Where he signs out: the default invalidation flow.
    pub sign_out_url: &'a str,
    /// The administration, for those who may enter.
    pub admin_url: Option<&'a str>,
}

/// The person of the landing page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LandingUser {
    /// Display name; may be empty.
    pub name: String,
    /// Username.
    pub username: String,
    /// E-mail address; may be empty.
    pub email: String,
    /// Address of the picture.
    pub avatar: String,
    /// The administrator acting as this person, while impersonating.
    pub impersonated_by: Option<String>,
}

/// A session of the landing page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SessionView {
    /// Browser and system in words.
    pub device: String,
    /// Client address.
    pub address: String,
    /// When it was last used, ISO 8601.
    pub last_used: String,
    /// The session asking.
    pub current: bool,
}

/// A page that only says something.
#[derive(Debug, Clone, Copy)]
pub struct MessagePage<'a> {
    /// What every page has.
    pub view: PageView<'a>,
    /// What it says.
    pub message: Message<'a>,
    /// Where to go from here; the first one stands out.
    pub actions: &'a [Action<'a>],
}

/// What a message page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The general words for an HTTP status.
    Status(u16),
    /// The first-run set-up cannot start yet (503).
    SetupPending,
    /// The first-run set-up waits for the link printed at start.
    SetupLink,
    /// The interface is not for this kind of account (403).
    InternalOnly,
    /// What a frame was shown for is done; the page around it is told so.
    FrameDone,
    /// The same when it came to nothing: why, in English; known sentences are translated.
    FrameRefused(&'a str),
    /// Own words, in English; known sentences are translated.
    Own {
        /// Heading.
        title: &'a str,
        /// Sentence below it.
        text: &'a str,
    },
}

/// A way on from a message page.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Action<'a> {
    /// The text, in English; known ones are translated.
    pub label: &'a str,
    /// http(s) or site-relative.
    pub href: &'a str,
}
