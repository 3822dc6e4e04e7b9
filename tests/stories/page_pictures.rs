//! The pictures of README: two pages as they are, with three applications and a release that waits for its approval.
//! `BLESS=1 cargo test --test main -- pictures` makes them again.

use std::{fs, path::Path};

use super::page::{self, PROD, person, shop, until_live};
use crate::support::{browser, house::House};

const PICTURES: [(&str, &str); 2] = [("page-overview", "/"), ("page-environment", PROD)];
const OTHERS: [(&str, &str, &str); 2] = [("orders", "2.3.1", ":82"), ("search", "0.14.0", ":83")];

/// Three applications: one is live everywhere, one in qa only, and one has a newer release in qa.
fn scene() -> House {
    let house = shop();
    house.kill();
    let shop = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
    for (name, _, port) in OTHERS {
        house.write(
            &format!("pipelines/{name}.toml"),
            &shop.replace("name = \"shop\"", &format!("name = \"{name}\"")).replace(":80", port),
        );
    }
    house.start();
    for (name, version, _) in OTHERS {
        deploy(&house, name, version);
    }
    for version in ["1.7.2", "1.7.3"] {
        page::bring(&house, version);
    }
    house.push("1.8.0", "");
    until_live(&house, "qa", "1.8.0");
    house
}

fn deploy(house: &House, name: &str, version: &str) {
    let body = serde_json::json!({ "version": version, "artifact": "none" }).to_string();
    let path = format!("/v1/environments/{name}/qa");
    let asked = house.try_ask("POST", &format!("{path}/deploy"), &body).expect("it answers");
    assert!(asked.status < 300, "{asked:?}");
    house.until("it is live in qa", || {
        let now: serde_json::Value = serde_json::from_str(&house.try_ask("GET", &path, "").ok()?.body).ok()?;
        (now["live"]["release"]["version"] == version && now["candidate"].is_null()).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_of_readme_are_pages_as_they_are() {
    if !browser::installed() {
        return;
    }
    let house = scene();
    let alice = person(&house, "alice").await;
    alice.go(&format!("{PROD}/promote")).await;
    alice.write("#why", "the new checkout").await;
    alice.click("#promote button").await;
    house.until("it waits for approval", || {
        house.environment_called("prod")?["candidate"]["gate"].is_object().then_some(())
    });
    let bob = person(&house, "bob").await;
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README");
    for (name, path) in PICTURES {
        bob.go(path).await;
        bob.until_live().await;
        bob.until_text("main", "1.8.0").await;
        let picture = bob.screenshot(name).await;
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.png"));
        if std::env::var_os("BLESS").is_some() {
            fs::copy(&picture, &kept).expect("copied");
        }
        let width = |path: &Path| fs::read(path).expect("a picture").get(16..20).map(<[u8]>::to_vec);
        assert_eq!(width(&kept), width(&picture), "{name} in docs is another one; BLESS=1 makes it again");
        assert!(readme.contains(&format!("docs/{name}.png")), "README shows {name}");
    }
}
