//! Whatever is said of a cloud, wherever it stands, is done or refused, and none of it is guessed.

use secrecy::ExposeSecret;

use super::*;
use crate::stacks::heat::credentials::{Domain, Named, Project, Way};

const CLOUDS: &str = "clouds:\n  qa:\n    auth:\n      auth_url: https://keystone.example/v3\n      username: ci\n      \
                      password: canary\n      project_name: shop\n      user_domain_id: default\n    region_name: One\n";

/// A folder with these files, which the settings are meant from.
fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn read_in(folder: &Path, settings: &str) -> Result<Credentials, String> {
    let read = Settings::read(&toml::from_str(settings).unwrap(), folder).map_err(|wrong| wrong.join("\n"));
    let told = read.and_then(|settings| settings.credentials());
    told.map_err(|why| why.replace(&format!("{}/", folder.display()), ""))
}

fn read(settings: &str) -> Result<Credentials, String> {
    read_in(home(&[("clouds.yaml", CLOUDS), ("key", "from a file\n")]).path(), settings)
}

/// The entry `qa` of a file that is this, beside others.
fn entry_with(files: &[(&str, &str)]) -> Result<Credentials, String> {
    read_in(home(files).path(), "cloud = { name = \"qa\", file = \"clouds.yaml\" }")
}

/// An entry with these lines besides the usual ones.
fn with(auth: &str, beside: &str) -> Result<Credentials, String> {
    let indented = |text: &str, by: &str| text.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    let auth = indented(auth, "      ");
    let beside = indented(beside, "    ");
    entry_with(&[("clouds.yaml", &format!("clouds:\n  qa:\n    auth:\n      auth_url: https://k/v3\n{auth}{beside}"))])
}

const USUAL: &str = "username: ci\npassword: p\nproject_name: shop";

fn project(name: &str) -> Project {
    Project::Name { name: name.into(), domain: Domain::Name("Default".into()) }
}

fn user(name: &str) -> Named {
    Named::Name { name: name.into(), domain: Domain::Name("Default".into()) }
}

#[test]
fn an_entry_is_read_and_what_is_written_out_goes_before_it() {
    let found = read("cloud = { name = \"qa\", file = \"clouds.yaml\" }").unwrap();
    let by_id = Named::Name { name: "ci".into(), domain: Domain::Id("default".into()) };
    assert_eq!(found.user, User::Password { user: by_id, project: project("shop") });
    assert_eq!(found.place("orchestration").region.as_deref(), Some("One"));
    assert_eq!(found.secret.expose_secret(), "canary");
    let settings =
        "cloud = { name = \"qa\", file = \"clouds.yaml\", region_name = \"Two\", secret = { file = \"key\" } }";
    let found = read(settings).unwrap();
    assert_eq!(found.place("compute").region.as_deref(), Some("Two"));
    assert_eq!(found.secret.expose_secret(), "from a file");
    assert!(!format!("{found:?}").contains("from a file"));
}

#[test]
fn what_is_wrong_is_said_at_its_key() {
    let wrong = |settings: &str| read(settings).map(drop).unwrap_err();
    assert!(wrong("cloud = { nam = \"qa\" }").contains("unknown key `cloud.nam`; did you mean `name`?"));
    assert!(wrong("cloud = { name = \"live\", file = \"clouds.yaml\" }").contains("there are: qa"));
    assert!(wrong("cloud = { file = \"clouds.yaml\" }").contains("needs `name`"));
    assert!(wrong("cloud = { auth_url = \"http://k\", username = \"u\" }").contains("`project_name` is missing"));
    let told = wrong("cloud = { name = \"qa\", file = \"clouds.yaml\", secret = \"canary\" }");
    assert!(told.contains("only where it is kept") && !told.contains("canary"), "{told}");
    assert!(wrong("cloud = 3").contains("`cloud`"));
}

