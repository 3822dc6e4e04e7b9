//! Where builds may come from: the folders that a pipeline names, and never what belongs to the installation itself. Links
//! are resolved first. Must not decide when it is asked, and must not read what is in a build.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::text::excerpt;

/// The paths of this host that an artifact may be.
#[derive(Debug, Clone, Default)]
pub struct Artifacts {
    /// The folders below which it must lie.
    pub(super) roots: Vec<PathBuf>,
    /// The pipeline file says them; otherwise they are the usual ones.
    pub(super) named: bool,
    /// What it may neither be, nor lie in, nor hold: state, pipelines, keys.
    pub(super) forbidden: Vec<PathBuf>,
    /// The pipeline's stacks read files of this host.
    pub(super) local: bool,
}

/// How an artifact is meant.
#[derive(Debug, PartialEq, Eq)]
enum Meant<'a> {
    /// A path of this host.
    Path(&'a Path),
    /// A path from nobody knows where.
    Relative,
    /// An address, a name, an image: nothing of this host.
    Elsewhere,
}

impl Artifacts {
    /// Whether artifacts of the pipeline are paths of this host.
    pub fn are_local(&self) -> bool {
        self.local
    }

    /// Says why nothing can come from this root: it lies in what belongs to the installation.
    pub(super) fn bad_root(&self, root: &Path) -> Option<String> {
        let real = fs::canonicalize(root).ok()?;
        let inside = |place: &&PathBuf| fs::canonicalize(place).is_ok_and(|place| real.starts_with(place));
        let place = self.forbidden.iter().find(inside)?;
        Some(format!("{} lies in {}, from where no build is taken", root.display(), place.display()))
    }

    /// Says why a build with this artifact, version and parameters cannot be accepted.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn allow<'a>(
        &self,
        artifact: &str,
        version: &'a str,
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), String> {
        self.within(artifact)?;
        if !self.local {
            return Ok(());
        }
        let texts = std::iter::once(("version", version)).chain(parameters);
        for (name, text) in texts {
            if climbs(text) {
                return Err(format!("`{name}` has `..` as part of a path; say where it leads instead"));
            }
            if text.starts_with('/') {
                self.not_ours(Path::new(text)).map_err(|why| format!("`{name}`: {why}"))?;
            }
        }
        Ok(())
    }

    /// Whether the artifact is there and lies where builds may come from.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn within(&self, artifact: &str) -> Result<(), String> {
        let shown = excerpt(artifact);
        match meant(artifact) {
            Meant::Path(path) if self.local || self.named => {
                let real = fs::canonicalize(path).map_err(|error| missing(&shown, &error))?;
                self.not_ours(path)?;
                if self.roots.iter().any(|root| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root))) {
                    return Ok(());
                }
                let roots: Vec<_> = self.roots.iter().map(|root| root.display().to_string()).collect();
                let roots = if roots.is_empty() { "nowhere".to_owned() } else { roots.join(", ") };
                let leads = if real == path { String::new() } else { format!(", which is {}", real.display()) };
                Err(format!(
                    "the artifact {shown}{leads} is outside of where builds may come from ({roots}): name its folder in \
                     `artifacts` of the pipeline file"
                ))
            }
            Meant::Path(path) => self.not_ours(path),
            Meant::Relative if self.local => Err(format!(
                "the artifact {shown} is not an absolute path, and the controller cannot know from where it is meant: \
                 say all of it, such as \"$PWD/{shown}\""
            )),
            Meant::Relative | Meant::Elsewhere => Ok(()),
        }
    }

    /// Returns the artifact as a release keeps it: without links, so that it means the same when they are changed.
    pub fn without_links(&self, artifact: &str) -> Option<String> {
        let path = Some(artifact).filter(|artifact| self.local && artifact.starts_with('/'))?;
        fs::canonicalize(path).ok()?.into_os_string().into_string().ok()
    }

    /// Whether a path leads neither to what belongs to the installation nor to what holds it.
    ///
    /// # Errors
    /// What it would show.
    pub fn not_ours(&self, path: &Path) -> Result<(), String> {
        let Ok(real) = fs::canonicalize(path) else { return Ok(()) };
        for forbidden in &self.forbidden {
            let Ok(place) = fs::canonicalize(forbidden) else { continue };
            if real.starts_with(&place) || place.starts_with(&real) {
                return Err(format!(
                    "{} holds or is what belongs to Pointsman itself ({}): choose a folder that has only the build",
                    excerpt(&path.display().to_string()),
                    forbidden.display()
                ));
            }
        }
        Ok(())
    }

    /// The same for an artifact that was accepted before: it may be gone from the folders of new ones.
    ///
    /// # Errors
    /// What it would show.
    pub fn still_harmless(&self, artifact: &str) -> Result<(), String> {
        match meant(artifact) {
            Meant::Path(path) => self.not_ours(path),
            Meant::Relative | Meant::Elsewhere => Ok(()),
        }
    }
}

fn missing(shown: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("the artifact {shown} is not there on the controller's host; build it, or correct its path")
        }
        _ => format!("the artifact {shown} cannot be read on the controller's host: {error}"),
    }
}

