//! What can be typed. The flags of the settings come from the list of settings; any command takes them.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Result;
use clap::{Arg, ArgMatches, Args, FromArgMatches as _, Subcommand, builder::ValueParser, error::ErrorKind};
use serde_json::Value;

use super::Usage;
use crate::config::{Setting, settings};

/// A command with its settings.
pub struct Asked {
    /// The command.
    pub action: Action,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Settings given as flags, by key.
    pub flags: Vec<(String, String)>,
}

/// The commands.
#[derive(Subcommand)]
pub enum Action {
    /// Run the server
    Serve,
    /// Bring the database up to date and stop
    Migrate,
    /// Look at the settings
    #[command(subcommand)]
    Config(ConfigAction),
    /// First aid for accounts
    #[command(subcommand)]
    User(UserAction),
    /// Configuration as YAML
    #[command(subcommand)]
    Blueprint(BlueprintAction),
    /// Look at mails, and try the mail server
    #[command(subcommand)]
    Mail(MailAction),
    /// Models of security keys and passkeys
    #[command(subcommand)]
    Webauthn(WebauthnAction),
    /// Records of account lockdowns
    #[command(subcommand)]
    Lockdown(LockdownAction),
    /// Check the audit trail
    #[command(subcommand)]
    Events(EventsAction),
    /// Print the OpenAPI document of this build
    Openapi {
        /// As YAML instead of JSON
        #[arg(long)]
        yaml: bool,
    },
    /// Ask a running server whether it is ready; exit code 0 if it is
    Healthcheck,
    /// Fill the database for measurements
    #[command(hide = true)]
    BenchSeed {
        /// How many users
        #[arg(long, default_value_t = 0)]
        users: u32,
        /// How many configuration objects
        #[arg(long, default_value_t = 0)]
        objects: u32,
        /// How many sessions of one user
        #[arg(long, default_value_t = 0)]
        sessions: u32,
        /// How many tokens of one user
        #[arg(long, default_value_t = 0)]
        tokens: u32,
        /// The user
        #[arg(long, default_value = "akadmin")]
        of: String,
        /// How many events
        #[arg(long, default_value_t = 0)]
        events: u32,
    },
}

/// What can be done with settings.
#[derive(Subcommand)]
pub enum ConfigAction {
    /// Print the settings in force and where each comes from, secrets masked
    Show,
}

/// What can be done with accounts.
#[derive(Subcommand)]
pub enum UserAction {
    /// Make an account
    Create(NewUser),
    /// Set an account's password, read from the standard input; its sessions end
    SetPassword {
        /// Who
        username: String,
    },
    /// Print a link by which somebody gets back into their account
    RecoveryLink {
        /// Who
        username: String,
        /// How long the link works
        #[arg(long, default_value = "hours=1")]
        duration: String,
        /// Address under which people reach the server; by default the one of the settings, else this machine
        #[arg(long)]
        url: Option<String>,
    },
    /// Lock an account down: deactivate it, remove its password, end its sessions, revoke whatever acts in its name
    Lockdown {
        /// Who
        username: String,
        /// Why; kept in the audit trail
        #[arg(long)]
        reason: String,
    },
    /// Let a locked account sign in again; what was revoked stays revoked
    Unlock {
        /// Who
        username: String,
        /// Why; kept in the audit trail
        #[arg(long)]
        reason: String,
    },
}

/// What can be done with records of lockdowns.
#[derive(Subcommand)]
pub enum LockdownAction {
    /// Check that a record is as it was signed; exit code 0 if it is
    Verify {
        /// The record, as `GET /api/v3/weir/lockdowns/<id>/` gives it; - for the standard input
        file: PathBuf,
        /// The public key, as `GET /api/v3/weir/lockdowns/key/` gives it, instead of that of this installation's database
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Print the public key
    Key,
    /// Print a record
    Show {
        /// Its key
        id: String,
    },
}

/// What can be done with the audit trail.
#[derive(Subcommand)]
pub enum EventsAction {
    /// Look for events that were changed, removed, inserted or moved; exit code 0 if there are none
    Verify {
        /// What an earlier run printed: the chain must still lead through it
        #[arg(long, value_name = "PLACE:HASH")]
        expect: Option<String>,
    },
}

/// A new account.
#[derive(Args)]
pub struct NewUser {
    /// Name to sign in with
    pub username: String,
    /// Name for people
    #[arg(long)]
    pub name: Option<String>,
    /// E-mail address
    #[arg(long)]
    pub email: Option<String>,
    /// Make it an administrator
    #[arg(long)]
    pub admin: bool,
    /// Read a password from the standard input
    #[arg(long)]
    pub password: bool,
}

/// What can be done with blueprints.
#[derive(Subcommand)]
pub enum BlueprintAction {
    /// Apply a blueprint; all of it or, when something is wrong, nothing
    Apply {
        /// The file; - for the standard input
        file: PathBuf,
        /// Value for `!Context`, as in key=value
        #[arg(long, value_name = "KEY=VALUE")]
        context: Vec<String>,
    },
    /// Print the configuration as a blueprint, without secrets
    Export {
        /// Only this flow and what it needs
        #[arg(long, value_name = "SLUG")]
        flow: Option<String>,
        /// Write to this file instead
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

/// What can be done with mail.
#[derive(Subcommand)]
pub enum MailAction {
    /// List the templates, those of this site included
    Templates,
    /// Print a template filled with made-up values
    Preview(Preview),
    /// Send a test mail
    Test {
        /// To whom
        address: String,
        /// By the mail server of this stage instead of the global one
        #[arg(long, value_name = "NAME")]
        stage: Option<String>,
        /// Language of the mail
        #[arg(long, default_value = "en")]
        locale: String,
    },
}

/// A look at a template.
#[derive(Args)]
pub struct Preview {
    /// Name of the template
    #[arg(long, default_value = "email/password_reset.html")]
    pub template: String,
    /// Language of the mail
    #[arg(long, default_value = "en")]
    pub locale: String,
    /// The plain text instead of the page
    #[arg(long)]
    pub text: bool,
    /// Write to this file instead
    #[arg(long, short)]
    pub output: Option<PathBuf>,
}

/// What can be done with models of authenticators.
#[derive(Subcommand)]
pub enum WebauthnAction {
    /// Take the models of a FIDO metadata file (a signed JWT)
    LoadMetadata {
        /// The file
        file: PathBuf,
        /// Certificate, PEM or DER, that the file's signer leads to
        #[arg(long)]
        root: PathBuf,
    },
    /// Take the names of a plain list: JSON with {"name", "icon_light"} under each model's number
    LoadModels {
        /// The file
        file: PathBuf,
    },
}

/// Reads the command line; none when help or version was asked for and printed.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Asked>> {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            super::print(&error.render().to_string())?;
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let text = error.render().to_string();
            return Err(Usage(format!("a command is missing; one of: {}", commands_in(&text))).into());
        }
        Err(error) => return Err(Usage(one_line(&error.render().to_string())).into()),
    };
    let action = Action::from_arg_matches(&matches).map_err(|error| Usage(one_line(&error.to_string())))?;
    let file = matches.get_one::<PathBuf>(CONFIG).cloned();
    Ok(Some(Asked { action, file, flags: flags(&matches) }))
}

