//! Front drivers.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use pointsman::{
    machine::{Fencing, Generation, StackName},
    web_front::{CutOver, DRIVERS, FrontDriver, Route, SeenFront, Split, Target, builtin::BuiltinFront, command},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{GIVEN_UP_AFTER, PROGRAM, given_up, stack, until};
use crate::support::{address, nginx::Nginx, processes, wire::Wire};

/// A front of its own.
pub(super) trait Fixture: Send + Sync {
    /// The driver, as one more controller would open it.
    fn open(&self) -> Arc<dyn FrontDriver>;
    /// Where users ask; `None`: it only says where they would.
    fn users(&self) -> Option<SocketAddr>;
    /// A reload of it may close a kept connection that a user is about to use, where this host is busy: users ask again.
    fn closes_kept(&self) -> bool {
        false
    }
    /// Whether its maintenance page says when to come again.
    fn says_when(&self) -> bool {
        true
    }
    /// A stack that serves at this address, as this front is given one.
    fn target(&self, number: u32, at: SocketAddr) -> Target {
        Target { stack: stack(number), reach: at.into() }
    }
}

/// New fronts that nobody has given a route, in all the ways in which the driver is used.
pub(super) fn fixtures(driver: &str) -> Vec<Box<dyn Fixture>> {
    match driver {
        "builtin" => {
            let folder = tempfile::tempdir().expect("a folder");
            vec![Box::new(Builtin { folder, listen: (address::own(), 8081).into() })]
        }
        "command" => vec![Box::new(Program::new("")), Box::new(Program::new("observe = ['cat', 'points_at']"))],
        "nginx" => {
            let ways = [Nginx::start(), Nginx::behind_ssh()].into_iter().flatten();
            ways.map(|nginx| Box::new(nginx) as Box<dyn Fixture>).collect()
        }
        #[cfg(feature = "aws")]
        "alb" => super::aws::Balancer::new().into_iter().map(|front| Box::new(front) as Box<dyn Fixture>).collect(),
        other => panic!(
            "the front driver {other:?} has no fixture: add one in tests/contract/fronts.rs, with its real peer, \
             so that the contract is tried against it"
        ),
    }
}

struct Builtin {
    folder: tempfile::TempDir,
    listen: SocketAddr,
}

impl Fixture for Builtin {
    fn open(&self) -> Arc<dyn FrontDriver> {
        let table = format!("listen = \"{}\"", self.listen).parse().expect("settings");
        Arc::new(BuiltinFront::run_by(PathBuf::from(PROGRAM), &table, self.folder.path()).expect("right settings"))
    }
    fn users(&self) -> Option<SocketAddr> {
        Some(self.listen)
    }
}

impl Drop for Builtin {
    fn drop(&mut self) {
        processes::end(|| processes::of(self.folder.path(), &self.folder.path().join("none")));
    }
}

impl Fixture for Nginx {
    fn open(&self) -> Arc<dyn FrontDriver> {
        self.driver()
    }
    fn users(&self) -> Option<SocketAddr> {
        Some(self.plain())
    }
    fn closes_kept(&self) -> bool {
        true
    }
}

/// A front that is a file with an address.
struct Program {
    folder: tempfile::TempDir,
    settings: String,
}

impl Program {
    fn new(observe: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cut_over = "cut_over = ['cp', '/dev/stdin', '{addresses}']";
        let script = "printf '%s\n' \"$1\" > fresh && mv fresh points_at";
        let cut_over = cut_over.replace("'cp', '/dev/stdin', ", &format!("'sh', '-c', {script:?}, 'sh', "));
        let settings = format!("{cut_over}\noff = ['sh', '-c', ': > points_at']\ntimeout = '10s'\n{observe}");
        Self { folder, settings }
    }
}

impl Fixture for Program {
    fn open(&self) -> Arc<dyn FrontDriver> {
        let table = self.settings.parse().expect("settings");
        command::open(&table, self.folder.path(), self.folder.path()).expect("right settings")
    }
    fn users(&self) -> Option<SocketAddr> {
        None
    }
}

/// A stack that answers everything with 200, and says its name, for this front.
async fn backend(front: &dyn Fixture, number: u32) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer =
        format!("HTTP/1.1 200 OK\r\nx-stack: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", stack(number));
    drop(tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = client.read(&mut request).await;
            let _ = client.write_all(answer.as_bytes()).await;
        }
    }));
    front.target(number, address)
}

fn route(generation: u64, target: &Target) -> Route {
    Route::whole(Generation(generation), Some(target.clone()))
}

async fn see(driver: &dyn FrontDriver) -> Option<SeenFront> {
    driver.observe().await.expect("it answers")
}

async fn assert_serves(driver: &dyn FrontDriver, route: &Route) {
    until(&format!("the front shows {route:?}"), || async {
        see(driver).await.is_some_and(|seen| seen.route == *route)
    })
    .await;
    let expected: Option<StackName> = route.target.as_ref().map(|t| t.stack.clone());
    match driver.ask_public().await {
        Ok(Some(answers)) => assert_eq!(Some(answers), expected),
        // It does not tell.
        Ok(None) => {}
        Err(why) => assert_eq!(expected, None, "{why}"),
    }
}

