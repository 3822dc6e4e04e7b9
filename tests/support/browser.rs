//! A browser: a headless Chromium of its own for one person, driven through chromedriver. What its console says against a page
//! is a failure, a report of the content security policy above all.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    error::{CmdError, ErrorStatus},
};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{peers, soon::soon, wire::Wire};

/// However slow the machine, this long is a failure.
const LIMIT: Duration = Duration::from_secs(60);
const PACE: Duration = Duration::from_millis(40);
/// How often chromedriver is started until it has found a port.
const STARTS: usize = 20;
const DESK: (u32, u32) = (1360, 1000);
const PHONE: (u32, u32) = (390, 844);
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/axe/node_modules/axe-core/axe.min.js");
const SCREENSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/screenshots");
/// A new profile that talks to nobody but the page.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
];

/// Properties of a browser.
#[derive(Default, Clone, Copy)]
pub struct Kind {
    pub without_scripts: bool,
    pub phone: bool,
}

/// The browser of one person.
pub struct Browser {
    client: Client,
    driver: Child,
    port: u16,
    session: String,
    base: String,
    folder: tempfile::TempDir,
}

/// Returns whether chromium, its driver and axe are here.
pub fn installed() -> bool {
    let programs = peers::need("chromium").is_some() && peers::need("chromedriver").is_some();
    if programs && !Path::new(AXE).is_file() {
        peers::left_out("axe-core is not in target/peers/axe; tests/run brings it");
        return false;
    }
    programs
}

impl Browser {
    /// Opens one for the pages at this address.
    pub async fn open(address: Ipv4Addr) -> Self {
        Self::of_kind(address, Kind::default()).await
    }

