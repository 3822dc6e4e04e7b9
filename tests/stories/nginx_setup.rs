//! `setup.sh` on an nginx that serves already: it sees each way in which that nginx answers for a name, and stops. What nginx
//! does with the name is asked of nginx itself.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use crate::support::nginx::Nginx;

/// What stands in a server of before, the name that is set up, and whether users of that name are served there. `AT` is where
/// users come, `WWW` a folder with pages.
const SERVERS: [(&str, &str, bool); 16] = [
    ("listen AT; server_name www.old.test; root WWW;", "www.old.test", true),
    ("listen AT; server_name *.old.test; root WWW;", "www.old.test", true),
    ("listen AT; server_name .old.test; root WWW;", "old.test", true),
    ("listen AT; server_name old.*; root WWW;", "old.test", true),
    ("listen AT; server_name ~^(www\\.)?old\\.test$; root WWW;", "www.old.test", true),
    ("listen AT; server_name \"~^(?<who>\\w{3,4})\\.test$\"; root WWW; set $x \"}{\";", "old.test", true),
    ("listen AT; server_name ~^[\\w-]+\\.old\\.test$; root WWW;", "OLD-1.old.test", true),
    ("listen AT; server_name ~^(?!www)old\\.test$; root WWW;", "old.test", true),
    ("listen AT default_server; server_name _; root WWW;", "old.test", true),
    (
        "listen AT default_server; server_name other.test; location / { proxy_pass http://127.0.0.1:1; }",
        "old.test",
        true,
    ),
    ("listen AT; server_name \"\" other.test; root WWW;", "old.test", false),
    ("listen AT; server_name www.old.test; root WWW;", "old.test", false),
    ("listen AT; server_name www.old.*; root WWW;", "old.test", false),
    ("listen AT; server_name \"~^(?<who>\\w{4,5})\\.test$\"; root WWW;", "old.test", false),
    ("listen AT; server_name ~^www\\.old\\.test$; root WWW;", "old.test", false),
    // One that answers for everybody and serves nobody.
    ("listen AT default_server; server_name _; return 444;", "old.test", false),
];

fn made(nginx: &Nginx) -> BTreeSet<PathBuf> {
    let folders = ["pointsman", "pointsman-tls", "conf.d", "state"].into_iter();
    folders.flat_map(|folder| fs::read_dir(nginx.path(folder)).unwrap()).map(|entry| entry.unwrap().path()).collect()
}

/// Whether the server of before is who answers users of that name.
fn served(nginx: &Nginx, name: &str) -> bool {
    let mut stream = TcpStream::connect(nginx.http()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.to_ascii_lowercase().contains("x-before: yes")
}

#[test]
fn a_setup_stops_where_this_nginx_serves_the_name_in_whatever_way() {
    let Some(nginx) = Nginx::set_up() else { return };
    fs::create_dir(nginx.path("www")).unwrap();
    for (server, name, answers) in SERVERS {
        let filled = server.replace("AT", &nginx.http().to_string());
        let filled = filled.replace("WWW", &nginx.path("www").display().to_string());
        // After the site that is there, so that it serves others by what it says and not by coming first.
        let before = format!("server {{ {filled} add_header X-Before yes always; }}\n");
        fs::write(nginx.path("conf.d/zz-before.conf"), before).unwrap();
        nginx.run();
        assert_eq!(served(&nginx, name), answers, "{server} for {name}: {}", nginx.log());
        nginx.kill();
        let there = made(&nginx);
        let done = nginx.setup_command("blog", name).arg("self-signed").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        let stopped = done.status.code() == Some(65) && said.contains("zz-before.conf: ");
        assert!(stopped == answers && done.status.success() != answers, "{server} for {name}: {said}");
        for file in made(&nginx).difference(&there) {
            assert!(!answers, "{server}: it wrote {}", file.display());
            assert!(fs::remove_file(file).or_else(|_| fs::remove_dir_all(file)).is_ok());
        }
    }
}

#[test]
fn the_empty_page_that_nginx_comes_with_is_nobodys_and_a_first_server_without_a_name_is_somebodys() {
    let Some(nginx) = Nginx::set_up() else { return };
    let there = made(&nginx);
    for (server, stops) in [
        ("listen AT default_server; server_name _; root /usr/share/nginx/html;", false),
        ("listen AT; server_name localhost; location / { root html; }", false),
        ("listen AT; location / { proxy_pass http://127.0.0.1:1; }", true),
        ("listen AT; server_name _; location / { fastcgi_pass 127.0.0.1:1; }", true),
        ("listen unix:/run/x.sock default_server; root /srv/old;", false),
    ] {
        let filled = server.replace("AT", &nginx.http().to_string());
        // The first one there.
        fs::write(nginx.path("conf.d/aa-before.conf"), format!("server {{ {filled} }}\n")).unwrap();
        let tested = nginx.command(&["-t"]);
        assert!(tested.status.success(), "{tested:?}");
        let done = nginx.setup_command("blog", "old.test").arg("self-signed").output().unwrap();
        assert_eq!(done.status.success(), !stops, "{server}: {done:?}");
        for file in made(&nginx).difference(&there).filter(|file| !file.ends_with("aa-before.conf")) {
            assert!(fs::remove_file(file).or_else(|_| fs::remove_dir_all(file)).is_ok());
        }
    }
}
