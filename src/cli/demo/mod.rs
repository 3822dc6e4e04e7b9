//! `demo`: the main job on this machine alone, for people to watch. A sample application, a controller and a front, all
//! of them real processes of this binary; builds are announced as a build server would, and what is claimed is
//! counted. It must not know more of the controller than its API tells.

mod crowd;
mod show;
mod stage;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use self::{
    crowd::Crowd,
    show::Show,
    stage::{Controller, Stage},
};
use super::{
    client::Answer,
    told::{Deployment, History},
};
use crate::{clock::Clock, machine::Millis, text::format_duration};

/// The main job, on this machine alone: deploy, refuse, survive a kill, roll back, while clients hammer the front
#[derive(clap::Args)]
pub struct Args {
    /// End when all has been shown, with exit code 0 if it went as it should
    #[arg(long)]
    once: bool,
    /// Where it keeps its files [default: a new folder for temporary files, removed in the end]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// How many clients hammer the front
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,
}

/// How long anything may take before the demo gives up.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(async {
        let stage = Stage::set(args.folder.clone())?;
        let played = tokio::select! {
            played = play(&stage, args) => played,
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
        };
        stage.clear().await;
        played.map(|()| ExitCode::SUCCESS)
    })
}

async fn play(stage: &Stage, args: &Args) -> anyhow::Result<()> {
    let clock = Clock::real();
    let show = Show::new(clock.clone());
    show.opening(stage);
    let mut controller = stage.start_controller(&clock).await?;
    show.page(&stage.page_link()?);
    let crowd = Crowd::new(stage.front, clock.clone());

    show.scene("Version 1 goes live: the first build, announced by a signed webhook");
    let first = stage.announce("v1", 1, false).await?;
    finish(&show, &controller, None, &first, "succeeded").await?;
    crowd.let_in(args.clients).await;
    show.say(&format!("{} clients hammer {} from now on", args.clients, stage.front_url()));

    show.scene("Version 2 is deployed, and the controller is killed with SIGKILL in the middle");
    let second = stage.announce("v2", 2, false).await?;
    until(&clock, "the new stack is being checked", async || Ok(state_of(&controller, &second).await? == "checking"))
        .await?;
    let killed = clock.now();
    controller.kill().await?;
    show.say("killed; the front goes on serving version 1 without it");
    controller = stage.start_controller(&clock).await?;
    let away = clock.now().since(killed);
    show.say(&format!("back after {}; it reads the state file and goes on where it was", format_duration(away)));
    finish(&show, &controller, Some(&crowd), &second, "succeeded").await?;
    let cutover = cutover_time(&controller, 2).await?;

    show.scene("Version 3 is broken: its health check never passes");
    let third = stage.announce("v3", 3, true).await?;
    finish(&show, &controller, Some(&crowd), &third, "failed").await?;

    show.scene("Version 2 is rolled back");
    let ordered = clock.now();
    controller
        .api
        .post("/v1/environments/demo/live/rollback", &json!({ "number": 2, "reason": "the demo wants it" }))
        .await?;
    let back = crowd.first_answer_of("v1", ordered).await.context("version 1 never answered again")?;
    finish(&show, &controller, Some(&crowd), &second, "rolled_back").await?;

    let tally = crowd.tally();
    let rollback = back.since(ordered);
    show.summary(&tally, cutover, rollback, away);
    ensure!(tally.failed == 0, "{} requests failed", tally.failed);
    if args.once {
        return Ok(());
    }
    show.page(&stage.page_link()?);
    show.what_to_try(stage);
    loop {
        show.counting(&crowd.tally());
        clock.wait(Duration::from_millis(500)).await;
    }
}

/// Shows a deployment until it has ended, and its steps.
async fn finish(
    show: &Show,
    controller: &Controller,
    crowd: Option<&Crowd>,
    deployment: &str,
    expected: &str,
) -> anyhow::Result<()> {
    let mut state = String::new();
    let end = async {
        loop {
            let path = format!("/v1/deployments/{deployment}?wait=200ms&seen={state}");
            let Answer { body, json: seen, .. } = controller.api.look::<Deployment>(&path).await?;
            state = body.state;
            show.progress(&state, crowd.map(Crowd::tally).as_ref());
            if body.r#final && (state != "succeeded" || expected == "succeeded") {
                return anyhow::Ok(seen);
            }
        }
    };
    let seen = tokio::time::timeout(ANSWER_LIMIT, end).await.with_context(|| format!("{deployment} never ended"))??;
    show.rail(&steps(controller, deployment).await?, &seen);
    ensure!(state == expected, "deployment {deployment} is {state}, not {expected}: {}", seen["reason"]);
    Ok(())
}

async fn until(clock: &Clock, what: &str, is: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let wait = async {
        while !is().await? {
            clock.wait(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(ANSWER_LIMIT, wait).await.with_context(|| format!("never came to pass: {what}"))?
}

async fn state_of(controller: &Controller, deployment: &str) -> anyhow::Result<String> {
    let seen = controller.api.look::<Deployment>(&format!("/v1/deployments/{deployment}")).await?;
    Ok(seen.body.state)
}

/// The records of one deployment, or of its rollback if there is one.
async fn steps(controller: &Controller, deployment: &str) -> anyhow::Result<Vec<Value>> {
    let history = controller.api.look::<History>("/v1/history?environment=demo/live&last=200").await?.json;
    let number = deployment.rsplit('/').next().and_then(|n| n.parse::<u64>().ok());
    let all = history["records"].as_array().into_iter().flatten().cloned();
    let mut own: Vec<Value> = all.filter(|r| r["event"]["number"].as_u64() == number).collect();
    let rollback = own.iter().position(|r| r["event"]["kind"] == "rollback_requested");
    Ok(own.split_off(rollback.unwrap_or(0)))
}

/// Returns the time from the order until the front's public address answers from the new stack.
async fn cutover_time(controller: &Controller, number: u32) -> anyhow::Result<Millis> {
    let records = steps(controller, &format!("demo/live/{number}")).await?;
    let at = |kind: &str| {
        let record = records.iter().find(|r| r["event"]["kind"] == kind);
        record.and_then(|r| r["at"].as_u64()).map(Millis).with_context(|| format!("no record of {kind}"))
    };
    Ok(at("went_live")?.since(at("cut_over_ordered")?))
}
