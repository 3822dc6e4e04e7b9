//! The preview of an nginx front: the file of its keys, which the include names, and what stands in it. Its name follows from all
//! that is in it, so an include goes with the keys that it was written for. Must not touch any host.

use std::{fmt::Write, io, path::Path};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    settings::Settings,
    slots::{Colour, Slots, label},
};
use crate::web_front::{
    preview::{COOKIE, Preview},
    secret,
};

/// Header by which Pointsman itself, which needs no key of the preview, asks for a stack.
pub(super) const KEY: &str = "x-pointsman-key";

/// File of the keys.
pub(super) struct Door {
    /// What stands in its name.
    pub(super) digest: String,
    /// What stands in it.
    pub(super) text: SecretString,
}

impl Door {
    /// Makes it of the settings and the keys, which are in the front's folder on Pointsman's host. `None` without a preview.
    pub(super) fn of(settings: &Settings, folder: &Path) -> io::Result<Option<Self>> {
        let Some(preview) = &settings.preview else { return Ok(None) };
        preview.bring_in(folder)?;
        let (key, own) = (preview.key(folder)?, secret::of_probes(folder)?);
        let own = own.to_str().map_err(io::Error::other)?;
        let text = file(&settings.name, preview, key.expose_secret(), own);
        let mut digest = hex::encode(Sha256::digest(text.as_bytes()));
        digest.truncate(16);
        Ok(Some(Self { digest, text: text.into() }))
    }
}

/// nginx compares without regard to case, unless told so by an expression.
fn file(name: &str, preview: &Preview, key: &str, own: &str) -> String {
    let (key_in_words, own) = (key.replace('.', "\\."), own);
    let mut text =
        "# Keys of Pointsman's preview: for nginx's master alone, which reads them when it is started or reloaded.\n"
            .to_owned();
    let mut said = |from: &str, called: &str, key: &str| {
        let _ = writeln!(text, "map ${from} $pointsman_{name}_{called} {{ default \"\"; \"~^{key}$\" yes; }}");
    };
    said("http_x_pointsman_key", "check", own);
    said("http_x_pointsman_preview", "said", &key_in_words);
    said(&format!("cookie_{COOKIE}"), "let", &key_in_words);
    said("arg_key", "link", &key_in_words);
    let ranges: String = preview.from.iter().map(|range| format!(" {range} 1;")).collect();
    let near = match preview.from.is_empty() {
        true => format!("map \"\" $pointsman_{name}_near {{ default 1; }}"),
        false => format!("geo $pointsman_{name}_near {{ default 0;{ranges} }}"),
    };
    let host = preview.host.as_ref().filter(|_| preview.is_open()).map(|host| format!(" {host} yes;"));
    let host = host.unwrap_or_default();
    let attributes = format!("Path=/; HttpOnly; SameSite=Lax$pointsman_{name}_secure");
    let _ = write!(
        text,
        "{near}\n\
         map $host $pointsman_{name}_host {{ default \"\";{host} }}\n\
         map \"$pointsman_{name}_near:$pointsman_{name}_said$pointsman_{name}_let$pointsman_{name}_host\" \
         $pointsman_{name}_person {{ default \"\"; \"~^1:yes\" yes; }}\n\
         map \"$pointsman_{name}_near:$pointsman_{name}_link:$pointsman_{name}_let:$args\" $pointsman_{name}_pass {{\n    \
         default \"\";\n    \"~^1:yes:\" \"{COOKIE}={key}; {attributes}\";\n    \
         \"~^1::yes:off$\" \"{COOKIE}=; Max-Age=0; {attributes}\";\n}}\n"
    );
    text
}

/// Who asks for which stack, as the include says it: Pointsman for the one that it names, and a person for the newest.
pub(super) fn previews(slots: &Slots, settings: &Settings) -> String {
    let slot = |colour| format!("pointsman_{}_{colour}", settings.name);
    let there = Colour::BOTH.into_iter().filter_map(|colour| Some((colour, &slots.get(colour)?.stack)));
    let newest = there.clone().max_by_key(|(_, stack)| stack.number);
    let named = there.map(|(colour, stack)| format!("    \"~^yes:.*:{}$\" {};\n", label(stack), slot(colour)));
    let newest = newest.map(|(colour, _)| format!("    \"~^:yes:\" {};\n", slot(colour)));
    named.chain(newest).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{super::slots::Place, *};
    use crate::{
        machine::{Generation, Number, StackName},
        web_front::Target,
    };

    #[test]
    fn the_preview_leads_to_the_newest_stack_and_without_keys_to_none() {
        let text = "include = '/etc/nginx/pointsman/shop-prod.conf'\nread_back = '127.0.0.1:8099'";
        let settings = Settings::read(&text.parse().unwrap(), Path::new("/")).unwrap();
        let target = |number: u32| {
            let stack = StackName { environment: "shop/prod".parse().unwrap(), number: Number(number) };
            let address: SocketAddr = ([10, 0, 0, 1], 80).into();
            Target { stack, reach: address.into() }
        };
        let (six, seven) = (target(6), target(7));
        let slots = Slots { edition: 3, blue: Some(seven.into()), green: Some(six.into()) };
        let place = Place { door: Some("0123456789abcdef".to_owned()), ..Place::default() };
        let open = slots.render(&settings, &place, Generation(1)).unwrap();
        assert_eq!(Place::of_include(&open), place);
        for line in [
            "include /var/lib/pointsman/shop-prod/preview-0123456789abcdef; #?preview",
            "    \"~^yes:.*:shop/prod#7$\" pointsman_shop_prod_blue;",
            "    \"~^yes:.*:shop/prod#6$\" pointsman_shop_prod_green;",
            "    \"~^:yes:\" pointsman_shop_prod_blue;",
        ] {
            assert!(open.lines().any(|there| there == line), "{line}\n{open}");
        }
        assert!(!open.contains("#!preview"));
        let closed = slots.render(&settings, &Place::default(), Generation(1)).unwrap();
        assert!(!closed.contains("include /") && closed.contains("map \"\" $pointsman_shop_prod_person"), "{closed}");
    }
}
