//! An nginx front from the users' side: what they get while it is repointed, and what is told to whoever looks.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use pointsman::web_front::{CutOver, FrontDriver, Target};
use reqwest::{Certificate, Client, redirect};

use crate::support::{
    herd::{Herd, route, stack},
    nginx::Nginx,
    until,
    wire::Wire,
};

/// Live is `one`, by generation 1.
async fn live(driver: &dyn FrontDriver, one: &Target) {
    driver.ensure_running().await.unwrap();
    driver.stage(one).await.unwrap();
    assert_eq!(driver.cut_over(&route(1, one)).await.unwrap(), CutOver::Applied);
}

/// Waits until a worker has part of a request, by nginx's own count.
fn until_a_request_is_being_read(nginx: &Nginx) {
    let begun = Instant::now();
    loop {
        let mut counts = UnixStream::connect(nginx.path("counts")).unwrap();
        counts.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut said = String::new();
        counts.read_to_string(&mut said).unwrap();
        if said.contains("Reading: 1 ") {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no worker reads it: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_meet_no_error_no_reset_and_nothing_old_at_any_cutover() {
    for nginx in [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten() {
        let driver = nginx.driver();
        let last = if nginx.sshd.is_some() { 8 } else { 30 };
        let mut before = stack(1);
        live(&*driver, &before).await;
        let herd = Herd::at(nginx.plain(), &before);
        herd.goes_on(10);
        for generation in (2..last).step_by(3) {
            let next = stack(u32::try_from(generation).unwrap());
            driver.stage(&next).await.unwrap();
            herd.goes_on(10);
            herd.board.ordered();
            assert_eq!(driver.cut_over(&route(generation, &next)).await.unwrap(), CutOver::Applied);
            herd.board.acknowledged(&next);
            herd.goes_on(10);
            {
                // And back to the standby, which is still known: no reload.
                let include = fs::read(nginx.include()).unwrap();
                for (generation, target) in [(generation + 1, &before), (generation + 2, &next)] {
                    herd.board.ordered();
                    assert_eq!(driver.cut_over(&route(generation, target)).await.unwrap(), CutOver::Applied);
                    herd.board.acknowledged(target);
                    herd.goes_on(10);
                }
                assert_eq!(fs::read(nginx.include()).unwrap(), include);
            }
            before = next;
        }
        let met = herd.end();
        println!("{met:?}");
        assert_eq!(met.errors, [""; 0], "{}", nginx.log());
        assert_eq!((met.old, met.resets_at_cutovers), (0, 0), "{met:?}");
    }
}

#[tokio::test]
async fn whoever_connected_before_the_reload_is_answered_by_the_new_stack_after_the_cutover() {
    let counts = "server { listen unix:HERE/counts; location / { stub_status; } }";
    let Some(nginx) = Nginx::with(counts) else { return };
    let (driver, one, two, three) = (nginx.driver(), stack(1), stack(2), stack(3));
    live(&*driver, &one).await;
    driver.stage(&two).await.unwrap();
    driver.cut_over(&route(2, &two)).await.unwrap();
    // In the hands of a worker that will never read another configuration.
    let mut half = TcpStream::connect(nginx.plain()).unwrap();
    half.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: shop.test\r\n").unwrap();
    until_a_request_is_being_read(&nginx);
    driver.stage(&three).await.unwrap();
    driver.cut_over(&route(3, &three)).await.unwrap();
    half.write_all(b"connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-version: 3"), "{answer}\n{}", nginx.log());
}

#[tokio::test]
async fn several_endpoints_share_the_traffic() {
    let Some(nginx) = Nginx::start() else { return };
    let driver = nginx.driver();
    let (mut target, more) = (stack(1), [stack(2), stack(3)]);
    let all = [&target].into_iter().chain(&more).flat_map(|t| t.reach.addresses().to_vec());
    target.reach = all.collect();
    live(&*driver, &target).await;
    assert_eq!(driver.observe().await.unwrap().unwrap().route, route(1, &target));
    let mut wire = Wire::open(nginx.plain()).unwrap();
    let mut counts = [0; 4];
    for _ in 0..90 {
        let answer = wire.ask("GET", "/", "", "").unwrap();
        counts[answer.headers["x-version"].parse::<usize>().unwrap()] += 1;
    }
    // Each of two workers begins its own turn.
    assert!(counts[1..].iter().all(|count| (25..=35).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn tls_ends_at_the_shipped_site_in_both_of_its_modes() {
    let Some(nginx) = Nginx::start() else { return };
    let (driver, one) = (nginx.driver(), stack(1));
    live(&*driver, &one).await;
    let self_signed = fs::read(nginx.path("pointsman-tls/shop-prod.pem")).unwrap();
    let client = |pem: &[u8]| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(redirect::Policy::none()).resolve("shop.test", nginx.tls());
        client.tls_certs_only([Certificate::from_pem(pem).unwrap()]).timeout(Duration::from_secs(10)).build().unwrap()
    };
    let url = format!("https://shop.test:{}/path?x=1", nginx.tls().port());
    let answer = client(&self_signed).get(&url).send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!((answer.status().as_u16(), header("x-version").as_deref()), (200, Some("1")));
    assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(header("x-frame-options").as_deref(), Some("SAMEORIGIN"));
    assert_eq!(header("strict-transport-security"), None, "a certificate that nobody vouches for is not for a year");
    assert_eq!(header("x-pointsman-stack"), None, "nobody asked");
    assert_eq!(header("server").as_deref(), Some("nginx"), "without a version");
    let read_back = client(&self_signed).get(url.replace("/path", "/.pointsman/shop_prod/route")).send().await.unwrap();
    assert_eq!((read_back.status().as_u16(), read_back.headers().get("x-pointsman-slots")), (404, None));

    let mut plain = Wire::open((nginx.tls().ip(), 8080).into()).unwrap();
    let moved = plain.ask("GET", "/a?b=c", "", "").unwrap();
    let to = format!("https://{}:{}/a?b=c", nginx.tls().ip(), nginx.tls().port());
    assert_eq!((moved.status, &moved.headers["location"]), (301, &to));

    // The same site with a certificate of an authority: no site is overwritten, so the first one goes.
    let made = rcgen::generate_simple_self_signed(vec!["shop.test".to_owned()]).unwrap();
    let (certificate, key) = (nginx.path("signed.pem"), nginx.path("signed.key"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::remove_file(nginx.path("conf.d/pointsman-shop-prod.conf")).unwrap();
    let include = fs::read(nginx.include()).unwrap();
    nginx.setup("signed", &[certificate.to_str().unwrap(), key.to_str().unwrap()]);
    assert_eq!(fs::read(nginx.include()).unwrap(), include, "it is live and stays");
    assert!(nginx.command(&["-s", "reload"]).status.success());
    let ca = format!("public = {{ url = {url:?}, address = \"{}\", ca = {certificate:?} }}", nginx.tls());
    let driver = nginx.driver_without("public", &ca);
    until("the reloaded nginx answers", async || driver.ask_public().await.ok()).await;
    assert_eq!(driver.ask_public().await.unwrap().unwrap().number.0, 1, "by the right certificate");
    let answer = client(made.cert.pem().as_bytes()).get(&url).send().await.unwrap();
    assert!(answer.headers()["strict-transport-security"].to_str().unwrap().contains("max-age=31536000"));
}

#[tokio::test]
async fn the_first_include_of_the_setup_is_what_the_driver_would_write() {
    let Some(nginx) = Nginx::start() else { return };
    let driver = nginx.driver();
    driver.ensure_running().await.unwrap();
    assert_eq!(driver.observe().await.unwrap(), None, "it has never been given a route");
    let shipped = fs::read_to_string(nginx.include()).unwrap();
    fs::remove_file(nginx.include()).unwrap();
    nginx.kill();
    let why = driver.ensure_running().await.unwrap_err().to_string();
    assert!(why.contains("nginx does not run") || why.contains("refuses its configuration"), "{why}");
    fs::write(nginx.include(), &shipped).unwrap();
    nginx.run();
    driver.stage(&stack(1)).await.unwrap();
    let bare = |text: &str| text.lines().filter(|l| !l.contains('#')).count();
    assert!(bare(&fs::read_to_string(nginx.include()).unwrap()).abs_diff(bare(&shipped)) <= 3);
}
