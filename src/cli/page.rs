//! `page`: links by which the holder of the local token comes in, and those for the first user. Asks nobody: a link is proven by
//! the token itself.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context, bail};
use secrecy::ExposeSecret;

use super::{client, screen::say, token::Place};
use crate::{
    access::{
        Keyed, PURPOSE, kept,
        links::{self, Purpose},
        users::User,
    },
    clock::Clock,
    secrets,
    settings::Settings,
};

/// What `page` prints.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

/// Prints links that sign in as the holder of the local token.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = args.place.settings()?;
    links(&settings, &Purpose::Enter(client::user().into()))?.iter().for_each(say);
    Ok(ExitCode::SUCCESS)
}

/// Prints links by which the first user is added.
pub fn welcome(place: &Place) -> anyhow::Result<ExitCode> {
    let settings = place.settings()?;
    if !kept::read::<User>(&settings.state)?.is_empty() {
        bail!("there are users already (`pointsman user list`); add more with `pointsman user add`");
    }
    links(&settings, &Purpose::Welcome)?.iter().for_each(say);
    Ok(ExitCode::SUCCESS)
}

/// Returns links to the controller of these settings, each good once and for ten minutes: the one for this host first, then the one
/// for everybody, as far as there are these ways.
pub(super) fn links(settings: &Settings, purpose: &Purpose) -> anyhow::Result<Vec<String>> {
    let token = client::local_token(settings)?;
    let keyed = Keyed::with(secrets::derived_of(&settings.state, PURPOSE)?);
    let address: SocketAddr =
        client::address(settings)?.trim().parse().context("reading the address of the controller")?;
    let public = settings.server.public.as_ref().map(ToString::to_string);
    let bases: Vec<String> = on_this_host(address).into_iter().chain(public).collect();
    if bases.is_empty() {
        bail!(
            "the controller listens at {} only, and the page is not shown over plain HTTP beyond its own host: say in \
             `server.public` where it is reached by TLS, or listen at 0.0.0.0",
            address.ip()
        );
    }
    let link = |base: String| {
        let code = links::make(&keyed, token.expose_secret(), purpose, Clock::real().now());
        Ok(format!("{base}{}?code={}", purpose.path(), code.context("making the link")?))
    };
    bases.into_iter().map(link).collect()
}

/// Where a browser on this host reaches a controller that listens there.
fn on_this_host(address: SocketAddr) -> Option<String> {
    match address.ip() {
        ip if ip.is_loopback() => Some(format!("http://{address}")),
        ip if ip.is_unspecified() => Some(format!("http://127.0.0.1:{}", address.port())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_the_host_has_a_link_that_needs_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("token"), "0123456789abcdef").unwrap();
        std::fs::write(state.join("fingerprint-key"), "00".repeat(32)).unwrap();
        let links = |listen: &str, public: &str| {
            std::fs::write(state.join("address"), listen).unwrap();
            let mut settings = Settings::default_in(folder.path());
            settings.server.public = (!public.is_empty()).then(|| public.parse().unwrap());
            let links = links(&settings, &Purpose::Enter("ann".into()));
            links.map(|links| links.iter().map(|link| link.split("/enter").next().unwrap().to_owned()).collect())
        };
        let all = |listen: &str, public: &str| -> Vec<String> { links(listen, public).unwrap() };
        assert_eq!(all("127.0.0.1:7070", ""), ["http://127.0.0.1:7070"]);
        assert_eq!(all("127.0.0.1:7070", "https://p.example"), ["http://127.0.0.1:7070", "https://p.example"]);
        assert_eq!(all("0.0.0.0:80", "https://p.example"), ["http://127.0.0.1:80", "https://p.example"]);
        assert_eq!(all("10.0.0.5:7070", "https://p.example"), ["https://p.example"]);
        let none: anyhow::Result<Vec<String>> = links("10.0.0.5:7070", "");
        assert!(none.unwrap_err().to_string().contains("`server.public`"));
    }
}
