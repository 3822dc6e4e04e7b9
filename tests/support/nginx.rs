//! A real nginx with a configuration of its own, set up by the `setup.sh` that is shipped, and a real way to it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use pointsman::web_front::{FrontDriver, nginx};
use rustix::process::{Pid, Signal, kill_process};

use super::{address, git::Sshd, peers, soon::soon};

pub struct Nginx {
    folder: tempfile::TempDir,
    /// The driver's own.
    state: tempfile::TempDir,
    pub program: PathBuf,
    child: Mutex<Option<Child>>,
    address: Ipv4Addr,
    /// What Pointsman calls it, and what users do.
    site: (&'static str, &'static str),
    /// More of what stands in `http {}`.
    more: &'static str,
    /// How a user stays with a version.
    sticky: &'static str,
    pub sshd: Option<Sshd>,
}

impl Nginx {
    /// Set up and not started; none when it is not installed.
    pub fn set_up() -> Option<Self> {
        Self::set_up_as("shop-prod", "shop.test")
    }

    /// Starts nginx with a site for this way of keeping users with a version.
    pub fn sticky(sticky: &'static str) -> Option<Self> {
        let nginx = Self::set_up_for("shop-prod", "shop.test", sticky)?;
        nginx.run();
        Some(nginx)
    }

    /// The processes that serve.
    pub fn workers(&self) -> Vec<Pid> {
        self.child.lock().unwrap().as_ref().map(|child| workers(child.id())).unwrap_or_default()
    }

    /// Starts nginx with more in `http {}`.
    pub fn with(more: &'static str) -> Option<Self> {
        let mut nginx = Self::set_up()?;
        nginx.more = more;
        fs::write(nginx.path("nginx.conf"), nginx.configuration()).unwrap();
        nginx.run();
        Some(nginx)
    }

    fn set_up_as(name: &'static str, server_name: &'static str) -> Option<Self> {
        Self::set_up_for(name, server_name, "address")
    }

