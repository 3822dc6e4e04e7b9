//! The document and the code say the same, and the page for people names every address.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::kit::Shop;

async fn document() -> Value {
    let shop = Shop::new();
    let open = http::Request::get("/v1/openapi.json").body(axum::body::Body::empty()).unwrap();
    let told = shop.send(open).await;
    assert_eq!((told.status, &told.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    told.body
}

/// The sources of the API.
fn sources() -> Vec<(PathBuf, String)> {
    sources_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"))
}

fn sources_below(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // What is for browsers is no part of the API.
    let entries = entries.filter(|path| !["tests", "page", "door"].iter().any(|other| path.ends_with(other)));
    let one = |path: PathBuf| match path.is_dir() {
        true => sources_below(&path),
        false => vec![(path.clone(), fs::read_to_string(path).unwrap())],
    };
    entries.flat_map(one).collect()
}

/// The addresses in the sources, as handlers name them.
fn in_the_sources() -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources() {
        assert!(!text.contains(".route(\""), "{} has a route that the document does not know", file.display());
        let paths = text.split(", path = \"").skip(1).filter_map(|rest| rest.split_once('"'));
        found.extend(paths.map(|(path, _)| path.to_owned()));
    }
    found.sort();
    found.dedup();
    found
}

#[tokio::test]
async fn every_handler_is_in_the_document_and_nothing_else() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    paths.sort();
    assert_eq!(paths, in_the_sources());
}

#[tokio::test]
async fn every_operation_says_who_may_ask_and_how_it_fails() {
    for (path, item) in document().await["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let has = |status: &str| !operation["responses"][status].is_null();
            assert!(has("500"), "{method} {path}");
            let open = ["/healthz", "/v1/identity", "/v1/openapi.json"].contains(&&**path);
            assert!(open || (has("401") && has("429") && !operation["security"].is_null()), "{method} {path}");
            let acting = method == "post";
            // What is done to a person or a token names it in the body, and is as it was asked for or is not there.
            let new = ["/v1/tokens", "/v1/people/add"].contains(&&**path);
            let named = acting && operation["tags"][0] == "access" && !new;
            // Somebody has to stay who looks after the doors.
            let conflicts = acting && (!named || ["/v1/people/grant", "/v1/people/remove"].contains(&&**path));
            assert_eq!((has("409"), has("413"), has("507")), (conflicts, acting, acting), "{method} {path}");
            assert_eq!(has("404"), path.contains('{') || named, "{method} {path}");
        }
    }
}

#[test]
fn no_two_shapes_have_the_same_name() {
    let mut names = Vec::new();
    for (_, text) in sources() {
        for rest in text.split("ToSchema").skip(1) {
            let item = rest.lines().skip(1).find(|line| line.starts_with("pub") || line.starts_with("enum"));
            let words = item.unwrap_or_default().split([' ', '(', '<', '{']);
            names.extend(words.skip_while(|word| !["struct", "enum"].contains(word)).nth(1).map(str::to_owned));
        }
    }
    assert!(names.len() > 20, "{names:?}");
    names.sort();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(twice.is_empty(), "of these the document shows one only: {twice:?}");
}

/// What the page names as an address with its method.
fn named(page: &str) -> BTreeSet<String> {
    let quoted = page.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(" /"));
    let named = quoted.filter(|(method, _)| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(method));
    named.map(|(method, path)| format!("{method} /{}", path.split('?').next().unwrap_or_default())).collect()
}

#[tokio::test]
async fn the_page_for_people_names_every_address_and_no_other() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).unwrap();
    let mut there = BTreeSet::new();
    for (path, item) in document().await["paths"].as_object().unwrap() {
        there.extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    assert_eq!(named(&page), there);
}
