//! `unit`: a systemd unit for the controller, with a sandbox. Must not write below /etc itself: who installs it sees it.

use std::{env, path::PathBuf};

use anyhow::{Context, bail, ensure};

use super::screen::say;

/// What the unit names.
#[derive(clap::Args)]
pub struct Args {
    /// The settings of the controller
    #[arg(long, value_name = "FILE", default_value = "/etc/pointsman/pointsman.toml")]
    config: PathBuf,
    /// The user that it runs as
    #[arg(long, value_name = "NAME", default_value = "pointsman")]
    user: String,
    /// The program [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

const UNIT: &str = include_str!("pointsman.service");

/// Prints it.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let program = match &args.program {
        Some(program) => program.clone(),
        None => env::current_exe().context("finding the program's own file")?,
    };
    say(filled(&program.display().to_string(), &args.config.display().to_string(), &args.user)?.trim_end());
    Ok(())
}

fn filled(program: &str, config: &str, user: &str) -> anyhow::Result<String> {
    for (what, text) in [("program", program), ("config", config)] {
        ensure!(text.starts_with('/'), "--{what} {text}: a unit takes whole paths only, that begin with /");
    }
    // The unit hides these folders from the controller.
    let hidden = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"];
    let install = format!("`sudo install -m 755 {program} /usr/local/bin/` and --program /usr/local/bin/pointsman");
    for (what, text, instead) in [("program", program, &*install), ("config", config, "a file below /etc/pointsman")] {
        if let Some(folder) = hidden.iter().find(|folder| text.starts_with(**folder)) {
            bail!("--{what} {text}: a service does not see {folder}; instead: {instead}");
        }
    }
    for text in [program, config, user] {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
        ensure!(!text.is_empty() && text.chars().all(plain), "{text:?} cannot stand in a unit as it is");
    }
    Ok(UNIT.replace("@PROGRAM@", program).replace("@CONFIG@", config).replace("@USER@", user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_controller_started_outlives_it() {
        let unit = filled("/usr/local/bin/pointsman", "/etc/pointsman/pointsman.toml", "pointsman").expect("good");
        for line in ["KillMode=process", "Restart=on-failure", "StateDirectory=pointsman", "NoNewPrivileges=yes"] {
            assert!(unit.lines().any(|l| l == line), "{line} is not in the unit");
        }
        for name in ["@PROGRAM@", "@CONFIG@", "@USER@"] {
            assert!(!unit.contains(name), "{unit}");
        }
    }

    #[test]
    fn what_systemd_would_read_as_something_else_is_refused() {
        assert!(filled("pointsman", "/etc/p.toml", "p").is_err());
        assert!(filled("/bin/p", "/etc/p.toml\nUser=root", "p").is_err());
        assert!(filled("/bin/p", "/etc/%i.toml", "p").is_err());
        let hidden = filled("/home/ann/.cargo/bin/pointsman", "/etc/p.toml", "p").expect_err("it is not seen there");
        assert!(hidden.to_string().contains("sudo install -m 755 /home/ann/.cargo/bin/pointsman"), "{hidden}");
    }
}
