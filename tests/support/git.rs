//! A repository made by the real git, and what serves it: git's own http backend behind a small server that can also
//! hang, drip and cut, and a real sshd.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::soon::soon;

/// A repository, and the folder that it is in.
pub struct Origin {
    folder: tempfile::TempDir,
}

impl Origin {
    /// Makes a repository with one commit on `main`, of `deploy/stack.toml`.
    pub fn new() -> Self {
        Self::of("sha1")
    }

    /// The same with ids of 64 digits.
    pub fn sha256() -> Self {
        Self::of("sha256")
    }

    fn of(format: &str) -> Self {
        let origin = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(origin.path()).unwrap();
        origin.git(&["init", "-q", "-b", "main", "--object-format", format]);
        origin.commit("First", &[("deploy/stack.toml", "command = [\"one\"]\n")]);
        origin
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("shop")
    }

    /// The folder that a server serves.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let path = self.path();
        let out = git(&path).args(arguments).output().unwrap();
        assert!(out.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// Writes an object as it is, whatever git thinks of it; gives its id.
    pub fn object(&self, kind: &str, content: &str) -> String {
        self.write("../object", content);
        let file = self.root().join("object").display().to_string();
        self.git(&["hash-object", "-w", "--literally", "-t", kind, &file])
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Commits these files, and whatever else was put there; gives the commit's id.
    pub fn commit(&self, subject: &str, files: &[(&str, &str)]) -> String {
        files.iter().for_each(|(path, content)| self.write(path, content));
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }
}

fn git(at: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(at).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    git.envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_AUTHOR_EMAIL", "ann@shop.example")]);
    git.envs([("GIT_COMMITTER_NAME", "Ann"), ("GIT_COMMITTER_EMAIL", "ann@shop.example")]);
    git
}

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    Honest,
    /// Takes every connection and never says a word.
    Hang,
    /// A byte every 50 ms.
    Drip,
    /// Sends this many bytes of a pack, and then no more.
    Cut(usize),
    /// Sends everybody to another host.
    Redirect(SocketAddr),
    /// Answers as a web page that is not a repository.
    Page,
}

/// Serves the repositories below a folder to `ci` with the password `s3cret`.
pub struct GitServer {
    pub address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    /// How many requests have come.
    asked: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl GitServer {
    pub fn below(root: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (manner, end) = (Arc::new(Mutex::new(Manner::Honest)), Arc::new(AtomicBool::new(false)));
        let asked = Arc::new(AtomicUsize::new(0));
        let visit = Visit { root: root.to_owned(), manner: manner.clone(), asked: asked.clone(), end: end.clone() };
        let accepting = std::thread::spawn(move || {
            let mut visits = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if visit.end.load(Ordering::Relaxed) {
                    break;
                }
                let visit = visit.clone();
                visits.push(std::thread::spawn(move || visit.serve(stream)));
            }
            visits.into_iter().for_each(|visit| visit.join().unwrap());
        });
        Self { address, manner, asked, end, accepting: Some(accepting) }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

#[derive(Clone)]
struct Visit {
    root: PathBuf,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
}

struct Asked {
    method: String,
    path: String,
    query: String,
    kind: String,
    login: String,
    body: Vec<u8>,
}

impl Visit {
    fn serve(&self, stream: TcpStream) {
        // So that a hanging visit sees the end of the server.
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(asked) = self.hear(&mut reader) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            // A peer that is gone ends the visit.
            if self.answer(&asked, reader.get_mut()).is_none() {
                return;
            }
        }
    }

    fn hear(&self, reader: &mut BufReader<TcpStream>) -> Option<Asked> {
        let first = self.line(reader)?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let (mut kind, mut login, mut length) = (String::new(), String::new(), 0);
        loop {
            let line = self.line(reader)?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-type" => kind = value.to_owned(),
                "authorization" => login = value.to_owned(),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Asked { method, path, query, kind, login, body })
    }

    fn line(&self, reader: &mut BufReader<TcpStream>) -> Option<String> {
        let mut line = Vec::new();
        while !self.end.load(Ordering::Relaxed) {
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => return Some(String::from_utf8(line).unwrap().trim_end().to_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        None
    }

    fn answer(&self, asked: &Asked, to: &mut TcpStream) -> Option<()> {
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Hang => {
                let mut none = [0];
                while !self.end.load(Ordering::Relaxed) && !matches!(to.read(&mut none), Ok(0)) {}
                return None;
            }
            Manner::Redirect(other) => {
                let place = format!("location: http://{other}{}?{}\r\n", asked.path, asked.query);
                return send(to, 302, &place, b"");
            }
            Manner::Page => return send(to, 200, "content-type: text/html\r\n", b"<html>001e# service"),
            _ => {}
        }
        if asked.login != format!("Basic {}", STANDARD.encode("ci:s3cret")) {
            return send(to, 401, "www-authenticate: Basic realm=\"git\"\r\n", b"");
        }
        let (status, headers, body) = self.backend(asked);
        match manner {
            Manner::Cut(at) if asked.method == "POST" => {
                let whole = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len());
                to.write_all(whole.as_bytes()).ok()?;
                to.write_all(&body[..at.min(body.len())]).ok()?;
                None
            }
            Manner::Drip => {
                let whole = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len());
                to.write_all(whole.as_bytes()).ok()?;
                for byte in body {
                    to.write_all(&[byte]).ok()?;
                    std::thread::sleep(Duration::from_millis(50));
                }
                Some(())
            }
            _ => send(to, status, &headers, &body),
        }
    }