#[test]
fn unquoted_values_keep_their_text() {
    for text in
        ["1e5", "123456789012345678901234567890", "0123456", "1_000", "12:30:45", "yes", "1.10", "2026-01-02", "0x10"]
    {
        let found =
            with(&format!("user_id: {text}\npassword: {text}\nproject_id: {text}"), &format!("region_name: {text}"));
        let found = found.unwrap();
        let (user, project) = (Named::Id(text.into()), Project::Id(text.into()));
        assert_eq!(found.user, User::Password { user, project }, "{text}");
        assert_eq!(found.secret.expose_secret(), text);
        assert_eq!(found.place("orchestration").region.as_deref(), Some(text));
    }
}

#[test]
fn empty_is_absent_wherever_it_stands() {
    for nothing in ["", "~", "null", "''", "\"\""] {
        let found = with(
            &format!("username: ci\npassword: p\nproject_id: {nothing}\nproject_name: shop\ntoken: {nothing}"),
            &format!("region_name: {nothing}\ncacert: {nothing}\nsystem_scope: {nothing}\ninterface: {nothing}"),
        );
        let found = found.unwrap();
        assert_eq!(found.user, User::Password { user: user("ci"), project: project("shop") }, "{nothing}");
        assert_eq!(found.tls.cacert, None);
        assert_eq!(found.places_of("orchestration"), (None, vec!["public".to_owned()]));
    }
    let told = with("username: ci\npassword: ~\nproject_name: shop", "").map(drop).unwrap_err();
    assert!(told.contains("the password is missing"), "{told}");
    let told = with("username: ci\npassword: ''\nproject_name: shop", "").map(drop).unwrap_err();
    assert!(told.contains("the password is missing"), "{told}");
    assert_eq!(with("username: ci\npassword: '~'\nproject_name: shop", "").unwrap().secret.expose_secret(), "~");
}

#[test]
fn every_spelling_says_the_same() {
    for auth in [
        "username: ci\npassword: p\nproject_name: shop",
        "user-name: ci\npassword: p\ntenant-name: shop",
        "username: ci\npassword: p\ntenant_name: shop\nproject_name: shop",
        "<<: {username: other, project_name: shop}\nusername: ci\npassword: p",
    ] {
        for beside in
            ["interface: internal", "endpoint_type: internalURL", "interface: [internal]", "endpoint-type: internalURL"]
        {
            let found = with(auth, beside).unwrap();
            assert_eq!(found.user, User::Password { user: user("ci"), project: project("shop") }, "{auth}");
            assert_eq!(found.place("orchestration").interfaces, ["internal"], "{beside}");
        }
    }
    let beside = "tenant_name: shop\nusername: ci\npassword: p\ninterface: [internal, publicURL]";
    let found = with("username: ci", beside).unwrap();
    assert_eq!(found.user, User::Password { user: user("ci"), project: project("shop") });
    assert_eq!(found.place("compute").interfaces, ["internal", "public"]);
    let found = with("username: u\npassword: p\nproject_id: 0123\ndomain_name: staff", "").unwrap();
    let staff = Named::Name { name: "u".into(), domain: Domain::Name("staff".into()) };
    assert_eq!(found.user, User::Password { user: staff, project: Project::Id("0123".into()) });
    let found = with(
        "application_credential_id: 007\napplication_credential_secret: 1e5",
        "auth_type: v3applicationcredential",
    );
    let found = found.unwrap();
    let credential = Way::Id("007".into());
    assert_eq!(found.user, User::ApplicationCredential { credential, claims: vec![] });
    assert_eq!(found.secret.expose_secret(), "1e5");
}

