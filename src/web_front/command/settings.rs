//! The settings of a command front: the `front` table of an environment. Must not run anything.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Value;

use crate::{
    machine::Generation,
    text::did_you_mean,
    toml_file::filled::{Reader, absolute, duration, words},
    web_front::Target,
};

/// What can stand in braces in `cut_over`.
pub const PLACEHOLDERS: [&str; 6] = ["address", "addresses", "ip", "port", "stack", "generation"];

/// Everything that can be said about a command front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Points the front at a stack.
    pub cut_over: Words,
    /// Prints the address that the front points at.
    pub observe: Option<Words>,
    /// Points the front at nobody.
    pub off: Option<Words>,
    /// Time limit for one run of any of them.
    pub timeout: Duration,
    /// Where they are run: the folder of the pipeline file.
    pub folder: PathBuf,
}

/// A program and its arguments, with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Settings {
    /// Reads the table; programs of this host are meant from `written_in`. Every mistake is returned.
    pub fn read(table: &toml::Table, written_in: &Path) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut top = Reader::new(table, "front", &mut mistakes);
        let command = |value: &Value, placeholders: &[&str]| Words::read(value, written_in, placeholders);
        let cut_over = top.required("cut_over", |v| command(v, &PLACEHOLDERS));
        let observe = top.optional("observe", |v| command(v, &[]));
        let off = top.optional("off", |v| command(v, &[]));
        let timeout = top.optional("timeout", duration).unwrap_or(Duration::from_secs(30));
        top.refuse("hold", "the command front cannot hold requests: users get what its program shows. Remove the key");
        top.refuse_the_rest();
        match cut_over {
            Some(cut_over) if mistakes.is_empty() => {
                Ok(Self { cut_over, observe, off, timeout, folder: absolute(written_in, Path::new("")) })
            }
            _ => Err(mistakes),
        }
    }
}

impl Words {
    fn read(value: &Value, written_in: &Path, placeholders: &[&str]) -> Result<Self, String> {
        let mut words = words(value)?;
        for word in &words {
            for name in braced(word) {
                if !placeholders.contains(&name) {
                    let known = placeholders.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
                    let guess = did_you_mean(name, placeholders.iter().copied());
                    let guess = guess.map_or_else(String::new, |guess| format!("; did you mean {{{guess}}}?"));
                    let known = if known.is_empty() {
                        "nothing is filled in here".to_owned()
                    } else {
                        format!("known are {known}")
                    };
                    return Err(format!(": {{{name}}} is unknown; {known}{guess}"));
                }
            }
        }
        // A bare name is looked for in PATH.
        if let Some(program) = words.first_mut()
            && program.contains('/')
        {
            *program = absolute(written_in, Path::new(program)).to_string_lossy().into_owned();
        }
        Ok(Self(words))
    }

    /// Returns the words as they are written.
    pub fn plain(&self) -> Vec<String> {
        self.0.clone()
    }

    /// Fills the placeholders for one order.
    pub fn fill(&self, target: &Target, generation: Generation) -> Result<Vec<String>, String> {
        let addresses = target.reach.addresses();
        let [endpoint] = addresses else {
            let all = self.0.iter().any(|word| word.contains("{addresses}"));
            return match addresses.first() {
                Some(first) if all => Ok(self.with(target, generation, *first)),
                _ => Err(format!(
                    "{} has {} endpoints, and the front's command takes one: use {{addresses}}",
                    target.stack,
                    addresses.len()
                )),
            };
        };
        Ok(self.with(target, generation, *endpoint))
    }

    fn with(&self, target: &Target, generation: Generation, address: SocketAddr) -> Vec<String> {
        let all = target.reach.words();
        let fill = |word: &String| {
            word.replace("{addresses}", &all.join(","))
                .replace("{address}", &address.to_string())
                .replace("{ip}", &address.ip().to_string())
                .replace("{port}", &address.port().to_string())
                .replace("{stack}", &target.stack.to_string())
                .replace("{generation}", &generation.to_string())
        };
        self.0.iter().map(fill).collect()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// What stands in braces and looks like a name.
fn braced(word: &str) -> impl Iterator<Item = &str> {
    let parts = word.split('{').skip(1).filter_map(|part| part.split_once('}'));
    parts
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}
