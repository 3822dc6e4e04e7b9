//! Finds where a value that could not be read becomes a default without a word.

/// What reads: of a file, an answer, a text, a header, a clock.
const READERS: [&str; 22] = [
    "serde_json::",
    "from_slice(",
    "from_str(",
    "from_utf8(",
    ".parse(",
    ".parse::<",
    "parsed(",
    "fs::",
    "read_to_string(",
    "metadata(",
    ".read(",
    ".names()",
    ".spec()",
    "as_str()",
    "as_u64()",
    "as_bool()",
    "as_array()",
    "to_str()",
    "to_str().ok()",
    "try_from(",
    "duration_since(",
    "decode(",
];
/// What hides that it did not work.
const HIDERS: [&str; 3] = [".unwrap_or_default()", ".unwrap_or_else(Vec::new)", ".unwrap_or_else(String::new)"];

/// Returns the line of each place where what was read is replaced by a default, with the text of the expression.
pub fn silent_defaults(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for hider in HIDERS {
        for (at, _) in code.match_indices(hider) {
            let expression = &code[begin(&code[..at])..at];
            if READERS.iter().any(|reader| expression.contains(reader)) {
                let line = code[..at].matches('\n').count() + 1;
                found.push((line, expression.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
        }
    }
    found.sort();
    found
}

/// Where the expression begins that ends with `text`: after the last `;`, `{`, `}`, `=` or `,` outside of its brackets.
fn begin(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices().rev() {
        match c {
            ')' | ']' => depth += 1,
            '(' | '[' if depth > 0 => depth -= 1,
            '(' | '[' => return at + 1,
            ';' | '{' | '}' | '=' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    0
}

#[test]
fn a_default_after_reading_is_found_however_it_is_written() {
    let bad = [
        "let x = serde_json::from_slice(&bytes).unwrap_or_default();",
        "f(event[\"kind\"].as_str().unwrap_or_default())",
        "let names = storage\n    .names()\n    .unwrap_or_default();",
        "let n: u64 = word.and_then(|w| w.parse().ok()).unwrap_or_default();",
        "let text = fs::read(log).unwrap_or_else(Vec::new);",
    ];
    for code in bad {
        assert_eq!(silent_defaults(code).len(), 1, "{code}");
    }
    let good = [
        "let names = storage.names()?; let more = given.unwrap_or_default();",
        "if x.parse::<u8>().is_ok() { list.cloned().unwrap_or_default() }",
        "(a.as_str(), b.unwrap_or_default())",
    ];
    for code in good {
        assert_eq!(silent_defaults(code), [], "{code}");
    }
}
