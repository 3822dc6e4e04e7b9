//! Names, times and terms.

use super::*;

#[test]
fn names_are_short_and_plain() {
    let long = "a".repeat(40);
    for good in ["a", "shop", "a-1", &long] {
        assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
    }
    let too_long = "a".repeat(41);
    for bad in ["", "-a", "a-", "A", "a_b", "a/b", "ä", &too_long] {
        assert!(bad.parse::<Name>().unwrap_err().to_string().contains("is no name"));
    }
    let json = serde_json::to_string(&"shop/prod".parse::<EnvironmentId>().unwrap()).unwrap();
    assert_eq!(json, r#""shop/prod""#);
    let id: EnvironmentId = serde_json::from_str(&json).unwrap();
    assert_eq!((id.pipeline.as_str(), id.environment.as_str()), ("shop", "prod"));
    assert!("shop".parse::<EnvironmentId>().is_err() && serde_json::from_str::<Name>(r#""A""#).is_err());
    assert_eq!(StackName { environment: id, number: n(7) }.to_string(), "shop-prod-7");
    assert_eq!(serde_json::to_string(&"a".parse::<Name>().unwrap()).unwrap(), r#""a""#);
}

#[test]
fn keys_read_as_hexadecimal() {
    let json = serde_json::to_string(&Key([0xab; 16])).unwrap();
    assert_eq!(json, format!("\"{}\"", "ab".repeat(16)));
    assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), Key([0xab; 16]));
    assert!(serde_json::from_str::<Key>("\"ab\"").is_err());
    assert_eq!(format!("{:?}", Key([1; 16])), "01".repeat(16));
}

#[test]
fn a_clock_that_goes_back_makes_nothing_late() {
    assert_eq!(Millis(5).since(Millis(9)), Millis(0));
    assert_eq!(Millis(9).since(Millis(5)), Millis(4));
    assert_eq!(Millis(u64::MAX).plus(Millis(1)), Millis(u64::MAX));
    assert_eq!((Generation(1).next().to_string(), n(1).next().to_string()), ("2".into(), "2".into()));
}

#[test]
fn a_front_without_compare_and_set_is_waited_out() {
    let rules = Rules::default();
    assert!(Fencing::CompareAndSet.quiet(Millis(5), Millis(5), rules));
    let wait = Fencing::WaitOut(Millis(10));
    assert!(!wait.quiet(Millis(5), Millis(14), rules) && wait.quiet(Millis(5), Millis(15), rules));
}

#[test]
fn the_terms_by_default_are_the_documented_ones() {
    let plan: Plan = serde_json::from_str("{}").unwrap();
    assert_eq!((plan.provision_within, plan.check_within), (Millis(600_000), Millis(300_000)));
    assert_eq!((plan.cut_over_within, plan.bake), (Millis(60_000), Millis(60_000)));
    assert_eq!((plan.drain_within, plan.retire_within), (Millis(30_000), Millis(600_000)));
    assert_eq!(plan.retain, Retain::For(Millis(1_800_000)));
    assert!(plan.before_provisioning.is_none() && plan.before_cutover.is_none());
}

#[test]
fn only_steps_before_the_cutover_come_before_it() {
    use Phase::*;
    for phase in [Queued, AwaitingStart, Provisioning, Checking, AwaitingCutover, Verifying] {
        assert!(phase.before_cutover(), "{phase:?}");
    }
    for phase in [
        CuttingOver { generation: Generation(1), share: None, held: None },
        Baking,
        RollbackRequested { reason: text("") },
    ] {
        assert!(!phase.before_cutover(), "{phase:?}");
    }
}
