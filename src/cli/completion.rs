//! `completion` and `man`: what shells and readers of manuals want to know of the commands. Must not say anything that the
//! commands' own help does not.

use std::{
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::{Man, roff::Roff};

use super::{Cli, help};

/// Arguments of `completion`.
#[derive(clap::Args)]
pub struct Completion {
    /// The shell
    shell: Shell,
}

/// Where the manual goes.
#[derive(clap::Args)]
pub struct Manual {
    /// Write one page for each command here [default: the main page, to standard output]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes what the shell reads.
pub fn completion(request: &Completion) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(request.shell, &mut shown(), "pointsman", &mut text);
    Ok(stdout().write_all(&text)?)
}

/// Writes the manual.
pub fn manual(request: &Manual) -> anyhow::Result<()> {
    let Some(folder) = &request.dir else {
        return Ok(stdout().write_all(&main_page()?)?);
    };
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    write(folder, "pointsman.1", &main_page()?)?;
    let mut whole = shown();
    whole.build();
    pages(&whole, "pointsman", folder)
}

/// A page for each command below this one.
fn pages(command: &Command, name: &str, folder: &Path) -> anyhow::Result<()> {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let name = format!("{name}-{}", sub.get_name());
        let mut page = Vec::new();
        Man::new(sub.clone().disable_help_subcommand(true)).title(name.to_uppercase()).render(&mut page)?;
        write(folder, &format!("{name}.1"), &page)?;
        pages(sub, &name, folder)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, page: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::write(&path, page).with_context(|| format!("writing {}", path.display()))
}

fn main_page() -> std::io::Result<Vec<u8>> {
    let (man, mut page) = (Man::new(shown()), Vec::new());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    for (title, text) in help::SECTIONS {
        let mut roff = Roff::default();
        roff.control("SH", [title]);
        roff.control("nf", []);
        for line in text.lines() {
            roff.text([clap_mangen::roff::roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// The commands for people: without those that the program starts by itself.
fn shown() -> Command {
    let whole = Cli::command();
    let (visible, about) = (whole.get_subcommands().filter(|sub| !sub.is_hide_set()), whole.get_about().cloned());
    Command::new("pointsman")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about.unwrap_or_default())
        .long_about(help::ABOUT)
        .subcommand_required(true)
        .subcommands(visible.cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together_and_each_says_what_it_is_for_with_an_example() {
        let whole = Cli::command();
        whole.clone().debug_assert();
        for sub in shown().get_subcommands() {
            let name = sub.get_name();
            assert!(sub.get_about().is_some(), "{name} does not say what it is for");
            let more = sub.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(more.contains(&format!("pointsman {name}")), "{name} has no example");
        }
    }

    #[test]
    fn no_command_takes_a_secret_as_an_argument() {
        fn walk(command: &Command) {
            for argument in command.get_arguments().filter_map(|a| a.get_long()) {
                for word in ["token", "password", "secret", "key"] {
                    let file = argument.ends_with("-file");
                    // The public half of a key.
                    let public = command.get_name() == "verify" && argument == "key";
                    let named = argument.contains(word) && argument != "idempotency-key" && !file && !public;
                    assert!(!named, "{} --{argument}: every user of the host can read it", command.get_name());
                }
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    #[test]
    fn the_main_page_has_what_a_script_needs_to_know() {
        let page = String::from_utf8(main_page().expect("in memory")).expect("text");
        for word in ["POINTSMAN_TOKEN_FILE", "POINTSMAN_CA_FILE", "EXIT STATUS", "ENVIRONMENT", "FILES", "124"] {
            assert!(page.contains(word), "{word} is not in the manual");
        }
        assert!(!page.contains("stack-run"), "what is hidden is in the manual");
    }
}
