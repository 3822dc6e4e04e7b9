//! Where a repository is. Must not ask anybody: `pointsman check` reads addresses without a network.

use std::{fmt, path::PathBuf};

use reqwest::Url;

/// An error of reading the address of a repository. What was not understood is not repeated: it may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// The address has no known form.
    #[error(
        "not the address of a repository: write https://host/path without user, `?` and `#`, ssh://user@host/path \
         without `%`, user@host:path, file:///path or an absolute path"
    )]
    Unknown,
    /// It would be shown wherever the address is.
    #[error("the address of {0} holds a password: say it as `password = {{ file = \"...\" }}` instead")]
    HoldsPassword(String),
    /// User and password are given for another protocol than http.
    #[error(
        "an address for ssh or of this host takes no `user` and no `password`: they are for http and https; with ssh the \
         user stands in the address"
    )]
    UserElsewhere,
    /// A program would take it for something else.
    #[error(
        "its {0} cannot be part of an address for ssh: host and user are letters, digits and . _ -, and nothing begins \
         with -"
    )]
    Risky(&'static str),
}

/// One that was understood. Shown without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// http or https, without user, query and fragment.
    Http(Url),
    /// A host that is reached by the ssh program.
    Ssh(SshAddress),
    /// A folder on this host.
    Local(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SshAddress {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
    /// The path as the other side sees it.
    pub path: String,
}

/// Whether a repository can be asked at an address, without asking. `credentials`: a user or a password is said beside it.
///
/// # Errors
/// Says why the address cannot be used.
pub fn check(text: &str, credentials: bool) -> Result<(), BadAddress> {
    Address::beside(text, credentials).map(drop)
}

impl Address {
    /// One beside which a user or a password is said, or none.
    pub(super) fn beside(text: &str, credentials: bool) -> Result<Self, BadAddress> {
        let address = Self::parse(text)?;
        let takes = matches!(address, Self::Http(_)) || !credentials;
        if takes { Ok(address) } else { Err(BadAddress::UserElsewhere) }
    }

    pub(super) fn parse(text: &str) -> Result<Self, BadAddress> {
        let unknown = || BadAddress::Unknown;
        if text.len() > 2000 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(unknown());
        }
        if text.starts_with('/') {
            return Ok(Self::Local(PathBuf::from(text)));
        }
        if !text.contains("://") {
            return scp_like(text).ok_or_else(unknown)?;
        }
        let url = Url::parse(text).map_err(|_| unknown())?;
        if url.password().is_some() {
            return Err(BadAddress::HoldsPassword(url.host_str().unwrap_or_default().to_owned()));
        }
        match url.scheme() {
            "http" | "https" if url.username().is_empty() && url.query().is_none() && url.fragment().is_none() => {
                Ok(Self::Http(url))
            }
            "ssh" => ssh(&url).ok_or_else(unknown)?,
            "file" => url.to_file_path().map(Self::Local).map_err(|()| unknown()),
            _ => Err(unknown()),
        }
    }

    /// Returns the address as the git program takes it. A path on another host that does not begin at its root is below the home of the user there.
    pub(super) fn for_git(&self) -> String {
        match self {
            Self::Ssh(SshAddress { user, host, port: None, path }) if !path.starts_with(['/', '~']) => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                format!("{user}{host}:{path}")
            }
            _ => self.to_string(),
        }
    }

    /// Returns the server that answers there; empty for this host itself.
    pub(super) fn server(&self) -> String {
        let port = |port: Option<u16>| port.map(|port| format!(":{port}")).unwrap_or_default();
        match self {
            Self::Http(url) => format!("{}{}", url.host_str().unwrap_or_default(), port(url.port_or_known_default())),
            Self::Ssh(to) => format!("{}{}", to.host, port(to.port.or(Some(22)))),
            Self::Local(_) => String::new(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.as_str()),
            Self::Local(path) => path.display().fmt(f),
            Self::Ssh(SshAddress { user, host, port, path }) => {
                f.write_str("ssh://")?;
                user.as_ref().map_or(Ok(()), |user| write!(f, "{user}@"))?;
                if host.contains(':') { write!(f, "[{host}]") } else { f.write_str(host) }?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))?;
                if path.starts_with('/') { f.write_str(path) } else { write!(f, "/{path}") }
            }
        }
    }
}

