//! `token`: who may do what, kept in the state folder. Needs no controller, and none that runs needs to be told.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Subcommand;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::screen::say;
use crate::{
    access::{
        self, Digest, Role, Scope,
        audit::{self, Act},
        file::Token,
        kept, list, used,
    },
    clock::Clock,
    machine::Millis,
    settings::Settings,
    text::format_time,
    units::parse_duration,
};

/// What to do with the tokens.
#[derive(Subcommand)]
pub enum Verb {
    /// Make a token and print it, this once
    New(New),
    /// Show all tokens, never their text
    List(List),
    /// Take a token away; a controller that runs refuses it from then on
    Revoke(Revoke),
}

/// What is shown.
#[derive(clap::Args)]
pub struct List {
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// A token to be taken away.
#[derive(clap::Args)]
pub struct Revoke {
    /// Its name
    name: String,
    #[command(flatten)]
    place: Place,
}

/// A token to be made.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  (umask 077; pointsman token new alice --role approver --expires 90d > alice.token)
  pointsman token new jenkins --role deployer --only shop

Whoever has the token puts it into POINTSMAN_TOKEN, or names its file in POINTSMAN_TOKEN_FILE.")]
pub struct New {
    /// Whose it is; the history says this name
    #[arg(value_parser = access::name)]
    name: Arc<str>,
    /// viewer looks; deployer also deploys, promotes, aborts, rolls back, holds; approver also
    /// approves and resumes; admin also adopts, pins and vetoes
    #[arg(long)]
    role: Role,
    /// How long it is good, for example 90d [default: until it is revoked]
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    expires: Option<Millis>,
    /// Where it is good: a pipeline, or one environment of it; can be given several times [default: everywhere]
    #[arg(long, value_name = "PIPELINE[/ENVIRONMENT]")]
    only: Vec<Scope>,
    #[command(flatten)]
    place: Place,
}

/// Arguments that say which installation.
#[derive(clap::Args)]
pub struct Place {
    /// The settings [default: pointsman.toml, or built-in defaults where there is none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// Returns its state folder.
    pub(super) fn state(&self) -> anyhow::Result<PathBuf> {
        Ok(self.settings()?.state)
    }

    /// Returns its settings.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        Settings::load(self.config.as_deref()).map_err(super::mistakes)
    }
}

fn length(text: &str) -> Result<Millis, String> {
    let length = parse_duration(text).map_err(|error| error.to_string())?;
    if length.0 == 0 { Err("a token must be valid for longer than zero".to_owned()) } else { Ok(length) }
}

/// Does it.
pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let now = Clock::real().now();
    match verb {
        Verb::New(request) => new(request, now)?,
        Verb::List(request) => show(&request.place.state()?, request.json, now)?,
        Verb::Revoke(Revoke { name, place }) => {
            let state = place.state()?;
            kept::remove::<Token>(&state, &name)?;
            note(&state, Act::TokenRevoked, &name);
            hint(format!("`{name}` is refused from now on"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn new(request: New, now: Millis) -> anyhow::Result<()> {
    let (state, text) = (request.place.state()?, access::make().context("the system has no random numbers")?);
    let token = Token {
        name: request.name.clone(),
        role: request.role,
        digest: Digest::of(text.expose_secret().as_bytes()),
        created: now,
        by: Token::maker(&format!("local:{}", super::client::user())),
        expires: request.expires.map(|length| now.plus(length)),
        only: (!request.only.is_empty()).then(|| request.only.into()),
    };
    let terms = token.terms();
    kept::add(&state, token)?;
    // Alone on its line, so that it can be piped; a token that did not arrive is of no use to anybody.
    let printed = writeln!(std::io::stdout(), "{}", text.expose_secret());
    if let Err(error) = printed.and_then(|()| std::io::stdout().flush()) {
        kept::remove::<Token>(&state, &request.name).context("taking back a token that could not be printed")?;
        return Err(error).context("the token could not be printed, and was revoked");
    }
    note(&state, Act::TokenMade, &format!("{}: {terms}", request.name));
    let keep = if std::io::stdout().is_terminal() { "; it is shown only now" } else { "" };
    hint(format!("`{}`: {terms}{keep}", request.name));
    Ok(())
}

fn show(state: &Path, as_json: bool, now: Millis) -> anyhow::Result<()> {
    let tokens = kept::read::<Token>(state)?;
    // It is for people, and may be lost: the tokens are shown without.
    let uses = used::read(state).unwrap_or_else(|error| {
        hint(format!("when tokens were used last is not known: {error}"));
        Vec::new()
    });
    let expired = |token: &Token| !token.is_good(now);
    let last = |token: &Token| used::of(&uses, token.digest).map(|used| format_time(used.at));
    if as_json {
        let row = |token: &Token| {
            let only: Option<Vec<_>> = token.only.as_ref().map(|only| only.iter().map(ToString::to_string).collect());
            json!({ "name": token.name, "role": token.role.to_string(), "created": format_time(token.created),
                "made_by": token.by, "used": last(token),
                "expires": token.expires.map(format_time), "expired": expired(token), "only": only })
        };
        say(json!({ "tokens": tokens.iter().map(row).collect::<Vec<Value>>() }));
        return Ok(());
    }
    let width = tokens.iter().map(|token| token.name.len()).max().unwrap_or_default().max(4);
    say(format!("{:width$}  {:8}  {:24}  {:24}  {:32}  ONLY", "NAME", "ROLE", "CREATED", "USED", "EXPIRES"));
    for token in &tokens {
        let expires = match token.expires.map(format_time) {
            Some(at) if expired(token) => format!("{at} expired"),
            Some(at) => at,
            None => "never".to_owned(),
        };
        let only = token.only.as_ref().map_or("everything".to_owned(), |only| list(only));
        let role = token.role.to_string();
        let (made, used) = (format_time(token.created), last(token).unwrap_or_else(|| "never".to_owned()));
        say(format!("{:width$}  {role:8}  {made:24}  {used:24}  {expires:32}  {only}", token.name));
    }
    Ok(())
}

/// Notes in the audit record what was done at the command line. What was done stays done where that fails, and is said.
pub(super) fn note(state: &Path, act: Act, to: &str) {
    let by = format!("local:{}", super::client::user());
    let entry = audit::Entry { at: Clock::real().now(), by: &by, from: "command line", act, to };
    if let Err(error) = audit::note(state, &entry) {
        hint(format!("the audit record cannot be written ({error}); what was asked for is done"));
    }
}

/// Writes a hint for people to standard error, beside what scripts read.
pub(super) fn hint(text: String) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
