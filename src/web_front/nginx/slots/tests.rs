//! The include with its two slots: what is written, read back and refused.

use std::{fs, path::Path, process::Command};

use super::*;
use crate::web_front::maintenance::{TEXT, TITLE, problem};

fn settings(more: &str) -> Settings {
    let text = format!("include = '/etc/nginx/pointsman/shop-prod.conf'\nread_back = '127.0.0.1:8099'\n{more}");
    Settings::read(&text.parse().unwrap(), Path::new("/")).unwrap()
}

fn target(number: u32, addresses: &[impl AsRef<str>]) -> Target {
    let stack = StackName { environment: "shop/prod".parse().unwrap(), number: Number(number) };
    Target { stack, reach: addresses.iter().map(|address| address.as_ref().parse::<SocketAddr>().unwrap()).collect() }
}

#[test]
fn slots_are_read_back_as_they_were_written() {
    let blue = target(2, &["10.0.0.5:8080", "[fd00::1]:80"]);
    let slots = Slots { edition: 7, blue: Some(blue.clone().into()), green: None };
    assert_eq!(Slots::parse(&slots.to_string()), Some(slots.clone()));
    let include = slots.render(&settings(""), &Place::default(), Generation(3)).unwrap();
    assert_eq!(Slots::of_include(&include), Some(slots));
    assert_eq!(served_by(&include, &settings(""), Colour::Blue), blue.reach);
    let earlier = include.replace("server 10.0.0.5:8080;", "server 10.0.0.5:8080 weight=1;");
    assert_eq!(served_by(&earlier, &settings(""), Colour::Blue), blue.reach, "as earlier versions wrote it");
    let changed = include.replace("server 10.0.0.5:8080;", "server 10.0.0.5:8080 weight=3;");
    assert_ne!(served_by(&changed, &settings(""), Colour::Blue), blue.reach, "as somebody else changed it");
    assert!(include.contains("listen 127.0.0.1:8100;") && include.contains("server 127.0.0.1:8099 max_fails=0;"));
    assert!(include.contains("generation 3 was in force") && include.contains("shop-prod-2 (deployment 2)"));
    for broken in ["", "7", "7 - - -", "x - -", "7 shop/prod#2 -", "7 shop/prod#2@10.0.0.5*1 -"] {
        assert_eq!(Slots::parse(broken), None, "{broken:?}");
    }
}

#[test]
fn a_candidate_never_takes_the_slot_of_what_is_live() {
    let (one, two, three) = (target(1, &["10.0.0.1:80"]), target(2, &["10.0.0.2:80"]), target(3, &["10.0.0.3:80"]));
    let slot = |target: &Target| Some(Slot::from(target.clone()));
    let slots = Slots { edition: 1, blue: slot(&one), green: slot(&two) };
    let next = slots.staged(Some(&two), Some(&three), 2);
    assert_eq!(next, Slots { edition: 2, blue: slot(&three), green: slot(&two) });
    let next = slots.staged(Some(&one), Some(&three), 2);
    assert_eq!((next.blue, next.green), (slot(&one), slot(&three)));
    // Somebody has thrown it out of the include: it comes back.
    let next = Slots::default().staged(Some(&two), Some(&three), 2);
    assert_eq!((next.find(&two), next.find(&three)), (Some(Colour::Blue), Some(Colour::Green)));
    assert_eq!(slots.staged(Some(&two), Some(&two), 2), Slots { edition: 2, ..slots.clone() });
    // While nobody has the users the older one makes room, and one that has moved only itself.
    let next = slots.staged(None, Some(&three), 2);
    assert_eq!((next.blue, next.green), (slot(&three), slot(&two)));
    let moved = target(2, &["10.0.0.9:80"]);
    let next = slots.staged(None, Some(&moved), 2);
    assert_eq!((next.blue, next.green), (slot(&one), slot(&moved)));
    let first = Slots::default().staged(None, Some(&one), 2);
    assert_eq!((first.find(&one), first.blue), (Some(Colour::Green), None));
    let second = Slots { blue: None, ..slots.clone() }.staged(None, Some(&three), 3);
    assert_eq!((second.find(&two), second.find(&three)), (Some(Colour::Green), Some(Colour::Blue)));
    assert_eq!(slots.staged(None, Some(&one), 2), Slots { edition: 2, ..slots.clone() });
    assert_eq!(slots.staged(None, None, 2), Slots { edition: 2, ..slots });
}

#[test]
fn a_stack_elsewhere_has_another_key_and_what_can_not_serve_is_refused() {
    let (here, there) = (target(1, &["10.0.0.1:80"]), target(1, &["10.0.0.2:80"]));
    assert_ne!(key(Some(&here.into())), key(Some(&there.into())));
    let refused = |target: Target| {
        Slots { blue: Some(target.into()), ..Slots::default() }.render(&settings(""), &Place::default(), Generation(0))
    };
    assert!(refused(target(1, &[""; 0])).unwrap_err().contains("shop-prod-1 has no endpoint"));
    assert!(
        refused(target(1, &(1..=300).map(|port| format!("10.0.0.1:{port}")).collect::<Vec<_>>()))
            .unwrap_err()
            .contains("too many")
    );
}

#[test]
fn what_is_served_by_a_key_keeps_it_in_whatever_order_its_addresses_were_written() {
    let theirs = Slots::parse("7 shop/prod#1@10.0.0.9:80*1,10.0.0.5:80*1 -").unwrap();
    let now = target(1, &["10.0.0.5:80", "10.0.0.9:80"]);
    assert_eq!(theirs.find(&now), Some(Colour::Blue), "it is the same reach");
    let next = theirs.staged(Some(&now), Some(&target(2, &["10.0.0.6:80"])), 8);
    assert!(next.to_string().contains("shop/prod#1@10.0.0.9:80*1,10.0.0.5:80*1 "), "{next}");
    assert_eq!(key(next.slot(Colour::Blue)), key(Some(&theirs.known(&now))));
    let moved = next.staged(Some(&now), Some(&target(1, &["10.0.0.5:80", "10.0.0.7:80"])), 9);
    assert_eq!(moved.find(&now), Some(Colour::Blue), "users are there until they are sent on");
}

