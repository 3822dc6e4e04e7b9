//! An nginx that others share: sites beside this one, and what stands in `http {}` for all of them.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pointsman::web_front::{CutOver, FrontDriver, Target};

use crate::support::{
    git::Sshd,
    herd::{route, stack},
    nginx::Nginx,
    wire::Wire,
};

async fn live(driver: &dyn FrontDriver, one: &Target) {
    driver.ensure_running().await.unwrap();
    driver.stage(one).await.unwrap();
    assert_eq!(driver.cut_over(&route(1, one)).await.unwrap(), CutOver::Applied);
}

fn version(at: SocketAddr) -> Option<String> {
    let answer = Wire::open(at).unwrap().ask("GET", "/", "", "").unwrap();
    answer.headers.get("x-version").cloned()
}

/// Somebody who sends POSTs over a connection as long as it is kept: how many were answered, and how many lost.
struct Poster {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Poster {
    fn at(front: SocketAddr) -> Self {
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts) = (over.clone(), sent.clone());
        let thread = std::thread::spawn(move || {
            let (mut lost, mut kept) = (Vec::new(), None);
            while !ends.load(SeqCst) {
                let answer = kept.take().map_or_else(|| Wire::open(front), Ok).and_then(|mut wire: Wire| {
                    let answer = wire.ask("POST", "/order", "", "")?;
                    kept = answer.headers.get("connection").is_none_or(|c| c != "close").then_some(wire);
                    Ok(answer)
                });
                match answer {
                    Ok(answer) if answer.status == 200 => {
                        counts.fetch_add(1, SeqCst);
                    }
                    Ok(answer) => lost.push(format!("status {}", answer.status)),
                    Err(error) => lost.push(error.to_string()),
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            lost
        });
        Self { over, sent, thread }
    }

    fn end(self) -> (u64, Vec<String>) {
        self.over.store(true, SeqCst);
        let lost = self.thread.join().unwrap();
        (self.sent.load(SeqCst), lost)
    }
}

/// How many deployments: `POINTSMAN_DEPLOYMENTS=50` for the figure.
fn deployments() -> u32 {
    std::env::var("POINTSMAN_DEPLOYMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploying_one_site_resets_no_connection_of_its_neighbours() {
    let Some(nginx) = Nginx::set_up() else { return };
    let (users, settings) = nginx.neighbour();
    nginx.run();
    let own = tempfile::tempdir().unwrap();
    let (driver, neighbour) = (nginx.driver(), nginx.driver_of(&settings, &own));
    live(&*driver, &stack(1)).await;
    live(&*neighbour, &stack(1000)).await;
    let (posters, ours) = ((0..4).map(|_| Poster::at(users)).collect::<Vec<_>>(), Poster::at(nginx.plain()));
    for number in 2..=deployments() + 1 {
        let next = stack(number);
        driver.stage(&next).await.unwrap();
        assert_eq!(driver.cut_over(&route(number.into(), &next)).await.unwrap(), CutOver::Applied);
    }
    let mut all = 0;
    for poster in posters.into_iter().chain([ours]) {
        let (sent, lost) = poster.end();
        assert!(lost.is_empty(), "of {sent}: {lost:?}");
        all += sent;
    }
    println!("{} deployments: 0 of {all} POSTs lost", deployments());
    assert!(all > 100);
    for site in ["shop-prod", "blog"] {
        assert!(!nginx.path("state").join(site).join("farewell").exists(), "connections are kept again");
    }
}

#[tokio::test]
async fn where_nobody_keeps_a_connection_nobody_is_waited_for() {
    let Some(nginx) = Nginx::start() else { return };
    let waits = "timeouts = { connect = \"10s\", command = \"30s\", reload = \"20s\", farewell = \"10s\" }";
    let driver = nginx.driver_without("timeouts", waits);
    live(&*driver, &stack(1)).await;
    let begun = Instant::now();
    driver.stage(&stack(2)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // Somebody does.
    let mut wire = Wire::open(nginx.plain()).unwrap();
    assert_eq!(wire.ask("GET", "/", "", "").unwrap().status, 200);
    let begun = Instant::now();
    driver.stage(&stack(3)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_flag_that_was_left_behind_goes_with_the_next_look_and_one_that_is_young_stays() {
    let Some(nginx) = Nginx::start() else { return };
    let driver = nginx.driver();
    live(&*driver, &stack(1)).await;
    let flag = nginx.path("state/shop-prod/farewell");
    let holder = nginx.path("state/shop-prod/farewells/_somebody_else.conf");
    fs::create_dir(nginx.path("state/shop-prod/farewells")).unwrap();
    for file in [&flag, &holder] {
        fs::write(file, "").unwrap();
    }
    driver.observe().await.unwrap();
    assert!(flag.exists(), "another site's reload is under way");
    let old = std::time::SystemTime::now() - Duration::from_secs(300);
    fs::File::options().write(true).open(&holder).unwrap().set_modified(old).unwrap();
    driver.observe().await.unwrap();
    assert!(!flag.exists() && !holder.exists());
}

/// What others have in `http {}` for their own sites. None of it may change what is read back.
const HOUSE_RULES: &str = "
    auth_basic 'staff only'; auth_basic_user_file HERE/nginx.conf; auth_request /nobody;
    deny all; satisfy all;
    limit_req_zone $server_port zone=all:64k rate=1r/m; limit_req zone=all;
    limit_conn_zone $server_port zone=one:64k; limit_conn one 1;
    disable_symlinks on; open_file_cache max=100; open_file_cache_valid 1h;
    sub_filter 'a' 'bbb'; sub_filter_once off; sub_filter_types *;
    gzip on; gzip_types *; gzip_min_length 1; gzip_static always; gunzip on;
    add_before_body /before; add_after_body /after; addition_types *; ssi on; ssi_types *;
    charset utf-16; keepalive_timeout 0; if_modified_since before;
    error_page 404 =200 /found.html; error_page 503 500 /broken.html; recursive_error_pages on;
    proxy_intercept_errors on; proxy_hide_header X-Version; add_header X-House rules always;
    expires max; max_ranges 0; mirror /mirror; default_type text/html;
    types { text/html json conf; }
    proxy_cache_path HERE/cache keys_zone=pages:1m; proxy_cache pages; proxy_cache_valid any 1h;
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary; proxy_pass_request_headers off;
    proxy_set_header Connection ''; proxy_method GET; proxy_limit_rate 1;
";

#[tokio::test]
async fn what_stands_in_http_for_others_changes_nothing_of_what_is_read_back() {
    let Some(nginx) = Nginx::with(HOUSE_RULES) else { return };
    let driver = nginx.driver();
    driver.ensure_running().await.unwrap();
    assert_eq!(driver.observe().await.unwrap(), None, "it has never been given a route");
    let (one, two) = (stack(1), stack(2));
    for (generation, target) in [(1, &one), (2, &two), (3, &one)] {
        driver.stage(target).await.unwrap();
        assert_eq!(driver.cut_over(&route(generation, target)).await.unwrap(), CutOver::Applied);
        assert_eq!(driver.observe().await.unwrap().unwrap().route, route(generation, target));
    }
    // Users get what the house has for them, and the look as a user says so.
    let why = driver.ask_public().await.unwrap_err().to_string();
    assert!(why.contains("status 403") || why.contains("status 401"), "{why}");
}

#[tokio::test]
async fn symbolic_links_and_cached_files_in_http_do_not_keep_users_from_a_cutover() {
    let more = "disable_symlinks on; open_file_cache max=100; open_file_cache_valid 1h; gzip_static always;";
    let Some(nginx) = Nginx::with(more) else { return };
    let driver = nginx.driver();
    for number in 1..4 {
        let next = stack(number);
        driver.stage(&next).await.unwrap();
        assert_eq!(driver.cut_over(&route(number.into(), &next)).await.unwrap(), CutOver::Applied);
        assert_eq!(version(nginx.plain()), Some(number.to_string()));
        assert_eq!(driver.ask_public().await.unwrap().unwrap().number.0, number);
    }
}

#[tokio::test]
async fn a_cache_in_http_brings_back_no_page_of_an_older_release() {
    let more = "proxy_cache_path HERE/cache keys_zone=pages:1m; proxy_cache pages; proxy_cache_valid any 1h;";
    let Some(nginx) = Nginx::with(more) else { return };
    nginx.kill();
    let site = fs::read_to_string(nginx.path("conf.d/plain.conf")).unwrap();
    fs::write(nginx.path("conf.d/plain.conf"), site.replace("proxy_buffering off", "proxy_buffering on")).unwrap();
    nginx.run();
    let driver = nginx.driver();
    for number in 1..5 {
        let next = stack(number);
        driver.stage(&next).await.unwrap();
        assert_eq!(driver.cut_over(&route(number.into(), &next)).await.unwrap(), CutOver::Applied);
        // The second one from the cache.
        for _ in 0..2 {
            assert_eq!(version(nginx.plain()), Some(number.to_string()));
        }
    }
    let kept = fs::read_dir(nginx.path("cache")).unwrap().count();
    assert!(kept > 0, "nothing was cached, so nothing was shown");
    let warned = |cautions: Vec<String>| cautions.join("\n").contains("cached by a key that older releases share");
    let mut nginx = nginx;
    nginx.sshd = Sshd::start();
    let elsewhere = nginx.sshd.is_some().then(|| nginx.driver());
    assert!(!warned(driver.cautions()) && !warned(driver.preview().await.unwrap()));
    let site = fs::read_to_string(nginx.path("conf.d/plain.conf")).unwrap();
    let bare: Vec<_> = site.lines().filter(|line| !line.contains("proxy_cache_key")).collect();
    fs::write(nginx.path("conf.d/plain.conf"), bare.join("\n")).unwrap();
    assert!(warned(driver.cautions()) && warned(driver.preview().await.unwrap()));
    if let Some(elsewhere) = elsewhere {
        assert!(elsewhere.cautions().is_empty(), "its host is not asked");
        assert!(warned(elsewhere.preview().await.unwrap()));
        fs::write(nginx.path("conf.d/plain.conf"), site).unwrap();
        assert!(!warned(elsewhere.preview().await.unwrap()));
    }
}

#[test]
fn a_setup_takes_nothing_from_a_site_that_is_there() {
    let Some(nginx) = Nginx::set_up() else { return };
    let owner = rustix::process::getuid().as_raw();
    let folders = || {
        let mut all: Vec<_> = ["pointsman", "conf.d", "state"]
            .iter()
            .flat_map(|folder| fs::read_dir(nginx.path(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .collect();
        all.sort();
        all
    };
    let before = folders();
    let refused = |name: &str, server_name: &str, owner: u32, words: &[&str]| {
        let mut command = nginx.setup_command(name, server_name);
        let done = command.arg("self-signed").env("OWNER", owner.to_string()).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(65), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(folders(), before);
    };
    refused("blog", "blog.test", owner + 1, &["belongs to", "OWNER=", "Nothing was changed"]);
    refused("blog", "shop.test", owner, &["serves shop.test already", "pointsman-shop-prod.conf", "TAKE_OVER=yes"]);
    let other = "server { listen 8080; server_name www.old.test *.old.test; root /srv; } # server_name no.test;\n";
    fs::write(nginx.path("conf.d/old.conf"), other).unwrap();
    let before = folders();
    for name in ["www.old.test", "WWW.old.test", "shop.old.test"] {
        let mut command = nginx.setup_command("blog", name);
        let done = command.arg("self-signed").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(65) && said.contains("old.conf"), "{name}: {said}");
        assert_eq!(folders(), before);
    }
    for name in ["no.test", "old.test"] {
        assert!(nginx.setup_command("blog", name).arg("self-signed").output().unwrap().status.success(), "{name}");
        for file in folders().into_iter().filter(|file| !before.contains(file)) {
            // Its own site is no reason against it, the next name's is.
            assert!(fs::remove_file(&file).or_else(|_| fs::remove_dir_all(&file)).is_ok());
        }
    }
}
