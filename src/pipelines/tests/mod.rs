//! Pipeline files, good and bad.

mod docs;
mod durations;
mod hooks;
mod keys;
mod recovery;
mod releases;

use super::{parse::parse, *};
use crate::{reach::ReachKind, stacks, web_front};

const GOOD: &str = r#"description = "shop"
[[environments]]
name = "live"
deploy = "on-build"
stack = { driver = "process", definition = "../stacks/process/demo.toml" }
front = { driver = "builtin", listen = "127.0.0.1:8080" }
"#;

fn mistakes(text: &str) -> Vec<String> {
    let state = tempfile::tempdir().unwrap();
    let found = parse(&Registry::all(state.path()), Path::new("pipelines/shop.toml"), text).1;
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn every_shipped_pipeline_is_good() {
    let state = tempfile::tempdir().unwrap();
    let loaded = load(&Registry::all(state.path()), Path::new("pipelines"));
    assert!(loaded.files > 0);
    assert_eq!(loaded.mistakes, []);
}

/// Stacks that are reached by a name.
const GROUPS: &[stacks::Driver] =
    &[stacks::Driver { name: "groups", reach: ReachKind::Named("target group"), ..stacks::DRIVERS[0] }];
/// And a front that takes it, beside one that does not.
const FRONTS: &[web_front::Driver] = &[
    web_front::DRIVERS[0],
    web_front::Driver { name: "alb", takes: &[ReachKind::Named("target group")], ..web_front::DRIVERS[0] },
];

#[test]
fn a_front_that_cannot_take_how_a_stack_is_reached_is_refused_by_name() {
    let state = tempfile::tempdir().unwrap();
    let registry = Registry::of(GROUPS, FRONTS, state.path());
    let text = GOOD.replace("\"process\"", "\"groups\"");
    let told = |text: &str| {
        let found = parse(&registry, Path::new("pipelines/shop.toml"), text).1;
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let [told_of] = told(&text).try_into().unwrap();
    let why = "6:20: stacks of the driver \"groups\" are reached by a target group, and the front driver \"builtin\" takes \
               addresses; these do: \"alb\"";
    assert!(told_of.contains(why), "{told_of}");
    assert_eq!(told(&text.replace("\"builtin\"", "\"alb\"")), [""; 0]);
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_would_be_accepted() {
    assert_eq!(mistakes(GOOD), [""; 0]);
    for (good, bad, told) in [
        ("description", "descripton", "1:1: unknown key `descripton`; did you mean `description`?"),
        ("\"shop\"", "7", "1:15: `description` is the number 7; it must be a text in quotes"),
        ("\"live\"", "\"Live\"", "3:8: `name`: \"Live\" is no name"),
        ("name = \"live\"\n", "", "2:1: `name` is missing, for example `name = \"live\"`"),
        ("on-build", "on-bild", "4:10: `deploy` is \"on-bild\"; accepted: \"on-build\" or \"on-promotion\""),
        ("on-build", "on-promotion", "4:10: the first environment has none before it"),
        ("\"process\"", "\"proces\"", "5:20: there is no stack driver \"proces\"; did you mean \"process\"?"),
        (
            "demo.toml",
            "nowhere.toml",
            "5:44: the stack definition pipelines/../stacks/process/nowhere.toml cannot be read",
        ),
        (
            "\"127.0.0.1:8080\"",
            "\"here\"",
            "6:40: `front.listen`: invalid address \"here\": write an IP address and a port",
        ),
        ("\"builtin\"", "\"apache\"", "6:20: there is no front driver \"apache\"; there are: builtin, command, nginx"),
        ("8080\" }\n", "8080\" }\nbake = 5\n", "7:8: `bake` is the number 5; it must be a duration such as \"30s\""),
        ("8080\" }\n", "8080\" }\nretain = \"0s\"\n", "7:10: `retain` must be longer than zero; write \"none\""),
        ("8080\" }\n", "8080\" }\ndeadlines = { chek = \"5s\" }\n", "7:15: unknown key `chek`; did you mean `check`?"),
        (
            "8080\" }\n",
            "8080\" }\nwatch = \"soon\"\n",
            "7:9: `watch`: invalid duration \"soon\": write a number and a unit",
        ),
        ("[[env", "[webhook]\nsecrets = [\"s3cret\"]\n[[env", "3:12: a secret is not written here"),
        ("[[env", "[[env\n[[env", "2:"),
    ] {
        assert!(GOOD.contains(good), "{good}");
        let found = mistakes(&GOOD.replacen(good, bad, 1));
        assert!(found.iter().any(|m| m.starts_with(&format!("pipelines/shop.toml:{told}"))), "{bad}: {found:#?}");
    }
}

#[test]
fn stacks_of_the_same_name_and_fronts_at_the_same_address_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let definition = std::fs::canonicalize("stacks/process/demo.toml").unwrap();
    for (file, name) in [("a-b", "c"), ("a", "b-c")] {
        let text = GOOD.replace("../stacks/process/demo.toml", &definition.display().to_string());
        std::fs::write(folder.path().join(file).with_extension("toml"), text.replace("live", name)).unwrap();
    }
    let found = load(&Registry::all(folder.path()), folder.path()).mistakes;
    let found: Vec<_> = found.iter().map(|m| m.text.clone()).collect();
    assert!(found.iter().any(|m| m.contains("would both be called a-b-c-1")), "{found:?}");
    assert!(found.iter().any(|m| m.contains("listens at 127.0.0.1:8080 already")), "{found:?}");
}

#[test]
fn two_fronts_of_one_nginx_need_an_include_and_a_read_back_each() {
    let folder = tempfile::tempdir().unwrap();
    let definition = std::fs::canonicalize("stacks/process/demo.toml").unwrap();
    let nginx = |include: &str, port: u16, host: &str| {
        format!(
            "front = {{ driver = \"nginx\", include = \"/etc/nginx/{include}.conf\", read_back = \"127.0.0.1:{port}\", \
             ssh = {{ host = \"{host}\" }} }}"
        )
    };
    let fronts =
        [nginx("a", 8100, "web1"), nginx("a", 8110, "web1"), nginx("c", 8101, "web1"), nginx("a", 8100, "web2")];
    for (name, front) in ["a", "b", "c", "d"].iter().zip(fronts) {
        let text = GOOD.replace("../stacks/process/demo.toml", &definition.display().to_string());
        let text = text.replace("front = { driver = \"builtin\", listen = \"127.0.0.1:8080\" }", &front);
        std::fs::write(folder.path().join(name).with_extension("toml"), text).unwrap();
    }
    let found = load(&Registry::all(folder.path()), folder.path()).mistakes;
    let found: Vec<_> = found.iter().map(|m| m.text.clone()).collect();
    assert_eq!(
        found,
        [
            "the front of a/live has /etc/nginx/a.conf on web1 already; give each front its own include",
            "the front of a/live listens at 127.0.0.1:8101 on web1 already; give each front its own read_back",
        ]
    );
}

#[test]
fn file_names_in_the_settings_of_a_front_are_meant_from_the_pipeline_file() {
    let state = tempfile::tempdir().unwrap();
    let registry = Registry::all(state.path());
    let wanted = std::env::current_dir().unwrap().join("pipelines/pages/down.html");
    for (more, key) in [
        ("maintenance = { page = \"pages/down.html\" }", "`front.maintenance.page`"),
        ("maintenance_page = \"pages/down.html\"", "`front.maintenance.page`"),
        ("no_route_page = \"pages/down.html\"", "`front.no_route_page`"),
    ] {
        let text = GOOD.replace("8080\"", &format!("8080\", {more}"));
        let (_, mistakes) = parse(&registry, Path::new("pipelines/shop.toml"), &text);
        let [mistake] = &mistakes[..] else { panic!("{more}: {mistakes:?}") };
        let why = format!("{key}: the page {} cannot be read: No such file", wanted.display());
        assert!(mistake.text.contains(&why), "{mistake:?}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = GOOD
        .replace("\"shop\"", "7")
        .replace("\"live\"", "\"Live\"")
        .replace("on-build", "on-bild")
        .replace("\"process\"", "\"proces\"")
        .replace("127.0.0.1:8080\" }", "127.0.0.1:8080\" }\nbake = 5\nretain = \"0s\"\nwach = \"1s\"");
    let found = mistakes(&text);
    for place in ["1:15:", "3:8:", "4:10:", "5:20:", "7:8:", "8:10:", "9:1:"] {
        let told = found.iter().any(|m| m.starts_with(&format!("pipelines/shop.toml:{place}")));
        assert!(told, "nothing is told of {place}: {found:#?}");
    }
}

#[test]
fn a_thousand_files_are_all_checked() {
    let folder = tempfile::tempdir().unwrap();
    let definition = std::fs::canonicalize("stacks/process/demo.toml").unwrap();
    let text = GOOD.replace("../stacks/process/demo.toml", &definition.display().to_string());
    for n in 0..1000 {
        let text = text.replace("127.0.0.1:8080", &format!("127.0.{}.{}:8080", n / 250, 1 + n % 250));
        std::fs::write(folder.path().join(format!("shop-{n}.toml")), text).unwrap();
    }
    let state = tempfile::tempdir().unwrap();
    let loaded = load(&Registry::all(state.path()), folder.path());
    assert_eq!((loaded.files, loaded.mistakes), (1000, vec![]));
}
