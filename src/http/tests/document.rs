//! The document and the code say the same, and the page for people names every address.

use serde_json::Value;

use super::kit::Shop;

async fn document() -> Value {
    let shop = Shop::new();
    let open = http::Request::get("/v1/openapi.json").body(axum::body::Body::empty()).unwrap();
    let told = shop.send(open).await;
    assert_eq!((told.status, &told.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    told.body
}

/// The addresses in the sources, as handlers name them.
fn in_the_sources() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).filter(|f| f.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(".route(\""), "{} has a route that the document does not know", file.display());
        let paths = text.split(", path = \"").skip(1).filter_map(|rest| rest.split_once('"'));
        found.extend(paths.map(|(path, _)| path.to_owned()));
    }
    found.sort();
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
            let open = ["/healthz", "/v1/openapi.json"].contains(&&**path);
            assert!(open || (has("401") && has("429") && !operation["security"].is_null()), "{method} {path}");
            let acting = method == "post";
            assert_eq!((has("409"), has("413"), has("507")), (acting, acting, acting), "{method} {path}");
            assert_eq!(has("404"), path.contains('{'), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_page_for_people_names_every_address() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (path, item) in document().await["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let named = format!("`{} {path}`", method.to_uppercase());
            assert!(page.contains(&named), "docs/api.md does not name {named}");
        }
    }
}
