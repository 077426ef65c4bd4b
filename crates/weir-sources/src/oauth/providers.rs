//! What is publicly documented about each provider: addresses, scopes, names of claims, small differences. Only facts
//! stand here; what is done with them is the same for all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderType {
    /// Any OpenID Connect or OAuth 2 provider.
    OpenIdConnect,
    /// Sign in with Apple.
    Apple,
    /// Discord.
    Discord,
    /// Microsoft Entra ID.
    EntraId,
    /// Facebook.
    Facebook,
    /// GitHub, also on one's own servers.
    GitHub,
    /// GitLab, also on one's own servers.
    GitLab,
    /// Google.
    Google,
    /// Mailcow.
    Mailcow,
    /// Okta.
    Okta,
    /// Patreon.
    Patreon,
    /// Reddit.
    Reddit,
    /// Slack.
    Slack,
    /// Twitch.
    Twitch,
    /// X, formerly Twitter.
    Twitter,
    /// WeChat.
    WeChat,
}

/// How the site proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// As the source says.
    Configured,
    /// In the header, whatever the source says.
    Basic,
    /// In the body, whatever the source says.
    Body,
}

/// What makes a provider differ from the standards in more than names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Nothing.
    None,
    /// The client secret is a signed statement; the answer is posted; the name comes with the first answer only.
    Apple,
    /// Groups are asked for in a call of their own.
    Entra,
    /// The mail address may be in a list of its own.
    GitHub,
    /// Parameters have other names and the profile wants to know whose it is.
    WeChat,
}

/// Where things stand in what the provider tells: JSON pointers, the first that finds a text counts.
pub struct Claims {
    /// What never changes about a person.
    pub identifier: &'static [&'static str],
    /// Username.
    pub username: &'static [&'static str],
    /// Full name.
    pub name: &'static [&'static str],
    /// Mail address.
    pub email: &'static [&'static str],
    /// Groups; empty when the provider tells none.
    pub groups: &'static str,
}

/// A provider's facts.
pub struct Provider {
    /// Which.
    pub kind: ProviderType,
    /// Word on the wire.
    pub name: &'static str,
    /// Name for people.
    pub verbose: &'static str,
    /// It runs at addresses of one's own.
    pub customizable: bool,
    /// Where people are sent to.
    pub authorization_url: Option<&'static str>,
    /// Where codes are redeemed.
    pub access_token_url: Option<&'static str>,
    /// Where it tells about the person.
    pub profile_url: Option<&'static str>,
    /// A source without an address for that cannot work.
    pub profile_needed: bool,
    /// Where it describes itself.
    pub well_known_url: Option<&'static str>,
    /// Where its keys are.
    pub jwks_url: Option<&'static str>,
    /// Issuers of its statements; `{tid}` is the tenant that the statement names. Empty: as it describes itself.
    pub issuers: &'static [&'static str],
    /// Scopes that signing in needs.
    pub scopes: &'static [&'static str],
    /// How the site proves who it is.
    pub client_auth: ClientAuth,
    /// It insists on a hashed proof of possession.
    pub needs_pkce: bool,
    /// Further parameters of the authorization request.
    pub extra: &'static [(&'static str, &'static str)],
    /// What else is different.
    pub quirk: Quirk,
    /// Where things stand in what it tells.
    pub claims: Claims,
}

/// Names of claims that OpenID Connect defines.
const STANDARD: Claims = Claims {
    identifier: &["/sub"],
    username: &["/preferred_username", "/nickname"],
    name: &["/name"],
    email: &["/email"],
    groups: "/groups",
};

/// What a provider of which nothing special is known is like.
const PLAIN: Provider = Provider {
    kind: ProviderType::OpenIdConnect,
    name: "openidconnect",
    verbose: "OpenID Connect",
    customizable: true,
    authorization_url: None,
    access_token_url: None,
    profile_url: None,
    profile_needed: false,
    well_known_url: None,
    jwks_url: None,
    issuers: &[],
    scopes: &["openid", "email", "profile"],
    client_auth: ClientAuth::Configured,
    needs_pkce: false,
    extra: &[],
    quirk: Quirk::None,
    claims: STANDARD,
};

/// A provider at fixed addresses.
const FIXED: Provider = Provider { customizable: false, client_auth: ClientAuth::Body, ..PLAIN };

