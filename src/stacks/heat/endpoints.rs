//! Reads the addresses at which a stack serves from the value of an output. Must not resolve names: a front is pointed
//! at addresses.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::reach::Reach;

/// The addresses in an output: `10.0.0.5`, `10.0.0.5:8080`, `http://10.0.0.5/`, or a list of them. `port`: for those that
/// say none.
///
/// # Errors
/// What it is instead.
pub(super) fn addresses(value: &Value, port: Option<u16>) -> Result<Reach, String> {
    let texts: Vec<&str> = match value {
        Value::String(text) => text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if texts.is_empty() {
        return Err(format!("is {}, which has no address in it", crate::text::excerpt(&value.to_string())));
    }
    let one = |text: &str| {
        address(text, port).ok_or_else(|| {
            format!(
                "is {:?}, which is not an address such as 10.0.0.5, 10.0.0.5:8080 or http://10.0.0.5/",
                crate::text::excerpt(text)
            )
        })
    };
    texts.into_iter().map(one).collect()
}

fn address(text: &str, port: Option<u16>) -> Option<SocketAddr> {
    let (bare, scheme) = match text.split_once("://") {
        Some(("http", rest)) => (rest, Some(80)),
        Some(("https", rest)) => (rest, Some(443)),
        Some(_) => return None,
        None => (text, None),
    };
    let bare = bare.split(['/', '?']).next()?;
    if let Ok(address) = bare.parse::<SocketAddr>() {
        return Some(address);
    }
    let ip: IpAddr = bare.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(SocketAddr::new(ip, port.or(scheme).unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outputs_are_read_as_people_write_them() {
        let read = |value: Value| addresses(&value, Some(8088)).map(|reach| reach.words());
        assert_eq!(read(json!("10.0.0.5")), Ok(vec!["10.0.0.5:8088".to_owned()]));
        assert_eq!(read(json!("10.0.0.5:80")), Ok(vec!["10.0.0.5:80".to_owned()]));
        assert_eq!(read(json!("http://10.0.0.5:81/shop")), Ok(vec!["10.0.0.5:81".to_owned()]));
        assert_eq!(
            read(json!(["10.0.0.5", "fd00::1"])),
            Ok(vec!["10.0.0.5:8088".to_owned(), "[fd00::1]:8088".to_owned()])
        );
        assert_eq!(addresses(&json!("https://10.0.0.5/"), None).unwrap().addresses()[0].port(), 443);
        assert!(read(json!("http://shop.example/")).unwrap_err().contains("shop.example"));
        assert!(read(json!(null)).is_err() && read(json!([])).is_err());
    }
}
