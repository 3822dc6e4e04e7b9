//! What can be said about a built-in front, and what is told when it cannot be so.

use super::*;

fn settings(more: &str) -> Settings {
    Settings::read(&format!("listen = '127.0.0.1:1'\n{more}").parse().unwrap()).unwrap()
}

#[test]
fn connections_are_made_to_fit_with_room_for_control() {
    for limit in [64, 256, 1024, 4096, 65_536, 1 << 20] {
        let mut settings = settings("");
        assert_eq!(settings.fit(limit), None, "nobody wrote a number");
        let Settings { connections, stack_connections, .. } = settings;
        let all = connections + told(connections) + stack_connections;
        assert!((1..=CONNECTIONS).contains(&connections) && stack_connections >= connections, "{settings:?}");
        let left = limit - all as u64;
        assert!(left >= (limit / 2).min(fixed_files(2, 1)), "{left} of {limit} are left");
    }
    let mut large = settings("");
    large.fit(65_536);
    assert_eq!(large.connections, CONNECTIONS);
}

#[test]
fn what_is_said_about_a_certificate_is_read_and_only_files_are_anchored() {
    let table = "tls = { certificate = 'c', key = 'k', names = ['Shop.test', '10.0.0.1'], warn_before = '30d' }";
    let table = anchored(&table.parse().unwrap(), Path::new("/etc/shop"));
    let mut table = table;
    table.insert("listen".into(), "127.0.0.1:1".into());
    let tls = Settings::read(&table).unwrap().tls.unwrap();
    assert_eq!((tls.certificate, tls.key), ("/etc/shop/c".into(), "/etc/shop/k".into()));
    assert_eq!((tls.names, tls.warn_before.0), (vec!["shop.test".into(), "10.0.0.1".into()], 30 * 86_400_000));
    for wrong in ["names = ['a b']", "names = 'a'", "names = ['a:80']", "warn_before = '1m'", "warn_before = 9"] {
        let table = format!("listen = '127.0.0.1:1'\ntls = {{ certificate = 'c', key = 'k', {wrong} }}");
        let mistakes = Settings::read(&table.parse().unwrap()).unwrap_err();
        let key = wrong.split(' ').next().unwrap();
        assert!(mistakes.len() == 1 && mistakes[0].starts_with(&format!("`front.tls.{key}`")), "{mistakes:?}");
    }
}

#[test]
fn a_number_that_does_not_fit_is_told() {
    let mut settings = settings("limits = { connections = 20000 }");
    assert_eq!(settings.clone().fit(65_536), None);
    let said = settings.fit(1024).unwrap();
    assert!(said.starts_with("`limits.connections` = 20000 needs 40"), "{said}");
    assert!(
        said.contains("1024 are allowed") && said.contains(&format!("{} connections are served", settings.connections))
    );
}
