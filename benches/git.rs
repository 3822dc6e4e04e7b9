//! The figures of repositories: `cargo bench --bench git`. Builds one of 100,000 commits, a merge in every tenth, and
//! mirrors it.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use pointsman::git::{Limits, Mirrors, Remote};

const COMMITS: usize = 100_000;

fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("git-bench");
    let _ = fs::remove_dir_all(&folder);
    let origin = folder.join("origin.git");
    let begun = Instant::now();
    build(&origin)?;
    println!("{COMMITS} commits built in {:.1} s", begun.elapsed().as_secs_f64());
    let ids = history(&origin)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(figures(&folder, &origin, &ids))?;
    Ok(fs::remove_dir_all(&folder)?)
}

async fn figures(folder: &Path, origin: &Path, ids: &[String]) -> anyhow::Result<()> {
    let limits = Limits { first: Duration::from_secs(600), ..Limits::default() };
    let mirrors = Mirrors::with(folder, limits, vec!["ssh".to_owned()]);
    let url = origin.to_str().ok_or_else(|| anyhow::anyhow!("the folder is no text"))?;
    let mirror = mirrors.of(&Remote::new(url, None, None)?);
    let newest = &ids[0];
    let begun = Instant::now();
    mirror.fetch(newest).await?;
    println!("first fetch from a folder: {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    mirror.fetch(newest).await?;
    println!("fetch of a known commit: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    let begun = Instant::now();
    anyhow::ensure!(mirror.file_at(newest, "deploy/stack.toml", 1 << 20).await?.is_some());
    println!("one file: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    let begun = Instant::now();
    mirror.fetch_history(newest).await?;
    println!("first fetch of the history: {:.1} s", begun.elapsed().as_secs_f64());
    for apart in [1, 100, 1000, 10_000, ids.len() - 1] {
        for (what, old, new) in [("forwards", &ids[apart], newest), ("backwards", newest, &ids[apart])] {
            let mut took = Vec::new();
            for _ in 0..5 {
                let begun = Instant::now();
                let seen = mirror.commits_between(old, new, 100).await?;
                took.push(begun.elapsed());
                anyhow::ensure!(seen.is_some());
            }
            took.sort_unstable();
            println!(
                "{apart:6} commits apart, {what:9}: median {:6.1} ms, longest {:6.1} ms",
                ms(took[2]),
                ms(took[4])
            );
        }
    }
    Ok(())
}

fn ms(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}

fn build(origin: &Path) -> anyhow::Result<()> {
    run(Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(origin))?;
    let mut import = Command::new("git");
    let mut child = import.args(["fast-import", "--quiet"]).current_dir(origin).stdin(Stdio::piped()).spawn()?;
    let mut stream = std::io::BufWriter::new(child.stdin.take().ok_or_else(|| anyhow::anyhow!("no input"))?);
    for nth in 1..=COMMITS {
        let time = 1_400_000_000 + nth * 60;
        let (branch, merge) = match nth % 10 {
            9 => ("side", Some(format!("from :{}\n", nth - 1))),
            0 => ("main", Some(format!("merge :{}\n", nth - 1))),
            _ => ("main", None),
        };
        write!(stream, "commit refs/heads/{branch}\nmark :{nth}\ncommitter Ann <ann@shop.example> {time} +0000\n")?;
        let (subject, text) = (format!("Change {nth} of the shop"), format!("command = [\"shop\", \"{nth}\"]\n"));
        write!(stream, "data {}\n{subject}\n{}", subject.len(), merge.unwrap_or_default())?;
        write!(stream, "M 644 inline deploy/stack.toml\ndata {}\n{text}\n", text.len())?;
        if nth % 7 == 0 {
            let file = format!("src/part{}/file{}.txt", nth % 97, nth % 1009);
            write!(stream, "M 644 inline {file}\ndata {}\n{text}\n", text.len())?;
        }
    }
    stream.flush()?;
    drop(stream);
    anyhow::ensure!(child.wait()?.success());
    Ok(())
}

/// All ids, newest first.
fn history(origin: &Path) -> anyhow::Result<Vec<String>> {
    let out = run(Command::new("git").args(["rev-list", "--first-parent", "main"]).current_dir(origin))?;
    Ok(out.lines().map(str::to_owned).collect())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let out = command.output()?;
    anyhow::ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}
