//! The state file's figures: `cargo bench --bench journal`. Uses a folder below the target folder, so that it is the
//! disk that the project is on and not one in memory.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use pointsman::{
    journal::{Journal, Options},
    machine::{Ask, EnvironmentId, Key, Millis, Plan, Release, ReleaseDraft, Trigger},
};

const MILLION: u64 = 1_000_000;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("journal-bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    bare(&folder)?;
    for concurrent in [1, 16, 128] {
        runtime.block_on(commands(&folder, concurrent))?;
    }
    runtime.block_on(start(&folder))?;
    bare(&folder)?;
    Ok(fs::remove_dir_all(&folder)?)
}

fn bare(folder: &Path) -> anyhow::Result<()> {
    println!("bare loop, 128 lines of 640 bytes a flush: {:9.0} lines/s", support::bare(folder, 640, 128)?);
    Ok(())
}

fn deploy(key: u64) -> Ask {
    let (key, plan) = (Key(u128::from(key).to_be_bytes()), Arc::new(Plan::default()));
    let release = ReleaseDraft::New(Release { artifact: "/srv/builds/shop/1.4.0".into(), ..Release::draft("1.4.0") });
    Ask::Deploy { key, build_number: None, release, plan, trigger: Trigger::Build }
}

/// All to one environment, which is the worst case: each is decided on the one before.
async fn commands(folder: &Path, concurrent: u64) -> anyhow::Result<()> {
    let folder = folder.join(format!("commands-{concurrent}"));
    let (journal, _) = Journal::open(&folder, Options::default())?;
    let place: EnvironmentId = "shop/live".parse()?;
    let each = if concurrent == 1 { 2_000 } else { 60_000 / concurrent };
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..concurrent {
        let (journal, place) = (journal.clone(), place.clone());
        tasks.spawn(async move {
            let mut took = Vec::new();
            for n in 0..each {
                let asked = Instant::now();
                journal.command(&place, "webhook:jenkins", Millis(1), deploy(task * each + n)).await?;
                took.push(asked.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let took = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    let rate = times.len() as f64 / took;
    println!(
        "{concurrent:4} at once: {rate:9.0} commands/s, p50 {:.2} ms, p99 {:.2} ms, most {:.1} ms",
        at(50),
        at(99),
        at(100)
    );
    journal.close().await;
    Ok(())
}

/// A million records over a thousand environments, in segments of 50,000.
async fn start(folder: &Path) -> anyhow::Result<()> {
    let folder = folder.join("million");
    let options = Options { max_batch: 4096, max_waiting: 8192, ..Options::default() };
    let (journal, _) = Journal::open(&folder, options.clone())?;
    let mut tasks = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for task in 0..4000_u64 {
        let (journal, place) = (journal.clone(), format!("shop-{}/live", task % 1000).parse::<EnvironmentId>()?);
        tasks.spawn(async move {
            for n in 0..MILLION / 8000 {
                let key = task * 1000 + n;
                let accepted = journal.command(&place, "webhook:jenkins", Millis(key), deploy(key)).await?;
                drop(accepted);
                journal.command(&place, "cli:ann", Millis(key), Ask::Hold("a look at the numbers".into())).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    journal.close().await;
    let size: u64 = fs::read_dir(&folder)?.map(|file| Ok(file?.metadata()?.len())).sum::<std::io::Result<u64>>()?;
    println!("a million records written in {:.1} s, folder {:.0} MB", begun.elapsed().as_secs_f64(), size as f64 / 1e6);
    for with in [true, false] {
        if !with {
            for file in fs::read_dir(&folder)? {
                let path = file?.path();
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if name.starts_with("snapshot") {
                    fs::remove_file(path)?;
                }
            }
        }
        let begun = Instant::now();
        let (journal, opened) = Journal::open(&folder, options.clone())?;
        let took = begun.elapsed().as_secs_f64();
        println!("start, snapshot {with}: {took:.2} s, {} records, {} of them read", opened.records, opened.read);
        journal.close().await;
    }
    Ok(())
}
