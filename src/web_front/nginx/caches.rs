//! Caches beside a front on this host, as its configuration shows them: nginx's default key holds the slot's name, which
//! the stack after the next one gets too. Must only read, and must be bounded: the folder is the operator's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::settings::Settings;

/// The most files that are read, and the most bytes of one.
const FILES: usize = 400;
const BYTES: u64 = 1 << 20;

/// Where pages are cached without a key that tells stacks apart.
pub(super) fn without_key(settings: &Settings) -> Vec<String> {
    let include = Path::new(&settings.include);
    let Some(root) = include.parent().and_then(Path::parent) else { return Vec::new() };
    let mut files = Vec::new();
    collect(root, 0, &mut files);
    let texts: Vec<_> = files.iter().filter(|file| *file != include).filter_map(|file| text(file)).collect();
    let release = format!("$pointsman_{}_release", settings.name);
    let slots = format!("$pointsman_{}_", settings.name);
    let caching = texts.iter().any(|text| values(text, "proxy_cache").any(|zone| zone != "off"));
    let mut found = Vec::new();
    for (file, text) in files.iter().filter(|file| *file != include).zip(&texts) {
        // A site of ours: in it, or around it, pages are cached.
        if caching && text.contains(&slots) {
            let keyed = values(text, "proxy_cache_key").all(|key| key.contains(&release));
            if !keyed || values(text, "proxy_cache_key").next().is_none() {
                found.push(file.display().to_string());
            }
        }
    }
    found
}

/// What this directive is given, wherever it stands.
fn values<'t>(text: &'t str, directive: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().flat_map(|line| line.split('#').next().unwrap_or(line).split([';', '{', '}'])).filter_map(
        move |statement| {
            let rest = statement.trim().strip_prefix(directive)?;
            rest.starts_with(char::is_whitespace).then(|| rest.trim())
        },
    )
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    // What cannot be read is not seen, and nothing is claimed of it.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let available = path.ends_with("sites-available");
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() && depth < 3 && !available => collect(&path, depth + 1, files),
            Ok(kind) if kind.is_file() && kind.len() <= BYTES && files.len() < FILES => {
                let enabled = path.parent().is_some_and(|parent| parent.ends_with("sites-enabled"));
                if (enabled || path.extension().is_some_and(|end| end == "conf")) && text(&path).is_some() {
                    files.push(path);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn text(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_whose_key_does_not_tell_stacks_apart_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("conf.d")).unwrap();
        let text = format!("include = {:?}\nread_back = '127.0.0.1:8099'", at("pointsman/shop-prod.conf"));
        let settings = Settings::read(&text.parse().unwrap(), Path::new("/")).unwrap();
        let found = |cache: &str, site: &str| {
            fs::write(at("nginx.conf"), format!("http {{ {cache} include conf.d/*.conf; }}")).unwrap();
            fs::write(at("conf.d/shop.conf"), format!("server {{ set $x $pointsman_shop_prod_blue; {site} }}"))
                .unwrap();
            !without_key(&settings).is_empty()
        };
        let key = "proxy_cache_key $scheme$pointsman_shop_prod_release$request_uri;";
        assert!(!found("", "proxy_pass http://x;"));
        assert!(found("proxy_cache pages;", "proxy_pass http://x;"));
        assert!(found("", "location / {\n proxy_cache pages; }"));
        assert!(found("proxy_cache pages;", "proxy_cache_key $uri;"));
        assert!(found("proxy_cache pages;", &format!("{key} location /x {{ proxy_cache_key $uri; }}")));
        assert!(!found("proxy_cache pages;", key));
        assert!(!found("proxy_cache off; # proxy_cache pages;", "proxy_pass http://x;"));
        assert!(!found("proxy_cache_path /x keys_zone=pages:1m;", "proxy_pass http://x;"));
    }
}
