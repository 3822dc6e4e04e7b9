//! How long `pointsman status` takes with 2,000 environments, from the return key to the prompt: the API over so many, each
//! with a live stack and a standby, on this host, asked again and again by the real program. No stacks and no fronts: what
//! is measured is the looking. And the page: its first view, how long it takes until 500 open pages show what was recorded, of
//! one environment and of the overview, and until all of them are back after the controller was away.
//! `cargo bench --bench status [ENVIRONMENTS]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures, tells and gives up"
)]

#[path = "support/controller.rs"]
mod controller;

use std::{
    collections::HashSet,
    fs,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    path::Path,
    process::Command as Program,
    sync::Arc,
    time::{Duration, Instant},
};

use pointsman::{
    clock::Clock,
    http::{App, router, serve},
    journal::{Journal, Options},
    machine::{Entry, EnvironmentId, Event, Millis, Plan, Retain},
};

use self::controller::{TOKEN, app, client, go_live, measure, memory};

/// Environments of one pipeline.
const EACH: usize = 4;
const RUNS: usize = 30;
/// Open pages.
const FOLLOWERS: usize = 500;
/// How long the controller is away.
const AWAY: Duration = Duration::from_secs(20);
/// Number of records that are written while they are open.
const RECORDS: usize = 20;

#[tokio::main]
async fn main() {
    let count = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2000);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), count);
    let begun = Instant::now();
    let app = app(folder.path(), Journal::in_memory(Options::default()).unwrap());
    assert_eq!(app.pipelines.environments().count(), count);
    for environment in app.pipelines.environments() {
        let plan = || Plan { retain: Retain::For(Millis(3_600_000)), ..Plan::default() };
        for n in 1..=2 {
            let version = format!("1.0.{n}-of-{}", environment.id.environment);
            go_live(&app.journal, &environment.id, (n, &version), plan()).await;
        }
    }
    println!("{count} environments read and made live after {:.1} s", begun.elapsed().as_secs_f64());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let journal = app.journal.clone();
    let server = serve(listener, router(app.clone()), 4 * FOLLOWERS, None, stopped);
    let asking = async {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || ask(&folder, address)).await.unwrap();
        views(address).await;
        for page in ["/environments/shop-0/e0/live", "/live"] {
            follow(address, &journal, page).await;
        }
        stop.send_replace(true);
    };
    tokio::join!(server, asking);
    come_back(app, address).await;
}

/// Pipelines of nothing but names.
fn write(folder: &Path, count: usize) {
    fs::create_dir_all(folder.join("pipelines")).unwrap();
    fs::write(folder.join("app.toml"), "command = [\"true\"]\n").unwrap();
    for pipeline in 0..count.div_ceil(EACH) {
        let mut text = String::new();
        for place in 0..EACH.min(count - pipeline * EACH) {
            let deploy = if place == 0 { "on-build" } else { "on-promotion" };
            text += &format!(
                "[[environments]]\nname = \"e{place}\"\ndeploy = \"{deploy}\"\n\
                 stack = {{ driver = \"process\", definition = \"../app.toml\" }}\n\
                 front = {{ driver = \"builtin\", listen = \"127.{}.{}.{}:18080\" }}\n\
                 [[environments.checks]]\ntcp = {{}}\n",
                100 + place,
                pipeline / 250,
                pipeline % 250 + 1
            );
        }
        fs::write(folder.join(format!("pipelines/shop-{pipeline}.toml")), text).unwrap();
    }
}