    pub async fn of_kind(address: Ipv4Addr, kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (driver, port) = start_driver(folder.path());
        let profile = folder.path().join("profile");
        let size = if kind.phone { PHONE } else { DESK };
        let flags = FLAGS.iter().map(|flag| (*flag).to_owned());
        let own = [format!("--user-data-dir={}", profile.display()), format!("--window-size={},{}", size.0, size.1)];
        let mut chrome = json!({ "args": flags.chain(own).collect::<Vec<_>>(), "binary": peers::need("chromium") });
        if kind.without_scripts {
            chrome["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        if kind.phone {
            let metrics = json!({ "width": size.0, "height": size.1, "pixelRatio": 2.0, "touch": true });
            chrome["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": chrome,
                             "timeouts": { "script": LIMIT.as_millis(), "pageLoad": LIMIT.as_millis() },
                             "goog:loggingPrefs": { "browser": "ALL" } });
        let Value::Object(wanted) = wanted else { unreachable!("it is an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let opened = builder.capabilities(wanted).connect(&format!("http://127.0.0.1:{port}")).await;
        let client = opened.expect("chromium starts");
        let session = client.session_id().await.expect("it answers").expect("a session");
        Self { client, driver, port, session, base: format!("http://{address}:7070"), folder }
    }

    // What a person does.

    pub async fn go(&self, path: &str) {
        let address = format!("{}{path}", self.base);
        self.until_done(&format!("{path} is loaded"), async || self.client.goto(&address).await).await;
    }

    /// Opens an address of somebody else, such as the application's.
    pub async fn visit(&self, address: &str) {
        self.until_done(&format!("{address} is loaded"), async || self.client.goto(address).await).await;
    }

    /// Signs in by the form, and is led on.
    pub async fn sign_in(&self, user: &str, password: &str) {
        self.go("/sign-in").await;
        self.write("#user", user).await;
        self.write("#password", password).await;
        self.click("main button[type=submit]").await;
        self.until_text("header .who", user).await;
    }

    /// Signs out, as who deletes all cookies does.
    pub async fn sign_out(&self) {
        self.client.delete_all_cookies().await.expect("cookies are deleted");
    }

    /// Chooses a theme, `light` or `dark`, where every page lets one choose.
    pub async fn theme(&self, theme: &str) {
        let chosen = async || self.one("#theme").await?.select_by_value(theme).await.ok();
        self.until("the theme is chosen", chosen).await;
        self.until_sees(&format!("html[data-theme={theme}]")).await;
    }

    /// Clicks, once, as soon as it can be clicked.
    pub async fn click(&self, css: &str) {
        let clicked = async || match self.one(css).await?.click().await {
            Ok(()) => Some(()),
            Err(error) if not_clicked(&error) => None,
            // The page went away under the click, so it was one; what follows shows where it led.
            Err(error) => {
                println!("{css} was clicked, and the driver said {error}");
                Some(())
            }
        };
        self.until(&format!("{css} is clicked"), clicked).await;
    }

    pub async fn write(&self, css: &str, text: &str) {
        self.until(&format!("{css} is written"), async || self.one(css).await?.send_keys(text).await.ok()).await;
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("keys are pressed");
    }

    // What a person sees.

    async fn one(&self, css: &str) -> Option<Element> {
        self.client.find(Locator::Css(css)).await.ok()
    }

    /// The text that is shown there; none where there is no such thing.
    pub async fn text(&self, css: &str) -> Option<String> {
        self.one(css).await?.text().await.ok()
    }

    pub async fn sees(&self, css: &str) -> bool {
        match self.one(css).await {
            Some(element) => element.is_displayed().await.unwrap_or(false),
            None => false,
        }
    }

    pub async fn title(&self) -> String {
        self.client.title().await.unwrap_or_default()
    }

    /// What a script returns. The page's policy does not bind it. Where the page is just being loaded it is run again.
    pub async fn ask(&self, script: &str) -> Value {
        self.until_done(script, async || self.client.execute(script, Vec::new()).await).await
    }

    /// Whether a script returns true. A page that is just being loaded returns nothing.
    async fn holds(&self, script: &str) -> bool {
        self.client.execute(script, Vec::new()).await.is_ok_and(|value| value == true)
    }

    // Waiting.

    /// Looks until there is something; a minute without is a failure that says what the page shows.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let began = Instant::now();
        let mut pace = tokio::time::interval(PACE);
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if began.elapsed() > LIMIT {
                let text = self.text("body").await;
                println!("it shows:\n{}\n{:#?}", text.unwrap_or_default(), self.console());
                self.screenshot("failed").await;
                panic!("never came to pass: {what}");
            }
            pace.tick().await;
        }
    }

    /// Has the driver do something that may be done again. It refuses while one page gives way to another.
    async fn until_done<T>(&self, what: &str, act: impl AsyncFn() -> Result<T, CmdError>) -> T {
        let began = Instant::now();
        let mut pace = tokio::time::interval(PACE);
        loop {
            match act().await {
                Ok(done) => return done,
                Err(error) => assert!(began.elapsed() < LIMIT, "{what}: {error}"),
            }
            pace.tick().await;
        }
    }

    pub async fn until_text(&self, css: &str, words: &str) -> String {
        let shows = async || self.text(css).await.filter(|text| text.contains(words));
        self.until(&format!("{css} says {words:?}"), shows).await
    }

    pub async fn until_sees(&self, css: &str) {
        self.until(&format!("{css} is shown"), async || self.sees(css).await.then_some(())).await;
    }

    /// Waits until the page hears of changes.
    pub async fn until_live(&self) {
        let live = "return document.getElementById('heard') && !document.getElementById('heard').hidden && \
                    connected && !document.body.hasAttribute('data-stale')";
        self.until("the page is live", async || self.holds(live).await.then_some(())).await;
    }

    // Evidence.

    /// Keeps a picture of the whole page.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let path = Path::new(SCREENSHOTS).join(format!("{name}.png"));
        fs::create_dir_all(SCREENSHOTS).expect("a folder");
        let size = "return [document.documentElement.clientWidth, document.documentElement.scrollHeight]";
        let size = self.ask(size).await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.driver("goog/cdp/execute", &json!({ "cmd": "Page.captureScreenshot", "params": wanted }));
        let picture = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        fs::write(&path, picture).expect("written");
        path
    }