#[test]
fn what_this_nginx_was_built_without_is_found_in_its_words_and_left_out() {
    let mut place = Place { identity: "0123456789abcdef".to_owned(), ..Place::default() };
    let (settings, slots) = (settings(""), Slots::default());
    let text = slots.render(&settings, &place, Generation(0)).unwrap();
    assert_eq!(Place::of_include(&text), place);
    let line = text.lines().position(|line| line.contains("auth_request off")).unwrap() + 1;
    let said = format!("nginx: [emerg] unknown directive \"auth_request\" in {}:{line}\nfailed", settings.include);
    let lacks = |place: &Place, said: &str| place.lacks(said, &settings.include, &text);
    assert_eq!(lacks(&place, &said).as_deref(), Some("auth_request"));
    let counts = "nginx: [emerg] unknown \"connections_active\" variable";
    assert_eq!(lacks(&place, counts).as_deref(), Some("stub_status"));
    for other in [
        said.replace("shop-prod", "other"),
        said.replace("unknown", "invalid"),
        said.replace(&format!(":{line}"), ":1"),
    ] {
        assert_eq!(lacks(&place, &other), None, "{other}");
    }
    place.without = vec!["auth_request".to_owned(), "stub_status".to_owned()];
    assert_eq!(lacks(&place, &said), None, "it was left out");
    let text = slots.render(&settings, &place, Generation(0)).unwrap();
    assert!(
        !text.contains("auth_request off") && !text.contains("connections_active") && text.contains("auth_basic off")
    );
    assert_eq!(Place::of_include(&text), place);
}

#[test]
fn how_a_user_is_known_again_stands_in_the_include_and_in_nothing_else() {
    let render = |sticky: &str, place: &Place| {
        let settings = settings(&format!("sticky = '{sticky}'"));
        Slots::default().render(&settings, place, Generation(0)).unwrap()
    };
    let here = Place::default();
    let cookie = render("cookie", &here);
    assert!(cookie.contains("split_clients $request_id ") && cookie.contains("map $cookie_pointsman_bucket "));
    assert!(cookie.contains("\"$pointsman_split $pointsman_shop_prod_kept\""));
    let address = render("address", &here);
    assert!(address.contains("split_clients $pointsman_shop_prod_client ") && !address.contains("$cookie_pointsman"));
    let none = render("none", &here);
    assert!(none.contains("split_clients $request_id ") && none.contains("\"no $pointsman_shop_prod_kept\""));
    for text in [&cookie, &address, &none] {
        assert_eq!(text.matches(" #!split_clients").count() + text.matches("default 99").count(), 0);
        assert!((0..99).all(|bucket| text.contains(&format!(" 1% {bucket};"))) && text.contains(" * 99;"));
    }
    let without = Place { without: vec![DRAWS.to_owned()], ..here };
    let bare = render("cookie", &without);
    assert!(bare.contains("default 99;") && !bare.contains("split_clients $"), "nobody is drawn");
    assert_eq!(Place::of_include(&bare), without);
}

#[test]
fn the_maintenance_page_is_as_the_settings_say_and_its_words_are_those_of_every_front() {
    let render = |more: &str| Slots::default().render(&settings(more), &Place::default(), Generation(0)).unwrap();
    let usual = render("");
    assert!(usual.contains("default_type \"text/html; charset=utf-8\";") && usual.contains("Retry-After 30 always"));
    assert!(usual.contains("\"~*json\" /.pointsman/shop_prod/maintenance.json;"));
    let words = format!("<title>{TITLE}</title><p>{TEXT}\\n");
    let problem = problem(503, TITLE, TEXT).replace('\n', "\\n");
    assert!(usual.contains(&words) && usual.contains(&problem), "{words} {problem}");
    let own = render("maintenance = { page = 'down.json', retry_after = '2m' }");
    assert!(own.contains("default_type \"application/json\";") && own.contains("Retry-After 120 always"));
    assert!(!own.contains("maintenance.json;"), "the pipeline's own page is JSON already");
}

#[test]
fn the_setup_writes_the_first_include_as_it_would_be_written_here() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    fs::write(at("pem"), "").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/web_front/nginx/setup.sh");
    let mut setup = Command::new("sh");
    setup.args([script, "shop-prod", "shop.test", "signed", &at("pem"), &at("pem")]);
    setup.env("NGINX", at("nginx")).env("STATE", at("state"));
    let done = setup.env("OWNER", rustix::process::getuid().as_raw().to_string()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let include = at("nginx/pointsman/shop-prod.conf");
    let text = format!("include = {include:?}\nfolder = {:?}\nread_back = '127.0.0.1:8099'", at("state/shop-prod"));
    let settings = Settings::read(&text.parse().unwrap(), Path::new("/")).unwrap();
    let bare = |text: &str| text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let theirs = fs::read_to_string(include).unwrap();
    let ours = Slots::default().render(&settings, &Place::of_include(&theirs), Generation(0)).unwrap();
    assert_eq!(bare(&theirs), bare(&ours));
    assert_eq!(Slots::of_include(&theirs), Some(Slots::default()));
    let site = fs::read_to_string(at("nginx/conf.d/pointsman-shop-prod.conf")).unwrap();
    assert!(!site.replace("@farewell", "").lines().any(|l| l.contains('@') && !l.starts_with('#')), "{site}");
}
