//! `aws` of an environment: which region, as whom, and where it is asked. Must not connect to anything.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::toml_file::filled::{Reader, absolute, made, path, text};

/// The keys of `aws`.
pub(crate) const KEYS: &[&str] = &["region", "profile", "credentials", "role", "external_id", "endpoint"];

/// Who is asked, and as whom. Two environments with equal settings share one client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Settings {
    /// Region; `None`: as the profile or `AWS_REGION` says.
    pub(super) region: Option<String>,
    /// Profile of the usual AWS files; `None`: `AWS_PROFILE`, or the usual chain of credentials.
    pub(super) profile: Option<String>,
    /// File of credentials that stands in the place of the usual one.
    pub(super) credentials: Option<PathBuf>,
    /// Role to assume with those credentials.
    pub(super) role: Option<String>,
    /// External id that the role's trust policy asks for.
    pub(super) external_id: Option<String>,
    /// One address for all services instead of AWS's own.
    pub(super) endpoint: Option<String>,
}

impl Settings {
    /// Files are meant from `written_in`. Reads the table `aws` of these settings, which mistakes call `place`; without one, all is as the usual files and variables
    /// say.
    ///
    /// # Errors
    /// Every mistake, each beginning with its key.
    pub(crate) fn read(settings: &Table, place: &str, written_in: &Path) -> Result<Self, Vec<String>> {
        let table = match settings.get("aws") {
            None => return Ok(Self::default()),
            Some(Value::Table(table)) => table,
            Some(_) => {
                return Err(vec![format!("`{place}` must be a table, for example {{ region = \"eu-west-1\" }}")]);
            }
        };
        let mut mistakes = Vec::new();
        let mut reader = Reader::new(table, place, &mut mistakes);
        let new = Self {
            region: reader.optional("region", |value| made(value, "a region such as eu-west-1", region)),
            profile: reader.optional("profile", text),
            credentials: reader.optional("credentials", |value| path(value).map(|path| absolute(written_in, &path))),
            role: reader
                .optional("role", |value| made(value, "the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME", role)),
            external_id: reader.optional("external_id", text),
            endpoint: reader
                .optional("endpoint", |value| made(value, "an address such as http://127.0.0.1:4566", origin)),
        };
        if new.external_id.is_some() && !table.contains_key("role") {
            reader.refuse("external_id", "it is said to a role: name that in `role`");
        }
        reader.refuse_the_rest();
        if mistakes.is_empty() { Ok(new) } else { Err(mistakes) }
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        let whose = self.role.as_deref().or(self.profile.as_deref()).unwrap_or("the default credentials");
        format!("{} ({whose})", self.region.as_deref().unwrap_or("the default region"))
    }
}

fn region(text: &str) -> Option<String> {
    let plain = text.contains('-') && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain.then(|| text.to_owned())
}

fn role(text: &str) -> Option<String> {
    (text.starts_with("arn:") && text.contains(":iam::") && text.contains(":role/")).then(|| text.to_owned())
}

fn origin(text: &str) -> Option<String> {
    let url: reqwest::Url = text.parse().ok()?;
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host() && url.path() == "/" && url.query().is_none();
    fits.then(|| text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_at_once_by_its_key() {
        let wrong = "[aws]\nregion = 'Ireland'\nrole = 'admin'\nendpoint = 'localhost'\nregoin = 'eu-west-1'";
        let said = Settings::read(&wrong.parse().expect("TOML"), "aws", Path::new("/p"))
            .expect_err("it is refused")
            .join("\n");
        for part in [
            "`aws.region` is \"Ireland\"",
            "`aws.role` is \"admin\"",
            "`aws.endpoint`",
            "`aws.regoin`; did you mean `region`?",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        let alone = Settings::read(&"[aws]\nexternal_id = 'x'".parse().expect("TOML"), "aws", Path::new("/p"))
            .expect_err("it is refused");
        assert_eq!(alone, ["`aws.external_id`: it is said to a role: name that in `role`"]);
    }

    #[test]
    fn without_a_table_the_usual_files_and_variables_count() {
        assert_eq!(Settings::read(&Table::new(), "aws", Path::new("/p")), Ok(Settings::default()));
    }
}
