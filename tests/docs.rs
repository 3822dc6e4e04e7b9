//! What the documentation says is what there is: links, command lines, files and exit codes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use pointsman::{
    cli::Cli,
    pipelines::{Registry, load},
    settings::Settings,
};

/// A document of the project.
struct Page {
    path: PathBuf,
    text: String,
}

/// A block between fences.
struct Block {
    /// Word after the opening fence.
    info: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<Page> {
    let folder = fs::read_dir(root().join("docs")).expect("the folder of documents");
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.extend(["README.md", "ARCHITECTURE.md"].map(|name| root().join(name)));
    paths.sort();
    paths.into_iter().map(|path| Page { text: fs::read_to_string(&path).expect("text"), path }).collect()
}

impl Page {
    /// The blocks, and what stands outside of them.
    fn parts(&self) -> (Vec<Block>, String) {
        let (mut blocks, mut prose) = (Vec::<Block>::new(), String::new());
        let mut fence: Option<&str> = None;
        for line in self.text.lines() {
            let bare = line.trim_start();
            let ticks = &bare[..bare.len() - bare.trim_start_matches('`').len()];
            match fence {
                None if ticks.len() >= 3 => {
                    fence = Some(ticks);
                    blocks.push(Block { info: bare[ticks.len()..].trim().to_owned(), text: String::new() });
                }
                Some(open) if ticks == open => fence = None,
                Some(_) => blocks.last_mut().expect("it was opened").text += &format!("{line}\n"),
                None => prose += &format!("{line}\n"),
            }
        }
        assert!(fence.is_none(), "{}: a block has no end", self.path.display());
        (blocks, prose)
    }

