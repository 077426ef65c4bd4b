//! How good a password is: counted, looked up among stolen ones, and guessed.

mod stolen;
#[cfg(test)]
mod tests;

use crate::{PolicyCx, PolicyKind, PolicyRequest, PolicyResult, outbound::Outbound};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{Family, Resource, resource::UuidKeyed};
use weir_identity::Brand;

/// What a policy says that finds no password.
pub const NOT_SET: &str = "Password not set in context";
/// The longest part of a password that is guessed at: the time for it grows faster than the text.
const GUESSED_CHARS: usize = 100;

fn field() -> String {
    "password".to_owned()
}
fn charset() -> String {
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ".to_owned()
}
fn yes() -> bool {
    true
}
fn two() -> u32 {
    2
}

/// Says how good a password must be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PasswordPolicy {
    /// Name of the policy.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Writes an event for every run, not only for failures.
    #[serde(default)]
    pub execution_logging: bool,
    /// Name of the prompt's field, or of the key in the context, that holds the password.
    #[serde(default = "field")]
    #[schemars(length(min = 1))]
    pub password_field: String,
    /// Least number of digits.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub amount_digits: u32,
    /// Least number of capital letters from A to Z.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub amount_uppercase: u32,
    /// Least number of small letters from a to z.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub amount_lowercase: u32,
    /// Least number of symbols.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub amount_symbols: u32,
    /// Least number of characters.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub length_min: u32,
    /// What counts as a symbol.
    #[serde(default = "charset")]
    #[schemars(length(min = 1))]
    pub symbol_charset: String,
    /// What the person is told when there are too few of something.
    #[serde(default)]
    pub error_message: String,
    /// Counts characters.
    #[serde(default = "yes")]
    pub check_static_rules: bool,
    /// Looks the password up among stolen ones. Five characters of its hash leave the server.
    #[serde(default)]
    pub check_have_i_been_pwned: bool,
    /// Estimates how easily the password is guessed.
    #[serde(default)]
    pub check_zxcvbn: bool,
    /// How often a password may have been stolen.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub hibp_allowed_count: u32,
    /// The estimate, from 0 to 4, must be above this.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub zxcvbn_score_threshold: u32,
}

impl UuidKeyed for PasswordPolicy {}
impl Resource for PasswordPolicy {
    const MODEL: &'static str = "authentik_policies_password.passwordpolicy";
    const PATH: &'static str = "policies/password";
    const SCHEMA: &'static str = "PasswordPolicy";
    const VERBOSE: &'static str = "Password Policy";
    const COMPONENT: &'static str = "ak-policy-password-form";
    const FAMILY: Option<Family> = Some(Family::Policy);
    const PARAM: &'static str = "policy_uuid";
}

impl PasswordPolicy {
    /// Whether there is enough of everything; a rule of 0 is off.
    fn has_enough(&self, password: &str) -> bool {
        let count = |test: &dyn Fn(char) -> bool| password.chars().filter(|c| test(*c)).count();
        let rules = [
            (self.length_min, count(&|_| true)),
            (self.amount_digits, count(&|c| c.is_ascii_digit())),
            (self.amount_lowercase, count(&|c| c.is_ascii_lowercase())),
            (self.amount_uppercase, count(&|c| c.is_ascii_uppercase())),
            (self.amount_symbols, count(&|c| self.symbol_charset.contains(c))),
        ];
        rules.iter().all(|(least, found)| usize::try_from(*least).is_ok_and(|least| *found >= least))
    }
}

/// The kind.
pub struct Passwords {
    /// Asks the service that knows stolen passwords.
    pub outbound: Arc<Outbound>,
    /// Where that is.
    pub hibp_url: String,
}

#[async_trait]
impl PolicyKind for Passwords {
    type Config = PasswordPolicy;

    async fn passes(
        &self,
        cx: &mut PolicyCx<'_>,
        _id: Uuid,
        config: &PasswordPolicy,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<PolicyResult> {
        let inputs = json!({"password_field": config.password_field});
        let Some(password) = request.answer(&config.password_field) else {
            return Ok(PolicyResult::new(false, vec![NOT_SET.to_owned()]).because(inputs));
        };
        if config.check_static_rules && !config.has_enough(password) {
            return Ok(PolicyResult::new(false, vec![config.error_message.clone()]).because(inputs));
        }
        let asks = config.check_have_i_been_pwned && request.dry_run.is_none();
        if asks {
            let count = stolen::count(&self.outbound, &self.hibp_url, password).await?;
            if count > u64::from(config.hibp_allowed_count) {
                let text = format!("Password exists on {count} online lists.");
                return Ok(PolicyResult::new(false, vec![text]).because(inputs));
            }
        }
        let result = match config.check_zxcvbn {
            true => guess(cx, config, request, password).await?,
            false => PolicyResult::new(true, Vec::new()),
        };
        // What is refused anyway is refused whatever the list says.
        if config.check_have_i_been_pwned && !asks && result.passing {
            request.is_kept_from_asking(|| "the list of stolen passwords".to_owned());
        }
        Ok(result.because(inputs))
    }
}

async fn guess(
    cx: &PolicyCx<'_>,
    config: &PasswordPolicy,
    request: &PolicyRequest<'_>,
    password: &str,
) -> anyhow::Result<PolicyResult> {
    let brand = request.http.brand.and_then(|id| cx.snapshot.get::<Brand>(id));
    let mut words: Vec<String> =
        request.user.map(|user| vec![user.username.clone(), user.name.clone(), user.email.clone()]).unwrap_or_default();
    words.push(brand.map_or_else(|| "authentik".to_owned(), |brand| brand.branding_title.clone()));
    let password: String = password.chars().take(GUESSED_CHARS).collect();
    let threshold = config.zxcvbn_score_threshold;
    // Milliseconds of computing: not on a thread that serves requests.
    let guessed = tokio::task::spawn_blocking(move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let entropy = zxcvbn::zxcvbn(&password, &words);
        let score = u8::from(entropy.score());
        let mut messages = Vec::new();
        if let Some(feedback) = entropy.feedback() {
            messages.extend(feedback.warning().map(|warning| warning.to_string()));
            messages.extend(feedback.suggestions().iter().map(ToString::to_string));
        }
        (score, messages)
    });
    let (score, messages) = guessed.await?;
    Ok(PolicyResult::new(u32::from(score) > threshold, messages))
}
