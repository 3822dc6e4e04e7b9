//! What looking back costs: a journal of 100,000 records in many environments on the disk, then the timeline over HTTP: the first
//! look after a start, which reads all of it, and those after; the first page, a filter that finds nothing, a page far
//! back, figures and a release. `cargo bench --bench past [RECORDS]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures, tells and gives up"
)]

use std::{collections::HashMap, fs, net::SocketAddr, path::Path, sync::Arc, time::Instant};

use pointsman::{
    access::{
        Access, Keyed, PURPOSE,
        limits::{Limits, Rates},
    },
    clock::Clock,
    http::{Answers, App, Door, router, serve},
    journal::{Journal, Options},
    machine::{Ask, Entry, EnvironmentId, Event, Key, Millis, Number, Plan, Release, ReleaseDraft, Trigger},
    pipelines::{Registry, frozen::Frozen, load},
    runner::{Board, Instances},
    secrets::Secrets,
};

const TOKEN: &str = "the token of the benchmark";
/// Pipelines, each with qa and prod.
const PIPELINES: usize = 50;
/// Records of one deployment.
const EACH: usize = 7;
const RUNS: usize = 30;

#[tokio::main]
async fn main() {
    let wanted: usize = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    write(folder.path());
    let app = app(folder.path());
    let places: Vec<EnvironmentId> = app.pipelines.environments().map(|environment| environment.id.clone()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    let rounds = wanted.div_ceil(EACH * places.len());
    for id in places {
        let journal = app.journal.clone();
        tasks.spawn(async move {
            for n in 1..=rounds {
                go_live(&journal, &id, u32::try_from(n).unwrap()).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    println!("{} records in {} environments", app.journal.newest(), 2 * PIPELINES);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let server = serve(listener, router(app.clone()), 100, None, stopped);
    let asking = async {
        ask(address, app.journal.newest()).await;
        stop.send_replace(true);
    };
    tokio::join!(server, asking);
}

fn write(folder: &Path) {
    fs::create_dir_all(folder.join("pipelines")).unwrap();
    fs::write(folder.join("app.toml"), "command = [\"true\"]\n").unwrap();
    for pipeline in 1..=PIPELINES {
        let text = ["qa", "prod"].map(|name| {
            let (deploy, net) = if name == "qa" { ("on-build", 100) } else { ("on-promotion", 101) };
            format!(
                "[[environments]]\nname = \"{name}\"\ndeploy = \"{deploy}\"\n\
                 stack = {{ driver = \"process\", definition = \"../app.toml\" }}\n\
                 front = {{ driver = \"builtin\", listen = \"127.{net}.0.{pipeline}:18080\" }}\n\
                 [[environments.checks]]\ntcp = {{}}\n"
            )
        });
        fs::write(folder.join(format!("pipelines/shop-{pipeline}.toml")), text.concat()).unwrap();
    }
}

fn app(folder: &Path) -> Arc<App> {
    let loaded = load(&Registry::all(&folder.join("state")), &folder.join("pipelines"));
    assert_eq!(loaded.mistakes, []);
    let secrets = Secrets::open(folder, &loaded.pipelines).unwrap();
    let keyed = Keyed::with(secrets.derived(PURPOSE));
    Arc::new(App {
        journal: Journal::open(&folder.join("journal"), Options::default()).unwrap().0,
        pipelines: Arc::new(loaded.pipelines),
        keys: HashMap::new(),
        frozen: Frozen::below(folder),
        board: Board::default(),
        instances: Instances::default(),
        clock: Clock::real(),
        access: Arc::new(Access::new(TOKEN.as_bytes().to_vec().into(), keyed, folder, Default::default())),
        limits: Limits::new(Rates::default(), Vec::new()),
        mirrors: HashMap::new(),
        answers: Answers::default(),
        door: Door::new(None),
        chronicle: pointsman::http::Chronicle::default(),
        signer: pointsman::http::EvidenceKey::of(folder).unwrap(),
        pasts: pointsman::http::Pasts::default(),
        glances: pointsman::http::Glances::default(),
        secrets,
    })
}

/// As if the controller had made it live.
async fn go_live(journal: &Journal, id: &EnvironmentId, n: u32) {
    let now = Clock::real().now();
    let artifact = format!("/srv/builds/{id}/{n}").into();
    let release = Release { number: n, artifact, definition: "none".into(), ..Release::draft(&format!("1.4.{n}")) };
    let deploy = Ask::Deploy {
        key: Key(u128::from(n).to_be_bytes()),
        build_number: None,
        release: ReleaseDraft::New(release),
        plan: Arc::new(Plan::default()),
        trigger: Trigger::Build,
    };
    journal.command(id, "webhook:json", now, deploy).await.unwrap();
    let (number, generation) = (Number(n), journal.state(id).generation().next());
    let steps = [
        Event::Started { number },
        Event::Provisioned { number },
        Event::Checked { number },
        Event::CutOverOrdered { number, generation },
        Event::WentLive { number, host: None },
        Event::Succeeded { number },
    ];
    for event in steps {
        let at = Millis(now.0 + 1);
        journal.append(id, journal.state(id).seq(), Entry { at, by: "pointsman".into(), event }).await.unwrap();
    }
}

async fn ask(address: SocketAddr, newest: u64) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
    let client = reqwest::Client::builder().default_headers(headers).no_proxy().build().unwrap();
    let look = async |path: &str| {
        let begun = Instant::now();
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let size = answer.bytes().await.unwrap().len();
        (begun.elapsed().as_secs_f64() * 1000.0, size)
    };
    let before = memory();
    let (first, _) = look("/v1/timeline").await;
    println!("the first look after a start: {first:.0} ms, {:.1} MB of memory", (memory() - before) as f64 / 1e6);
    let far = format!("/v1/timeline?before={}", newest / 10);
    for path in [
        "/v1/timeline",
        "/history",
        "/v1/timeline?most=500",
        "/v1/timeline?who=nobody&what=nothing",
        "/history?environment=shop-7/prod",
        &far,
        "/v1/figures?days=366",
        "/figures",
        "/v1/releases/shop-7/12",
    ] {
        let mut times = Vec::new();
        let mut length = 0;
        for _ in 0..RUNS {
            let (took, size) = look(path).await;
            length = size;
            times.push(took);
        }
        times.sort_by(f64::total_cmp);
        let (median, worst) = (times[RUNS / 2], times[RUNS - 1]);
        println!("{path:40} median {median:6.1} ms, worst {worst:6.1} ms, of {RUNS}; {:.1} kB", length as f64 / 1000.0);
    }
}

/// What is resident, in bytes.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}