/// What is not plainly a name, an image or an address with a host is a path.
fn meant(artifact: &str) -> Meant<'_> {
    if let Some(at) = artifact.find("://") {
        let rest = &artifact[at + 3..];
        let is_file = artifact[..at].eq_ignore_ascii_case("file");
        return match rest.find('/') {
            Some(0) => Meant::Path(Path::new(rest)),
            // `file://localhost/srv/x` and the like.
            Some(slash) if is_file => Meant::Path(Path::new(&rest[slash..])),
            _ if is_file || climbs(artifact) => Meant::Relative,
            _ => Meant::Elsewhere,
        };
    }
    if artifact.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) && !artifact[5..].starts_with('/') {
        return Meant::Relative;
    }
    if artifact.starts_with('/') {
        return Meant::Path(Path::new(artifact));
    }
    // `oci:/srv/x`, `--root=/srv/x`: the path in it is what counts.
    if let Some(at) = artifact.find([':', '=', ',']).filter(|at| artifact[at + 1..].starts_with('/')) {
        return Meant::Path(Path::new(&artifact[at + 1..]));
    }
    let first = artifact.split('/').next().unwrap_or(artifact);
    let tagged = artifact.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let image = tagged || first.trim_start_matches('.').contains(['.', ':']) || first == "localhost";
    match artifact.contains('/') {
        _ if climbs(artifact) || artifact.starts_with('~') || first == "." => Meant::Relative,
        true if !image => Meant::Relative,
        _ => Meant::Elsewhere,
    }
}

fn climbs(text: &str) -> bool {
    text.split(['/', '\\']).any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn house() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["builds/1", "state/journal", "pipelines", "secrets", "elsewhere"] {
            fs::create_dir_all(at(name)).expect("made");
        }
        fs::write(at("state/token"), "t").expect("written");
        symlink(at("state"), at("builds/link")).expect("made");
        symlink(at("builds/1"), at("builds/current")).expect("made");
        symlink("/", at("builds/top")).expect("made");
        let forbidden = ["state", "pipelines", "secrets"].map(at).to_vec();
        let artifacts = Artifacts { roots: vec![at("")], named: false, forbidden, local: true };
        (folder, artifacts)
    }

    #[test]
    fn builds_come_from_their_roots_and_never_from_what_is_ours_whatever_links_say() {
        let (folder, artifacts) = house();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for good in ["builds/1", "builds/current", "builds/1/../1", "elsewhere"] {
            assert_eq!(artifacts.within(&at(good)), Ok(()), "{good}");
        }
        let bad = [
            "state",
            "state/token",
            "state/journal",
            "pipelines",
            "secrets",
            "",
            "builds/link",
            "builds/link/token",
            "builds/../state",
            "builds/top",
            "builds/top/etc",
            "builds/9",
        ];
        for bad in bad {
            assert!(artifacts.within(&at(bad)).is_err(), "{bad}");
            assert!(artifacts.within(&format!("file://{}", at(bad))).is_err(), "{bad}");
            assert!(artifacts.within(&format!("oci:{}", at(bad))).is_err(), "{bad}");
        }
        assert!(artifacts.within("/etc").expect_err("outside").contains("`artifacts`"));
        assert!(artifacts.within(&at("builds/9")).expect_err("missing").contains("is not there"));
        let narrow = Artifacts { roots: vec![folder.path().join("builds")], named: true, ..artifacts.clone() };
        assert!(narrow.within(&at("builds/1")).is_ok() && narrow.within(&at("elsewhere")).is_err());
        let remote = Artifacts { local: false, ..artifacts };
        assert!(remote.within("/srv/on-the-instance").is_ok() && remote.within("builds/1").is_ok());
        assert!(remote.within(&at("state/token")).is_err(), "also where stacks are elsewhere");
    }

    #[test]
    fn names_images_and_addresses_are_told_from_paths() {
        for name in [
            "none",
            "shop-1.2",
            "registry.example/shop:1",
            "shop/app:1.2",
            "localhost/shop",
            "https://x/a/b",
            "s3://b/k",
        ] {
            assert_eq!(meant(name), Meant::Elsewhere, "{name}");
        }
        for relative in ["builds/1", "./x", "../state", "a/../../b", "~/x", "..", ".", "https://x/../../y", "file:x/y"]
        {
            assert_ne!(meant(relative), Meant::Elsewhere, "{relative}");
        }
    }

    #[test]
    fn a_version_or_a_parameter_leads_nowhere_either() {
        let (folder, artifacts) = house();
        let token = folder.path().join("state/token").display().to_string();
        assert!(artifacts.allow("none", "feature/x", [("greeting", "a..b /c")].into_iter()).is_ok());
        assert!(artifacts.allow("none", "../../state", std::iter::empty()).is_err());
        assert!(artifacts.allow("none", "1", [("root", "../state")].into_iter()).is_err());
        assert!(artifacts.allow("none", "1", [("root", token.as_str())].into_iter()).is_err());
    }
}
