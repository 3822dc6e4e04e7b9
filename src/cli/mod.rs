//! The command line: a file for each command or kind of commands. Must not decide anything.

pub mod act;
pub mod adopt;
mod ask;
mod block;
mod changes;
pub mod check;
pub mod client;
pub mod completion;
pub mod demo;
pub mod deploy;
pub mod down;
pub mod evidence;
pub mod follow;
pub mod front;
pub mod front_run;
mod help;
pub mod hook_run;
pub mod import;
pub mod init;
pub mod journal;
pub mod logs;
pub mod page;
pub mod preview;
pub mod promote;
mod rail;
pub mod restart;
pub mod sample;
pub mod screen;
pub mod serve;
pub mod simulate;
pub mod stack;
pub mod stack_run;
pub mod status;
mod story;
mod table;
pub mod token;
mod told;
pub mod unit;
pub mod user;
pub(crate) mod way_back;

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{installation::Refused, machine::EnvironmentId, toml_file::Mistake};

/// What the exit code says of a mistake in the command itself, as clap has it.
const USAGE: u8 = 2;
/// What it says when a person has to say what the state folder is (EX_CONFIG): doing the same again does not help.
const ASK: u8 = 78;

/// Blue-green deployments: a new stack beside the live one, checked, then the traffic, and a warm way back
#[derive(Parser)]
#[command(name = "pointsman", version, after_help = help::MAIN)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller
    #[command(after_long_help = help::SERVE)]
    Serve(serve::Args),
    /// End all that runs here: fronts and process stacks
    ///
    /// For an installation that is taken off this host, or to be begun anew. Users are served by nobody then.
    #[command(after_long_help = help::DOWN)]
    Down(down::Args),
    /// See the main job done, on this machine alone
    #[command(after_long_help = help::DEMO)]
    Demo(demo::Args),
    /// Write a first pipeline
    ///
    /// Asks what it must know, or takes it from the flags, and writes a pipeline, a stack definition and a key for the
    /// build server, with comments that explain them.
    #[command(after_long_help = help::INIT)]
    Init(init::Args),
    /// Take over what a script was told
    #[command(subcommand, after_long_help = help::IMPORT)]
    Import(import::Verb),
    /// Check pipeline files, offline
    #[command(after_long_help = help::CHECK)]
    Check(check::Args),
    /// Say what a deployment would do
    ///
    /// A cloud is asked whether it would make the stack. Nothing is made.
    #[command(after_long_help = help::PLAN)]
    Plan {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
        #[command(flatten)]
        args: check::Args,
        #[command(flatten)]
        build: preview::Imagined,
    },
    /// Rehearse a deployment on virtual time
    ///
    /// The machine that decides in production plays a deployment under the environment's own terms, while a told story makes
    /// trouble. Nothing is made, nobody is asked, and it takes a moment.
    #[command(after_long_help = help::SIMULATE)]
    Simulate {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
        #[command(flatten)]
        args: check::Args,
        #[command(flatten)]
        told: simulate::Told,
    },
    #[command(flatten)]
    Client(Client),
    /// Look into the state file
    #[command(subcommand, after_long_help = help::JOURNAL)]
    Journal(journal::Verb),
    /// Say who may do what: make, list and revoke tokens
    #[command(subcommand, after_long_help = help::TOKEN)]
    Token(token::Verb),
    /// Say who may sign in: add, list and remove people with a password
    #[command(subcommand, after_long_help = help::USER)]
    User(user::Verb),
    /// Print a link that opens the page, signed in as the holder of the local token
    ///
    /// The link is good once and for ten minutes. It works whatever becomes of users and passwords.
    #[command(after_long_help = help::PAGE)]
    Page(page::Args),
    /// Write what a shell needs to complete commands
    #[command(after_long_help = help::COMPLETION)]
    Completion(completion::Completion),
    /// Write the manual
    #[command(after_long_help = help::MAN)]
    Man(completion::Manual),
    /// Write a systemd unit for the controller
    #[command(after_long_help = help::UNIT)]
    Unit(unit::Args),
    #[command(hide = true)]
    Front(front::FrontArgs),
    #[command(hide = true)]
    FrontRun(front_run::Args),
    #[command(hide = true)]
    StackRun(stack_run::RunArgs),
    #[command(hide = true)]
    StackExec(stack_run::ExecArgs),
    #[command(hide = true)]
    HookRun(hook_run::Args),
    #[command(hide = true)]
    Sample(sample::Args),
}

