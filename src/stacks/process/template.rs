//! Placeholders in definitions: `{port}`, `{parameters.greeting}`; `{{` and `}}` stand for braces.
//!
//! Must not run anything, and knows no defaults.

/// What can stand in braces, and `parameters.` with a name; `docs/process-stacks.md` explains each.
pub(super) const NAMES: [&str; 10] =
    ["port", "address", "version", "artifact", "instance", "stack", "release", "commit", "pointsman", "folder"];

/// Whether every placeholder has a name that there is.
///
/// # Errors
/// The first that is wrong, and what would be accepted.
pub(super) fn check(text: &str) -> Result<(), String> {
    expand(text, |name| Ok(name.to_owned())).map(drop)
}

/// Puts values in the place of the placeholders.
///
/// # Errors
/// The first that is wrong, or has no value.
pub(super) fn expand(text: &str, mut value: impl FnMut(&str) -> Result<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(literal) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = literal;
            continue;
        }
        let (name, left) = (brace == "{").then(|| after.split_once('}')).flatten().ok_or_else(|| {
            format!("a single `{brace}` in {text:?}: write `{brace}{brace}` for the character itself")
        })?;
        let known = NAMES.contains(&name) || name.strip_prefix("parameters.").is_some_and(|n| !n.is_empty());
        if !known {
            let names = NAMES.map(|n| format!("{{{n}}}")).join(", ");
            return Err(format!("{{{name}}} is not a placeholder: there are {names} and {{parameters.NAME}}"));
        }
        out.push_str(&value(name)?);
        rest = left;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_doubled_braces_kept() {
        let filled = expand("a={port} {{x}} {parameters.b}", |name| Ok(format!("<{name}>")));
        assert_eq!(filled.as_deref(), Ok("a=<port> {x} <parameters.b>"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(check("{prot}").expect_err("unknown").contains("{port}"));
        assert!(check("{parameters.}").is_err());
        assert!(check("json {\"a\": 1").expect_err("open").contains("`{{`"));
        assert!(check("}").is_err());
    }
}
