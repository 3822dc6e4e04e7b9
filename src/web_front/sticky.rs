//! How a user stays with a version while another version has a share of the users. Must not know any front.

use toml::Value;

use crate::toml_file::filled::made;

/// How a user is known again from one request to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sticky {
    /// Users are not recognised: each request is drawn by itself.
    None,
    /// A cookie holds the number of the user's bucket; it is set while there is a split.
    Cookie,
    /// The bucket follows from the client's address.
    Address,
}

/// Reads the key `sticky` of a front.
pub(super) fn sticky(value: &Value) -> Result<Sticky, String> {
    made(value, "\"none\", \"cookie\" or \"address\"", |text| match text {
        "none" => Some(Sticky::None),
        "cookie" => Some(Sticky::Cookie),
        "address" => Some(Sticky::Address),
        _ => None,
    })
}
