//! What pages load besides themselves: in the binary, each at an address that changes with its content. A browser keeps it for
//! ever and never shows a page with the style of another release.

use std::{fmt::Write, sync::LazyLock};

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::header;
use sha2::{Digest, Sha256};

use crate::http::Problem;

/// The bytes of a digest that an address holds.
const DIGEST: usize = 8;
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const ALL: [Asset; 5] = [
    Asset { name: "pointsman.css", kind: CSS, bytes: include_bytes!("assets/pointsman.css") },
    Asset { name: "pointsman.js", kind: JS, bytes: include_bytes!("assets/pointsman.js") },
    Asset { name: "htmx.min.js", kind: JS, bytes: include_bytes!("assets/vendor/htmx.min.js") },
    Asset { name: "hx-sse.min.js", kind: JS, bytes: include_bytes!("assets/vendor/hx-sse.min.js") },
    Asset { name: "icon.svg", kind: "image/svg+xml", bytes: include_bytes!("assets/icon.svg") },
];

/// The addresses of what pages load.
pub(in crate::http) struct Addresses {
    pub css: String,
    pub js: String,
    pub htmx: String,
    pub sse: String,
    pub icon: String,
}

static ADDRESSES: LazyLock<Addresses> = LazyLock::new(|| {
    let [css, js, htmx, sse, icon] = ALL.map(|asset| format!("/assets/{}/{}", digest(asset.bytes), asset.name));
    Addresses { css, js, htmx, sse, icon }
});

/// Returns the addresses of what pages load.
pub(in crate::http) fn addresses() -> &'static Addresses {
    &ADDRESSES
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in &Sha256::digest(bytes)[..DIGEST] {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Answers with one of them. An address of another release is answered with what there is now, and is not kept.
pub(super) async fn asset(Path((wanted, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let asset = ALL.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let keep = if digest(asset.bytes) == wanted { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, keep)], asset.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_vendored_is_the_release_that_its_notice_names() {
        let notice = include_str!("assets/vendor/README.md");
        for asset in ALL.iter().filter(|asset| asset.name.contains("min")) {
            let sum = hex::encode(Sha256::digest(asset.bytes));
            assert!(notice.contains(&format!("`{}` | `{sum}`", asset.name)), "{} has {sum}", asset.name);
        }
    }
}
