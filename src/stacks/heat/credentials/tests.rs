//! What cannot be done is refused by its name, and what means the same is taken for the same.

use super::*;

/// Whoever is described, at a Keystone of theirs unless they say another.
pub(in crate::stacks::heat) fn credentials(facts: &[(&str, &str)]) -> Result<Credentials, String> {
    let mut facts = self::facts(facts);
    if facts.get("auth_type").is_some_and(|kind| kind == "v3applicationcredential") {
        facts.remove("project_name");
    }
    Credentials::new(&facts, SecretString::from("s"))
}

fn wrong(facts: &[(&str, &str)]) -> String {
    credentials(facts).map(drop).unwrap_err()
}

impl Credentials {
    /// The region and the interfaces of a service.
    pub(in crate::stacks::heat) fn places_of(&self, service: &'static str) -> (Option<String>, Vec<String>) {
        let place = self.place(service);
        (place.region.clone(), place.interfaces.clone())
    }
}

#[test]
fn what_would_go_elsewhere_or_be_somebody_else_is_refused_by_its_name() {
    for (facts, words) in [
        (&[("auth_type", "v3oidcpassword")][..], "v3oidcpassword is not supported"),
        (&[("auth_type", "v3token")], "application credential create"),
        (&[("auth_type", "none")], "is not supported"),
        (&[("auth_type", "v2password")], "is not supported"),
        (&[("auth_type", "password"), ("application_credential_id", "1")], "leave one of them out"),
        (&[("password", "hunter2"), ("application_credential_id", "1")], "say which by `auth_type`"),
        (&[("auth_type", "v3applicationcredential")], "`application_credential_name` is missing"),
        (&[("identity_api_version", "2.0")], "`identity_api_version` is 2.0"),
        (&[("orchestration_api_version", "2")], "Pointsman speaks version 1"),
        (&[("compute_api_version", "1.1")], "Pointsman speaks version 2"),
        (&[("interface", "pubic")], "`interface` pubic is not known"),
        (&[("orchestration_interface", "public,")], "`interface`  is not known"),
        (&[("verify", "perhaps")], "`verify` is true or false"),
        (&[("key", "k.pem")], "`key` needs `cert`"),
        (&[("auth_url", "https://{region_name}.example/v3")], "wants a region"),
        (&[("auth_url", "https://{profile}.example/v3")], "only {region_name} is filled in"),
        (&[("orchestration_endpoint_override", "heat:8004")], "is not an http:// or https:// address"),
        (&[("orchestration_endpoint_override", "http://heat:8004")], "ends before the project"),
        (&[("orchestration_endpoint_override", "http://heat:8004/v1/")], "ends before the project"),
        (&[("orchestration_endpoint_override", "http://heat/v1/%(user_id)s")], "something else than the project"),
    ] {
        let told = wrong(facts);
        assert!(told.contains(words) && !told.contains("hunter2"), "{facts:?}: {told}");
    }
}

#[test]
fn what_is_meant_the_same_is_taken() {
    for facts in [
        &[("identity_api_version", "3")][..],
        &[("identity_api_version", "v3.0")],
        &[("compute_api_version", "2.79")],
        &[("orchestration_api_version", "1")],
        &[("auth_type", "v3password")],
        &[("orchestration_endpoint_override", "https://heat.example/v1/%(tenant_id)s")],
        &[("orchestration_endpoint_override", "https://heat.example/v1/0123456789abcdef")],
        &[("compute_endpoint_override", "https://nova.example/v2.1")],
    ] {
        assert!(credentials(facts).is_ok(), "{facts:?}: {}", wrong(facts));
    }
    let filled = credentials(&[("auth_url", "https://{region_name}.example/v3"), ("region_name", "One")]).unwrap();
    assert_eq!(filled.auth_url, "https://One.example/v3");
    assert!(Parts::of(&facts(&[("verify", "no")])).unwrap().is_unverified());
    assert!(Parts::of(&facts(&[("insecure", "True"), ("verify", "true")])).unwrap().is_unverified());
    assert!(!Parts::of(&facts(&[("insecure", "off"), ("verify", "yes")])).unwrap().is_unverified());
}

fn facts(more: &[(&str, &str)]) -> Facts {
    let usual = [("auth_url", "http://k/v3"), ("username", "ci"), ("project_name", "shop")];
    usual.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_is_said_in_one_way_takes_the_place_of_the_other() {
    let over = |over: &[(&str, &str)]| {
        let mut under = facts(&[("project_id", "1"), ("project_domain_id", "d"), ("auth_type", "password")]);
        overlay(&mut under, &over.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
        under
    };
    assert!(!over(&[("project_name", "other")]).contains_key("project_id"));
    assert!(!over(&[("project_id", "2")]).contains_key("project_name"));
    assert!(!over(&[("project_domain_name", "staff")]).contains_key("project_domain_id"));
    let credential = over(&[("application_credential_id", "21d")]);
    assert_eq!(credential.keys().collect::<Vec<_>>(), ["application_credential_id", "auth_url"]);
}
