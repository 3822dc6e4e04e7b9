//! The past as it is asked for: timeline, releases and figures, by the API and on the page.

use http::StatusCode;
use serde_json::Value;

use super::{
    kit::Shop,
    page::{live_in_qa, look},
};
use crate::{
    access::Role,
    fixture_tests,
    machine::{Event, Number, Plan, Release, Trigger},
};

async fn promoted(shop: &Shop, body: &str) {
    assert_eq!(shop.post("/v1/environments/shop/prod/promote", body).await.status, 202);
    shop.go_live("shop/prod", shop.state("shop/prod").last_number().0).await;
}

/// Two releases in qa, both promoted; the second repairs what the first broke. Prod is held then.
async fn told() -> Shop {
    let shop = Shop::new();
    live_in_qa(&shop, "v1").await;
    promoted(&shop, r#"{"reason":"the sale begins"}"#).await;
    live_in_qa(&shop, "v2").await;
    promoted(&shop, r#"{"repairs":true}"#).await;
    shop.post("/v1/environments/shop/prod/hold", r#"{"reason":"an audit"}"#).await;
    shop
}

fn entries(told: &Value) -> Vec<String> {
    let one = |entry: &Value| match entry["kind"].as_str() {
        Some("deployment") => format!("{}/{}", entry["environment"].as_str().unwrap(), entry["number"]),
        _ => format!("{}: {}", entry["environment"].as_str().unwrap(), entry["what"].as_str().unwrap()),
    };
    told["entries"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn the_timeline_is_filtered_by_place_person_release_outcome_words_and_time() {
    let shop = told().await;
    let all = shop.get("/v1/timeline").await.body;
    assert_eq!(entries(&all), ["shop/prod: held", "shop/prod/2", "shop/qa/2", "shop/prod/1", "shop/qa/1"]);
    assert_eq!((&all["older"], &all["hidden"], &all["since"]), (&Value::Null, &0.into(), &Value::Null));
    let newest = &all["entries"][1];
    assert_eq!(
        (&newest["went"], &newest["repairs"], &newest["trigger"]),
        (&"live".into(), &true.into(), &"person".into())
    );
    assert_eq!(newest["checks"][0]["name"], "GET /healthz");
    assert_eq!(newest["checks"][0]["answer"], "200 at all 2 endpoints, in 12 ms at most");
    assert_eq!(all["entries"][2]["approvals"][0]["by"], "pointsman");
    for (query, wanted) in [
        ("environment=shop/qa", &["shop/qa/2", "shop/qa/1"][..]),
        ("environment=shop", &["shop/prod: held", "shop/prod/2", "shop/qa/2", "shop/prod/1", "shop/qa/1"]),
        ("environment=*/prod", &["shop/prod: held", "shop/prod/2", "shop/prod/1"]),
        ("who=ANN", &["shop/prod: held", "shop/prod/2", "shop/prod/1"]),
        ("release=v1", &["shop/prod/1", "shop/qa/1"]),
        ("release=2&environment=shop/prod", &["shop/prod/2"]),
        ("outcome=live&what=the+sale", &["shop/prod/1"]),
        ("outcome=failed", &[]),
        ("what=audit", &["shop/prod: held"]),
        ("last=1h&outcome=live&release=v2", &["shop/prod/2", "shop/qa/2"]),
        ("to=2001-01-01", &[]),
        ("from=2001-01-01&what=audit", &["shop/prod: held"]),
    ] {
        let told = shop.get(&format!("/v1/timeline?{query}")).await.body;
        assert_eq!(entries(&told), wanted, "{query}");
        assert_eq!(told["hidden"], 5 - wanted.len(), "{query}");
    }
    for (query, why) in [
        ("outcome=good", "`outcome` must be one of live, failed"),
        ("from=yesterday", "`from` must be a day"),
        ("to=2026-13-01", "`to` must be a day"),
        ("last=fortnight", "`last` must be hours or days"),
    ] {
        shop.get(&format!("/v1/timeline?{query}")).await.refused(StatusCode::BAD_REQUEST, why);
    }
}

#[tokio::test]
async fn the_timeline_is_read_page_by_page_with_nothing_twice_and_nothing_missed() {
    let shop = told().await;
    let (mut seen, mut address) = (Vec::new(), "/v1/timeline?most=2".to_owned());
    loop {
        let told = shop.get(&address).await.body;
        assert!(entries(&told).len() <= 2);
        seen.extend(entries(&told));
        let Some(older) = told["older"].as_u64() else { break };
        address = format!("/v1/timeline?most=2&before={older}");
    }
    assert_eq!(seen, ["shop/prod: held", "shop/prod/2", "shop/qa/2", "shop/prod/1", "shop/qa/1"]);
}

#[tokio::test]
async fn the_records_are_read_back_page_by_page_to_the_first() {
    let shop = told().await;
    let (mut seen, mut before) = (Vec::new(), u64::MAX >> 1);
    loop {
        let told = shop.get(&format!("/v1/history?last=7&environment=shop/prod&before={before}")).await.body;
        let page: Vec<u64> = told["records"].as_array().unwrap().iter().map(|r| r["seq"].as_u64().unwrap()).collect();
        let Some(first) = page.first() else { break };
        before = *first;
        seen.splice(0..0, page);
    }
    let all = shop.app.journal.history(Some(&"shop/prod".parse().unwrap()), usize::MAX).unwrap();
    assert_eq!(seen, all.iter().map(|record| record.seq).collect::<Vec<_>>());
    assert!(seen.len() > 14, "{seen:?}");
}

#[tokio::test]
async fn who_sees_one_environment_is_told_its_past_only() {
    let shop = told().await;
    let quinn = shop.token("quinn", Role::Viewer, &["shop/qa"]);
    let told = shop.ask(&quinn, "GET", "/v1/timeline", "").await.body;
    assert_eq!((entries(&told), &told["hidden"]), (vec!["shop/qa/2".to_owned(), "shop/qa/1".to_owned()], &0.into()));
    let release = shop.ask(&quinn, "GET", "/v1/releases/shop/1", "").await.body;
    assert_eq!(release["environments"].as_array().unwrap().len(), 1, "{release}");
    let figures = shop.ask(&quinn, "GET", "/v1/figures", "").await.body;
    assert_eq!((&figures["environments"], &figures["figures"]["deployments"]), (&serde_json::json!([]), &0.into()));
    for path in ["/history", "/releases/shop/1", "/figures"] {
        let page = look(&shop, &quinn, path).await.text;
        assert!(!page.contains("shop/prod\"") && !page.contains("an audit"), "{path}: {page}");
    }
    let stranger = shop.token("zoe", Role::Viewer, &["bank/prod"]);
    assert_eq!(shop.ask(&stranger, "GET", "/v1/releases/shop/1", "").await.status, 404);
}

#[tokio::test]
async fn a_release_says_where_it_is_and_where_it_was() {
    let shop = told().await;
    let parts = |told: &Value| {
        let part =
            |place: &Value| format!("{} {}", place["environment"].as_str().unwrap(), place["part"].as_str().unwrap());
        told["environments"].as_array().unwrap().iter().map(part).collect::<Vec<_>>()
    };
    let (one, two) = (shop.get("/v1/releases/shop/1").await.body, shop.get("/v1/releases/shop/2").await.body);
    assert_eq!(parts(&two), ["shop/qa live", "shop/prod live"]);
    assert_eq!(parts(&one), ["shop/qa standby", "shop/prod standby"]);
    assert_eq!((&one["version"], one["deployments"].as_array().unwrap().len()), (&"v1".into(), 2));
    let viewer = shop.token("vera", Role::Viewer, &[]);
    let page = look(&shop, &viewer, "/releases/shop/1").await.text;
    assert!(page.contains("standby, warm") && page.contains("/deployments/shop/prod/1"), "{page}");
    shop.get("/v1/releases/shop/9").await.refused(StatusCode::NOT_FOUND, "shop has no release 9");
    shop.get("/v1/releases/bank/1").await.refused(StatusCode::NOT_FOUND, "bank has no release 1");
}

#[tokio::test]
async fn a_filter_that_hides_everything_says_so_and_a_page_has_a_way_to_what_is_older() {
    let shop = told().await;
    let viewer = shop.token("vera", Role::Viewer, &[]);
    let page = look(&shop, &viewer, "/history?outcome=failed").await.text;
    assert!(
        page.contains("the filter leaves out 5 entries") && page.contains("<option value=\"failed\" selected>"),
        "{page}"
    );
    let page = look(&shop, &viewer, "/history?most=2&environment=shop").await.text;
    let older = page
        .split("rel=\"next\" href=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .replace("&amp;", "&")
        .replace("&#38;", "&");
    assert!(older.contains("environment=shop") && older.contains("before="), "{older}");
    let page = look(&shop, &viewer, &older).await.text;
    assert!(page.contains("/deployments/shop/qa/2") && !page.contains("an audit"), "{page}");
}

#[tokio::test]
async fn the_figures_count_what_users_got_and_what_repairs_an_incident() {
    let shop = told().await;
    let told = shop.get("/v1/figures?days=10&by=hour").await.body;
    assert_eq!(told["environments"], serde_json::json!(["shop/prod"]));
    let figures = &told["figures"];
    assert_eq!((&figures["deployments"], &figures["per_day"]), (&2.into(), &0.2.into()));
    assert_eq!((&figures["failed"]["count"], &figures["rework"]["percent"]), (&1.into(), &50.0.into()));
    assert_eq!((&figures["lead_time"]["median"], &figures["lead_time"]["unknown"]), (&Value::Null, &2.into()));
    assert_eq!(told["counts"].as_array().unwrap().iter().map(|c| c["live"].as_u64().unwrap()).sum::<u64>(), 2);
    let viewer = shop.token("vera", Role::Viewer, &[]);
    let page = look(&shop, &viewer, "/figures").await.text;
    for words in [
        "Change fail rate",
        "not known",
        "1 of 2 rolled back, failed or repaired",
        "<svg class=\"chart wide\"",
        "role=\"img\"",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let none = look(&shop, &viewer, "/figures?pipeline=bank").await.text;
    assert!(none.contains("No environment that you may see is like that"), "{none}");
}

#[tokio::test]
async fn that_a_deployment_repairs_an_incident_is_recorded_with_it() {
    let shop = Shop::new();
    let build = r#"{"version":"v1","artifact":"a"}"#;
    assert_eq!(shop.post("/v1/environments/shop/qa/deploy?repairs=true", build).await.status, 202);
    let build = r#"{"version":"v2","artifact":"a"}"#;
    assert_eq!(shop.post("/v1/environments/shop/qa/deploy", build).await.status, 202);
    let records = shop.app.journal.history(None, 10).unwrap();
    let repairs = |event: &Event| match event {
        Event::Accepted { plan, .. } => Some(plan.repairs),
        _ => None,
    };
    let repairs: Vec<bool> = records.iter().filter_map(|record| repairs(&record.event)).collect();
    assert_eq!(repairs, [true, false]);
    let plain = serde_json::to_string(&records[1]).unwrap();
    assert!(!plain.contains("repairs"), "what is planned is written as it was before: {plain}");
}

#[tokio::test]
async fn a_past_that_cannot_be_read_whole_is_shown_as_far_as_it_can_be_and_said_to_be_so() {
    let mut shop = Shop::new();
    let folder = tempfile::tempdir().unwrap();
    shop.keep_in(folder.path());
    let viewer = shop.token("vera", Role::Viewer, &[]);
    for version in ["v1", "v2", "v3", "v4"] {
        live_in_qa(&shop, version).await;
    }
    let file = folder.path().join("journal-000001.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"kind\":\"accepted\"", "\"kind\":\"accepted by an angel\"", 1)).unwrap();
    let told = shop.ask(&viewer, "GET", "/v1/timeline", "").await.body;
    assert_eq!(entries(&told), ["shop/qa/4", "shop/qa/3", "shop/qa/2"]);
    let why = told["unread"].as_str().unwrap();
    assert!(why.contains("a part of the state file cannot be read") && told["since"].is_string(), "{told}");
    for path in ["/v1/figures", "/v1/releases/shop/2"] {
        assert_eq!(shop.ask(&viewer, "GET", path, "").await.body["unread"], why, "{path}");
    }
    for path in ["/history", "/figures", "/releases/shop/2", "/history?who=nobody"] {
        let page = look(&shop, &viewer, path).await.text;
        assert!(page.contains("a part of the state file cannot be read"), "{path}: {page}");
        // What the line says may be none of theirs.
        assert!(!page.contains("angel") && !page.contains("Nothing has happened"), "{path}: {page}");
    }
    // All of it: the page of an environment says why it has no past, and how things are is known all the same.
    for file in std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|end| end == "jsonl") {
            std::fs::write(&file, "no\nrecord\n").unwrap();
        }
    }
    let page = look(&shop, &viewer, "/environments/shop/qa").await.text;
    assert!(page.contains("What was before cannot be shown") && page.contains("<bdi>v4</bdi>"), "{page}");
    assert!(!page.contains("Nothing was deployed yet"), "{page}");
}

#[tokio::test]
async fn nothing_of_an_environment_is_told_to_who_may_not_see_it() {
    const SECRETS: [&str; 3] = ["9.9.9-prod", "shop/prod\"", "an audit of prod"];
    let shop = Shop::new();
    live_in_qa(&shop, "v1").await;
    shop.hook(r#"{"version":"v2","artifact":"a"}"#).await;
    let number = Number(1);
    let release = Release { number: 77, ..Release::draft("9.9.9-prod") };
    let accepted = fixture_tests::accepted(1, release, Plan::default(), Trigger::Person);
    shop.steps("shop/prod", [accepted, Event::Started { number }]).await;
    shop.steps("shop/prod", [Event::OperatorNeeded { number, reason: "an audit of prod".into(), about: None }]).await;
    let quinn = shop.token("quinn", Role::Admin, &["shop/qa"]);
    for path in [
        "/v1/timeline",
        "/v1/timeline?environment=shop/prod",
        "/v1/timeline?environment=*/prod&what=audit",
        "/v1/timeline?release=77",
        "/v1/history",
        "/v1/figures",
        "/v1/figures?environment=prod&pipeline=shop",
        "/v1/releases/shop/77",
        "/v1/releases/shop/1",
        "/v1/overview",
        "/v1/overview?q=9.9.9",
        "/v1/overview?show=needs",
        "/v1/environments",
        "/v1/environments/shop/qa",
        "/v1/environments/shop/qa/deployments",
        "/v1/deployments/shop/qa/1/story",
        "/v1/deployments/shop/qa/1/evidence",
        "/",
        "/?q=9.9.9&show=needs",
        "/history",
        "/history?who=mallory",
        "/figures",
        "/figures?environment=prod",
        "/releases/shop/1",
        "/environments/shop/qa",
        "/deployments/shop/qa/1",
        "/environments/shop/qa/promote",
        "/me",
    ] {
        let seen = look(&shop, &quinn, path).await.text;
        for secret in SECRETS.iter().filter(|secret| !path.contains(**secret)) {
            assert!(!seen.contains(secret), "{path} tells {secret}: {seen}");
        }
    }
    let needs = shop.ask(&quinn, "GET", "/v1/overview", "").await.body;
    assert_eq!((&needs["environments_in_all"], &needs["counts"]["moving"]), (&1.into(), &0.into()), "{needs}");
    let everything = shop.get("/v1/overview").await.body;
    assert_eq!((&everything["environments_in_all"], &everything["counts"]["moving"]), (&2.into(), &1.into()));
    for path in ["/v1/history?environment=shop/prod", "/v1/deployments/shop/prod/1/evidence", "/environments/shop/prod"]
    {
        let refused = look(&shop, &quinn, path).await;
        assert!(refused.status == 403 && !refused.text.contains("9.9.9"), "{path}: {}", refused.text);
    }
    // Releases that are elsewhere only are not listed, guessed or named.
    for body in [r#"{"version":"9.9.8-prod","reason":"x"}"#, r#"{"release":78,"reason":"x"}"#] {
        let refused = shop.ask(&quinn, "POST", "/v1/environments/shop/qa/veto", body).await;
        refused.refused(StatusCode::NOT_FOUND, "there are: v2 (release 2), v1 (release 1)");
        assert!(!refused.detail().contains("9.9.9"), "{}", refused.detail());
    }
    let both = r#"{"release":77,"version":"v7","reason":"x"}"#;
    let refused = shop.ask(&quinn, "POST", "/v1/environments/shop/qa/veto", both).await;
    refused.refused(StatusCode::CONFLICT, "release 77 is another one, which is not the `version`");
}

#[tokio::test]
async fn a_filter_of_nonsense_is_answered_and_never_a_defect() {
    let shop = told().await;
    let viewer = shop.token("vera", Role::Viewer, &[]);
    let long = "x".repeat(10_000);
    let values = [
        "",
        "%20",
        "%00%1b%5B2J",
        "%E2%80%AE",
        "-1",
        "0",
        "18446744073709551615",
        "18446744073709551616",
        "1e9",
        "NaN",
        "9999-12-31",
        "0000-00-00",
        "2026-02-30",
        "2026-11-26T00:00:00Z",
        "+2026-11-26",
        "65535d",
        "65536h",
        "0h",
        "*/*",
        "shop/prod/7",
        "%2F",
        "../..",
        "%C3%9F%C4%B0",
        &long,
    ];
    let fields = ["environment", "who", "release", "outcome", "what", "from", "to", "last", "before", "most"];
    for (field, value) in fields.iter().flat_map(|field| values.iter().map(move |value| (field, value))) {
        let told = shop.ask(&viewer, "GET", &format!("/v1/timeline?{field}={value}"), "").await;
        assert!(matches!(told.status, 200 | 400), "{field}={value:.40}: {}", told.body);
        let page = look(&shop, &viewer, &format!("/history?{field}={value}")).await;
        assert_eq!(page.status, told.status, "{field}={value:.40}");
        assert!(!page.text.contains('\0') && !page.text.contains('\u{1b}'), "{field}={value:.40}");
    }
    for (field, value) in ["pipeline", "environment", "days", "by"].iter().flat_map(|field| values.map(|v| (field, v)))
    {
        let told = shop.ask(&viewer, "GET", &format!("/v1/figures?{field}={value}"), "").await;
        assert!(matches!(told.status, 200 | 400), "{field}={value:.40}: {}", told.body);
        assert_eq!(look(&shop, &viewer, &format!("/figures?{field}={value}")).await.status, told.status);
    }
    let told = shop.get("/v1/timeline?from=2026-12-02&to=2026-12-01").await.body;
    assert_eq!(
        (entries(&told).len(), &told["hidden"]),
        (0, &5.into()),
        "a time that ends before it begins has nothing"
    );
    assert_eq!(entries(&shop.get("/v1/timeline?most=0").await.body).len(), 1);
}

#[tokio::test]
async fn what_comes_while_somebody_reads_page_by_page_moves_nothing() {
    let shop = told().await;
    let (mut seen, mut address) = (Vec::new(), "/v1/timeline?most=1".to_owned());
    loop {
        let told = shop.get(&address).await.body;
        seen.extend(entries(&told));
        live_in_qa(&shop, &format!("v{}", 10 + seen.len())).await;
        let Some(older) = told["older"].as_u64() else { break };
        address = format!("/v1/timeline?most=1&before={older}");
    }
    assert_eq!(seen, ["shop/prod: held", "shop/prod/2", "shop/qa/2", "shop/prod/1", "shop/qa/1"]);
}

#[tokio::test]
async fn whoever_waits_for_the_first_look_at_the_past_takes_no_place_of_others_who_read() {
    let shop = told().await;
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (began, begins) = tokio::sync::oneshot::channel();
    let app = shop.app.clone();
    let long = tokio::task::spawn_blocking(move || {
        app.chronicle.look(&app.journal, |_| {
            began.send(()).unwrap();
            wait.recv().unwrap();
        });
    });
    begins.await.unwrap();
    let looks = futures_util::future::join_all((0..20).map(|_| shop.get("/v1/timeline")));
    let meanwhile = async {
        tokio::task::yield_now().await;
        let history = tokio::time::timeout(std::time::Duration::from_secs(60), shop.get("/v1/history")).await;
        done.send(()).unwrap();
        history.expect("it does not wait").status
    };
    let (looks, history) = tokio::join!(looks, meanwhile);
    long.await.unwrap();
    assert!(history == 200 && looks.iter().all(|look| look.status == 200));
}
