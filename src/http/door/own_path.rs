//! Where somebody is led on: never to another host, whatever stands in the address or the form that says so.

/// The longest path to which somebody is led, in bytes.
const LONGEST: usize = 2048;

/// Returns the path if it leads to a page of ours, and that of the overview otherwise.
pub(in crate::http) fn own_path(then: Option<&str>) -> &str {
    then.filter(|path| is_own(path)).unwrap_or("/")
}

/// Browsers take `//host`, `/\host` and either with a tab in between for another host, and what stands between here and there may
/// decode what is encoded. Pages of ours have none of that in their path.
fn is_own(path: &str) -> bool {
    let (place, rest) = path.split_at(path.find(['?', '#']).unwrap_or(path.len()));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    path.len() <= LONGEST
        && place.starts_with('/')
        && !place.contains("//")
        && place.bytes().all(plain)
        && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;

    #[test]
    fn pages_of_ours_are_led_to_with_what_they_were_asked() {
        for own in [
            "/",
            "/?q=shop&show=held",
            "/environments/shop/qa#next",
            "/history?what=%2F%2Fx%0A&who=a+b&next=//evil.example",
            "/deployments/shop-1/qa/7",
        ] {
            assert_eq!(own_path(Some(own)), own);
        }
        assert_eq!(own_path(None), "/");
    }

    #[test]
    fn nothing_else_is() {
        let long = format!("/{}", "x".repeat(LONGEST));
        for bad in [
            "",
            "x",
            "https://evil.example/",
            "javascript:alert(1)",
            "//evil.example",
            "///evil.example",
            "/a//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/\n/evil.example",
            "/a\r\nset-cookie: x=y",
            "/%2Fevil.example",
            "/%2f%2fevil.example",
            "/%5Cevil.example",
            "/%09/evil.example",
            "/%252Fevil.example",
            "/a?x=\\evil",
            "/a?x=\u{e9}",
            "/\u{ff0f}evil.example",
            "/@evil.example",
            "?x",
            "#x",
            &long,
        ] {
            assert_eq!(own_path(Some(bad)), "/", "{bad:?}");
        }
    }

    /// Every text of up to six of these parts, read as a browser reads it.
    #[test]
    fn whatever_is_led_to_is_on_the_host_that_was_asked() {
        const PARTS: [&str; 9] = ["/", "\\", "\t", "%2F", "%5c", ".", "evil.example", "@", ":"];
        let here = Url::parse("https://deploy.example/sign-in").unwrap();
        let (mut texts, mut led) = (vec![String::new()], 0);
        for _ in 0..5 {
            texts = texts.iter().flat_map(|text| PARTS.map(|part| format!("{text}{part}"))).collect();
            for text in &texts {
                let path = own_path(Some(text));
                let there = here.join(path).expect("an address");
                assert_eq!(there.origin(), here.origin(), "{text:?} leads to {there}");
                led += usize::from(path != "/");
            }
        }
        assert!(led > 10, "some of them are pages of ours");
    }
}
