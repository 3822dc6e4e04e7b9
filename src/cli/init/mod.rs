//! `init`: the first pipeline of an application, with comments that teach. It writes files and nothing else, and never
//! over what is there.

mod words;

use std::{
    fs,
    io::{IsTerminal, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use dialoguer::Input;
use serde_json::json;

use super::{USAGE, complain, screen::say};
use crate::{
    intake,
    machine::Name,
    pipelines::{Registry, load},
    random,
    settings::{self, Settings},
    toml_file::Mistake,
};

/// What it must know.
#[derive(clap::Args, Default)]
pub struct Args {
    /// The application's name: a-z, 0-9 and '-'
    #[arg(long)]
    name: Option<String>,
    /// How a release is started; {artifact}, {address}, {port}, {version} are filled in
    #[arg(long)]
    command: Option<String>,
    /// Where users come in; the address of each environment, or of the first, whose port is counted up
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    listen: Vec<SocketAddr>,
    /// The path that answers 200 when an instance is well [default: /healthz]
    #[arg(long, value_name = "PATH")]
    check: Option<String>,
    /// The environments, in the order of promotion [default: live]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    environments: Vec<String>,
    /// How many processes of a release run beside one another
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    instances: u16,
    /// Do not ask; take what is not given by default
    #[arg(long, short)]
    yes: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Answers to the questions of `init`.
struct Answers {
    name: Name,
    command: Vec<String>,
    environments: Vec<(Name, SocketAddr)>,
    check: String,
    instances: u16,
}

/// A file that is to be written.
pub(super) struct Draft {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Only its owner may read it.
    pub(super) secret: bool,
}

/// Asks, writes, checks, and says what comes next.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let as_json = args.json;
    let asks = !args.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let answers = match answers(args, asks) {
        Ok(answers) => answers,
        Err(error) => {
            complain(&format!("{error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let settings = Settings::load(None).map_err(super::mistakes)?;
    let drafts = drafts(&answers, &settings.pipelines)?;
    unless_there(&drafts, "choose another --name")?;
    let drafts = drafts.into_iter().chain(extras(&settings.pipelines)).collect();
    let (written, known) = make(drafts, &settings.pipelines, &settings.state)?;
    tell(&answers, &written, as_json);
    if known.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(super::mistakes(known)) }
}

/// Refuses to write over files that are there; `otherwise` says what to do then.
pub(super) fn unless_there(drafts: &[Draft], otherwise: &str) -> anyhow::Result<()> {
    let there: Vec<String> = drafts.iter().filter(|d| d.path.exists()).map(|d| d.path.display().to_string()).collect();
    if !there.is_empty() {
        bail!("nothing was written, because this is there already: {}; {otherwise}", there.join(", "));
    }
    Ok(())
}

/// Writes all of it, or nothing when it would not be good together with what is there. Gives the mistakes that were there
/// before.
pub(super) fn make(drafts: Vec<Draft>, pipelines: &Path, state: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<Mistake>)> {
    let check = || load(&Registry::all(state), pipelines).mistakes;
    let before = if pipelines.exists() { check() } else { Vec::new() };
    let mut written = Vec::new();
    for draft in drafts {
        if let Err(error) = write(&draft) {
            take_back(&written);
            return Err(error);
        }
        written.push(draft.path);
    }
    let (known, new): (Vec<_>, Vec<_>) = check().into_iter().partition(|mistake| before.contains(mistake));
    if new.is_empty() {
        return Ok((written, known));
    }
    take_back(&written);
    Err(super::mistakes(new).context("nothing was written"))
}

/// Removes what we made: none of it was there before.
fn take_back(written: &[PathBuf]) {
    for path in written {
        let _ = fs::remove_file(path); // What is left is named when it is tried again.
    }
}

fn tell(answers: &Answers, written: &[PathBuf], as_json: bool) {
    let first = answers.environments.first().map(|(name, _)| name.to_string()).unwrap_or_default();
    let deploy =
        format!("pointsman deploy {}/{first} --version v1 --artifact /path/of/the/build --watch", answers.name);
    let next = ["pointsman serve", &deploy];
    if as_json {
        return say(json!({ "written": written, "next": next }));
    }
    for path in written {
        say(format!("written: {}", path.display()));
    }
    say(format!("\nNext, here:\n  {}\nand in another terminal:\n  {}", next[0], next[1]));
}

fn answers(args: Args, asks: bool) -> anyhow::Result<Answers> {
    let ask = |given: Option<String>, flag: &str, question: &str, usual: Option<String>| match (given, usual) {
        (Some(given), _) => Ok(given),
        (None, usual) if asks => {
            let input = Input::<String>::new().with_prompt(question);
            let input = if let Some(usual) = usual { input.default(usual) } else { input };
            input.interact_text().context("asking at the terminal")
        }
        (None, Some(usual)) => Ok(usual),
        (None, None) => {
            bail!("say {flag}, or run it at a terminal to be asked: `pointsman init --help` has an example")
        }
    };
    let list = |list: Vec<String>| (!list.is_empty()).then(|| list.join(","));
    let name: Name = ask(args.name, "--name", "The application's name", None)?.parse().context("--name")?;
    let example = format!("{{artifact}}/bin/{name} --listen {{address}}:{{port}}");
    let question = "How is a release started ({artifact}, {address}, {port}, {version} are filled in)";
    let command = ask(args.command, "--command", question, asks.then_some(example))?;
    let command = words::words(&command).map_err(anyhow::Error::msg).context("--command")?;
    if command.is_empty() {
        bail!("--command is empty: say what to run, as in the example of `pointsman init --help`");
    }
    let question = "Its environments, in the order of promotion";
    let names = ask(list(args.environments), "--environments", question, Some("live".to_owned()))?;
    let names = names.split(',').map(|name| name.trim().parse::<Name>().context("--environments"));
    let names = names.collect::<anyhow::Result<Vec<_>>>()?;
    let given = list(args.listen.iter().map(ToString::to_string).collect());
    let listen = ask(given, "--listen", "Where users come in", Some("127.0.0.1:8080".to_owned()))?;
    let listen =
        listen.split(',').map(|a| a.trim().parse().with_context(|| format!("--listen {a}: write 127.0.0.1:8080")));
    let environments = places(names, &listen.collect::<anyhow::Result<Vec<_>>>()?)?;
    let question = "The path that answers 200 when an instance is well";
    let check = ask(args.check, "--check", question, Some("/healthz".to_owned()))?;
    Ok(Answers { name, command, environments, check, instances: args.instances })
}

/// An address for each environment: the one that was given, or the next port.
fn places(names: Vec<Name>, listen: &[SocketAddr]) -> anyhow::Result<Vec<(Name, SocketAddr)>> {
    let mut next = *listen.first().context("--listen is empty")?;
    let mut places = Vec::new();
    for (place, name) in names.into_iter().enumerate() {
        next = listen.get(place).copied().unwrap_or(next);
        places.push((name, next));
        let port = next.port().checked_add(1).context("--listen: there are not so many ports; give each its own")?;
        next.set_port(port);
    }
    Ok(places)
}

/// The three files of an application. `pipelines` is the folder of pipelines.
fn drafts(answers: &Answers, pipelines: &Path) -> anyhow::Result<[Draft; 3]> {
    let name = answers.name.as_str();
    let stacks = pipelines.parent().unwrap_or(Path::new("")).join("stacks/process");
    let key = format!("{}\n", random::hex_of(32).context("the system has no random numbers")?);
    let draft = |path, text, secret| Draft { path, text, secret };
    Ok([
        draft(pipelines.join(format!("{name}.toml")), pipeline(answers), false),
        draft(stacks.join(format!("{name}.toml")), stack(answers), false),
        draft(pipelines.join(format!("secrets/{name}.key")), key, true),
    ])
}

/// Returns the files that every folder needs once.
pub(super) fn extras(pipelines: &Path) -> Vec<Draft> {
    let draft = |path: PathBuf, text: &str| Draft { path, text: text.to_owned(), secret: false };
    let mut extras = vec![
        draft(settings::FILE.into(), include_str!("pointsman.toml")),
        draft(pipelines.join("secrets/.gitignore"), "# Keys stay on this host.\n*\n"),
    ];
    extras.retain(|draft| !draft.path.exists());
    extras
}

fn pipeline(answers: &Answers) -> String {
    let name = answers.name.as_str();
    let mut text = include_str!("pipeline.toml")
        .replace("@SENDERS@", &intake::titles().join(", "))
        .replace("@NAME@", name)
        .replace("@DESCRIPTION@", &quoted(name));
    for (place, (environment, listen)) in answers.environments.iter().enumerate() {
        let (what, deploy) = match place {
            0 => ("The first environment takes every build that is announced.".to_owned(), "on-build"),
            _ => {
                let command = format!("`pointsman promote {name}/{environment}`");
                (
                    format!("Takes what is live in the environment before it, when someone says {command}."),
                    "on-promotion",
                )
            }
        };
        text += &include_str!("environment.toml")
            .replace("@WHAT@", &what)
            .replace("@NAME@", name)
            .replace("@ENVIRONMENT@", &quoted(environment.as_str()))
            .replace("@DEPLOY@", &quoted(deploy))
            .replace("@LISTEN@", &quoted(&listen.to_string()))
            .replace("@CHECK@", &quoted(&answers.check));
    }
    text
}

fn stack(answers: &Answers) -> String {
    let command: Vec<String> = answers.command.iter().map(|word| quoted(word)).collect();
    include_str!("stack.toml")
        .replace("@NAME@", answers.name.as_str())
        .replace("@INSTANCES@", &answers.instances.to_string())
        .replace("@COMMAND@", &format!("[{}]", command.join(", ")))
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn write(draft: &Draft) -> anyhow::Result<()> {
    let named = || format!("writing {}", draft.path.display());
    if let Some(folder) = draft.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(named)?;
    }
    let mode = if draft.secret { 0o600 } else { 0o644 };
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft.path).with_context(named)?;
    file.write_all(draft.text.as_bytes()).with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(args: Args) -> Result<Answers, String> {
        answers(args, false).map_err(|error| format!("{error:#}"))
    }

    fn args(command: &str, environments: &str, listen: &str) -> Args {
        Args {
            name: Some("shop".to_owned()),
            command: Some(command.to_owned()),
            environments: environments.split(',').map(str::to_owned).collect(),
            listen: listen.split(',').map(|a| a.parse().expect("an address")).collect(),
            instances: 1,
            ..Args::default()
        }
    }

    #[test]
    fn what_is_written_is_good_whatever_was_answered() {
        let commands = ["{artifact}/bin/shop --listen {address}:{port}", "sh -c 'echo \"a\\b\" # {{x}}'", "/bin/é"];
        for (command, environments, listen, check) in [
            (commands[0], "live", "127.0.0.1:8080", "/healthz"),
            (commands[1], "qa,prod", "127.0.0.1:8080", "/"),
            (commands[2], "qa,stage,prod", "127.0.0.1:1,[::1]:65000", "/a?b=\"c\"".trim_end_matches('"')),
        ] {
            let check = check.replace('"', "%22");
            let answers = answered(Args { check: Some(check), ..args(command, environments, listen) }).expect("good");
            made(&answers, &folder()).unwrap_or_else(|error| panic!("{command}: {error:#}"));
        }
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn made(answers: &Answers, folder: &tempfile::TempDir) -> anyhow::Result<Vec<PathBuf>> {
        let pipelines = folder.path().join("pipelines");
        let drafts = drafts(answers, &pipelines)?;
        make(drafts.into(), &pipelines, &folder.path().join("state")).map(|(written, _)| written)
    }

    #[test]
    fn a_second_application_at_the_address_of_the_first_leaves_nothing() {
        let (folder, first) = (folder(), args("run", "live", "127.0.0.1:8080"));
        made(&answered(first).expect("good"), &folder).expect("good");
        let second = |listen| Args { name: Some("mail".to_owned()), ..args("run", "live", listen) };
        let why = made(&answered(second("127.0.0.1:8080")).expect("good"), &folder).expect_err("taken");
        assert!(format!("{why:#}").contains("nothing was written"), "{why:#}");
        assert!(!folder.path().join("pipelines/mail.toml").exists());
        made(&answered(second("127.0.0.1:8081")).expect("good"), &folder).expect("good");
    }

    #[test]
    fn what_can_not_be_is_told_and_leaves_nothing() {
        let wrong = |args| {
            let folder = folder();
            let why = made(&answered(args).expect("answers"), &folder).expect_err("wrong").root_cause().to_string();
            assert!(!folder.path().join("pipelines/shop.toml").exists());
            why.replace(&format!("{}/", folder.path().display()), "")
        };
        let why = wrong(args("run {prot}", "live", "127.0.0.1:8080"));
        assert!(why.contains("stacks/process/shop.toml:6:") && why.contains("{prot}"), "{why}");
        let why = wrong(Args { check: Some("healthz".to_owned()), ..args("run", "live", "127.0.0.1:8080") });
        assert!(why.starts_with("pipelines/shop.toml:") && why.contains("begins with /"), "{why}");
        let why = wrong(args("run", "qa,qa", "127.0.0.1:8080"));
        assert!(why.contains("already"), "{why}");
    }

    #[test]
    fn who_can_not_be_asked_is_told_the_flag() {
        assert!(answered(Args::default()).err().is_some_and(|why| why.contains("--name")));
        let named = Args { name: Some("shop".to_owned()), ..Args::default() };
        assert!(answered(named).err().is_some_and(|why| why.contains("--command")));
        assert!(answered(Args { name: Some("The Shop".to_owned()), ..Args::default() }).is_err());
    }

    #[test]
    fn ports_are_counted_up_where_none_is_given() {
        let answers = answered(args("run", "a,b,c", "127.0.0.1:9000,127.0.0.2:80")).expect("good");
        let listen: Vec<String> = answers.environments.iter().map(|(_, listen)| listen.to_string()).collect();
        assert_eq!(listen, ["127.0.0.1:9000", "127.0.0.2:80", "127.0.0.2:81"]);
    }
}