#[test]
fn what_cannot_be_done_is_refused_with_its_place_and_what_to_do() {
    for (auth, beside, words) in [
        ("token: canary", "", "clouds.yaml:8:7: `token` cannot be done: a token ends within hours"),
        ("passcode: 123", "", "`passcode` cannot be done"),
        ("system_scope: all", "", "`system_scope` cannot be done"),
        ("", "auth_type: v3oidcpassword", "v3oidcpassword is not supported"),
        ("", "endpoint_override: http://canary", "say of which service"),
        ("usernme: ci", "", "the key `usernme` is not known, and may change where or as whom"),
        ("", "regon_name: One", "did you mean `region_name`?"),
        ("", "https_proxy: http://canary", "the key `https_proxy` is not known"),
        ("", "orchestration_endpoint_overide: http://canary", "is not known, and may change where"),
        ("", "username: canary", "`username` is said twice"),
        ("tenant_name: canary", "", "`project_name` is said twice"),
        ("", "interface: public\nendpoint_type: adminURL", "`interface` is said twice"),
        ("", "verify: [canary]", "`verify` is one text"),
        ("", "regions: [One, Two]", "it has several `regions`: say which by `region_name`; there are One, Two"),
        ("", "region_name: One,Two", "it has several `regions`"),
        ("", "regions: [One, Two]\nregion_name: Three", "region Three is not among its `regions`: One, Two"),
        ("", "regions: One", "`regions` is a list of names"),
        ("", "regions: [{name: One, value: canary}]", "`regions` is a list of names"),
        ("", "profile: nobodys", "`profile` nobodys: there is no such entry"),
        ("user_id: !canary x", "", "begins with `!` is a tag"),
        ("username: canary", "", "clouds.yaml:8:7: the key `username` stands twice"),
    ] {
        let told = with(&format!("{USUAL}\n{auth}"), beside).map(drop).expect_err(&format!("{auth} {beside}"));
        assert!(told.contains(words) && !told.contains("canary"), "{auth} {beside}: {told}");
    }
    assert!(
        with(USUAL, "image_format: raw\nnetworks: [{name: x}]\nhas_network: false\nx-ours: 1\nflavour_of_the_day: 3")
            .is_ok()
    );
}

#[test]
fn regions_say_more_of_themselves_and_so_do_profiles_and_secure_yaml() {
    let clouds = "x: &auth {auth_url: 'https://{region_name}.example/v3', username: ci}\nclouds:\n  qa:\n    profile: house\n    auth: {<<: *auth, \
                  project_name: shop}\n    region_name: Two\n    regions:\n      - One\n      - name: Two\n        values: {interface: admin, auth: \
                  {project_name: two}, cacert: two.pem}\n";
    let public = "public-clouds:\n  house:\n    auth: {user_domain_name: staff, username: nobody}\n    interface: internal\n    verify: no\n";
    let secure = "clouds:\n  qa: {auth: {password: 0123}}\n  other: {token: x}\n";
    let home = home(&[("clouds.yaml", clouds), ("clouds-public.yaml", public), ("secure.yaml", secure)]);
    let found = read_in(home.path(), "cloud = { name = \"qa\", file = \"clouds.yaml\" }").unwrap();
    let staff = Named::Name { name: "ci".into(), domain: Domain::Name("staff".into()) };
    assert_eq!(found.user, User::Password { user: staff, project: project("two") });
    assert_eq!((found.auth_url.as_str(), found.secret.expose_secret()), ("https://Two.example/v3", "0123"));
    assert_eq!(found.places_of("orchestration"), (Some("Two".to_owned()), vec!["admin".to_owned()]));
    assert!(found.tls.unverified);
    assert_eq!(found.tls.cacert, Some(home.path().join("two.pem")));
    let one = read_in(
        home.path(),
        "cloud = { name = \"qa\", file = \"clouds.yaml\", region_name = \"One\", cacert = \"ca.pem\" }",
    );
    let one = one.unwrap();
    assert_eq!(one.places_of("orchestration"), (Some("One".to_owned()), vec!["internal".to_owned()]));
    assert_eq!(one.tls.cacert, Some(home.path().join("ca.pem")));
    let settings = toml::from_str("cloud = { name = \"qa\", file = \"clouds.yaml\" }").unwrap();
    let notes = Settings::read(&settings, home.path()).unwrap().notes().join("\n");
    assert!(notes.contains("clouds.yaml") && notes.contains("trusted with any certificate"), "{notes}");
}