async fn for_each_driver<F: Future<Output = ()>>(story: impl Fn(Box<dyn Fixture>, Target, Target) -> F) {
    for name in DRIVERS.iter().map(|driver| driver.name) {
        for fixture in fixtures(name) {
            println!("front driver {name}");
            fixture.open().ensure_running().await.expect("it comes up");
            let (one, two) = (backend(&*fixture, 1).await, backend(&*fixture, 2).await);
            story(fixture, one, two).await;
        }
    }
}

#[tokio::test]
async fn an_order_is_applied_and_read_back_however_often_it_is_given() {
    for_each_driver(|f, one, two| async move {
        let driver = f.open();
        assert_eq!(see(&*driver).await.and_then(|seen| seen.route.target), None);
        for target in [&one, &two, &one] {
            let generation = see(&*driver).await.map_or(0, |seen| seen.route.generation.0) + 1;
            for _ in 0..3 {
                let done = driver.cut_over(&route(generation, target)).await.expect("it answers");
                assert_eq!(done, CutOver::Applied);
            }
            assert_serves(&*driver, &route(generation, target)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_late_order_changes_nothing_or_is_waited_out() {
    for_each_driver(|f, one, two| async move {
        let driver = f.open();
        driver.cut_over(&route(7, &one)).await.expect("it answers");
        match driver.fencing() {
            Fencing::CompareAndSet => {
                let late = driver.cut_over(&route(6, &two)).await.expect("it answers");
                assert_eq!(late, CutOver::Stale { applied: Generation(7) });
                // Another target under the same number is somebody else's order.
                let tie = driver.cut_over(&route(7, &two)).await;
                assert!(!matches!(tie, Ok(CutOver::Applied)), "{tie:?}");
            }
            Fencing::WaitOut(wait) => assert!(wait.0 > 0),
        }
        assert_serves(&*driver, &route(7, &one)).await;
    })
    .await;
}

#[tokio::test]
async fn a_stack_that_is_reached_elsewhere_is_followed_by_the_order_in_force() {
    for_each_driver(|f, one, two| async move {
        let driver = f.open();
        driver.cut_over(&route(7, &one)).await.expect("it answers");
        driver.stage(&two).await.expect("it answers");
        // Its instance is replaced twice, and the first of the new addresses comes back.
        let moved = [backend(&*f, 1).await, backend(&*f, 1).await];
        for now in [&moved[0], &moved[1], &moved[0], &moved[0], &one] {
            let done = f.open().cut_over(&route(7, now)).await.expect("it answers");
            assert_eq!(done, CutOver::Applied);
            assert_serves(&*driver, &route(7, now)).await;
            assert!(see(&*driver).await.is_some_and(|seen| !seen.altered), "nobody else has changed it");
        }
        let other = driver.cut_over(&route(7, &two)).await;
        assert!(!matches!(other, Ok(CutOver::Applied)), "another stack is another order: {other:?}");
        assert_serves(&*driver, &route(7, &one)).await;
        driver.cut_over(&route(8, &two)).await.expect("it answers");
        let late = driver.cut_over(&route(7, &moved[0])).await.expect("it answers");
        assert_eq!(late, CutOver::Stale { applied: Generation(8) });
        assert_serves(&*driver, &route(8, &two)).await;
    })
    .await;
}

#[tokio::test]
async fn another_controller_finds_route_and_candidate() {
    for_each_driver(|f, one, two| async move {
        let first = f.open();
        first.cut_over(&route(3, &one)).await.expect("it answers");
        first.stage(&two).await.expect("it answers");
        let before = see(&*first).await;
        drop(first);
        let other = f.open();
        other.ensure_running().await.expect("it runs");
        assert_eq!(see(&*other).await, before);
        assert_serves(&*other, &route(3, &one)).await;
        let late = other.cut_over(&route(2, &two)).await;
        assert!(!matches!(late, Ok(CutOver::Applied)) || matches!(other.fencing(), Fencing::WaitOut(_)));
    })
    .await;
}

#[tokio::test]
async fn a_candidate_gets_no_traffic_before_the_cutover() {
    for_each_driver(|f, one, two| async move {
        let driver = f.open();
        driver.cut_over(&route(1, &one)).await.expect("it answers");
        for _ in 0..3 {
            driver.stage(&two).await.expect("it answers");
            assert_eq!(see(&*driver).await.and_then(|seen| seen.staged), Some(two.stack.clone()));
            assert_serves(&*driver, &route(1, &one)).await;
        }
        driver.cut_over(&route(2, &two)).await.expect("it answers");
        assert_serves(&*driver, &route(2, &two)).await;
    })
    .await;
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_can_be_given_again() {
    for_each_driver(|f, one, two| async move {
        let targets = [&one, &two];
        for (generation, after) in (1..).zip(GIVEN_UP_AFTER) {
            let target = targets[generation as usize % 2];
            given_up(f.open().stage(target), after).await;
            f.open().stage(target).await.expect("it answers");
            given_up(f.open().cut_over(&route(generation, target)), after).await;
            let driver = f.open();
            let again = driver.cut_over(&route(generation, target)).await.expect("it answers");
            assert_eq!(again, CutOver::Applied);
            assert_serves(&*driver, &route(generation, target)).await;
        }
    })
    .await;
}

/// Gives the second stack a share.
fn shared(generation: u64, target: &Target, second: &Target, percent: i64) -> Route {
    let split = Split { target: second.clone(), share: percent.try_into().expect("a share") };
    Route { split: Some(split), ..route(generation, target) }
}

#[tokio::test]
async fn a_share_is_obeyed_read_back_and_taken_back_by_one_order_or_refused_by_name() {
    for driver in DRIVERS {
        for fixture in fixtures(driver.name) {
            println!("front driver {}", driver.name);
            let (front, one, two) = (fixture.open(), backend(&*fixture, 1).await, backend(&*fixture, 2).await);
            front.ensure_running().await.expect("it comes up");
            front.cut_over(&route(1, &one)).await.expect("it answers");
            front.stage(&two).await.expect("it answers");
            if !driver.splits {
                let refused = front.cut_over(&shared(2, &one, &two, 5)).await.unwrap_err().to_string();
                assert!(refused.contains(driver.name) && refused.contains("a share of the users"), "{refused}");
                assert_serves(&*front, &route(1, &one)).await;
                continue;
            }
            for (generation, percent) in (2..).zip([1, 5, 50, 99]) {
                let order = shared(generation, &one, &two, percent);
                for _ in 0..2 {
                    assert_eq!(front.cut_over(&order).await.expect("it answers"), CutOver::Applied);
                }
                assert_eq!(see(&*front).await.map(|seen| seen.route), Some(order));
            }
            let (last, tie) = (shared(5, &one, &two, 99), shared(5, &one, &two, 98));
            drop(front);
            let other = fixture.open();
            other.ensure_running().await.expect("it runs");
            let late = other.cut_over(&shared(4, &one, &two, 50)).await.expect("it answers");
            assert_eq!(late, CutOver::Stale { applied: Generation(5) });
            let tie = other.cut_over(&tie).await;
            assert!(!matches!(tie, Ok(CutOver::Applied)), "{tie:?}");
            let seen = see(&*other).await.expect("a front that serves");
            assert_eq!((seen.route, seen.staged), (last, None), "another controller finds it");
            let answers = other.ask_public().await.expect("it answers").expect("it tells");
            assert!([&one.stack, &two.stack].contains(&&answers), "{answers}");
            for (generation, whole) in [(6, &one), (7, &two)] {
                other.cut_over(&route(generation, whole)).await.expect("it answers");
                assert_serves(&*other, &route(generation, whole)).await;
            }
        }
    }
}

#[tokio::test]
async fn nobody_can_be_given_the_traffic_and_a_front_with_a_page_shows_it() {
    for driver in DRIVERS {
        for fixture in fixtures(driver.name) {
            println!("front driver {}", driver.name);
            let (front, one, two) = (fixture.open(), backend(&*fixture, 1).await, backend(&*fixture, 2).await);
            front.ensure_running().await.expect("it comes up");
            front.cut_over(&route(1, &one)).await.expect("it answers");
            let nobody = Route::whole(Generation(2), None);
            // That requests are to be held is a wish: one that holds none shows its page.
            for order in [&nobody, &Route { hold: true, ..nobody.clone() }] {
                assert_eq!(front.cut_over(order).await.expect("it answers"), CutOver::Applied);
                let seen = see(&*front).await.expect("a front that serves");
                assert_eq!((seen.route.generation, &seen.route.target, seen.altered), (Generation(2), &None, false));
                assert_eq!((front.holds(), seen.held), (None, 0), "its settings name no limits");
            }
            let answers = front.ask_public().await;
            assert!(matches!(answers, Err(_) | Ok(None)), "{answers:?}");
            if let Some(at) = fixture.users().filter(|_| driver.pages) {
                let page = Wire::open(at).and_then(|mut wire| wire.ask("GET", "/", "", "")).expect("an answer");
                assert_eq!(page.status, 503);
                let says = page.headers.get("retry-after").map(String::as_str);
                assert_eq!(says, fixture.says_when().then_some("30"), "{page:?}");
                assert!(page.body.contains("Down for maintenance"), "{page:?}");
            }
            front.stage(&two).await.expect("it answers");
            assert_eq!(see(&*front).await.and_then(|seen| seen.staged), Some(two.stack.clone()));
            front.cut_over(&route(3, &two)).await.expect("it answers");
            assert_serves(&*front, &route(3, &two)).await;
        }
    }
}
