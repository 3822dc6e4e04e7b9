//! Refuses comments and messages that make a reader guess.

use super::{Source, assert_none, sources};

const QUESTIONS: [&str; 7] = ["Which", "Whose", "Why", "What", "When", "Where", "How"];
/// Words that hang in the air at the beginning of a short comment.
const HANGING: [&str; 15] =
    ["After", "As", "At", "Before", "Between", "By", "For", "From", "In", "Into", "Of", "Those", "To", "Until", "With"];
/// The number of words up to which a comment is short.
const SHORT: usize = 6;

/// Whether a comment of one line says no more than that there is something, or names no subject.
fn is_a_riddle(comment: &str) -> bool {
    let words: Vec<&str> = comment.split_whitespace().collect();
    let question = |word: &str| QUESTIONS.contains(&word.trim_end_matches(['.', '?', ',', ';', ':']));
    match words[..] {
        [] => true,
        [one] => !one.starts_with("http") && !one.starts_with('<'),
        [first, last] if question(first) => last.ends_with('.') && last.len() <= 4,
        [first, ..] => words.len() <= SHORT && HANGING.contains(&first),
    }
}

/// The comments of one line for readers of the documentation, each with its line.
fn one_liners(source: &Source) -> Vec<(usize, String)> {
    let lines: Vec<&str> = source.text.lines().map(str::trim_start).collect();
    let doc = |at: Option<usize>| at.and_then(|at| lines.get(at)).and_then(|line| line.strip_prefix("///"));
    let alone = |at: &usize| doc(at.checked_sub(1)).is_none() && doc(Some(at + 1)).is_none();
    let found = (0..lines.len()).filter(alone).filter_map(|at| Some((at + 1, doc(Some(at))?.trim().to_owned())));
    found.collect()
}

#[test]
fn no_comment_is_a_riddle() {
    for (riddle, comment) in [
        (true, "Which."),
        (true, "Whose"),
        (true, "`[source]`."),
        (true, "How so."),
        (true, "By whom."),
        (true, "For people."),
        (false, "Number of the deployment that owns the stack."),
        (false, "What runs."),
    ] {
        assert_eq!(is_a_riddle(comment), riddle, "{comment}");
    }
    let mut hits = Vec::new();
    for source in sources() {
        let riddles = one_liners(&source).into_iter().filter(|(_, comment)| is_a_riddle(comment));
        hits.extend(riddles.map(|(line, comment)| format!("{}:{line}: {comment}", source.path)));
    }
    assert_none("say what it is, or name it so that no comment is needed", &hits);
}

#[test]
fn cannot_is_one_word() {
    let mut hits = Vec::new();
    for source in sources() {
        let lines = source.text.lines().enumerate();
        let wrong = lines.filter(|(_, line)| line.to_lowercase().contains(concat!("can", " not ")));
        hits.extend(wrong.map(|(at, line)| format!("{}:{}: {}", source.path, at + 1, line.trim())));
    }
    assert_none("\"cannot\" is one word", &hits);
}
