//! The paths that a source names, as the compiler would read them: trees of `use` in single paths, `self` and `super` from
//! the crate on, without comments and texts. Must not judge them.

/// The modules that a source declares.
pub fn modules(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let declared = tokens.windows(3).filter(|w| w[0].1 == "mod" && w[2].1 == ";");
    declared.map(|w| w[1].1.clone()).collect()
}

/// Every path of more than one name, with its line. `module` are the names of the module that the text is of.
pub fn paths(text: &str, module: &[&str]) -> Vec<(usize, String)> {
    let mut reader = Reader { tokens: tokens(text), at: 0, found: Vec::new() };
    while reader.at < reader.tokens.len() {
        // `use<'a>` in a type captures a lifetime.
        if reader.is("use") && !reader.next_is("<") {
            reader.at += 1;
            reader.tree(&[]);
        } else if reader.is_name() {
            reader.path();
        } else {
            reader.at += 1;
        }
    }
    reader.found.into_iter().map(|(line, names)| (line, from_the_crate(names, module).join("::"))).collect()
}

fn from_the_crate(names: Vec<String>, module: &[&str]) -> Vec<String> {
    let up = names.iter().take_while(|name| *name == "super").count();
    let here = usize::from(names.first().is_some_and(|name| name == "self"));
    if up + here == 0 {
        return names;
    }
    let kept = &module[..module.len().saturating_sub(up)];
    let whole = ["crate"].iter().chain(kept).map(|name| (*name).to_owned());
    whole.chain(names.into_iter().skip(up + here)).collect()
}

struct Reader {
    tokens: Vec<(usize, String)>,
    at: usize,
    found: Vec<(usize, Vec<String>)>,
}

impl Reader {
    fn is(&self, token: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|(_, t)| t == token)
    }

    fn next_is(&self, token: &str) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|(_, t)| t == token)
    }

    fn is_name(&self) -> bool {
        self.tokens.get(self.at).is_some_and(|(_, t)| t.starts_with(|c: char| c.is_alphabetic() || c == '_'))
    }

    /// A path in the code.
    fn path(&mut self) {
        let line = self.tokens[self.at].0;
        let mut names = vec![self.tokens[self.at].1.clone()];
        self.at += 1;
        while self.is("::") {
            self.at += 1;
            if !self.is_name() {
                break;
            }
            names.push(self.tokens[self.at].1.clone());
            self.at += 1;
        }
        if names.len() > 1 {
            self.found.push((line, names));
        }
    }

    /// What stands after `use`, or in the braces of one.
    fn tree(&mut self, before: &[String]) {
        let mut names = before.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |(line, _)| *line);
        loop {
            if self.is("::") {
                self.at += 1;
            } else if self.is("{") {
                self.at += 1;
                while self.at < self.tokens.len() && !self.is("}") {
                    self.tree(&names);
                    self.at += usize::from(self.is(","));
                }
                self.at += 1;
                return;
            } else if self.is("as") {
                // The other name is of no interest.
                self.at += 2;
            } else if self.is_name() || self.is("*") {
                // `{self}` is what stands before it.
                if names.is_empty() || !self.is("self") {
                    names.push(self.tokens[self.at].1.clone());
                }
                self.at += 1;
            } else {
                break;
            }
        }
        // One that cannot be read any further must not be read for ever.
        self.at += usize::from(!self.is(",") && !self.is("}"));
        self.found.push((line, names));
    }
}

/// Names, `::` and single characters, each with its line.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let (mut rest, mut line, mut found) = (text, 1, Vec::new());
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = skipped(rest).unwrap_or_else(|| {
            let length = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                found.push((line, rest[..length].to_owned()));
            }
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// How long the comment, text or character is that begins here.
fn skipped(rest: &str) -> Option<usize> {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(to("*/", 2));
    }
    let raw = rest.trim_start_matches('b').strip_prefix('r').filter(|_| rest.starts_with(['r', 'b']));
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let begin = rest.len() - raw.len() + hashes + 1;
            return Some(to(&format!("\"{}", "#".repeat(hashes)), begin));
        }
    }
    let quoted = |quote: char| {
        let mut escaped = false;
        let end = rest[1..].char_indices().find(|(_, c)| {
            let ends = !escaped && *c == quote;
            escaped = !escaped && *c == '\\';
            ends
        });
        end.map_or(rest.len(), |(at, _)| at + 2)
    };
    match rest.as_bytes()[0] {
        b'"' => Some(quoted('"')),
        // Otherwise it is a lifetime.
        b'\'' if rest[1..].starts_with('\\') || rest[1..].chars().nth(1) == Some('\'') => Some(quoted('\'')),
        _ => None,
    }
}

#[test]
fn no_way_to_name_a_module_is_missed() {
    let text = r##"
        //! crate::comment::one
        use std::{collections::BTreeMap, fs};
        use crate::{
            journal::{self, Journal as J, problem::*},
            machine::Seq, // crate::comment::two
        };
        pub(crate) use super::super::runner::{Board};
        use self::deeper::Thing;
        use crate::*;
        fn f<'a>(x: &'a str) -> impl Iterator + use<'a> { crate::http::router::<'\''>(); '"'; tokio::spawn(x) }
        /* crate::comment::three */ const A: &str = "crate::text::a \" crate::text::b";
        const B: &str = r#"crate::text::c " crate::text::d"#; const C: u8 = b'"';
        mod other;
    "##;
    let found = paths(text, &["stacks", "process", "folder"]);
    let named: Vec<&str> = found.iter().map(|(_, path)| path.as_str()).collect();
    let all = [
        "std::collections::BTreeMap",
        "std::fs",
        "crate::journal",
        "crate::journal::Journal",
        "crate::journal::problem::*",
        "crate::machine::Seq",
        "crate::stacks::runner::Board",
        "crate::stacks::process::folder::deeper::Thing",
        "crate::*",
        "crate::http::router",
        "tokio::spawn",
    ];
    assert_eq!(named, all);
    assert_eq!(found[3].0, 5, "the line is that of the name");
    assert_eq!(modules(text), ["other"]);
}
