//! What it costs to wait: lists that Heat is asked for while one deployment waits for its server, and while twenty do.

use std::time::Duration;

use serde_json::json;

use crate::{
    cloud::Cloud,
    faults::Proxy,
    house::House,
    sides::{definition, pipeline, until},
    wire::Wire,
};

/// How long servers take to boot here, and how much of it is counted once all are being made.
const BOOT: u32 = 45;
const WINDOW: Duration = Duration::from_secs(10);
const MANY: u32 = 20;

pub fn measure(cloud: &Cloud, proxy: &Proxy) {
    let (one, many) = (lists(cloud, proxy, 1), lists(cloud, proxy, MANY));
    println!("  lists in {} s of waiting: {one} with one deployment, {many} with {MANY}", WINDOW.as_secs());
}

fn lists(cloud: &Cloud, proxy: &Proxy, count: u32) -> usize {
    let house = House::with("");
    let front = "driver = \"command\", cut_over = [\"true\"]";
    let text = pipeline(cloud, proxy, front, "deadlines = { provision = \"5m\" }");
    std::fs::remove_file(house.path("pipelines/shop.toml")).unwrap();
    for number in 1..=count {
        house.write(&format!("pipelines/wait{count}-{number}.toml"), &text);
    }
    house.write("stacks/heat/deploy.yaml", include_str!("deploy.yaml"));
    house.write("stacks/heat/deploy.toml", &format!("{}boot_seconds = \"{BOOT}\"\n", definition()));
    house.start();
    proxy.asked();
    for number in 1..=count {
        let body = json!({ "version": "v1", "artifact": "none", "build": 1 }).to_string();
        let path = format!("/v1/hooks/wait{count}-{number}");
        let mut wire = Wire::open((house.address, 7070).into()).unwrap();
        let answer = wire.ask("POST", &path, &house.signature(&body), &body).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let mut made = 0;
    until("all are being made", 20, || {
        made += proxy.asked().iter().filter(|a| a.starts_with("POST /stacks")).count();
        (made >= count as usize).then_some(())
    });
    std::thread::sleep(WINDOW);
    let asked = proxy.asked();
    let lists = asked.iter().filter(|a| a.starts_with("GET /stacks?")).count();
    assert!(lists > 0, "nobody looks: {asked:?}");
    house.kill();
    let ours = std::fs::read_to_string(house.path("state/stacks/heat/installation")).unwrap();
    cloud.delete(&cloud.tagged(&format!("pointsman:installation:{}", ours.trim())));
    lists
}
