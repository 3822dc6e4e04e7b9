//! The command line: one file per command. Must not decide anything.

pub mod act;
mod block;
pub mod check;
pub mod client;
pub mod demo;
pub mod front;
pub mod journal;
mod rail;
pub mod sample;
pub mod serve;
pub mod stack_run;
pub mod status;
pub mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{machine::EnvironmentId, toml_file::Mistake};

/// Blue-green deployments: a new stack beside the live one, checked, then the traffic, and a warm way back
#[derive(Parser)]
#[command(
    name = "pointsman",
    version,
    after_help = "Examples:
  pointsman serve
  pointsman deploy shop/qa --version v2 --artifact builds/v2 --watch
  pointsman promote shop/prod --watch
  pointsman rollback shop/prod --reason \"orders fail\" --watch

Exit codes with --watch: 0 live, 1 failed, 3 rolled back, 4 aborted, 5 awaiting approval,
6 superseded, 124 timed out; 2 is a mistake in the command itself."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller
    Serve(serve::Args),
    /// See the main job done, on this machine alone
    Demo(demo::Args),
    /// Check pipeline files, offline
    Check(check::Args),
    /// Say what a deployment would do
    Plan {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
        #[command(flatten)]
        args: check::Args,
    },
    /// Look into the state file
    #[command(subcommand)]
    Journal(journal::Verb),
    /// Say who may do what: make, list and revoke tokens
    #[command(subcommand)]
    Token(token::Verb),
    #[command(flatten)]
    Client(Client),
    #[command(hide = true)]
    Front(front::FrontArgs),
    #[command(hide = true)]
    StackRun(stack_run::RunArgs),
    #[command(hide = true)]
    StackExec(stack_run::ExecArgs),
    #[command(hide = true)]
    Sample(sample::Args),
}

macro_rules! client {
    ($($(#[$doc:meta])* $name:ident { $($field:tt)* },)*) => {
        #[derive(Subcommand)]
        enum Client {
            $($(#[$doc])* $name { $($field)*
                #[command(flatten)]
                server: client::Server,
            },)*
        }
    };
}

client! {
    /// Make a build live
    Deploy { #[command(flatten)] wish: act::Deploy, },
    /// Take what is live in the environment before to this one
    Promote { #[command(flatten)] wish: act::Wish, },
    /// Put the previous stack back
    Rollback { #[command(flatten)] wish: act::Wish, },
    /// Stop a deployment before users see it
    Abort { #[command(flatten)] wish: act::Wish, },
    /// Open the gate a deployment waits at
    Approve { #[command(flatten)] wish: act::Wish, },
    /// Stop automatic deployments
    Hold { #[command(flatten)] wish: act::Wish, },
    /// Let automatic deployments go on
    Resume { #[command(flatten)] wish: act::Wish, },
    /// Keep to one release
    Pin { #[command(flatten)] wish: act::Wish, },
    /// Ban a release
    Veto { #[command(flatten)] wish: act::Wish, },
    /// Show all environments, or one
    Status {
        /// The environment, written pipeline/environment
        environment: Option<EnvironmentId>,
    },
    /// Say in one sentence what an environment waits for
    Why {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
    },
    /// Show what happened in an environment
    History {
        /// The environment, written pipeline/environment
        environment: EnvironmentId,
        /// How many records
        #[arg(long, default_value_t = 50)]
        last: usize,
    },
}

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Plan { environment, args } => check::plan(&args, &environment),
        Command::Journal(verb) => journal::run(verb),
        Command::Token(verb) => token::run(verb),
        Command::Front(args) => front::run(&args).map(|()| ExitCode::SUCCESS),
        Command::StackRun(args) => stack_run::run(args).map(|()| ExitCode::SUCCESS),
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
        Client::Deploy { wish, server } => act::deploy(&server, wish).await,
        Client::Promote { wish, server } => act::act(&server, "promote", wish).await,
        Client::Rollback { wish, server } => act::act(&server, "rollback", wish).await,
        Client::Abort { wish, server } => act::act(&server, "abort", wish).await,
        Client::Approve { wish, server } => act::act(&server, "approve", wish).await,
        Client::Hold { wish, server } => act::act(&server, "hold", wish).await,
        Client::Resume { wish, server } => act::act(&server, "resume", wish).await,
        Client::Pin { wish, server } => act::act(&server, "pin", wish).await,
        Client::Veto { wish, server } => act::act(&server, "veto", wish).await,
        Client::Status { environment, server } => status::status(&server, environment.as_ref()).await,
        Client::Why { environment, server } => status::why(&server, &environment).await,
        Client::History { environment, last, server } => status::history(&server, &environment, last).await,
    }
}

fn mistakes(mistakes: Vec<Mistake>) -> anyhow::Error {
    anyhow::anyhow!("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