    fn name(&self) -> String {
        self.path.strip_prefix(root()).expect("ours").display().to_string()
    }
}

/// What stands between `begin` and `end`, wherever it does.
fn between<'t>(text: &'t str, begin: &'t str, end: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split_once(end).map(|(inner, _)| inner))
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let prose = page.parts().1;
        for link in between(&prose, "](", ")") {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let target = if file.is_empty() { page.path.clone() } else { page.path.with_file_name(file) };
            let heads = |text: String| text.lines().any(|line| line.starts_with('#') && anchor(line) == place);
            let good = target.exists() && (place.is_empty() || fs::read_to_string(&target).is_ok_and(heads));
            if !good {
                broken.push(format!("{}: {link}", page.name()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// The name that readers of Markdown give a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages() {
        let (blocks, prose) = page.parts();
        let in_blocks = blocks.iter().filter(|b| !b.info.starts_with("toml")).map(|b| b.text.replace("\\\n", " "));
        let mut lines: Vec<String> = in_blocks.flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
        for words in lines.iter().filter(|line| !line.contains('…')).filter_map(|line| command(line)) {
            count += 1;
            let kind = Cli::try_parse_from(&words).err().map(|error| error.kind());
            // `pointsman rollback` alone is the name of a command.
            let lacking = [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
            let name = words.len() == 2 && kind.is_some_and(|kind| lacking.contains(&kind));
            if let Err(error) = Cli::try_parse_from(&words)
                && !name
                && !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
            {
                wrong.push(format!("{}: {}: {}", page.name(), words.join(" "), error.to_string().trim_end()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 20, "only {count} were found: are they still looked for where they are?");
}

/// The texts of the program: its sources and the templates of its pages, each as one line, so that a command that is
/// broken over lines is whole.
fn texts() -> Vec<(String, String)> {
    let mut folders = ["src", "machine/src", "templates"].map(|folder| root().join(folder)).to_vec();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.expect("an entry").path()) {
            let is_text =
                path.extension().is_some_and(|end| ["rs", "html", "txt", "md", "toml"].iter().any(|e| end == *e));
            if path.is_dir() {
                folders.push(path);
            } else if is_text {
                let text = fs::read_to_string(&path).expect("text");
                let lines = text.lines().map(|line| {
                    let line = line.trim().trim_start_matches("//!").trim_start_matches('/').trim();
                    line.strip_suffix('\\').unwrap_or(line).trim_end().to_owned()
                });
                found.push((
                    path.strip_prefix(root()).expect("ours").display().to_string(),
                    lines.collect::<Vec<_>>().join(" "),
                ));
            }
        }
    }
    found
}

/// What `{...}` of a message may stand for in a command.
const FILLED: [&str; 3] = ["shop/prod", "1", "shop"];

/// Why the program does not take a command of a message. Nothing where it does with one of the fillings.
fn untaken(command: &str) -> Option<String> {
    let mut why = None;
    for filling in FILLED {
        let (mut text, mut depth) = (String::new(), 0_usize);
        for c in command.replace("{{", "(").replace("}}", ")").chars() {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth = depth.saturating_sub(1);
                    text += filling;
                }
                _ if depth == 0 => text.push(c),
                _ => {}
            }
        }
        let words: Vec<String> = shell_words(&text.replace("\\\"", "\"")).iter().map(|word| filled(word)).collect();
        let Err(error) = Cli::try_parse_from(&words) else { return None };
        // A name alone, or a value that another filling has.
        let unknown = [ErrorKind::UnknownArgument, ErrorKind::InvalidSubcommand, ErrorKind::ArgumentConflict];
        if !unknown.contains(&error.kind()) {
            return None;
        }
        why = Some(error.to_string().lines().next().unwrap_or_default().to_owned());
    }
    why
}

#[test]
fn every_command_that_a_message_names_exists() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (file, text) in texts() {
        let quoted =
            between(&text, "`pointsman ", "`").filter(|rest| !rest.starts_with(['{', '…']) && !rest.contains('…'));
        for command in quoted.map(|rest| format!("pointsman {rest}")) {
            count += 1;
            wrong.extend(untaken(&command).map(|why| format!("{file}: {command}: {why}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 150, "only {count} were found: are they still looked for where they are?");
    assert!(untaken("pointsman undo {id}").is_some() && untaken("pointsman hold {id} --becuase x").is_some());
}

/// The words of a line that runs the program; what a shell does with its output is left out.
fn command(line: &str) -> Option<Vec<String>> {
    let mut words = shell_words(line.trim_start().trim_start_matches("$ "));
    let begin = words.iter().position(|word| word == "pointsman")?;
    let before = |word: &String| word == "sudo" || word.contains('=') || word == "exec" || word == "-u";
    // `pointsman` alone is the name; and a sentence that has it is no command.
    if words.len() == begin + 1 || !words[..begin].iter().all(before) {
        return None;
    }
    let subcommand = &words[begin + 1];
    let cli = Cli::command();
    let known = cli.get_subcommands().find(|known| known.get_name() == subcommand);
    // What is not for people is the name of a process.
    if known.is_some_and(|known| known.is_hide_set()) && words.len() == begin + 2 {
        return None;
    }
    let is_command = known.is_some() || subcommand.starts_with('-') || line.starts_with("$ ");
    is_command.then(|| words.split_off(begin).iter().map(|word| filled(word)).collect())
}

/// What stands for something, `NAME/ENVIRONMENT` or `N`, as something.
fn filled(word: &str) -> String {
    let stands = word.bytes().all(|b| b.is_ascii_uppercase() || b == b'/');
    match word {
        "N" => "1".to_owned(),
        _ if stands => word.to_ascii_lowercase(),
        _ => word.to_owned(),
    }
}

/// The words up to the first `|`, `>`, `<`, `&`, `;` or comment.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (None, '|' | '>' | '<' | '&' | ';') => break,
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// A block ```` ```toml pipelines/shop.toml ```` is a whole file at this place; those of one page, up to one that comes
/// again, stand beside one another in one folder.
#[test]
fn every_file_that_is_shown_is_good() {
    let mut count = 0;
    for page in pages() {
        let blocks = page.parts().0;
        let mut folder = Shown::new();
        for block in &blocks {
            let Some(path) = block.info.strip_prefix("toml ") else { continue };
            if folder.has(path) {
                folder.check(&page);
                folder = Shown::new();
            }
            folder.write(path, &block.text);
            count += 1;
        }
        folder.check(&page);
    }
    assert!(count > 3, "only {count} were found");
}

struct Shown(tempfile::TempDir);

impl Shown {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn has(&self, path: &str) -> bool {
        self.0.path().join(path).exists()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("below it")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    fn check(&self, page: &Page) {
        let settings = self.0.path().join("pointsman.toml");
        let read =
            if settings.exists() { Settings::load(Some(&settings)) } else { Ok(Settings::default_in(self.0.path())) };
        let told = |mistakes: Vec<pointsman::toml_file::Mistake>| {
            mistakes.iter().map(|m| format!("{}: {m}", page.name())).collect::<Vec<_>>()
        };
        let settings = read.unwrap_or_else(|mistakes| panic!("{}", told(mistakes).join("\n")));
        if !settings.pipelines.exists() {
            assert!(!self.has("stacks"), "{}: a stack without a pipeline is not looked at", page.name());
            return;
        }
        if !self.has("stacks/process/shop.toml") {
            self.write("stacks/process/shop.toml", "command = [\"{artifact}\", \"{address}:{port}\"]\n");
        }
        let mistakes = told(load(&Registry::all(&settings.state), &settings.pipelines).mistakes);
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    }
}

/// Where a page has a table of exit codes, it has those that the program says of itself.
#[test]
fn exit_codes_are_those_of_the_code() {
    let code = fs::read_to_string(root().join("src/cli/rail.rs")).expect("the rail");
    let of = |state: &str| {
        let line =
            code.lines().find(|line| line.contains(&format!("\"{state}\" =>")) && line.contains(char::is_numeric));
        let digits = line.map(|line| line.split("=>").nth(1).expect("an arm").chars().filter(char::is_ascii_digit));
        digits.map(Iterator::collect::<String>)
    };
    let mut found = 0;
    for page in pages() {
        for line in page.text.lines().filter(|line| line.starts_with("| `") && line.contains("exit code")) {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (state, said) = (cells.next().unwrap_or_default().trim_matches('`'), cells.next().unwrap_or_default());
            let Some(right) = of(state) else { continue };
            found += 1;
            assert!(said.contains(&format!("exit code {right}")), "{}: {line}", page.name());
        }
    }
    assert!(found >= 5, "only {found} were found");
}