fn ask(folder: &Path, address: SocketAddr) {
    for (name, arguments) in
        [("version", vec!["--version"]), ("status", vec!["status"]), ("json", vec!["status", "--json"])]
    {
        let mut times: Vec<f64> = (0..RUNS).map(|_| time(folder, address, &arguments)).collect();
        times.sort_by(f64::total_cmp);
        println!("{name:8} median {:6.1} ms, worst {:6.1} ms, of {RUNS}", times[RUNS / 2], times[RUNS - 1]);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How long the first view takes at the server, and how large it is before compression.
async fn views(address: SocketAddr) {
    let client = client();
    for path in ["/", "/?q=shop-7", "/?show=behind&page=3", "/environments/shop-0/e1", "/v1/overview"] {
        measure(&client, address, path, RUNS).await;
    }
}

/// How long it takes until open pages show what was recorded, and what they cost in memory.
async fn follow(address: SocketAddr, journal: &Journal, page: &str) {
    let client = client();
    let before = memory();
    let (heard, mut all) = tokio::sync::mpsc::unbounded_channel();
    for follower in 0..FOLLOWERS {
        let url = format!("http://{address}{page}");
        let mut answer = client.get(url).send().await.unwrap();
        let heard = heard.clone();
        tokio::spawn(async move {
            let mut text = String::new();
            while let Ok(Some(piece)) = answer.chunk().await {
                text.push_str(&String::from_utf8_lossy(&piece));
                // A mark of the benchmark's own, in the name of who holds the environment.
                while let Some(at) = text.find("mark-") {
                    let Some(end) = text[at..].find("-end") else { break };
                    let mark: usize = text[at + 5..at + end].parse().unwrap();
                    if heard.send((follower, mark, Instant::now())).is_err() {
                        // It is measured on another page now.
                        return;
                    }
                    text.drain(..at + end + 4);
                }
                // What is kept here must not be counted against the server: no more than a mark that came in two pieces.
                if !text.contains("mark-") {
                    text = text.chars().rev().take(8).collect::<Vec<_>>().into_iter().rev().collect();
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("{FOLLOWERS} open pages of {page}: {:.1} MB more memory, of both sides together", memory() - before);
    let id: EnvironmentId = "shop-0/e0".parse().unwrap();
    let mut delays = Vec::new();
    for mark in 0..RECORDS {
        let begun = Instant::now();
        let (by, event) = (format!("mark-{mark}-end").into(), Event::Held { reason: "a benchmark".into() });
        let entry = Entry { at: Clock::real().now(), by, event };
        journal.append(&id, journal.state(&id).seq(), entry).await.unwrap();
        // The name stands in several places of a page: the first one counts, of each page.
        let mut of_this = HashSet::new();
        while of_this.len() < FOLLOWERS {
            let (follower, seen, at) = all.recv().await.unwrap();
            if seen == mark && of_this.insert(follower) {
                delays.push((at - begun).as_secs_f64() * 1000.0);
            }
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        while all.try_recv().is_ok() {}
    }
    delays.sort_by(f64::total_cmp);
    let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize];
    println!(
        "update of {FOLLOWERS} of {page}: median {:.0} ms, p99 {:.0} ms, worst {:.0} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// How long after the controller listens again its open pages show how things are. They ask as htmx does with the page's own
/// configuration: after 0.5 s, then twice as long, 3 s at most, each time up to 30 % more or less.
async fn come_back(app: Arc<App>, address: SocketAddr) {
    let client = client();
    let (back, mut all) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..FOLLOWERS {
        let (client, back) = (client.clone(), back.clone());
        tokio::spawn(async move {
            let url = format!("http://{address}/environments/shop-0/e0/live");
            for attempt in 0.. {
                if let Ok(mut answer) = client.get(&url).send().await {
                    answer.chunk().await.unwrap().unwrap();
                    back.send(Instant::now()).unwrap();
                    // It stays open, as a page does.
                    while let Ok(Some(_)) = answer.chunk().await {}
                    return;
                }
                let delay = f64::min(0.5 * f64::powi(2.0, attempt), 3.0);
                tokio::time::sleep(Duration::from_secs_f64(delay * (0.7 + 0.6 * chance()))).await;
            }
        });
    }
    tokio::time::sleep(AWAY).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let begun = Instant::now();
    let counting = async {
        let mut times = Vec::new();
        while times.len() < FOLLOWERS {
            times.push((all.recv().await.unwrap() - begun).as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let crowd = times.iter().map(|from| times.iter().filter(|at| (*from..from + 100.0).contains(at)).count()).max();
        let (median, last, crowd) = (times[FOLLOWERS / 2], times[FOLLOWERS - 1], crowd.unwrap());
        println!("{FOLLOWERS} pages back: median {median:.0} ms, last {last:.0} ms, most in 100 ms: {crowd}");
        stop.send_replace(true);
    };
    tokio::join!(serve(listener, router(app), 2 * FOLLOWERS, None, stopped), counting);
}

/// Returns a random number between 0 and 1.
fn chance() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// Returns the time from the return key to the prompt, in milliseconds.
fn time(folder: &Path, address: SocketAddr, arguments: &[&str]) -> f64 {
    let mut command = Program::new(env!("CARGO_BIN_EXE_pointsman"));
    command.args(arguments).current_dir(folder);
    command.env("POINTSMAN_SERVER", format!("http://{address}")).env("POINTSMAN_TOKEN", TOKEN);
    let begun = Instant::now();
    let done = command.output().unwrap();
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    assert!(done.status.success(), "{done:?}");
    took
}