const CONFIG: &str = "config";

fn command() -> clap::Command {
    let command = clap::Command::new("weir")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            Arg::new(CONFIG)
                .long("config")
                .value_name("FILE")
                .global(true)
                .value_parser(ValueParser::path_buf())
                .help("Settings file [WEIR_CONFIG; default: weir.toml in the current folder, if there is one]"),
        )
        .args(settings().iter().filter(|setting| setting.has_flag()).map(flag));
    // The text of the enum would replace this one.
    Action::augment_subcommands(command).about("An identity provider in one program")
}

fn flag(setting: &'static Setting) -> Arg {
    let default = match &setting.default {
        Value::String(text) if !text.is_empty() => format!("; default: {text}"),
        value @ (Value::Number(_) | Value::Bool(_)) => format!("; default: {value}"),
        Value::Array(items) if !items.is_empty() => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("; default: {}", items.join(","))
        }
        _ => String::new(),
    };
    // `-h` shows the commands, `--help` every setting.
    Arg::new(setting.key.as_str())
        .long(setting.flag.as_str())
        .value_name("VALUE")
        .global(true)
        .hide_short_help(true)
        .help_heading("Settings")
        .help(format!("{} [{}{default}]", setting.help, setting.variable))
}

fn flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let given = |setting: &Setting| Some((setting.key.clone(), matches.get_one::<String>(&setting.key)?.clone()));
    settings().iter().filter(|setting| setting.has_flag()).filter_map(given).collect()
}

/// The message with its tip, without usage and styling.
fn one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let mut rest = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let is_listing = first.ends_with(':');
    match rest.find(|line| is_listing || line.starts_with("tip:")) {
        Some(line) if is_listing => format!("{first} {line}"),
        Some(tip) => format!("{first} ({})", tip.trim_start_matches("tip:").trim()),
        None => first,
    }
}

/// The names in the list of commands of a help text.
fn commands_in(help: &str) -> String {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{command, one_line, parse};

    fn words(line: &str) -> impl Iterator<Item = std::ffi::OsString> {
        line.split(' ').map(Into::into).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_commands_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_setting_may_stand_before_or_after_any_command() {
        for line in
            ["weir --email-host mx serve", "weir serve --email-host mx", "weir user set-password x --email-host=mx"]
        {
            let asked = parse(words(line)).unwrap().unwrap();
            assert_eq!(asked.flags, [("email.host".to_owned(), "mx".to_owned())], "{line}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_with_the_name() {
        for (line, part) in [
            ("weir serve --lisen 1", "'--lisen'"),
            ("weir serve --bootstrap-password x", "'--bootstrap-password'"),
            ("weir sevre", "'sevre'"),
            ("weir", "serve, migrate, config, user, blueprint, mail, webauthn, lockdown, events, openapi, healthcheck"),
            ("weir user", "create, set-password, recovery-link, lockdown, unlock"),
            ("weir user set-password", "<USERNAME>"),
        ] {
            let error = parse(words(line)).err().unwrap_or_else(|| panic!("{line} was taken")).to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{line}: {error}");
        }
    }

    #[test]
    fn the_tip_of_a_refusal_stays() {
        let text = "error: unexpected argument '--x' found\n\n  tip: a similar argument exists: '--y'\n\nUsage: weir";
        assert_eq!(one_line(text), "unexpected argument '--x' found (a similar argument exists: '--y')");
    }
}
