//! What looking back costs: a journal of 100,000 records in many environments on the disk, then the timeline over HTTP: the first
//! look after a start, which reads all of it, and those after; the first page, a filter that finds nothing, a page far
//! back, figures and a release. `cargo bench --bench past [RECORDS]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures, tells and gives up"
)]

#[path = "support/controller.rs"]
mod controller;

use std::{fs, net::SocketAddr, path::Path, time::Instant};

use pointsman::{
    http::{router, serve},
    journal::{Journal, Options},
    machine::{EnvironmentId, Plan},
};

use self::controller::{app, client, go_live, measure, memory};

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
    let journal = Journal::open(&folder.path().join("journal"), Options::default()).unwrap().0;
    let app = app(folder.path(), journal);
    let places: Vec<EnvironmentId> = app.pipelines.environments().map(|environment| environment.id.clone()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    let rounds = wanted.div_ceil(EACH * places.len());
    for id in places {
        let journal = app.journal.clone();
        tasks.spawn(async move {
            for n in 1..=rounds {
                let n = u32::try_from(n).unwrap();
                go_live(&journal, &id, (n, &format!("1.4.{n}")), Plan::default()).await;
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

async fn ask(address: SocketAddr, newest: u64) {
    let (client, before) = (client(), memory());
    let begun = Instant::now();
    let first = client.get(format!("http://{address}/v1/timeline")).send().await.unwrap();
    assert!(first.status().is_success() && !first.bytes().await.unwrap().is_empty());
    let took = begun.elapsed().as_millis();
    println!("the first look after a start: {took} ms, {:.1} MB of memory", memory() - before);
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
        measure(&client, address, path, RUNS).await;
    }
}