/// All providers, in order of their names.
pub static PROVIDERS: [Provider; 16] = [
    Provider {
        kind: ProviderType::Apple,
        name: "apple",
        verbose: "Apple",
        authorization_url: Some("https://appleid.apple.com/auth/authorize"),
        access_token_url: Some("https://appleid.apple.com/auth/token"),
        jwks_url: Some("https://appleid.apple.com/auth/keys"),
        issuers: &["https://appleid.apple.com"],
        scopes: &["name", "email"],
        extra: &[("response_mode", "form_post")],
        quirk: Quirk::Apple,
        claims: Claims { username: &["/email"], groups: "", ..STANDARD },
        ..FIXED
    },
    Provider {
        kind: ProviderType::Discord,
        name: "discord",
        verbose: "Discord",
        authorization_url: Some("https://discord.com/api/oauth2/authorize"),
        access_token_url: Some("https://discord.com/api/oauth2/token"),
        profile_url: Some("https://discord.com/api/users/@me"),
        scopes: &["identify", "email"],
        claims: Claims {
            identifier: &["/id"],
            username: &["/username"],
            name: &["/global_name", "/username"],
            email: &["/email"],
            groups: "",
        },
        ..FIXED
    },
    Provider {
        kind: ProviderType::EntraId,
        name: "entraid",
        verbose: "Entra ID",
        authorization_url: Some("https://login.microsoftonline.com/common/oauth2/v2.0/authorize"),
        access_token_url: Some("https://login.microsoftonline.com/common/oauth2/v2.0/token"),
        profile_url: Some("https://graph.microsoft.com/v1.0/me"),
        well_known_url: Some("https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"),
        jwks_url: Some("https://login.microsoftonline.com/common/discovery/v2.0/keys"),
        issuers: &["https://login.microsoftonline.com/{tid}/v2.0", "https://sts.windows.net/{tid}/"],
        scopes: &["https://graph.microsoft.com/User.Read", "openid"],
        quirk: Quirk::Entra,
        claims: Claims {
            identifier: &["/id"],
            username: &["/userPrincipalName"],
            name: &["/displayName"],
            email: &["/mail", "/userPrincipalName"],
            groups: "/groups",
        },
        ..PLAIN
    },
    Provider {
        kind: ProviderType::Facebook,
        name: "facebook",
        verbose: "Facebook",
        authorization_url: Some("https://www.facebook.com/v23.0/dialog/oauth"),
        access_token_url: Some("https://graph.facebook.com/v23.0/oauth/access_token"),
        profile_url: Some("https://graph.facebook.com/v23.0/me?fields=id,name,email"),
        scopes: &["email"],
        claims: Claims { identifier: &["/id"], username: &["/name"], name: &["/name"], email: &["/email"], groups: "" },
        ..FIXED
    },
    Provider {
        kind: ProviderType::GitHub,
        name: "github",
        verbose: "GitHub",
        customizable: true,
        authorization_url: Some("https://github.com/login/oauth/authorize"),
        access_token_url: Some("https://github.com/login/oauth/access_token"),
        profile_url: Some("https://api.github.com/user"),
        scopes: &["read:user", "user:email"],
        quirk: Quirk::GitHub,
        claims: Claims {
            identifier: &["/id"],
            username: &["/login"],
            name: &["/name"],
            email: &["/email"],
            groups: "",
        },
        ..FIXED
    },
    Provider {
        kind: ProviderType::GitLab,
        name: "gitlab",
        verbose: "GitLab",
        authorization_url: Some("https://gitlab.com/oauth/authorize"),
        access_token_url: Some("https://gitlab.com/oauth/token"),
        profile_url: Some("https://gitlab.com/oauth/userinfo"),
        well_known_url: Some("https://gitlab.com/.well-known/openid-configuration"),
        jwks_url: Some("https://gitlab.com/oauth/discovery/keys"),
        scopes: &["read_user", "openid", "profile", "email"],
        ..PLAIN
    },
    Provider {
        kind: ProviderType::Google,
        name: "google",
        verbose: "Google",
        authorization_url: Some("https://accounts.google.com/o/oauth2/v2/auth"),
        access_token_url: Some("https://oauth2.googleapis.com/token"),
        profile_url: Some("https://openidconnect.googleapis.com/v1/userinfo"),
        well_known_url: Some("https://accounts.google.com/.well-known/openid-configuration"),
        jwks_url: Some("https://www.googleapis.com/oauth2/v3/certs"),
        issuers: &["https://accounts.google.com", "accounts.google.com"],
        claims: Claims { username: &["/email"], groups: "", ..STANDARD },
        ..FIXED
    },
    Provider {
        kind: ProviderType::Mailcow,
        name: "mailcow",
        verbose: "Mailcow",
        profile_needed: true,
        scopes: &["profile"],
        claims: Claims {
            identifier: &["/id", "/identifier"],
            username: &["/identifier", "/email"],
            name: &["/full_name", "/displayName"],
            email: &["/email"],
            groups: "",
        },
        ..PLAIN
    },
    Provider {
        kind: ProviderType::Okta,
        name: "okta",
        verbose: "Okta",
        claims: Claims { username: &["/preferred_username", "/email"], ..STANDARD },
        ..PLAIN
    },
    PLAIN,
    Provider {
        kind: ProviderType::Patreon,
        name: "patreon",
        verbose: "Patreon",
        authorization_url: Some("https://www.patreon.com/oauth2/authorize"),
        access_token_url: Some("https://www.patreon.com/api/oauth2/token"),
        profile_url: Some("https://www.patreon.com/api/oauth2/v2/identity?fields%5Buser%5D=email,full_name,vanity"),
        scopes: &["identity", "identity[email]"],
        claims: Claims {
            identifier: &["/data/id"],
            username: &["/data/attributes/vanity", "/data/attributes/full_name"],
            name: &["/data/attributes/full_name"],
            email: &["/data/attributes/email"],
            groups: "",
        },
        ..FIXED
    },
    Provider {
        kind: ProviderType::Reddit,
        name: "reddit",
        verbose: "Reddit",
        authorization_url: Some("https://www.reddit.com/api/v1/authorize"),
        access_token_url: Some("https://www.reddit.com/api/v1/access_token"),
        profile_url: Some("https://oauth.reddit.com/api/v1/me"),
        scopes: &["identity"],
        client_auth: ClientAuth::Basic,
        claims: Claims { identifier: &["/id"], username: &["/name"], name: &["/name"], email: &[], groups: "" },
        ..FIXED
    },
    Provider {
        kind: ProviderType::Slack,
        name: "slack",
        verbose: "Slack",
        authorization_url: Some("https://slack.com/openid/connect/authorize"),
        access_token_url: Some("https://slack.com/api/openid.connect.token"),
        profile_url: Some("https://slack.com/api/openid.connect.userInfo"),
        well_known_url: Some("https://slack.com/.well-known/openid-configuration"),
        jwks_url: Some("https://slack.com/openid/connect/keys"),
        issuers: &["https://slack.com"],
        claims: Claims { username: &["/name"], groups: "", ..STANDARD },
        ..FIXED
    },
    Provider {
        kind: ProviderType::Twitch,
        name: "twitch",
        verbose: "Twitch",
        authorization_url: Some("https://id.twitch.tv/oauth2/authorize"),
        access_token_url: Some("https://id.twitch.tv/oauth2/token"),
        profile_url: Some("https://id.twitch.tv/oauth2/userinfo"),
        well_known_url: Some("https://id.twitch.tv/oauth2/.well-known/openid-configuration"),
        jwks_url: Some("https://id.twitch.tv/oauth2/keys"),
        issuers: &["https://id.twitch.tv/oauth2"],
        scopes: &["openid", "user:read:email"],
        extra: &[(
            "claims",
            r#"{"id_token":{"email":null,"email_verified":null,"preferred_username":null},"userinfo":{"email":null,"email_verified":null,"preferred_username":null}}"#,
        )],
        claims: Claims { name: &["/preferred_username"], groups: "", ..STANDARD },
        ..FIXED
    },
    Provider {
        kind: ProviderType::Twitter,
        name: "twitter",
        verbose: "Twitter",
        authorization_url: Some("https://x.com/i/oauth2/authorize"),
        access_token_url: Some("https://api.x.com/2/oauth2/token"),
        profile_url: Some("https://api.x.com/2/users/me?user.fields=confirmed_email"),
        scopes: &["users.read", "tweet.read", "users.email"],
        client_auth: ClientAuth::Basic,
        needs_pkce: true,
        claims: Claims {
            identifier: &["/data/id"],
            username: &["/data/username"],
            name: &["/data/name"],
            email: &["/data/confirmed_email"],
            groups: "",
        },
        ..FIXED
    },
    Provider {
        kind: ProviderType::WeChat,
        name: "wechat",
        verbose: "WeChat",
        authorization_url: Some("https://open.weixin.qq.com/connect/qrconnect"),
        access_token_url: Some("https://api.weixin.qq.com/sns/oauth2/access_token"),
        profile_url: Some("https://api.weixin.qq.com/sns/userinfo"),
        scopes: &["snsapi_login"],
        quirk: Quirk::WeChat,
        claims: Claims {
            identifier: &["/unionid", "/openid"],
            username: &["/unionid", "/openid"],
            name: &["/nickname"],
            email: &[],
            groups: "",
        },
        ..FIXED
    },
];

impl ProviderType {
    /// What is known about it.
    pub fn facts(self) -> &'static Provider {
        PROVIDERS.iter().find(|provider| provider.kind == self).unwrap_or(&PLAIN)
    }
}

impl Provider {
    /// The contract's `SourceType`.
    pub fn to_value(&self) -> Value {
        json!({
            "name": self.name,
            "verbose_name": self.verbose,
            "urls_customizable": self.customizable,
            "request_token_url": null,
            "authorization_url": self.authorization_url,
            "access_token_url": self.access_token_url,
            "profile_url": self.profile_url,
            "oidc_well_known_url": self.well_known_url,
            "oidc_jwks_url": self.jwks_url,
        })
    }
}
