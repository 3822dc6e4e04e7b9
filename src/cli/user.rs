//! `user`: people who sign in with a password, kept in the state folder. Needs no controller, and none that runs needs to be
//! told; only sessions are the controller's own.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{
    client::Server,
    screen::say,
    token::{Place, hint, note},
};
use crate::{
    access::{
        self, Grant, Scope,
        audit::Act,
        kept,
        password::{self, PasswordHash},
        users::User,
    },
    clock::Clock,
    pipelines::SecretSource,
    secrets::source,
    text::format_time,
};

/// What to do with the users.
#[derive(Subcommand)]
pub enum Verb {
    /// Add a user
    Add(Add),
    /// Show all users, never their passwords
    List(List),
    /// Set another password; all sessions of the user end
    Password(Password),
    /// Change what a user may do; all sessions of the user end
    Grant(Granted),
    /// Print a link, good once and for ten minutes, to add the first user
    Welcome(Place),
    /// Take a user away; all sessions of the user end
    Remove(Remove),
    /// End all sessions of a person, also of one who is not kept here; asks the controller
    SignOut(SignOut),
}

/// Whose sessions end.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pointsman user sign-out alice
  pointsman user sign-out local:root")]
pub struct SignOut {
    /// The name, as the history has it
    name: String,
    #[command(flatten)]
    server: Server,
}

/// A user to be added.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pointsman user add alice --grant deployer=shop --grant approver=shop/prod
  pointsman user add break-glass --grant admin --password-file /run/secrets/break-glass")]
pub struct Add {
    /// The name with which they sign in; the history says it
    #[arg(value_parser = access::name)]
    name: Arc<str>,
    #[command(flatten)]
    grants: Grants,
    #[command(flatten)]
    password: Source,
    #[command(flatten)]
    place: Place,
}

/// What somebody may do.
#[derive(clap::Args)]
pub struct Grants {
    /// A role (viewer, deployer, approver, admin), and the pipelines or environments where it holds; can be given several
    /// times [default: it holds everywhere]
    #[arg(long = "grant", value_name = "ROLE[=PIPELINE[/ENVIRONMENT],...]", required = true)]
    grants: Vec<Grant>,
}

/// Where the password comes from.
#[derive(clap::Args)]
pub struct Source {
    /// A file with the password and nothing else; one line end behind it does not count [default: asked for, without showing it]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
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

/// A password to be set.
#[derive(clap::Args)]
pub struct Password {
    /// Whose it is
    name: String,
    #[command(flatten)]
    password: Source,
    #[command(flatten)]
    place: Place,
}

/// What a user may do from now on.
#[derive(clap::Args)]
pub struct Granted {
    /// Their name
    name: String,
    #[command(flatten)]
    grants: Grants,
    #[command(flatten)]
    place: Place,
}

/// A user to be taken away.
#[derive(clap::Args)]
pub struct Remove {
    /// Their name
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Does it.
pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Add(Add { name, grants, password, place }) => {
            let state = place.state()?;
            if kept::read::<User>(&state)?.iter().any(|user| user.name == name) {
                bail!("there is a user `{name}` already; `pointsman user password {name}` sets another password");
            }
            let password = password.hash(&name)?;
            let grants: Arc<[Grant]> = grants.grants.into();
            let terms = terms(&grants);
            kept::add(&state, User { name: name.clone(), password, grants, created: Clock::real().now() })?;
            note(&state, Act::UserAdded, &format!("{name}: {terms}"));
            hint(format!("`{name}` can sign in: {terms}"));
        }
        Verb::List(List { json, place }) => show(&place.state()?, json)?,
        Verb::Password(Password { name, password, place }) => {
            let (state, hash) = (place.state()?, password.hash(&name)?);
            kept::change(&state, &name, |user: &mut User| user.password = hash)?;
            note(&state, Act::PasswordSet, &name);
            hint(format!("`{name}` has another password, and all their sessions have ended"));
        }
        Verb::Grant(Granted { name, grants, place }) => {
            let grants: Arc<[Grant]> = grants.grants.into();
            let terms = terms(&grants);
            let state = place.state()?;
            kept::change(&state, &name, |user: &mut User| user.grants = grants)?;
            note(&state, Act::GrantsSet, &format!("{name}: {terms}"));
            hint(format!("`{name}`: {terms}; all their sessions have ended"));
        }
        Verb::Welcome(place) => return super::page::welcome(&place),
        Verb::Remove(Remove { name, place }) => {
            let state = place.state()?;
            kept::remove::<User>(&state, &name)?;
            note(&state, Act::UserRemoved, &name);
            hint(format!("`{name}` cannot sign in any more, and all their sessions have ended"));
        }
        Verb::SignOut(request) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(sign_out(&request))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn sign_out(request: &SignOut) -> anyhow::Result<()> {
    let done = request.server.connect()?.post("/v1/people/sign-out", &json!({ "name": request.name })).await?;
    match request.server.json {
        true => say(done),
        false => hint(done["said"].as_str().unwrap_or("done").to_owned()),
    }
    Ok(())
}

impl Source {
    /// Never from an argument, which every user of the host could read.
    fn hash(&self, name: &str) -> anyhow::Result<PasswordHash> {
        let password = match &self.password_file {
            Some(file) => {
                let bytes = source::read(&SecretSource::File(file.clone()))?;
                let text = std::str::from_utf8(bytes.expose_secret());
                SecretString::from(text.with_context(|| format!("the password in {} is not UTF-8", file.display()))?)
            }
            None => asked(name)?,
        };
        password::check(password.expose_secret()).map_err(|why| anyhow::anyhow!("{why}"))?;
        PasswordHash::of(password.expose_secret().as_bytes()).context("hashing the password")
    }
}

fn asked(name: &str) -> anyhow::Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the password at; name a file with it, `--password-file FILE`");
    }
    let asked = dialoguer::Password::new()
        .with_prompt(format!("Password of {name}"))
        .with_confirmation("Once more", "they differ; once again")
        .interact();
    Ok(asked.context("asking for the password")?.into())
}

fn terms(grants: &[Grant]) -> String {
    grants.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn show(state: &Path, as_json: bool) -> anyhow::Result<()> {
    let users = kept::read::<User>(state)?;
    if as_json {
        let only = |scopes: &Arc<[Scope]>| scopes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let grant = |grant: &Grant| json!({ "role": grant.role.to_string(), "only": grant.only.as_ref().map(only) });
        let row = |user: &User| {
            let grants: Vec<Value> = user.grants.iter().map(grant).collect();
            json!({ "name": user.name, "created": format_time(user.created), "grants": grants })
        };
        say(json!({ "users": users.iter().map(row).collect::<Vec<Value>>() }));
        return Ok(());
    }
    let width = users.iter().map(|user| user.name.len()).max().unwrap_or_default().max(4);
    say(format!("{:width$}  {:24}  MAY", "NAME", "CREATED"));
    for user in &users {
        say(format!("{:width$}  {:24}  {}", user.name, format_time(user.created), terms(&user.grants)));
    }
    Ok(())
}
