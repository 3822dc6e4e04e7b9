//! What sites lack that a front needs of them, as nginx's configuration shows it: a key for caches that tells stacks apart,
//! since nginx's default key holds the slot's name, which the stack after the next one gets too; the lines that tell browsers
//! their bucket; and those of the preview. Must only read, and must be bounded: the folder is the operator's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{host::Host, settings::Settings, words};
use crate::{stacks::StepError, web_front::Sticky};

/// The most files that are read, and the most bytes of one.
const FILES: usize = 400;
const BYTES: u64 = 1 << 20;

/// The line with which a file begins in the output of `nginx -T`.
const FILE: &str = "# configuration file ";

/// Says of this host what its sites lack.
pub(super) fn here(settings: &Settings) -> Vec<String> {
    lacking(&files_here(settings), settings)
}

/// Says the same of another host, which is asked.
pub(super) async fn there(host: &Host, settings: &Settings) -> Result<Vec<String>, StepError> {
    let ran = host.script("configuration", &[], true).await?;
    if ran.status != Some(0) {
        return Err(words::trouble(settings, &ran));
    }
    Ok(lacking(&files_in(&ran.out), settings))
}

/// Files of a configuration, with their text.
type Files = Vec<(String, String)>;

fn lacking(files: &Files, settings: &Settings) -> Vec<String> {
    let keys = without_key(files, settings).into_iter().map(|file| words::caches(settings, &file));
    let cookie = without_cookie(files, settings).into_iter().map(|file| words::no_cookie(settings, &file));
    let preview = without_preview(files, settings).into_iter().map(|file| words::no_preview(settings, &file));
    keys.chain(cookie).chain(preview).collect()
}

fn files_here(settings: &Settings) -> Files {
    let Some(root) = Path::new(&settings.include).parent().and_then(Path::parent) else { return Vec::new() };
    let mut files = Vec::new();
    collect(root, 0, &mut files);
    files.into_iter().filter_map(|file| Some((file.display().to_string(), text(&file)?))).collect()
}

/// The same in what `nginx -T` says.
fn files_in(configuration: &str) -> Files {
    let mut files = Files::new();
    for line in configuration.lines() {
        match line.strip_prefix(FILE).and_then(|rest| rest.strip_suffix(':')) {
            Some(file) => files.push((file.to_owned(), String::new())),
            None => files.iter_mut().next_back().into_iter().for_each(|(_, text)| text.extend([line, "\n"])),
        }
    }
    files
}

/// The files of this front's sites.
fn sites<'f>(files: &'f Files, settings: &Settings) -> impl Iterator<Item = &'f (String, String)> {
    let (include, slots) = (settings.include.clone(), format!("$pointsman_{}_", settings.name));
    files.iter().filter(move |(file, text)| *file != include && text.contains(&slots))
}

/// Sites that do not lead by the preview, where there is to be one. Keys stand in a file that only names what is said.
fn without_preview(files: &Files, settings: &Settings) -> Vec<String> {
    let preview = format!("$pointsman_{}_preview", settings.name);
    let lacks = |text: &str| text.contains("$pointsman_slot") && !text.contains(&preview);
    let lack = sites(files, settings).filter(|(_, text)| settings.preview.is_some() && lacks(text));
    lack.map(|(file, _)| file.clone()).collect()
}

/// Sites that tell browsers no bucket, where browsers are to keep one.
fn without_cookie(files: &Files, settings: &Settings) -> Vec<String> {
    let cookie = format!("$pointsman_{}_cookie", settings.name);
    let tells = |text: &str| values(text, "add_header").any(|value| value.contains(&cookie));
    let wanted = settings.sticky == Sticky::Cookie;
    let lack = sites(files, settings).filter(|(_, text)| wanted && !tells(text));
    lack.map(|(file, _)| file.clone()).collect()
}

