//! A controller without stacks and fronts, for benchmarks that measure what is asked of it, and what it has recorded.

use std::{collections::HashMap, fs, net::SocketAddr, path::Path, sync::Arc};

use pointsman::{
    access::{
        Access, Keyed, PURPOSE,
        limits::{Limits, Rates},
    },
    clock::Clock,
    http::{Answers, App, Chronicle, Door, EvidenceKey, Glances, Pasts},
    journal::Journal,
    machine::{Ask, Entry, EnvironmentId, Event, Key, Number, Plan, Release, ReleaseDraft, Trigger},
    pipelines::{Registry, frozen::Frozen, load},
    runner::{Board, HookLogs, Instances},
    secrets::Secrets,
};

pub const TOKEN: &str = "the token of the benchmark";

/// The controller of the pipelines in a folder.
pub fn app(folder: &Path, journal: Journal) -> Arc<App> {
    let loaded = load(&Registry::all(&folder.join("state")), &folder.join("pipelines"));
    assert_eq!(loaded.mistakes, []);
    let secrets = Secrets::open(folder, &loaded.pipelines).unwrap();
    let keyed = Keyed::with(secrets.derived(PURPOSE));
    Arc::new(App {
        journal,
        pipelines: Arc::new(loaded.pipelines),
        keys: HashMap::new(),
        frozen: Frozen::below(folder),
        board: Board::default(),
        instances: Instances::default(),
        hook_logs: HookLogs::default(),
        clock: Clock::real(),
        access: Arc::new(Access::new(TOKEN.as_bytes().to_vec().into(), keyed, folder, Default::default())),
        limits: Limits::new(Rates::default(), Vec::new()),
        mirrors: HashMap::new(),
        answers: Answers::default(),
        door: Door::new(None),
        chronicle: Chronicle::default(),
        signer: EvidenceKey::of(folder).unwrap(),
        pasts: Pasts::default(),
        glances: Glances::default(),
        secrets,
    })
}

/// Records what the controller would have recorded when it made the release live.
pub async fn go_live(journal: &Journal, id: &EnvironmentId, (n, version): (u32, &str), plan: Plan) {
    let now = Clock::real().now();
    let artifact = format!("/srv/builds/{id}/{n}").into();
    let release = Release { number: n, artifact, definition: "none".into(), ..Release::draft(version) };
    let deploy = Ask::Deploy {
        key: Key(u128::from(n).to_be_bytes()),
        build_number: None,
        release: ReleaseDraft::New(release),
        plan: Arc::new(plan),
        trigger: Trigger::Build,
    };
    journal.command(id, "webhook:json", now, deploy).await.unwrap();
    let (number, generation) = (Number(n), journal.state(id).generation().next());
    let steps = [
        Event::Started { number },
        Event::Provisioned { number },
        Event::Checked { number, answers: Vec::new() },
        Event::CutOverOrdered { number, generation, share: None },
        Event::WentLive { number, host: None },
        Event::Succeeded { number },
    ];
    for event in steps {
        journal.append(id, journal.state(id).seq(), Entry { at: now, by: "pointsman".into(), event }).await.unwrap();
    }
}

/// A client with the token.
pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
    reqwest::Client::builder().default_headers(headers).no_proxy().build().unwrap()
}

/// Asks so many times; prints how long it took and how large the answer is before compression.
pub async fn measure(client: &reqwest::Client, address: SocketAddr, path: &str, runs: usize) {
    let (mut times, mut size) = (Vec::new(), 0);
    for _ in 0..runs {
        let begun = std::time::Instant::now();
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        size = answer.bytes().await.unwrap().len();
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let (median, worst) = (times[runs / 2], times[runs - 1]);
    println!("{path:40} median {median:6.1} ms, worst {worst:6.1} ms, of {runs}; {:.1} kB", size as f64 / 1000.0);
}

/// Returns the resident memory of this process, in megabytes.
pub fn memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1000.0
}
