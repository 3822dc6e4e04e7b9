//! The settings of an nginx front: the `front` table of an environment. Must not open anything.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use toml::Value;

use crate::{
    toml_file::filled::{Reader, absolute, address, boolean, duration, made, number, path, unfit, word, words},
    web_front::{
        maintenance::Maintenance,
        preview::Preview,
        sticky::{Sticky, sticky},
    },
};

/// Everything that can be said about an nginx front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file that Pointsman owns on nginx's host.
    pub include: String,
    /// The name of its upstreams and variables: that of the include, with other characters replaced.
    pub name: String,
    /// The folder on nginx's host whose files say who gets the traffic.
    pub folder: String,
    /// Where the include listens to say what nginx serves: this port of loopback of nginx's host, and the one after it.
    pub read_back: SocketAddr,
    /// The command that is nginx, with `sudo -n` before it where that is wanted.
    pub nginx: Vec<String>,
    /// How nginx's host is reached; `None`: it is this one.
    pub ssh: Option<SshSettings>,
    /// Where users find the front; `None`: it is not asked there.
    pub public: Option<Public>,
    /// How a user stays with a version under a split.
    pub sticky: Sticky,
    /// How people and tools reach the candidate; `None`: they do not.
    pub preview: Option<Preview>,
    /// The page while the front is pointed at nobody.
    pub maintenance: Maintenance,
    /// How long what may take.
    pub timeouts: Timeouts,
}

/// How nginx's host is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSettings {
    /// Its name, or one of the operator's ssh configuration.
    pub host: String,
    /// The user who signs in.
    pub user: Option<String>,
    /// Instead of 22.
    pub port: Option<u16>,
    /// Their private key; without, the operator's keys and agent are tried.
    pub key: Option<PathBuf>,
    /// The only file with known host keys; without, the operator's.
    pub known_hosts: Option<PathBuf>,
    /// The only ssh configuration, say with jump hosts; without, the operator's.
    pub config: Option<PathBuf>,
}

/// Public address that users ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// The whole address, with scheme and path.
    pub url: Url,
    /// Connect here instead of where the name leads.
    pub address: Option<SocketAddr>,
    /// PEM: who vouches for the front's certificate.
    pub ca: Option<PathBuf>,
    /// Any certificate will do.
    pub insecure_tls: bool,
}

impl Public {
    /// Scheme, host and port, without a path.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// How long the front waits for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Time for connecting to nginx's host, its read-back or its public address.
    pub connect: Duration,
    /// Time for one command there, such as `nginx -t`.
    pub command: Duration,
    /// Time until new workers serve after a reload.
    pub reload: Duration,
    /// The grace period: so long before a reload, and until old workers are gone, connections are ended with their answer.
    pub farewell: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(5), command: seconds(10), reload: seconds(5), farewell: Duration::from_millis(500) }
    }
}

impl Settings {
    /// Reads the table; paths of this host are meant from `written_in`. Every mistake is returned, none hides another.
    pub fn read(table: &toml::Table, written_in: &Path) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut top = Reader::new(table, "front", &mut mistakes);
        let include = top.required("include", include);
        let name = include.as_deref().map(name).unwrap_or_default();
        let folder = top.optional("folder", place).unwrap_or_else(|| format!("/var/lib/pointsman/{}", stem(&include)));
        let read_back = top.required("read_back", loopback);
        let nginx = top.optional("nginx", words).unwrap_or_else(|| vec!["nginx".to_owned()]);
        let sudo = top.optional("sudo", boolean).unwrap_or(false);
        // It needs nothing of a site, which is not ours.
        let sticky = top.optional("sticky", sticky).unwrap_or(Sticky::Address);
        let here = |value: &Value| path(value).map(|path| absolute(written_in, &path));
        let ssh = top.table("ssh", |t| SshSettings {
            host: t.required("host", word).unwrap_or_default(),
            user: t.optional("user", word),
            port: t.optional("port", |v| number(v, 1..=65_535)).and_then(|port| u16::try_from(port).ok()),
            key: t.optional("key", here),
            known_hosts: t.optional("known_hosts", here),
            config: t.optional("config", here),
        });
        let public = top.table("public", |t| {
            let url = t.required("url", url);
            let (address, ca) = (t.optional("address", address), t.optional("ca", here));
            let insecure_tls = t.optional("insecure_tls", boolean).unwrap_or(false);
            url.map(|url| Public { url, address, ca, insecure_tls })
        });
        let preview = top.table("preview", |t| Preview::read(t, written_in));
        let maintenance = top.table("maintenance", |t| Maintenance::read(t, written_in)).unwrap_or_default();
        let timeouts = top.table("timeouts", |t| {
            let usual = Timeouts::default();
            Timeouts {
                connect: t.optional("connect", duration).unwrap_or(usual.connect),
                command: t.optional("command", duration).unwrap_or(usual.command),
                reload: t.optional("reload", duration).unwrap_or(usual.reload),
                farewell: t.optional("farewell", duration).unwrap_or(usual.farewell),
            }
        });
        top.refuse("hold", "the nginx front cannot hold requests: users get the maintenance page. Remove the key");
        top.refuse_the_rest();
        if table.get("preview").and_then(|preview| preview.get("header")).is_some() {
            mistakes.push(
                "`front.preview.header` is for the built-in front: a site of nginx takes X-Pointsman-Preview from requests, and \
                 no other header"
                    .to_owned(),
            );
        }
        let sudo: &[&str] = if sudo { &["sudo", "-n"] } else { &[] };
        let nginx = sudo.iter().map(|&word| word.to_owned()).chain(nginx).collect();
        match (include, read_back) {
            (Some(include), Some(read_back)) if mistakes.is_empty() => Ok(Self {
                include,
                name,
                folder,
                read_back,
                nginx,
                ssh,
                public: public.flatten(),
                sticky,
                preview,
                maintenance,
                timeouts: timeouts.unwrap_or_default(),
            }),
            _ => Err(mistakes),
        }
    }

    /// Where those listen who have read this include. Editions take turns: so it can be told whether new workers listen,
    /// and whether old ones have ceased to.
    pub fn read_back(&self, edition: u64) -> SocketAddr {
        let mut address = self.read_back;
        address.set_port(address.port().saturating_add(u16::from(edition % 2 == 1)));
        address
    }

    /// nginx's host, as people are told of it.
    pub fn host(&self) -> String {
        self.ssh.as_ref().map_or_else(|| "this host".to_owned(), |ssh| ssh.host.clone())
    }

    /// The command that is nginx, as people type it.
    pub fn nginx_text(&self) -> String {
        self.nginx.join(" ")
    }
}