/// Sites whose pages are cached without a key that tells stacks apart.
fn without_key(files: &Files, settings: &Settings) -> Vec<String> {
    let release = format!("$pointsman_{}_release", settings.name);
    let mut others = files.iter().filter(|(file, _)| *file != settings.include);
    // In a site of ours, or around it, pages are cached.
    let caching = others.any(|(_, text)| values(text, "proxy_cache").any(|zone| zone != "off"));
    let keyed = |text: &str| {
        let mut keys = values(text, "proxy_cache_key").peekable();
        keys.peek().is_some() && keys.all(|key| key.contains(&release))
    };
    let lack = sites(files, settings).filter(|(_, text)| caching && !keyed(text));
    lack.map(|(file, _)| file.clone()).collect()
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
            !here(&settings).is_empty()
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

    #[test]
    fn what_another_host_says_of_its_configuration_is_judged_file_by_file() {
        let text = "include = '/etc/nginx/pointsman/shop-prod.conf'\nread_back = '127.0.0.1:8099'";
        let settings = Settings::read(&text.parse().unwrap(), Path::new("/")).unwrap();
        let dump = |site: &str| {
            format!(
                "# configuration file /etc/nginx/nginx.conf:\nhttp {{ proxy_cache pages; }}\n\n\
                 # configuration file /etc/nginx/pointsman/shop-prod.conf:\nmap $x $pointsman_shop_prod_release {{ }}\n\
                 # configuration file /etc/nginx/conf.d/shop.conf:\nserver {{\n set $x $pointsman_shop_prod_blue;\n{site}\n}}\n"
            )
        };
        assert_eq!(without_key(&files_in(&dump("")), &settings), ["/etc/nginx/conf.d/shop.conf"]);
        let key = "proxy_cache_key $scheme$pointsman_shop_prod_release$request_uri;";
        assert!(without_key(&files_in(&dump(key)), &settings).is_empty());
        assert!(without_key(&files_in(""), &settings).is_empty());
    }

    #[test]
    fn a_site_that_tells_browsers_no_bucket_is_found_where_they_are_to_keep_one() {
        let text = "include = '/etc/nginx/pointsman/shop-prod.conf'\nread_back = '127.0.0.1:8099'";
        let settings = |sticky: &str| {
            let text = format!("{text}\nsticky = '{sticky}'");
            Settings::read(&text.parse().unwrap(), Path::new("/")).unwrap()
        };
        let files = |site: &str| {
            let site = format!(
                "server {{\n set $pointsman_slot pointsman_shop_prod_relay;\n if (-f x/$pointsman_shop_prod_blue) {{ }}\n{site}\n}}"
            );
            vec![("/etc/nginx/conf.d/shop.conf".to_owned(), site), ("/etc/nginx/nginx.conf".to_owned(), String::new())]
        };
        let found = lacking(&files(""), &settings("cookie"));
        assert!(
            found.len() == 1 && found[0].contains("conf.d/shop.conf") && found[0].contains("Set-Cookie"),
            "{found:?}"
        );
        assert!(lacking(&files(""), &settings("address")).is_empty());
        let told = files("add_header Set-Cookie $pointsman_shop_prod_cookie always;");
        assert!(lacking(&told, &settings("cookie")).is_empty());
    }

    #[test]
    fn a_site_without_the_lines_of_the_preview_is_named_where_there_is_to_be_one() {
        let text = "include = '/etc/nginx/pointsman/shop-prod.conf'\nread_back = '127.0.0.1:8099'";
        let said = |more: &str, site: &str| {
            let settings = Settings::read(&format!("{text}\n{more}").parse().unwrap(), Path::new("/")).unwrap();
            let site = format!("set $pointsman_slot x; if (-f x/$pointsman_shop_prod_blue) {{ }} {site}");
            lacking(&vec![("/etc/nginx/conf.d/shop.conf".to_owned(), site)], &settings)
        };
        assert!(said("preview = {}", "")[0].contains("/etc/nginx/conf.d/shop.conf"));
        assert!(said("", "").is_empty());
        assert!(said("preview = {}", "if ($pointsman_shop_prod_preview) { }").is_empty());
    }
}
