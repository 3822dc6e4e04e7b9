//! How long `pointsman status` takes with 2,000 environments, from the return key to the prompt: the API over so many, each
//! with a live stack and a standby, on this host, asked again and again by the real program. No stacks and no fronts: what
//! is measured is the looking. `cargo bench --bench status [ENVIRONMENTS]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures, tells and gives up"
)]

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::Command as Program,
    sync::Arc,
    time::{Duration, Instant},
};

use pointsman::{
    access::{
        Access,
        limits::{Limits, Rates},
    },
    clock::Clock,
    http::{Answers, App, Door, router, serve},
    journal::{Journal, Options},
    machine::{Ask, Entry, EnvironmentId, Event, Key, Millis, Number, Plan, Release, ReleaseDraft, Retain, Trigger},
    pipelines::{Registry, frozen::Frozen, load},
    runner::{Board, Instances},
    secrets::Secrets,
};

const TOKEN: &str = "the token of the benchmark";
/// Environments of one pipeline.
const EACH: usize = 4;
const RUNS: usize = 30;

#[tokio::main]
async fn main() {
    let count = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(2000);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), count);
    let begun = Instant::now();
    let app = app(folder.path()).await;
    assert_eq!(app.pipelines.environments().count(), count);
    println!("{count} environments read and made live after {:.1} s", begun.elapsed().as_secs_f64());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let server = serve(listener, router(app), 64, None, stopped);
    let asking = async {
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || ask(&folder, address)).await.unwrap();
        stop.send_replace(true);
    };
    tokio::join!(server, asking);
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

async fn app(folder: &Path) -> Arc<App> {
    let loaded = load(&Registry::all(&folder.join("state")), &folder.join("pipelines"));
    assert_eq!(loaded.mistakes, []);
    let journal = Journal::in_memory(Options::default()).unwrap();
    for environment in loaded.pipelines.environments() {
        go_live(&journal, &environment.id, 1).await;
        go_live(&journal, &environment.id, 2).await;
    }
    let secrets = Secrets::open(folder, &loaded.pipelines).unwrap();
    Arc::new(App {
        journal,
        pipelines: Arc::new(loaded.pipelines),
        keys: HashMap::new(),
        frozen: Frozen::below(folder),
        board: Board::default(),
        instances: Instances::default(),
        clock: Clock::real(),
        access: Arc::new(Access::new(TOKEN.as_bytes().to_vec().into(), folder, Default::default())),
        limits: Limits::new(Rates::default(), Vec::new()),
        mirrors: HashMap::new(),
        answers: Answers::default(),
        door: Door::new(None),
        pasts: pointsman::http::Pasts::default(),
        secrets,
    })
}

/// As if the controller had made it live.
async fn go_live(journal: &Journal, id: &EnvironmentId, n: u8) {
    let now = Clock::real().now();
    let version = format!("1.0.{n}-of-{}", id.environment);
    let artifact = format!("/srv/builds/{id}/{n}").into();
    let release = Release { number: u32::from(n), artifact, definition: "none".into(), ..Release::draft(&version) };
    let plan = Plan { retain: Retain::For(Millis(3_600_000)), ..Plan::default() };
    let deploy = Ask::Deploy {
        key: Key([n; 16]),
        build_number: None,
        release: ReleaseDraft::New(release),
        plan: Arc::new(plan),
        trigger: Trigger::Build,
    };
    journal.command(id, "webhook:json", now, deploy).await.unwrap();
    let (number, generation) = (Number(u32::from(n)), journal.state(id).generation().next());
    let steps = [
        Event::Started { number },
        Event::Provisioned { number },
        Event::Checked { number },
        Event::CutOverOrdered { number, generation },
        Event::WentLive { number, host: None },
        Event::Succeeded { number },
    ];
    for event in steps {
        journal.append(id, journal.state(id).seq(), Entry { at: now, by: "pointsman".into(), event }).await.unwrap();
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

/// From the return key to the prompt, in milliseconds.
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
