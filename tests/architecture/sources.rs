//! The sources, and what is looked for in them: lines with certain words, and paths of modules however they are written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::paths;

/// Where the sources of the machine are, a package of its own.
pub const MACHINE: &str = "machine/src/machine";

/// The place of all sources.
pub const EVERYWHERE: &str = "";

/// One file below `src` of a package.
pub struct Source {
    /// Its path, from the root of the repository.
    pub path: String,
    pub text: String,
}

impl Source {
    /// The lines that are code, without comments and without an inline test module at the end.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        lines.take_while(|(_, line)| !line.starts_with("mod tests {")).filter(|(_, line)| {
            let line = line.trim_start();
            !line.starts_with("//")
        })
    }

    pub fn before_tests(&self) -> &str {
        self.text.find("\nmod tests {").map_or(&self.text, |end| &self.text[..end])
    }

    /// The names of its module, below the crate.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("machine/").trim_start_matches("src/").trim_end_matches(".rs");
        let mut names: Vec<&str> = path.split('/').collect();
        names.pop_if(|name| ["mod", "lib", "main"].contains(name));
        names
    }

    pub fn is_test(&self) -> bool {
        let path = Path::new(&self.path);
        let named = |p: &Path| {
            let stem = p.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            stem == "tests" || stem.ends_with("_tests")
        };
        path.ancestors().any(named)
    }
}

/// All files below `src` of each package.
pub fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    ["src", "machine/src"].iter().for_each(|folder| walk(&root.join(folder), &mut found));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        Source { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text }
    };
    found.into_iter().map(read).collect()
}

/// Every line of production code below `place` that holds one of `words`, as `file:line: text`.
pub fn lines_with(place: &str, words: &[&str]) -> Vec<String> {
    let all = sources();
    let here = all.iter().filter(|s| s.path.starts_with(place) && !s.is_test());
    let mut hits = Vec::new();
    for source in here {
        for (number, line) in source.code().filter(|(_, line)| words.iter().any(|w| line.contains(w))) {
            hits.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
    }
    hits
}

/// Fails with what was found, if anything was.
pub fn assert_none(what: &str, hits: &[String]) {
    assert!(hits.is_empty(), "{what}:\n{}", hits.join("\n"));
}

/// Every path of production code below `place` that is judged so, as `file:line: path`.
pub fn paths_that(all: &[Source], place: &str, judge: impl Fn(&str) -> bool) -> Vec<String> {
    let mut hits = Vec::new();
    for source in all.iter().filter(|s| s.path.starts_with(place) && !s.is_test()) {
        let named = paths::paths(source.before_tests(), &source.module());
        hits.extend(
            named.into_iter().filter(|(_, p)| judge(p)).map(|(line, p)| format!("{}:{line}: {p}", source.path)),
        );
    }
    hits
}

pub fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What is named below `place` of the other parts of Pointsman, but for what it may know.
pub fn foreign(all: &[Source], place: &str, may_know: &[&str]) -> Vec<String> {
    paths_that(all, place, |path| {
        path.strip_prefix("crate::").is_some_and(|path| !may_know.iter().any(|known| is_below(path, known)))
    })
}

/// What is named below `place` of these modules, whether of Pointsman or not, alone or with all that is beside them.
pub fn named(all: &[Source], place: &str, forbidden: &[&str]) -> Vec<String> {
    paths_that(all, place, |path| {
        forbidden.iter().any(|top| {
            let all_beside = top.rsplit_once("::").is_some_and(|(above, _)| path == format!("{above}::*"));
            is_below(path, top) || all_beside
        })
    })
}
