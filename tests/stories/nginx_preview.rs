//! The preview of an nginx front: who has the key sees the candidate, nobody else does, and checks go the same way.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

use pointsman::{
    machine::{Number, StackName},
    web_front::{FrontDriver, Target},
};

use crate::support::{
    herd::route,
    house::House,
    nginx::Nginx,
    wire::{Answer, Wire},
};

/// A stack that answers with its number and with the request that it got.
fn stack(number: u32) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(client, number));
        }
    });
    Target {
        stack: StackName { environment: "shop/prod".parse().expect("a name"), number: Number(number) },
        reach: address.into(),
    }
}

fn serve(client: TcpStream, number: u32) {
    let mut client = BufReader::new(client);
    let (mut line, mut head) = (String::new(), String::new());
    while client.read_line(&mut line).is_ok_and(|length| length > 0) {
        head += &line;
        if line == "\r\n" {
            let length = head.len();
            let answer = format!("HTTP/1.1 200 OK\r\nx-version: {number}\r\ncontent-length: {length}\r\n\r\n{head}");
            if client.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
            head.clear();
        }
        line.clear();
    }
}

fn ask(nginx: &Nginx, path: &str, headers: &str) -> Answer {
    Wire::open(nginx.plain()).and_then(|mut wire| wire.ask("GET", path, headers, "")).expect("an answer")
}

fn seen(nginx: &Nginx, headers: &str) -> String {
    ask(nginx, "/", headers).headers.get("x-version").cloned().expect("an answer of a stack")
}

/// 1 is live and 2 is staged. Returns the key and 2 too.
async fn staged(nginx: &Nginx, preview: &str) -> (Arc<dyn FrontDriver>, String, Target) {
    let driver = nginx.driver_with(preview);
    driver.ensure_running().await.expect("nginx runs");
    let (one, two) = (stack(1), stack(2));
    driver.stage(&one).await.expect("staged");
    driver.cut_over(&route(1, &one)).await.expect("cut over");
    driver.stage(&two).await.expect("staged");
    let link = driver.shown_preview().expect("a preview").link().expect("a key").to_owned();
    let key = link.split_once("?key=").expect("a key").1.to_owned();
    (driver, key, two)
}

#[tokio::test]
async fn only_with_the_key_is_the_candidate_reached_and_no_stack_sees_it() {
    let Some(nginx) = Nginx::start() else { return };
    let (driver, key, two) = staged(&nginx, "preview = {}\n").await;
    assert_eq!(seen(&nginx, ""), "1");
    for said in ["candidate".to_owned(), "0".repeat(64), key[1..].to_owned(), format!("{key}0")] {
        assert_eq!(seen(&nginx, &format!("x-pointsman-preview: {said}\r\n")), "1", "{said}");
        assert_eq!(seen(&nginx, &format!("cookie: pointsman_preview={said}\r\n")), "1", "{said}");
        assert_eq!(ask(&nginx, &format!("/.pointsman/preview?key={said}"), "").status, 404);
        assert_eq!(seen(&nginx, &format!("x-pointsman-key: {said}\r\nx-pointsman-stack: shop/prod#2\r\n")), "1");
    }
    let entered = ask(&nginx, &format!("/.pointsman/preview?key={key}"), "");
    let said = entered.headers.get("set-cookie").expect("a cookie");
    assert_eq!((entered.status, entered.headers["location"].as_str()), (303, "/"));
    assert_eq!(said, &format!("pointsman_preview={key}; Path=/; HttpOnly; SameSite=Lax"));
    let headers = [
        format!("x-pointsman-preview: {key}\r\n"),
        format!("cookie: pointsman_preview={key}\r\n"),
        format!("cookie: a=1; pointsman_preview={key}; b=2\r\n"),
        format!("cookie: a=1; pointsman_preview={key}\r\n"),
        format!("cookie: pointsman_preview={key}; b=2\r\nx-pointsman-preview: {key}\r\n"),
    ];
    for said in &headers {
        let answer = ask(&nginx, "/", said);
        assert_eq!(answer.headers["x-version"], "2", "{said}");
        assert!(!answer.body.contains(&key), "{}", answer.body);
        assert!(!answer.body.to_lowercase().contains("pointsman"), "{}", answer.body);
        assert_eq!(answer.body.contains("a=1"), said.contains("a=1"), "{}", answer.body);
        assert_eq!(answer.body.contains("b=2"), said.contains("b=2"), "{}", answer.body);
    }
    let off = ask(&nginx, "/.pointsman/preview?off", &headers[1]);
    assert!(off.status == 303 && off.headers["set-cookie"].contains("Max-Age=0"), "{off:?}");

    // The keys are for nginx's master: neither in the include, which users of the host can read, nor readable themselves.
    assert!(!fs::read_to_string(nginx.include()).expect("it is there").contains(&key));
    let keys: Vec<_> = fs::read_dir(nginx.path("state/shop-prod"))
        .expect("it is there")
        .map(|e| e.expect("an entry").path())
        .collect();
    let keys: Vec<_> = keys.iter().filter(|path| path.display().to_string().contains("/preview-")).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(fs::metadata(keys[0]).expect("it is there").permissions().mode() & 0o777, 0o600);

    // The cutover works without a reload, and then the browser sees what all see.
    let include = fs::read(nginx.include()).expect("it is there");
    let seen_front = driver.observe().await.expect("it answers").expect("a route");
    assert_eq!(seen_front.staged.map(|stack| stack.number), Some(Number(2)));
    driver.cut_over(&route(2, &two)).await.expect("cut over");
    assert_eq!(fs::read(nginx.include()).expect("it is there"), include);
    assert_eq!((seen(&nginx, ""), seen(&nginx, &headers[1])), ("2".to_owned(), "2".to_owned()));
    let log = nginx.log();
    assert!(!log.contains(&key), "{log}");
}