#[test]
fn a_file_that_is_no_clouds_yaml_is_said_to_be_none() {
    for (text, words) in [
        ("", "clouds.yaml:1:1: it has no `clouds`"),
        ("clouds: ~", "it has no `clouds`"),
        ("clouds: [qa]", "clouds.yaml:1:9: `clouds` has no entries"),
        ("clouds: {qa: canary}", "clouds.yaml:1:14: a cloud has keys and values"),
        ("clouds: {qa: {auth: canary}}", "clouds.yaml:1:21: `auth` has keys and values"),
        ("clouds: {qa: {}}\n---\nclouds: {}\n", "clouds.yaml:2:1: a second document"),
        ("clouds:\n\tqa: canary\n", "clouds.yaml:2:"),
        ("clouds: {qa: {}}\nclouds: {}\n", "clouds.yaml:2:1: the key `clouds` stands twice"),
    ] {
        let told = entry_with(&[("clouds.yaml", text)]).map(drop).unwrap_err();
        assert!(told.contains(words) && !told.contains("canary"), "{text}: {told}");
    }
    let told = entry_with(&[("clouds.yaml", CLOUDS), ("secure.yaml", "cloud: {}")]).map(drop).unwrap_err();
    assert!(told.contains("secure.yaml:1:1: it has no `clouds`"), "{told}");
    assert!(entry_with(&[("clouds.yaml", CLOUDS), ("secure.yaml", "# none\n")]).is_ok());
    let json = "{\n\t\"clouds\": {\"qa\": {\"auth\": {\"auth_url\": \"http://k\", \"username\": \"ci\", \"password\": \"p\", \"project_id\": \"1\"}}}}";
    assert!(entry_with(&[("clouds.yaml", json)]).is_ok());
}

#[test]
fn an_openrc_file_says_the_same() {
    let of = |pairs: &[(&str, &str)]| {
        let all: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        entry_of_variables(&all).and_then(|named| match named {
            Some(name) => Ok(BTreeMap::from([("cloud".to_owned(), name)])),
            None => variables(&all),
        })
    };
    let openrc = [
        ("OS_AUTH_URL", "https://keystone.example/v3"),
        ("OS_USERNAME", "ci"),
        ("OS_PASSWORD", "canary"),
        ("OS_TENANT_NAME", "shop"),
        ("OS_PROJECT_NAME", "shop"),
        ("OS_ENDPOINT_TYPE", "internalURL"),
        ("OS_INTERFACE", "internal"),
        ("OS_REGION_NAME", ""),
        ("OS_USER_DOMAIN_ID", "default"),
        ("OS_IMAGE_API_VERSION", "2"),
        ("OS_NAME", "of the system"),
        ("PATH", "/bin"),
    ];
    let facts = of(&openrc).unwrap();
    let settings = Settings { source: Source::Written, written: facts, secret: None, folder: PathBuf::new() };
    let found = settings.credentials().unwrap();
    let by_id = Named::Name { name: "ci".into(), domain: Domain::Id("default".into()) };
    assert_eq!(found.user, User::Password { user: by_id, project: project("shop") });
    assert_eq!(found.place("orchestration").interfaces, ["internal"]);
    assert!(of(&[]).unwrap_err().contains("no cloud is named"));
    for (name, value, words) in [
        ("OS_TENANT_NAME", "canary", "OS_TENANT_NAME: `project_name` is said twice"),
        ("OS_TOKEN", "canary", "OS_TOKEN is set and cannot be done"),
        ("OS_SYSTEM_SCOPE", "all", "OS_SYSTEM_SCOPE is set"),
        ("OS_ENDPOINT", "http://canary", "OS_ENDPOINT is set"),
        ("OS_CLOUD", "qa", "OS_CLOUD and OS_AUTH_URL are both set"),
    ] {
        let changed = openrc.iter().filter(|(known, _)| *known != name).copied().chain([(name, value)]);
        let told = of(&changed.collect::<Vec<_>>()).unwrap_err();
        assert!(told.contains(words) && !told.contains("canary"), "{name}: {told}");
    }
    assert_eq!(of(&[("OS_CLOUD", "qa"), ("OS_REGION_NAME", "One")]).unwrap()["cloud"], "qa");
}
