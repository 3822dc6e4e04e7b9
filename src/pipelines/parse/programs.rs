//! Programs that are named in a file beside which they may stand: `["./bin/page", "ops"]`.

use std::path::Path;

use super::super::Program;
use crate::{hooks::not_runnable, toml_file::Value};

/// Reads a program and its arguments; an empty list is none.
pub(crate) fn program(value: &Value<'_, '_>, folder: &Path) -> Option<Program> {
    let list = value.list()?;
    let words: Vec<String> = list.iter().map(|v| v.text().map(str::to_owned)).collect::<Option<_>>()?;
    if words.iter().any(|word| word.contains('\0')) {
        value.wrong("it has a zero byte, which no program can be given");
        return None;
    }
    if words.first().is_some_and(String::is_empty) {
        value.wrong("name a program and its arguments, such as [\"./bin/page\", \"ops\"], or write [] for none");
        return None;
    }
    if let Some((place, program)) = list.first().zip(words.first())
        && let Some(why) = not_runnable(program, folder)
    {
        place.wrong(&format!("{why}; it is looked for from the folder of this file"));
    }
    Some(Program { words, folder: folder.to_owned() })
}