#[tokio::test]
async fn an_address_range_lets_in_alone_and_keeps_out_whoever_is_not_in_it() {
    let Some(nginx) = Nginx::start() else { return };
    let (driver, key, _) =
        staged(&nginx, "preview = { from = [\"127.0.0.0/8\"], host = \"preview.shop.test\" }\n").await;
    assert_eq!(key, "candidate");
    assert_eq!(seen(&nginx, "x-pointsman-preview: candidate\r\n"), "2");
    drop(driver);
    let (_driver, _) = restaged(&nginx, "preview = { from = [\"192.0.2.0/24\"] }\n").await;
    assert_eq!(seen(&nginx, "x-pointsman-preview: candidate\r\n"), "1");
}

/// Stack 3 takes the place of 2, under other settings.
async fn restaged(nginx: &Nginx, preview: &str) -> (Arc<dyn FrontDriver>, Target) {
    let (driver, three) = (nginx.driver_with(preview), stack(3));
    driver.stage(&three).await.expect("staged");
    (driver, three)
}

#[tokio::test]
async fn a_controller_without_a_preview_reaches_nobody_so_and_one_with_it_reaches_both_stacks() {
    let Some(nginx) = Nginx::start() else { return };
    let without = nginx.driver();
    assert!(without.cannot_lead().expect("a reason").contains("preview = {}") && without.shown_preview().is_none());
    let (driver, key, _) = staged(&nginx, "preview = {}\n").await;
    assert_eq!(driver.cannot_lead(), None);
    assert!(driver.cautions().is_empty(), "{:?}", driver.cautions());
    for number in [1, 2, 9] {
        let name = StackName { environment: "shop/prod".parse().expect("a name"), number: Number(number) };
        let way = driver.way_to(&name, std::time::Duration::from_secs(5)).expect("a way");
        let answer = way.client.get(format!("{}/", way.origin)).headers(way.headers).send().await.expect("an answer");
        let right = way.mark.is_on(answer.status(), answer.headers());
        assert_eq!(right, number < 3, "a stack that it does not know has no mark: {answer:?}");
        let text = answer.text().await.expect("a text");
        let told = |name: &str| text.to_lowercase().contains(name);
        assert!(!told("x-pointsman-key") && !told("x-pointsman-stack"), "{text}");
    }
    // Without the setting the next include lets nobody in.
    without.stage(&stack(3)).await.expect("staged");
    assert_eq!(seen(&nginx, &format!("x-pointsman-preview: {key}\r\n")), "1");
}

#[test]
fn a_candidate_that_only_nginx_reaches_becomes_live() {
    for nginx in [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten() {
        let house = House::with("");
        let definition = fs::read_to_string(house.path("stacks/process/app.toml")).expect("it is there");
        let behind = definition.replace(" {parameters.extra}", " --behind-front {parameters.extra}");
        house.write("stacks/process/app.toml", &behind);
        let pipeline = fs::read_to_string(house.path("pipelines/shop.toml")).expect("it is there");
        let line = pipeline.lines().find(|line| line.starts_with("front = ")).expect("a front").to_owned();
        let ssh = nginx.sshd.as_ref().map(|_| nginx.ssh("user_key", "known_hosts")).unwrap_or_default();
        let front = |preview: &str| format!("{}{ssh}{preview}", nginx.settings()).trim().replace('\n', ", ");
        let write = |preview: &str| {
            let front = format!(
                "front = {{ driver = \"nginx\", {} }}\nbake = \"200ms\"\nchecks_via = \"front\"",
                front(preview)
            );
            house.write(
                "pipelines/shop.toml",
                &pipeline.replace(&line, &front).replace("passes = 2", "passes = 2\ngrace = \"2s\""),
            );
            house.run(&["check"])
        };
        let refused = write("");
        let said = String::from_utf8_lossy(&refused.stdout).into_owned() + &String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains("`via = \"front\"`") && said.contains("preview = {}"),
            "{said}"
        );
        let checked = write("preview = {}");
        assert!(checked.status.success(), "{checked:?}");
        house.start();
        for version in ["v1", "v2"] {
            let number = house.push(version, "");
            house.settle();
            house.assert_outcome(number, "succeeded");
        }
        let sick = house.push("v3", "--broken");
        house.settle();
        let why = house.assert_outcome(sick, "failed");
        assert!(why.contains("503"), "{why}");
        assert_eq!(seen(&nginx, ""), "v2", "{}", house.log());
        house.stop();
    }
}
