//! Texts of the pipeline file with placeholders in them, filled from what a sender says. What is filled in cannot
//! become more than a name: no path, no address, no markup. Must not know any sender.

use std::borrow::Cow;

/// The placeholders there are.
pub(crate) const PLACEHOLDERS: [&str; 7] = ["commit", "short_commit", "branch", "tag", "build", "version", "job"];

/// How much of a commit is its short form.
const SHORT: usize = 7;

/// The placeholder of a template for which there is no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoValue<'t>(pub &'t str);

/// Fills a template with what `value` gives for the name of a placeholder (`short_commit` is made from `commit`).
pub(super) fn fill<'t, 'v>(
    template: &'t str,
    value: impl Fn(&str) -> Option<Cow<'v, str>>,
) -> Result<String, NoValue<'t>> {
    let (mut filled, mut rest) = (String::with_capacity(template.len() + 40), template);
    while let Some((before, after)) = rest.split_once('{') {
        // One that is never closed is refused when the file is read.
        let Some((name, behind)) = after.split_once('}') else { break };
        let text = value(if name == "short_commit" { "commit" } else { name }).filter(|text| !text.is_empty());
        let text = text.ok_or(NoValue(name))?;
        let longest = if name == "short_commit" { SHORT } else { usize::MAX };
        filled.push_str(before);
        filled.extend(harmless(&text).take(longest));
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Letters, digits, dots, dashes and underscores; everything else becomes a dash, and so do dots at the beginning.
fn harmless(text: &str) -> impl Iterator<Item = char> {
    let mut begun = false;
    text.chars().map(move |c| {
        begun |= c != '.';
        if begun && (c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) { c } else { '-' }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, NoValue<'_>> {
        fill(template, |name| match name {
            "commit" => Some("c6d86dc654b12425e706".into()),
            "branch" => Some("../../etc/passwd".into()),
            "job" => Some("..".into()),
            "version" => Some("<b>1 2</b>\u{202e}é".into()),
            "tag" => Some("".into()),
            "build" => Some(17.to_string().into()),
            _ => None,
        })
    }

    #[test]
    fn a_value_can_not_become_more_than_a_name() {
        assert_eq!(filled("builds/{commit}.tar").unwrap(), "builds/c6d86dc654b12425e706.tar");
        assert_eq!(filled("{short_commit}-{build}").unwrap(), "c6d86dc-17");
        assert_eq!(filled("builds/{branch}/x").unwrap(), "builds/---..-etc-passwd/x");
        assert_eq!(filled("builds/{job}/x").unwrap(), "builds/--/x");
        assert_eq!(filled("{version}").unwrap(), "-b-1-2--b---");
    }

    #[test]
    fn what_has_no_value_is_named() {
        assert_eq!(filled("a/{tag}"), Err(NoValue("tag")));
        assert_eq!(filled("a/{colour}"), Err(NoValue("colour")));
        assert_eq!(filled("a/{commit").unwrap(), "a/{commit");
    }
}