    fn set_up_for(name: &'static str, server_name: &'static str, sticky: &'static str) -> Option<Self> {
        let (program, _) = (peers::need("nginx")?, peers::need("openssl")?);
        let address = address::own();
        let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // nginx's workers are somebody else.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let nginx = Self {
            folder,
            state,
            program,
            child: Mutex::new(None),
            address,
            site: (name, server_name),
            more: "",
            sticky,
            sshd: None,
        };
        let site = nginx.setup("self-signed", &[]);
        nginx.plain_copy(&site, nginx.tls(), nginx.plain());
        fs::write(nginx.path("nginx.conf"), nginx.configuration()).unwrap();
        Some(nginx)
    }

    /// A second server without TLS, for clients as plain as can be.
    fn plain_copy(&self, site: &str, tls: SocketAddr, to: SocketAddr) {
        let (_, server) = site.split_once("\nserver {").unwrap().1.split_once("\nserver {").unwrap();
        let plain: Vec<_> = server.lines().filter(|line| !line.trim().starts_with("ssl_")).collect();
        let (from, listen) = (format!("listen {tls} ssl http2;"), format!("listen {to};"));
        let plain = plain.join("\n").replace(&from, &listen);
        assert!(plain.contains(&listen));
        let file = if to == self.plain() { "conf.d/plain.conf" } else { "conf.d/plain-more.conf" };
        fs::write(self.path(file), format!("server {{{plain}")).unwrap();
    }

    /// One more site of this nginx, made before it is started: where its users come, and the settings of its driver.
    pub fn neighbour(&self) -> (SocketAddr, String) {
        let at = |port: u16| SocketAddr::from((self.address, port));
        let mut command = self.setup_command("blog", "blog.test");
        command.env("READ_BACK", at(8197).to_string());
        command.env("HTTP", at(8180).to_string()).env("HTTPS", at(8543).to_string());
        let done = command.arg("self-signed").output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let site = fs::read_to_string(self.path("conf.d/pointsman-blog.conf")).unwrap();
        self.plain_copy(&site, at(8543), at(8181));
        let settings = self.settings().replace("shop-prod", "blog");
        let settings = settings.replace(&self.read_back().to_string(), &at(8197).to_string());
        (at(8181), settings.replace(&self.plain().to_string(), &at(8181).to_string()))
    }

    /// And running.
    pub fn start() -> Option<Self> {
        let nginx = Self::set_up()?;
        nginx.run();
        Some(nginx)
    }

    /// This site, running, and on another host, as far as the driver can tell.
    pub fn of(name: &'static str, server_name: &'static str) -> Option<Self> {
        let mut nginx = Self::set_up_as(name, server_name)?;
        nginx.sshd = Some(Sshd::start()?);
        nginx.run();
        Some(nginx)
    }

    /// And on another host, as far as the driver can tell.
    pub fn behind_ssh() -> Option<Self> {
        Self::behind(Sshd::start()?)
    }

    /// The same, by this sshd.
    pub fn behind(sshd: Sshd) -> Option<Self> {
        let mut nginx = Self::start()?;
        nginx.sshd = Some(sshd);
        Some(nginx)
    }

    /// Runs `setup.sh` in this mode; gives the site.
    pub fn setup(&self, mode: &str, more: &[&str]) -> String {
        let done = self.setup_command(self.site.0, self.site.1).arg(mode).args(more).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        fs::read_to_string(self.path(&format!("conf.d/pointsman-{}.conf", self.site.0))).unwrap()
    }

    /// `setup.sh` for this name, without its mode.
    pub fn setup_command(&self, name: &str, server_name: &str) -> Command {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/web_front/nginx/setup.sh");
        let mut command = Command::new("sh");
        command.args([script, name, server_name]);
        let user = rustix::process::getuid().as_raw().to_string();
        command.env("NGINX", self.folder.path()).env("STATE", self.path("state")).env("OWNER", user);
        command.env("STICKY", self.sticky);
        command.env("READ_BACK", self.read_back().to_string());
        command.env("HTTP", format!("{}:8080", self.address)).env("HTTPS", self.tls().to_string());
        command
    }

    fn configuration(&self) -> String {
        let here = self.folder.path().display();
        let user = if rustix::process::getuid().is_root() { "user nobody nogroup;\n" } else { "" };
        format!(
            "{user}daemon off;\nworker_processes 2;\npid {here}/nginx.pid;\nerror_log {here}/error.log warn;\n\
             events {{ worker_connections 512; }}\nhttp {{\n    access_log off;\n    keepalive_requests 1000000;\n    \
             client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;\n    \
             uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;\n    {}\n    include {here}/conf.d/*.conf;\n}}\n",
            self.more.replace("HERE", &here.to_string())
        )
    }

    /// Starts it and waits until it listens.
    pub fn run(&self) {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.args(self.arguments()).stdin(Stdio::null()).stderr(log);
        *self.child.lock().unwrap() = Some(command.spawn().unwrap());
        let answers = soon(|| TcpStream::connect(self.plain()).is_ok());
        assert!(answers, "nginx does not start: {}", fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    /// Kills nginx, as an operator does with a broken front.
    pub fn kill(&self) {
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        let workers = workers(child.id());
        let _ = child.kill();
        let _ = child.wait();
        for worker in workers {
            // Gone already is as good.
            let _ = kill_process(worker, Signal::KILL);
        }
        // They take their moment.
        soon(|| TcpStream::connect(self.read_back()).is_err() && TcpStream::connect(self.plain()).is_err());
    }

    pub fn arguments(&self) -> [String; 4] {
        ["-p".to_owned(), self.path("").display().to_string(), "-c".to_owned(), self.text("nginx.conf")]
    }

    /// nginx itself, with more words.
    pub fn command(&self, more: &[&str]) -> std::process::Output {
        Command::new(&self.program).args(self.arguments()).args(more).output().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn include(&self) -> PathBuf {
        self.path(&format!("pointsman/{}.conf", self.site.0))
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.path("pointsman-tls").join(self.site.0).with_extension("pem")
    }

    pub fn http(&self) -> SocketAddr {
        (self.address, 8080).into()
    }

    pub fn plain(&self) -> SocketAddr {
        (self.address, 8081).into()
    }

    pub fn tls(&self) -> SocketAddr {
        (self.address, 8443).into()
    }

    /// Loopback of the same host for all of them.
    pub fn read_back(&self) -> SocketAddr {
        (self.address, 8099).into()
    }

    /// The settings of the driver, without ssh.
    pub fn settings(&self) -> String {
        let words: Vec<_> = std::iter::once(self.program.display().to_string())
            .chain(self.arguments())
            .map(|w| format!("{w:?}"))
            .collect();
        format!(
            "include = {:?}\nfolder = {:?}\nread_back = \"{}\"\nnginx = [{}]\npublic = {{ url = \"http://{}/\" }}\nsticky = \"{}\"\n\
             timeouts = {{ connect = \"10s\", command = \"30s\", reload = \"20s\", farewell = \"100ms\" }}\n",
            self.include(),
            self.path("state").join(self.site.0),
            self.read_back(),
            words.join(", "),
            self.plain(),
            self.sticky
        )
    }

    /// How its host is reached.
    pub fn ssh(&self, key: &str, known_hosts: &str) -> String {
        let sshd = self.sshd.as_ref().unwrap();
        let (host, port) = (sshd.address.ip(), sshd.address.port());
        let (key, known_hosts) = (sshd.file(key), sshd.file(known_hosts));
        format!("ssh = {{ host = \"{host}\", port = {port}, key = {key:?}, known_hosts = {known_hosts:?} }}\n")
    }

    /// The driver, as one more controller would open it.
    pub fn driver(&self) -> Arc<dyn FrontDriver> {
        let ssh = self.sshd.as_ref().map(|_| self.ssh("user_key", "known_hosts"));
        self.driver_with(&ssh.unwrap_or_default())
    }

    pub fn driver_with(&self, more: &str) -> Arc<dyn FrontDriver> {
        let table = format!("{}{more}", self.settings()).parse().unwrap();
        nginx::open(&table, self.folder.path(), self.state.path()).unwrap()
    }

    /// A driver with just these settings, and a place of its own.
    pub fn driver_of(&self, settings: &str, own: &tempfile::TempDir) -> Arc<dyn FrontDriver> {
        nginx::open(&settings.parse().unwrap(), self.folder.path(), own.path()).unwrap()
    }

    /// The same, with other lines instead of those that begin like this.
    pub fn driver_without(&self, gone: &str, instead: &str) -> Arc<dyn FrontDriver> {
        let mut settings = instead.to_owned();
        for line in self.settings().lines().filter(|line| !line.starts_with(gone)) {
            settings = format!("{settings}\n{line}");
        }
        nginx::open(&settings.parse().unwrap(), self.folder.path(), self.state.path()).unwrap()
    }

    /// Returns the error log of nginx.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }
}

fn workers(master: u32) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.kill();
    }
}