macro_rules! client {
    ($($(#[$attribute:meta])* $name:ident { $($field:tt)* },)*) => {
        #[derive(Subcommand)]
        enum Client {
            $($(#[$attribute])* $name { $($field)*
                #[command(flatten)]
                server: client::Server,
            },)*
        }
    };
}

client! {
    /// Make a build live
    ///
    /// Announces a build to the first environment of a pipeline, as the webhook of a build server does.
    #[command(after_long_help = help::DEPLOY)]
    Deploy { #[command(flatten)] request: deploy::Deploy, },
    /// Take over the stack that is live today
    ///
    /// For an environment in which Pointsman has nothing live: a stack that somebody else made is checked, gets the front, and
    /// is the way back of the first deployment.
    #[command(after_long_help = help::ADOPT)]
    Adopt { #[command(flatten)] request: adopt::Adopt, },
    /// Take what is live in the environment before to this one
    ///
    /// The same frozen release goes on to the next environment: nothing is built again.
    #[command(after_long_help = help::PROMOTE)]
    Promote { #[command(flatten)] request: promote::Promote, },
    /// Put the previous stack back
    #[command(after_long_help = help::ROLLBACK)]
    Rollback { #[command(flatten)] request: act::Rollback, },
    /// Start what is live again, one instance after the other
    ///
    /// Each instance is ended and started, and only when it is up and passes the checks is the next one ended.
    #[command(after_long_help = help::RESTART)]
    Restart { #[command(flatten)] request: restart::Request, },
    /// Stop a deployment before users see it
    #[command(after_long_help = help::ABORT)]
    Abort { #[command(flatten)] request: act::Under, },
    /// Open the gate a deployment waits at
    #[command(after_long_help = help::APPROVE)]
    Approve { #[command(flatten)] request: act::Under, },
    /// Let a deployment go on before the time is over for which it is watched
    #[command(after_long_help = help::PROCEED)]
    Proceed { #[command(flatten)] request: act::Under, },
    /// Keep the share of the users that a deployment has
    #[command(after_long_help = help::PAUSE)]
    Pause { #[command(flatten)] request: act::Pause, },
    /// Stop automatic deployments
    #[command(after_long_help = help::HOLD)]
    Hold { #[command(flatten)] request: act::Whole, },
    /// Let automatic deployments go on
    #[command(after_long_help = help::RESUME)]
    Resume { #[command(flatten)] request: act::Whole, },
    /// Show users the maintenance page, or give them what is live again
    #[command(after_long_help = help::MAINTENANCE)]
    Maintenance { #[command(flatten)] request: act::PageTurn, },
    /// Keep to one release
    #[command(after_long_help = help::PIN)]
    Pin { #[command(flatten)] request: act::Ban, },
    /// Ban a release
    #[command(after_long_help = help::VETO)]
    Veto { #[command(flatten)] request: act::Ban, },
    /// Say from where the builds of a pipeline are counted
    #[command(after_long_help = help::BUILDS)]
    Builds {
        #[command(subcommand)]
        verb: act::Builds,
    },
    /// List the stacks that there are, and adopt or end those that the journal does not know
    #[command(after_long_help = help::STACK)]
    Stack {
        #[command(subcommand)]
        verb: stack::Stack,
    },
    /// Show all environments, or one
    #[command(after_long_help = help::STATUS)]
    Status { #[command(flatten)] request: status::Status, },
    /// Say what users see, what is being done and until when, and what helps
    ///
    /// In three lines: also what an environment waits for, who can change that, and what stands in the way.
    #[command(after_long_help = help::WHY)]
    Why {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
    },
    /// Show what happened in an environment
    ///
    /// Who deployed what, when and why, and how it ended; with --records every record of the state file.
    #[command(after_long_help = help::HISTORY)]
    History { #[command(flatten)] request: status::History, },
    /// Keep evidence of a deployment in a file
    ///
    /// Its lines of the state file word for word, tied together by checksums and signed with the key of the installation.
    /// Whoever has the file checks it offline: pointsman journal verify FILE.
    #[command(after_long_help = help::EVIDENCE)]
    Evidence { #[command(flatten)] request: evidence::Evidence, },
    /// Show what the instances of a stack, or a hook, write
    ///
    /// Show the output of the live stack, or of the stack or hook that is named. Values of the pipeline's secrets are taken out.
    #[command(after_long_help = help::LOGS)]
    Logs { #[command(flatten)] request: logs::Logs, },
}

/// Hears SIGTERM and SIGINT from now on; what it returns is over with the first of them.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be heard")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    crate::signals::give_back()?;
    match done(cli.command) {
        Err(error) if matches!(error.downcast_ref(), Some(Refused::Ask(_))) => {
            complain(&format!("{error:#}"));
            Ok(ExitCode::from(ASK))
        }
        ended => ended,
    }
}

fn done(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Down(args) => down::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Init(args) => init::run(args),
        Command::Import(verb) => import::run(verb),
        Command::Completion(request) => completion::completion(&request).map(|()| ExitCode::SUCCESS),
        Command::Man(request) => completion::manual(&request).map(|()| ExitCode::SUCCESS),
        Command::Unit(args) => unit::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::check(&args),
        Command::Plan { environment, args, build } => check::plan(&args, &environment, &build),
        Command::Simulate { environment, args, told } => simulate::simulate(&args, &environment, &told),
        Command::Journal(verb) => journal::run(verb),
        Command::Token(verb) => token::run(verb),
        Command::User(verb) => user::run(verb),
        Command::Page(args) => page::run(&args),
        Command::Front(args) => front::run(&args).map(|()| ExitCode::SUCCESS),
        Command::FrontRun(args) => front_run::run(&args).map(|()| ExitCode::SUCCESS),
        Command::StackRun(args) => stack_run::run(args).map(|()| ExitCode::SUCCESS),
        Command::HookRun(args) => hook_run::run(args).map(|()| ExitCode::SUCCESS),
        Command::StackExec(args) => Ok(stack_run::exec(args)),
        Command::Sample(args) => sample::run(args).map(|()| ExitCode::SUCCESS),
        // One thread is enough for one request, and starts faster.
        Command::Client(command) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(command))
        }
    }
}

async fn ask(command: Client) -> anyhow::Result<ExitCode> {
    match command {
        Client::Deploy { request, server } => deploy::deploy(&server, request).await,
        Client::Adopt { request, server } => adopt::adopt(&server, request).await,
        Client::Promote { request, server } => promote::promote(&server, request).await,
        Client::Rollback { request, server } => act::rollback(&server, request).await,
        Client::Restart { request, server } => restart::restart(&server, request).await,
        Client::Abort { request, server } => act::under(&server, "abort", request).await,
        Client::Approve { request, server } => act::under(&server, "approve", request).await,
        Client::Proceed { request, server } => act::under(&server, "proceed", request).await,
        Client::Pause { request, server } => act::pause(&server, request).await,
        Client::Hold { request, server } => act::whole(&server, "hold", request).await,
        Client::Resume { request, server } => act::whole(&server, "resume", request).await,
        Client::Maintenance { request, server } => act::maintenance(&server, request).await,
        Client::Pin { request, server } => act::ban(&server, "pin", request).await,
        Client::Veto { request, server } => act::ban(&server, "veto", request).await,
        Client::Stack { verb, server } => stack::run(&server, verb).await,
        Client::Builds { verb: act::Builds::Reset(request), server } => act::reset_builds(&server, request).await,
        Client::Status { request, server } => status::status(&server, request).await,
        Client::Why { environment, server } => status::why(&server, &environment).await,
        Client::History { request, server } => status::history(&server, &request).await,
        Client::Evidence { request, server } => evidence::evidence(&server, &request).await,
        Client::Logs { request, server } => logs::logs(&server, request).await,
    }
}

fn mistakes(mistakes: Vec<Mistake>) -> anyhow::Error {
    anyhow::anyhow!("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// Tells a person who waits for an answer that there is none, and what to do.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "pointsman: {text}");
}