fn scp_like(text: &str) -> Option<Result<Address, BadAddress>> {
    let (place, path) = text.split_once(':')?;
    let (user, host) = place.rsplit_once('@').map_or((None, place), |(user, host)| (Some(user), host));
    (!path.is_empty() && !host.is_empty()).then(|| checked(user, host, None, path))
}

fn ssh(url: &Url) -> Option<Result<Address, BadAddress>> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    // As git has it: `/~ann/x` is below the home of ann.
    let path = url.path().strip_prefix("/~").map_or_else(|| url.path().to_owned(), |home| format!("~{home}"));
    let user = Some(url.username()).filter(|user| !user.is_empty());
    (path.len() > 1 && !path.contains('%')).then(|| checked(user, host, url.port(), &path))
}

fn checked(user: Option<&str>, host: &str, port: Option<u16>, path: &str) -> Result<Address, BadAddress> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = |text: &str, more: &str| {
        !text.is_empty() && !text.starts_with('-') && text.chars().all(|c| plain(c) || more.contains(c))
    };
    // A colon in a host is of an IPv6 address.
    if user.is_some_and(|user| !fits(user, "+")) {
        return Err(BadAddress::Risky("user"));
    }
    if !fits(host, ":") {
        return Err(BadAddress::Risky("host"));
    }
    if path.starts_with('-') {
        return Err(BadAddress::Risky("path"));
    }
    let (user, host, path) = (user.map(str::to_owned), host.to_owned(), path.to_owned());
    Ok(Address::Ssh(SshAddress { user, host, port, path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Address::parse(text).unwrap().to_string()
    }

    #[test]
    fn every_usual_form_is_understood() {
        assert_eq!(shown("https://git.example/shop.git"), "https://git.example/shop.git");
        assert_eq!(shown("ssh://git@git.example:2222/srv/shop.git"), "ssh://git@git.example:2222/srv/shop.git");
        assert_eq!(shown("ssh://[::1]/srv/shop.git"), "ssh://[::1]/srv/shop.git");
        assert_eq!(shown("git@git.example:team/shop.git"), "ssh://git@git.example/team/shop.git");
        assert_eq!(shown("file:///srv/git/shop.git"), "/srv/git/shop.git");
        assert_eq!(shown("/srv/git/shop.git"), "/srv/git/shop.git");
        let Address::Ssh(home) = Address::parse("ssh://ann@git.example/~ann/shop").unwrap() else { panic!("ssh") };
        assert_eq!(home.path, "~ann/shop");
        let for_git = |text: &str| Address::parse(text).unwrap().for_git();
        assert_eq!(for_git("git@git.example:team/shop.git"), "git@git.example:team/shop.git");
        assert_eq!(for_git("ssh://ann@git.example/~ann/shop"), "ssh://ann@git.example/~ann/shop");
        assert_eq!(for_git("ssh://git@git.example:2222/srv/shop.git"), "ssh://git@git.example:2222/srv/shop.git");
    }

    #[test]
    fn what_a_program_could_misread_is_refused() {
        for bad in [
            "-oProxyCommand=touch x:y",
            "ssh://-oProxyCommand=x/y",
            "-u@host:path",
            "git@ho$st:path",
            "git@host:-path",
            "ssh://git.example/a%27b",
            "ext::sh -c true",
            "git://host/x",
            "https://",
            "https://git.example/x?y",
            "../shop",
            "shop",
            "",
            "a\nb",
            "/srv/\u{1b}[2J",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_without_showing_it() {
        let error = Address::parse("https://ci:canary@git.example/x").unwrap_err().to_string();
        assert!(error.contains("git.example") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn what_was_not_understood_is_not_repeated() {
        for bad in [
            "https://canary@git.example/x",
            "https://git.example/x?private_token=canary",
            "https://git.example/x#canary",
            "https://canary@git.example:port/x",
            "htps://canary@git.example/x",
            "ssh://can%61ry@git.example/x%canary",
            "canary$:x@git.example:x",
            "canary@git$example:x",
            "canary",
            "-canary:x",
            "x:-canary",
        ] {
            let error = Address::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{bad}: {error}");
        }
    }
}