    /// What the console has said since it was asked last: everything that is not in order.
    pub fn console(&self) -> Vec<String> {
        let said = self.driver("se/log", &json!({ "type": "browser" }));
        let said = said.as_array().expect("entries of the log");
        let bad = |entry: &&Value| entry["level"] != "INFO" && entry["level"] != "DEBUG";
        said.iter().filter(bad).map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Asks the driver for what the protocol itself has not.
    fn driver(&self, command: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{command}", self.session);
        let kind = "content-type: application/json\r\n";
        let driver = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let answer = Wire::patient(driver).and_then(|mut wire| wire.ask("POST", &path, kind, &body.to_string()));
        let mut answer: Value = serde_json::from_str(&answer.expect("chromedriver answers").body).expect("JSON");
        answer["value"].take()
    }

    #[track_caller]
    pub fn assert_quiet(&self) {
        assert_eq!(self.console(), Vec::<String>::new(), "the console complains");
    }

    /// Holds the page against axe: no violation of any of its rules.
    pub async fn assert_accessible(&self, name: &str) {
        let axe = fs::read_to_string(AXE).expect("axe-core");
        let check = "const done = arguments[arguments.length - 1];\
                     axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations.map((one) => \
                     one.id + ': ' + one.help + ': ' + one.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | '))),\
                     (error) => done(['axe failed: ' + error]));";
        let look = async || {
            self.client.execute(&axe, Vec::new()).await?;
            self.client.execute_async(check, Vec::new()).await
        };
        let found = self.until_done("axe looks at the page", look).await;
        assert_eq!(found, json!([]), "{name}: axe finds {found:#}");
    }

    /// Fails when a page is wider than its window.
    pub async fn assert_fits(&self, name: &str) {
        let wide = "const root = document.documentElement; return root.scrollWidth - root.clientWidth";
        assert_eq!(self.ask(wide).await, 0, "{name} is scrolled sideways");
    }
}

impl Drop for Browser {
    /// Ends the driver and its browser, by their ids.
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let gone = soon(|| {
            let left = naming(self.folder.path());
            for pid in &left {
                // Gone already is as good.
                let _ = kill_process(Pid::from_raw(*pid).expect("a process"), Signal::KILL);
            }
            left.is_empty()
        });
        if !gone {
            println!("left behind: {:?}", naming(self.folder.path()));
        }
    }
}

/// Whether an error of a click says that nothing was clicked.
fn not_clicked(error: &CmdError) -> bool {
    use ErrorStatus::{ElementClickIntercepted, ElementNotInteractable, NoSuchElement, StaleElementReference};
    let refused = [ElementClickIntercepted, ElementNotInteractable, NoSuchElement, StaleElementReference];
    matches!(error, CmdError::Standard(why) if refused.contains(&why.error))
}

/// Starts chromedriver. Returns it with its port.
fn start_driver(home: &Path) -> (Child, u16) {
    let program = peers::need("chromedriver").expect("chromedriver");
    (0..STARTS).find_map(|_| try_driver(&program, home)).expect("chromedriver says its port")
}

/// Starts chromedriver at a port that it chooses and says itself. It takes the same one by IPv4 and IPv6, and ends when that
/// is taken in one of them, which happens on a host with many connections.
fn try_driver(program: &Path, home: &Path) -> Option<(Child, u16)> {
    let mut command = Command::new(program);
    command.arg("--port=0").env("HOME", home).env("TMPDIR", home).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().expect("chromedriver starts");
    let mut said = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut before = Vec::new();
    let port = said.find_map(|line| {
        let port =
            line.split_once("successfully on port ").and_then(|(_, port)| port.trim_end_matches('.').parse().ok());
        before.push(line);
        port
    });
    let Some(port) = port else {
        println!("chromedriver ended with {:?}: {before:?}", driver.wait());
        return None;
    };
    // It goes on to write; nobody has to hear it.
    std::thread::spawn(move || said.for_each(drop));
    Some((driver, port))
}

/// The processes with this folder in their arguments.
fn naming(folder: &Path) -> Vec<i32> {
    let folder = folder.to_str().expect("text");
    let pids = fs::read_dir("/proc").expect("Linux").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    let names = |pid: &i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(folder)
    };
    pids.filter(names).collect()
}
