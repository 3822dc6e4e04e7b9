//! `page`: a link by which the holder of the local token comes in, and the one for the first user. Asks nobody: the link is
//! proven by the token itself.

use std::process::ExitCode;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;

use super::{client, screen::say, token::Place};
use crate::{
    access::{
        kept,
        links::{self, Purpose},
        users::User,
    },
    clock::Clock,
    settings::Settings,
};

/// What `page` prints.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

/// Prints a link that signs in as the holder of the local token.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    say(link(&settings, &Purpose::Enter(client::user().into()))?);
    Ok(ExitCode::SUCCESS)
}

/// Prints a link by which the first user is added.
pub fn welcome(place: &Place) -> anyhow::Result<ExitCode> {
    let settings = place.settings()?;
    if !kept::read::<User>(&settings.state)?.is_empty() {
        bail!("there are users already (`pointsman user list`); add more with `pointsman user add`");
    }
    say(link(&settings, &Purpose::Welcome)?);
    Ok(ExitCode::SUCCESS)
}

/// Returns a link to the controller of these settings. It is good once and for ten minutes.
pub(super) fn link(settings: &Settings, purpose: &Purpose) -> anyhow::Result<String> {
    let token = client::local_token(settings)?;
    let code = links::make(token.expose_secret(), purpose, Clock::real().now()).context("making the link")?;
    let base = match &settings.server.public {
        Some(public) => public.to_string(),
        None => {
            let address: std::net::SocketAddr =
                client::address(settings)?.trim().parse().context("reading the address of the controller")?;
            let host = match address.ip() {
                ip if ip.is_loopback() => address.to_string(),
                ip if ip.is_unspecified() => format!("127.0.0.1:{}", address.port()),
                ip => bail!(
                    "the controller listens at {ip} only, and the page is not shown over plain HTTP beyond its own host: \
                     say in `server.public` where it is reached by TLS, or listen at 0.0.0.0"
                ),
            };
            format!("http://{host}")
        }
    };
    Ok(format!("{base}{}?code={code}", purpose.path()))
}
