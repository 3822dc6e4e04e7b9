//! Scalars keep their text, merge keys do what PyYAML does, and nothing that is wrong is taken for something else.

use super::*;

fn texts(text: &str) -> Vec<(String, Option<String>)> {
    let root = read(text).unwrap();
    let one = |entry: &Entry| (entry.key.clone(), entry.value.text().map(str::to_owned));
    root.entries().iter().map(one).collect()
}

fn wrong(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn a_scalar_keeps_the_text_that_stands_in_the_file() {
    for text in [
        "1e5",
        "123456789012345678901234567890",
        "0123456",
        "0o17",
        "0x1F",
        "1_000",
        "12:30:45",
        "1.10",
        ".5",
        "-0",
        "+1",
        ".inf",
        ".NaN",
        "yes",
        "NO",
        "on",
        "y",
        "2026-01-02",
        "2026-01-02 03:04:05",
        "nil",
        "None",
        "p#ss",
        "a:b",
        "=",
        "!!str 1e5",
        "!!int 007",
    ] {
        let bare = text.rsplit_once(' ').filter(|_| text.starts_with('!')).map_or(text, |(_, bare)| bare);
        assert_eq!(texts(&format!("key: {text}\n")), [("key".into(), Some(bare.into()))], "{text}");
        assert_eq!(texts(&format!("{{\"key\": {text}}}"))[0].1.as_deref(), Some(bare), "{text}");
    }
    assert_eq!(texts("'007': \"a\\tb\"")[0], ("007".into(), Some("a\tb".into())));
}

#[test]
fn nothing_is_said_by_nothing_and_by_its_words_outside_of_quotes() {
    for text in ["", "~", "null", "Null", "NULL", "!!null x", "# ~"] {
        assert_eq!(texts(&format!("key: {text}\n")), [("key".into(), None)], "{text}");
    }
    for text in ["'~'", "\"null\"", "!!str null", "! ~", "''", "nULL"] {
        assert!(texts(&format!("key: {text}\n"))[0].1.is_some(), "{text}");
    }
    assert!(read("").unwrap().is_absent() && read("# nothing\n").unwrap().is_absent());
    assert!(read("a: ~").unwrap().get("a").is_none());
}

#[test]
fn merge_keys_are_merged_as_pyyaml_does() {
    let merged = |text: &str| {
        let root = read(&format!("x: &x {{a: x, b: x, c: x}}\ny: &y {{b: y, c: y, d: y}}\nm: {text}\n")).unwrap();
        let m = root.get("m").unwrap();
        ["a", "b", "c", "d"].map(|key| m.get(key).and_then(Node::text).unwrap_or("-").to_owned()).concat()
    };
    for (text, expected) in [
        ("{<<: *x}", "xxx-"),
        ("{<<: *x, b: own}", "xownx-"),
        ("{b: own, <<: *x}", "xownx-"),
        ("{<<: [*x, *y]}", "xxxy"),
        ("{<<: [*y, *x]}", "xyyy"),
        ("{<<: *x, <<: *y}", "xyyy"),
        ("{<<: {a: in}}", "in---"),
        ("{<<: {<<: *x, a: in}, d: own}", "inxxown"),
        ("{'<<': *x}", "----"),
    ] {
        assert_eq!(merged(text), expected, "{text}");
    }
    // A merge does not change what it takes from.
    let root = read("a: &a {k: 1}\nb: {<<: *a, k: 2}\nc: *a\n").unwrap();
    assert_eq!(root.get("c").and_then(|c| c.get("k")).and_then(Node::text), Some("1"));
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_without_values() {
    for (text, place, words) in [
        ("a: 1\nb: 2\na: hunter2\n", "3:1", "the key `a` stands twice: it is in line 1"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document"),
        ("a:\n\tb: hunter2\n", "2:", "not YAML"),
        ("a: [1\nb: 2", "2:", "not YAML"),
        ("a: !hunter2 secret\n", "1:", "begins with `!` is a tag"),
        ("a: !!binary aGk=\n", "1:", "the tag !!binary is not known"),
        ("a: !!python/object:os.system {}\n", "1:", "the tag !!python/object"),
        ("a: !!set {b}\n", "1:", "the tag !!set"),
        ("a: *nobody\n", "1:4", ""),
        ("a: &a [*a]\n", "1:8", "inside of what it stands for"),
        ("a: {<<: hunter2}\n", "1:9", "`<<` takes a map"),
        ("a: {<<: [hunter2]}\n", "1:9", "`<<` takes a map"),
        ("? [a, b]\n: hunter2\n", "1:3", "a key is a text"),
        (": hunter2\n", "1:1", "a key is missing"),
    ] {
        let told = wrong(text);
        assert!(told.starts_with(place) && told.contains(words) && !told.contains("hunter2"), "{text:?}: {told}");
    }
}

#[test]
fn a_small_text_that_becomes_large_is_refused() {
    let mut laughs = "l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let before = format!("*l{}, ", n - 1).repeat(9);
        laughs += &format!("l{n}: &l{n} [{}]\n", before.trim_end_matches(", "));
    }
    assert!(wrong(&laughs).contains("more than 16 MB"), "{}", wrong(&laughs));
    let mut merges = format!("m0: &m0 {{{}}}\n", (0..500).map(|n| format!("k{n}: v")).collect::<Vec<_>>().join(", "));
    for n in 1..3000 {
        merges += &format!("m{n}: &m{n} {{<<: *m0}}\n");
    }
    assert!(wrong(&merges).contains("more than 16 MB"));
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let deep = |n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
        assert!(read(&deep(90)).is_ok());
        for n in [101, 300, 100_000] {
            assert!(read(&deep(n)).is_err(), "{n}");
        }
    }
    let block = |n: usize| (0..n).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
    assert!(read(&block(90)).is_ok() && wrong(&block(400)).contains("in one another"));
    let mut chain = "c0: &c0 [1]\n".to_owned();
    for n in 1..300 {
        chain += &format!("c{n}: &c{n} [*c{}]\n", n - 1);
    }
    assert!(wrong(&chain).contains("in one another"));
}

#[test]
fn a_file_is_read_whatever_its_beginning_and_its_line_ends() {
    assert_eq!(texts("\u{feff}a: 1\r\nb: two words\r\n"), texts("a: 1\nb: two words\n"));
    assert_eq!(texts("%YAML 1.1\n---\na: 1\n...\n"), texts("a: 1\n"));
    assert_eq!(texts("{\n\t\"a\": \"1\",\n\t\"b\": \"two words\"\n}\n"), texts("a: 1\nb: two words\n"));
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        read_file(&path).map(drop).unwrap_err().replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(told("latin.yaml", b"a: 1\nb: \xe9\n"), "latin.yaml:2: not UTF-8: save it as UTF-8");
    assert_eq!(told("wide.yaml", b"\xff\xfea\0"), "wide.yaml: it is written in UTF-16: save it as UTF-8");
    assert!(told("twice.yaml", b"a: 1\na: 2\n").starts_with("twice.yaml:2:1: the key `a` stands twice"));
    assert!(read_file(Path::new("/nowhere.yaml")).unwrap_err().contains("cannot be read"));
    assert!(!is_there(Path::new("/nowhere.yaml")));
}

#[test]
fn yes_and_no_are_known_in_all_their_words() {
    for word in ["yes", "Yes", "TRUE", "on", "1", "y"] {
        assert_eq!(truth(word), Some(true), "{word}");
    }
    for word in ["no", "False", "OFF", "0", "n"] {
        assert_eq!(truth(word), Some(false), "{word}");
    }
    assert_eq!(["", "~", "maybe", "2"].map(truth), [None; 4]);
}