    /// Returns the answer of git's own backend.
    fn backend(&self, asked: &Asked) -> (u16, String, Vec<u8>) {
        let mut backend = git(&self.root);
        backend.arg("http-backend").env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1");
        backend.env("PATH_INFO", &asked.path).env("QUERY_STRING", &asked.query).env("REMOTE_USER", "ci");
        backend.env("REQUEST_METHOD", &asked.method).env("CONTENT_TYPE", &asked.kind);
        backend.env("CONTENT_LENGTH", asked.body.len().to_string());
        let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (mut stdin, body) = (child.stdin.take().unwrap(), asked.body.clone());
        // It may answer without having read all.
        let feeding = std::thread::spawn(move || drop(stdin.write_all(&body)));
        let out = child.wait_with_output().unwrap().stdout;
        feeding.join().unwrap();
        let end = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(out[..end].to_vec()).unwrap();
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")?.get(..3)?.parse().ok());
        let headers = head.lines().filter(|line| !line.starts_with("Status")).map(|line| format!("{line}\r\n"));
        (status.unwrap_or(200), headers.collect(), out[end + 4..].to_vec())
    }
}

fn send(to: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len());
    to.write_all(head.as_bytes()).and_then(|()| to.write_all(body)).ok()
}

/// A real sshd, with a host key and a user's key of its own.
pub struct Sshd {
    folder: tempfile::TempDir,
    child: Child,
    pub address: SocketAddr,
}

impl Sshd {
    /// None when it is not installed.
    pub fn start() -> Option<Self> {
        Self::with("")
    }

    /// The same, with more lines of configuration.
    pub fn with(more: &str) -> Option<Self> {
        let sshd = super::peers::need("sshd")?;
        let keygen = super::peers::need("ssh-keygen")?;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        for name in ["host_key", "user_key", "other_key"] {
            let made = Command::new(&keygen).args(["-q", "-t", "ed25519", "-N", "", "-f", &file(name)]).status();
            assert!(made.unwrap().success());
        }
        fs::copy(file("user_key.pub"), file("authorized_keys")).unwrap();
        if rustix::process::getuid().is_root() {
            // It refuses to start without it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let configuration = format!(
            "ListenAddress {}\nPort {}\nHostKey {}\nAuthorizedKeysFile {}\nUsePAM no\nStrictModes no\nPidFile none\n\
             PasswordAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n{more}\n",
            address.ip(),
            address.port(),
            file("host_key"),
            file("authorized_keys")
        );
        fs::write(file("sshd_config"), configuration).unwrap();
        let host_key = fs::read_to_string(file("host_key.pub")).unwrap();
        fs::write(file("known_hosts"), format!("[{}]:{} {host_key}", address.ip(), address.port())).unwrap();
        let log = fs::File::create(file("log")).unwrap();
        let child = Command::new(sshd).args(["-D", "-e", "-f", &file("sshd_config")]).stderr(log).spawn().unwrap();
        let sshd = Self { folder, child, address };
        let answers = soon(|| TcpStream::connect(address).is_ok());
        assert!(answers, "sshd does not start: {}", fs::read_to_string(sshd.file("log")).unwrap_or_default());
        Some(sshd)
    }

    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The command that is ssh, with the operator's configuration for this host.
    pub fn client(&self, key: &str, known_hosts: &str) -> Vec<String> {
        let path = format!("ssh-{key}-{known_hosts}");
        let text = format!(
            "Host *\nIdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\n",
            self.file(key),
            self.file(known_hosts)
        );
        fs::write(self.file(&path), text).unwrap();
        ["ssh".to_owned(), "-F".to_owned(), self.file(&path)].to_vec()
    }

    pub fn url(&self, origin: &Origin) -> String {
        format!("ssh://{}{}", self.address, origin.path().display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Connections that are kept would outlive it, and with them those who keep them.
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| rustix::process::Pid::from_raw(id.parse().ok()?));
        let children: Vec<_> = children.collect();
        let _ = self.child.kill();
        for child in children {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