/// The folder's name unless it is given.
fn stem(include: &Option<String>) -> &str {
    let file = include.as_deref().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    file.trim_end_matches(".conf")
}

/// What nginx takes in the name of a variable.
fn name(include: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    stem(&Some(include.to_owned())).chars().map(fit).collect()
}

/// A path of nginx's host. It goes into its configuration and through a shell, so nothing is let in that means more.
fn place(value: &Value) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    let is_good =
        |path: &str| path.starts_with('/') && path.chars().all(fits) && !path.contains("/../") && !path.ends_with('/');
    let wanted = "an absolute path of nginx's host, of letters, digits and /._-+@";
    made(value, wanted, |path| is_good(path).then(|| path.to_owned()))
}

fn include(value: &Value) -> Result<String, String> {
    let path = place(value)?;
    let is_good = path.ends_with(".conf") && !path.ends_with("/.conf");
    if is_good { Ok(path) } else { Err(unfit(&path, "a file whose name ends in .conf")) }
}

fn loopback(value: &Value) -> Result<SocketAddr, String> {
    let address = address(value)?;
    let ours = matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()) || address.ip().is_loopback();
    let is_good = ours && (1..u16::MAX).contains(&address.port());
    let wanted = "an address of loopback with a free port, for example \"127.0.0.1:8099\"";
    if is_good { Ok(address) } else { Err(unfit(&address.to_string(), wanted)) }
}

fn url(value: &Value) -> Result<Url, String> {
    let is_good =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let url = value.as_str().and_then(|text| text.parse().ok()).filter(is_good);
    // Not repeated: it may hold a password.
    url.ok_or_else(|| {
        " must be an address without a user or password, for example \"https://shop.example/\"".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        Settings::read(&toml::from_str(text).unwrap(), Path::new("/p")).map_err(|m| m.join("\n"))
    }

    #[test]
    fn what_is_not_said_follows_from_the_include() {
        let read = read("include = '/etc/nginx/pointsman/shop-prod.conf'\nread_back = '127.0.0.1:8099'").unwrap();
        assert_eq!((read.name.as_str(), read.folder.as_str()), ("shop_prod", "/var/lib/pointsman/shop-prod"));
        assert_eq!(read.nginx, ["nginx"]);
        assert_eq!(read.host(), "this host");
    }

    #[test]
    fn paths_of_this_host_are_meant_from_the_pipeline_file_and_sudo_never_asks() {
        let text = "include = '/etc/x.conf'\nread_back = '[::1]:8099'\nsudo = true\nnginx = ['/opt/nginx', '-c', '/x']\n\
                    ssh = { host = 'web1', key = '../secrets/web1', port = 2222, user = 'deploy' }";
        let read = read(text).unwrap();
        assert_eq!(read.nginx, ["sudo", "-n", "/opt/nginx", "-c", "/x"]);
        let ssh = read.ssh.unwrap();
        assert_eq!((ssh.key, ssh.port), (Some(PathBuf::from("/p/../secrets/web1")), Some(2222)));
    }

    #[test]
    fn mistakes_come_all_at_once_and_name_their_key() {
        let said = read(
            "include = 'shop.conf'\nfolder = '/x y'\nread_back = '10.0.0.1:80'\nnginx = []\nssh = { hots = 'a', user = '-x' }\n\
             public = { url = 'ftp://x' }\ntimeouts = { connect = 5 }\nlisten = 'x'\nhold = {}",
        )
        .unwrap_err();
        for part in [
            "`front.include` is \"shop.conf\"; it must be an absolute path",
            "`front.folder` is \"/x y\"; it must be an absolute path",
            "`front.read_back` is \"10.0.0.1:80\"; it must be an address of loopback",
            "`front.nginx` must be a list of texts",
            "`front.ssh.host` is missing",
            "`front.ssh.user` is \"-x\"; it must be one word",
            "unknown key `front.ssh.hots`; did you mean `host`?",
            "`front.public.url` must be an address",
            "`front.hold`: the nginx front cannot hold requests",
            "`front.timeouts.connect` is the number 5; it must be a duration",
            "unknown key `front.listen`; accepted here: include, folder, read_back, nginx, sudo, sticky, ssh, public, preview, maintenance, timeouts",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        assert!(read("").unwrap_err().contains("`front.include` is missing"));
    }
}
