//! Assignments of a shell file, such as an openrc or a file of parameters, read and never executed. What would have to be
//! executed is a mistake with its line. Must not repeat a value: it may be a password.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

/// A variable, with the line that says it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) value: String,
    pub(super) line: usize,
}

/// Variables that a file assigns.
pub(super) type Variables = BTreeMap<String, Assigned>;

/// Commands of openrc files that change nothing which is used here.
const PASSED_OVER: [&str; 3] = ["echo", "printf", "set"];

/// Reads the file.
///
/// # Errors
/// Every line that is no assignment, with its number.
pub(super) fn read(text: &str) -> Result<Variables, Vec<(usize, String)>> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1, found: Variables::new(), asked: Vec::new() };
    let mut mistakes = Vec::new();
    while reader.rest.peek().is_some() {
        let line = reader.line;
        if let Err(why) = reader.statement() {
            mistakes.push((line, why));
            reader.skip_line();
        }
    }
    if mistakes.is_empty() { Ok(reader.found) } else { Err(mistakes) }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    found: Variables,
    /// What a person would be asked for: it has no value here.
    asked: Vec<String>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn skip_line(&mut self) -> String {
        let mut skipped = String::new();
        while let Some(c) = self.rest.next_if(|c| *c != '\n') {
            skipped.push(c);
        }
        skipped
    }

    fn blank(&mut self) {
        while self.rest.next_if(|c| *c == ' ' || *c == '\t' || *c == '\r').is_some() {}
    }

    /// One assignment, or what stands in its place: to the end of the line or the next `;`.
    fn statement(&mut self) -> Result<(), String> {
        self.blank();
        match self.rest.peek() {
            None => return Ok(()),
            Some('\n' | ';') => {
                self.next();
                return Ok(());
            }
            Some('#') => {
                self.skip_line();
                return Ok(());
            }
            Some(_) => {}
        }
        let mut name = self.name();
        if name == "export" && self.rest.peek() == Some(&' ') {
            self.blank();
            name = self.name();
            if matches!(self.rest.peek(), None | Some('\n' | ';' | ' ' | '#')) && !name.is_empty() {
                return Ok(()); // Exported, and not assigned.
            }
        }
        if self.rest.next_if_eq(&'=').is_some() && !name.is_empty() {
            let line = self.line;
            return self.assign(name, line);
        }
        self.other(&name)
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }

    fn assign(&mut self, name: String, line: usize) -> Result<(), String> {
        let value = self.value(&name)?;
        self.blank();
        if !matches!(self.rest.peek(), None | Some('\n' | ';' | '#')) && !self.begins_another() {
            return Err(format!("more than a value stands behind {name}=: only assignments are read, nothing is run"));
        }
        match value {
            Some(value) => drop(self.found.insert(name, Assigned { value, line })),
            None => {
                self.found.remove(&name);
                self.asked.push(name);
            }
        }
        Ok(())
    }

    /// Whether the next word is one more assignment, as in `export A=1 B=2`.
    fn begins_another(&self) -> bool {
        let mut ahead = self.rest.clone();
        let mut length = 0;
        while ahead.next_if(|c| c.is_ascii_alphanumeric() || *c == '_').is_some() {
            length += 1;
        }
        length > 0 && ahead.peek() == Some(&'=')
    }

    /// What is no assignment: passed over when nothing of it is of use, else a mistake.
    fn other(&mut self, word: &str) -> Result<(), String> {
        let line = self.skip_line();
        match word {
            "unset" => line.split_whitespace().for_each(|name| drop(self.found.remove(name.trim_end_matches(';')))),
            "read" => self.asked.extend(line.split_whitespace().next_back().map(str::to_owned)),
            // openrc files drop what is empty in this way.
            "if" if line.contains("[ -z ") && line.contains("unset ") && line.trim_end().ends_with("fi") => {}
            word if PASSED_OVER.contains(&word) && !line.contains(['|', '>', '`', '&']) => {}
            _ => return Err("not an assignment NAME=value: only those are read, nothing is run".to_owned()),
        }
        Ok(())
    }

    /// A value to its end. `None`: a person would have been asked for it.
    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let (mut value, mut quote, mut asked) = (String::new(), None, false);
        let begun = self.line;
        if self.rest.peek() == Some(&'(') {
            return Err(format!("{name} is a list, which is not read: give it one value"));
        }
        if self.rest.peek() == Some(&'~') {
            return Err(format!("{name} begins with ~: write the path in full"));
        }
        loop {
            let plain = quote.is_none();
            match (self.rest.peek().copied(), quote) {
                (None, Some(open)) => {
                    return Err(format!("the {open} behind {name}= that line {begun} opens is never closed"));
                }
                (None, None) => break,
                (Some(c), None) if c.is_whitespace() || c == ';' => break,
                (Some('&' | '|' | '<' | '>' | '(' | ')'), None) => {
                    return Err(format!("{name} has a sign of the shell in its value: write it in quotes"));
                }
                (Some(c), Some(open)) if c == open => quote = None,
                (Some(c @ ('\'' | '"')), None) => quote = Some(c),
                (Some('`'), None | Some('"')) => return Err(executed(name)),
                (Some('\\'), None | Some('"')) => {
                    self.next();
                    self.escaped(plain, &mut value);
                    continue;
                }
                (Some('$'), None | Some('"')) => {
                    self.next();
                    asked |= self.variable(name, &mut value)?;
                    continue;
                }
                (Some(c), _) => value.push(c),
            }
            self.next();
        }
        Ok((!asked).then_some(value))
    }

    fn escaped(&mut self, plain: bool, value: &mut String) {
        match self.next() {
            Some('\n') => {}
            Some(c) if plain || "$`\"\\".contains(c) => value.push(c),
            Some(c) => value.extend(['\\', c]),
            None => value.push('\\'),
        }
    }

    /// `$NAME` or `${NAME}` of a variable that was assigned above. Says whether it is one that a person is asked for.
    fn variable(&mut self, into: &str, value: &mut String) -> Result<bool, String> {
        if self.rest.peek() == Some(&'(') {
            return Err(executed(into));
        }
        let braced = self.rest.next_if_eq(&'{').is_some();
        let name = self.name();
        if name.is_empty() && !braced {
            value.push('$');
            return Ok(false);
        }
        if braced && self.rest.next_if_eq(&'}').is_none() {
            return Err(format!("{into} uses ${{{name}...}}: only ${{NAME}} is read"));
        }
        if self.asked.contains(&name) {
            return Ok(true);
        }
        let known = self.found.get(&name);
        let known =
            known.ok_or_else(|| format!("{into} uses ${name}, which nothing above assigns: write its value"))?;
        value.push_str(&known.value);
        Ok(false)
    }
}

