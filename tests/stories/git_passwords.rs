//! Who may read what was fetched: passwords that are right, wrong, absent and changed, and mirrors that are of one reader each.

use std::fs;

use pointsman::git::{Error, Mirrors, Password, Remote};

use super::git::{Desk, LIMIT, STACK, limits, text};
use crate::support::git::{GitServer, Origin};

#[tokio::test]
async fn http_needs_the_right_password_and_never_shows_it() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let server = GitServer::below(origin.root());
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let url = server.url("shop");
    for wrong in [desk.of(&url), desk.signed_in(&url, "canary-4711")] {
        let error = wrong.fetch(&commit).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }) && !error.may_pass(), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary-4711"), "{error:?}");
    }
    let mirror = desk.signed_in(&url, "s3cret");
    mirror.fetch(&commit).await.unwrap();
    assert_eq!(text(&mirror, &commit).await, "command = [\"one\"]\n");
    let asked = server.asked();
    mirror.fetch(&commit[..8]).await.unwrap();
    assert_eq!(server.asked(), asked, "what is here is not asked for");
    let next = origin.commit("Next", &[(STACK, "command = [\"next\"]\n")]);
    mirror.fetch(&next).await.unwrap();
    assert_eq!(text(&mirror, &next).await, "command = [\"next\"]\n");
    let gone = desk.signed_in(&server.url("elsewhere"), "s3cret").fetch(&commit).await.unwrap_err();
    assert!(matches!(gone, Error::NoRepository(_)), "{gone}");
}

#[tokio::test]
async fn what_was_fetched_with_credentials_is_read_by_nobody_who_names_the_same_address_with_others() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let server = GitServer::below(origin.root());
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let url = server.url("shop");
    let allowed = desk.signed_in(&url, "s3cret");
    allowed.fetch(&commit).await.unwrap();
    allowed.fetch_history(&commit).await.unwrap();
    assert_eq!(text(&desk.signed_in(&url, "s3cret"), &commit).await, "command = [\"one\"]\n", "the same is shared");
    let password = || Password::kept_at("s3cret".to_owned(), || Ok("s3cret".to_owned().into()));
    let as_another = desk.mirrors.of(&Remote::new(&url, Some("eve".to_owned()), Some(password())).unwrap());
    for other in [desk.of(&url), desk.signed_in(&url, "canary-4711"), as_another] {
        assert_eq!(other.file_at(&commit, STACK, LIMIT).await.unwrap(), None);
        assert_eq!(other.commits_between(&commit, &commit, 1).await.unwrap(), None);
    }
    let refused = desk.of(&url).fetch(&commit).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
}

#[tokio::test]
async fn a_mirror_goes_when_no_pipeline_reads_it_any_more() {
    let (origin, gone, desk) = (Origin::new(), Origin::new(), Desk::new());
    let (commit, other) = (origin.git(&["rev-parse", "HEAD"]), gone.git(&["rev-parse", "HEAD"]));
    desk.mirrors.sweep().unwrap();
    for (origin, commit) in [(&origin, &commit), (&gone, &other)] {
        desk.of_local(origin).fetch(commit).await.unwrap();
        desk.of_local(origin).fetch_history(commit).await.unwrap();
    }
    // After a restart, with one of the pipelines.
    let mirrors = Mirrors::with(desk.state.path(), limits(), vec![]);
    let kept = mirrors.of(&Remote::new(origin.path().to_str().unwrap(), None, None).unwrap());
    mirrors.sweep().unwrap();
    assert_eq!(text(&kept, &commit).await, "command = [\"one\"]\n");
    assert!(kept.commits_between(&commit, &commit, 1).await.unwrap().is_some());
    let left = fs::read_dir(desk.state.path().join("git")).unwrap().count();
    assert_eq!(left, 2, "its files and its history");
}

#[tokio::test]
async fn a_password_is_read_afresh_and_its_absence_is_told() {
    let (origin, desk) = (Origin::new(), Desk::new());
    let server = GitServer::below(origin.root());
    let commit = origin.git(&["rev-parse", "HEAD"]);
    let file = desk.state.path().join("token");
    let read = {
        let file = file.clone();
        move || fs::read_to_string(&file).map(Into::into).map_err(|error| format!("{}: {error}", file.display()))
    };
    let remote =
        Remote::new(&server.url("shop"), Some("ci".to_owned()), Some(Password::kept_at("token".to_owned(), read)))
            .unwrap();
    let mirror = desk.mirrors.of(&remote);
    let missing = mirror.fetch(&commit).await.unwrap_err();
    assert!(matches!(&missing, Error::Password(why) if why.contains("token")), "{missing}");
    assert_eq!(server.asked(), 0);
    fs::write(&file, "s3cret").unwrap();
    mirror.fetch(&commit).await.unwrap();
}