fn executed(name: &str) -> String {
    format!("{name} is what a command prints, and nothing is run here: write what comes out of it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        read(text).unwrap().into_iter().map(|(name, assigned)| (name, assigned.value)).collect()
    }

    #[test]
    fn assignments_are_read_as_a_shell_would() {
        let text = "#!/bin/bash\n# x\nexport A=1 B='t w o' # two\nC=\"$A-${B}\\$\"; D=a\\ b'c'\"d\"\n\nexport A\nE=\nF='x\ny'\n\
                    G=a#b\nA=7\nunset D";
        let expected = [("A", "7"), ("B", "t w o"), ("C", "1-t w o$"), ("E", ""), ("F", "x\ny"), ("G", "a#b")];
        assert_eq!(values(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read(text).unwrap()["G"].line, 10);
    }

    #[test]
    fn what_a_person_would_be_asked_for_has_no_value() {
        let text = "echo \"Your password: \"\nread -sr INPUT\nexport OS_PASSWORD=$INPUT\nX=1\n\
                    if [ -z \"$X\" ]; then unset X; fi\n";
        assert_eq!(values(text), [("X".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn what_would_be_executed_is_a_mistake_with_its_line_and_shows_no_value() {
        let text = "OK=1\nA=$(cat key)\nB=\"`id`\"\nrm -rf hunter2\nC=$NONE\nD=(hunter2)\nE=hunter2 ls\nF=~/x\nG=hunter2>x\n\
                    H=${OK:-hunter2}\nif true; then\necho x > y\nZ='hunter2";
        let told = read(text).unwrap_err();
        let lines: Vec<usize> = told.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        for (line, why) in told {
            assert!(!why.contains("hunter2"), "{line}: {why}");
        }
    }
}
