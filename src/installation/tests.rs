//! The table of both decisions: every case that a person can bring about, and what becomes of it.

use std::path::PathBuf;

use super::{
    decide::{self, Finding, JournalIs, JournalVerdict, There, ToldOfJournal, ToldOfPlace, Verdict},
    place::{Host, Place},
    record::Record,
    words::{JournalWhy, PlaceWhy},
};
use crate::journal::{Head, Sum};

fn folder(path: &str, inode: u64, born: Option<u64>) -> Place {
    Place { path: PathBuf::from(path), device: 7, inode, born }
}

fn host(machine: Option<&str>, name: &str, boot: &str) -> Host {
    Host { machine: machine.map(str::to_owned), name: name.to_owned(), boot: boot.to_owned() }
}

fn one() -> Host {
    host(Some("m1"), "one", "b1")
}

struct Case {
    what: &'static str,
    here: Place,
    host: Host,
    there: There,
    told: Option<ToldOfPlace>,
}

fn judge(record: &Record, case: &Case, running: &[String]) -> Result<Verdict, PlaceWhy> {
    let Case { here, host, there, told, .. } = case;
    decide::place(&Finding { record, here, host, there, running, told: *told, restored: false })
}

fn case(what: &'static str, here: Place, host: Host, there: There) -> Case {
    Case { what, here, host, there, told: None }
}

const NOBODY: There = There::Other { held_by: None };

fn served() -> There {
    There::Other { held_by: Some("4711".to_owned()) }
}

/// Served last at /a, on host one.
fn record(born: Option<u64>) -> Record {
    Record::new("i".to_owned(), folder("/a", 10, born), one(), None)
}

#[test]
fn an_ordinary_start_is_never_refused() {
    let born = Some(99);
    let stays = [
        case("the same host", folder("/a", 10, born), one(), There::Here),
        case("after a start of the host", folder("/a", 10, born), host(Some("m1"), "one", "b2"), There::Here),
        case("the host was renamed", folder("/a", 10, born), host(Some("m1"), "uno", "b2"), There::Here),
        case("a container with a new name", folder("/a", 10, born), host(None, "c0ffee", "b1"), There::Here),
        case("a volume at another node", folder("/a", 10, born), host(None, "c0ffee", "b9"), There::Here),
        case("numbers of another mount", folder("/a", 55, born), one(), There::Here),
    ];
    for case in stays {
        assert_eq!(judge(&record(born), &case, &[]), Ok(Verdict::Stay), "{}", case.what);
    }
    // Where the file system does not say when a folder was made, its number has to do.
    let here = || folder("/a", 10, None);
    for host in [one(), host(Some("m1"), "one", "b2"), host(None, "c0ffee", "b2")] {
        let case = case("without a time", here(), host, There::Here);
        assert_eq!(judge(&record(None), &case, &[]), Ok(Verdict::Stay), "{:?}", case.host);
    }
    let renumbered = Place { device: 8, ..here() };
    let case = case("devices are numbered anew", renumbered, host(Some("m1"), "one", "b2"), There::Here);
    assert_eq!(judge(&record(None), &case, &[]), Ok(Verdict::Stay), "{}", case.what);
}

#[test]
fn a_folder_that_was_renamed_is_known_again_by_itself() {
    // By a link, or a bind mount.
    let linked = case("both paths lead to it", folder("/b", 10, Some(99)), one(), There::Here);
    assert_eq!(judge(&record(Some(99)), &linked, &[]), Ok(Verdict::Moved));
    for there in [There::Nothing, There::Closed] {
        let renamed = case("mv", folder("/b", 10, Some(99)), one(), there.clone());
        assert_eq!(judge(&record(Some(99)), &renamed, &[]), Ok(Verdict::Moved));
        let volume = case("mounted elsewhere", folder("/b", 10, Some(99)), host(None, "x", "b9"), there.clone());
        assert_eq!(judge(&record(Some(99)), &volume, &[]), Ok(Verdict::Moved));
        let numbered = case("mv, without a time", folder("/b", 10, None), one(), there);
        assert_eq!(judge(&record(None), &numbered, &[]), Ok(Verdict::Moved));
    }
}

#[test]
fn a_copy_is_refused_while_the_first_may_live() {
    let copy = || folder("/b", 20, Some(500));
    let other = || host(Some("m2"), "two", "b7");
    let refused = [
        (case("cp -a", copy(), one(), NOBODY), PlaceWhy::Copy),
        (case("cp -a beside a controller", copy(), one(), served()), PlaceWhy::Served),
        (case("a snapshot mounted beside", folder("/b", 10, Some(99)), one(), NOBODY), PlaceWhy::Copy),
        (case("cp and rm", copy(), one(), There::Nothing), PlaceWhy::Elsewhere),
        (case("where nobody may look", copy(), one(), There::Closed), PlaceWhy::Elsewhere),
        (
            case("copied to another host, same path", folder("/a", 20, Some(500)), other(), There::Here),
            PlaceWhy::Replaced,
        ),
        (case("copied to another host, other path", copy(), other(), There::Nothing), PlaceWhy::Elsewhere),
        (case("restored at the same path", folder("/a", 20, Some(500)), one(), There::Here), PlaceWhy::Replaced),
        (case("a number that was used again", folder("/a", 10, Some(500)), one(), There::Here), PlaceWhy::Replaced),
    ];
    for (case, why) in refused {
        assert_eq!(judge(&record(Some(99)), &case, &[]), Err(why), "{}", case.what);
    }
    // The root of most volumes has the same number, so that it proves nothing at another host.
    let volume = case("another volume", folder("/b", 10, None), other(), There::Nothing);
    assert_eq!(judge(&record(None), &volume, &[]), Err(PlaceWhy::Elsewhere));
    let device = Place { device: 8, ..folder("/a", 10, None) };
    let exchanged = case("another disk at the same path", device, one(), There::Here);
    assert_eq!(judge(&record(None), &exchanged, &[]), Err(PlaceWhy::Replaced));
}

#[test]
fn moved_is_believed_unless_the_first_has_a_controller() {
    let told = |there| Case { told: Some(ToldOfPlace::Moved), ..case("", folder("/b", 20, Some(500)), one(), there) };
    for there in [There::Nothing, There::Closed, NOBODY] {
        assert_eq!(judge(&record(Some(99)), &told(there), &[]), Ok(Verdict::TakeOver));
    }
    assert_eq!(judge(&record(Some(99)), &told(served()), &[]), Err(PlaceWhy::Served));
    let needless = Case { here: folder("/a", 10, Some(99)), ..told(There::Here) };
    assert_eq!(judge(&record(Some(99)), &needless, &[]), Ok(Verdict::Stay));
}

#[test]
fn what_was_moved_away_is_not_served_again_unless_it_was_moved_back() {
    let mut left = record(Some(99));
    left.moved_to = Some("/b".into());
    let mut here = case("", folder("/a", 10, Some(99)), one(), There::Here);
    assert_eq!(judge(&left, &here, &[]), Err(PlaceWhy::MovedAway));
    here.told = Some(ToldOfPlace::Moved);
    assert_eq!(judge(&left, &here, &[]), Ok(Verdict::TakeOver));
}

#[test]
fn an_installation_at_work_is_not_made_another() {
    let told = Some(ToldOfPlace::NewInstallation);
    let running = ["stack-run of stacks/process/stacks/shop/live/1 (process 5)".to_owned()];
    let copy = Case { told, ..case("", folder("/b", 20, Some(500)), one(), served()) };
    assert_eq!(judge(&record(Some(99)), &copy, &[]), Ok(Verdict::Clone));
    let itself = Case { told, ..case("", folder("/a", 10, Some(99)), one(), There::Here) };
    assert_eq!(judge(&record(Some(99)), &itself, &running), Err(PlaceWhy::RunsHere));
    // A clone of a whole disk cannot be told from the first: nothing of it runs, so it may.
    assert_eq!(judge(&record(Some(99)), &itself, &[]), Ok(Verdict::Clone));
}

#[test]
fn restored_is_believed_at_the_same_path_only() {
    let at = |path: &str, there| {
        let (record, here, host) = (record(Some(99)), folder(path, 20, Some(500)), one());
        let finding = Finding {
            record: &record,
            here: &here,
            host: &host,
            there: &there,
            running: &[],
            told: None,
            restored: true,
        };
        decide::place(&finding)
    };
    assert_eq!(at("/a", There::Here), Ok(Verdict::TakeOver));
    assert_eq!(at("/b", There::Nothing), Err(PlaceWhy::Elsewhere));
    assert_eq!(at("/b", NOBODY), Err(PlaceWhy::Copy));
}

#[test]
fn a_folder_of_an_older_version_is_taken_unless_something_runs_elsewhere() {
    let (traces, process) = (["token".to_owned()], ["stack-run of /a (process 5)".to_owned()]);
    assert_eq!(decide::unrecorded(&[], &[], &[], None), Ok(Verdict::Begin));
    assert_eq!(decide::unrecorded(&traces, &[], &[], None), Ok(Verdict::TakeOver));
    let why = PlaceWhy::RunsElsewhere(process[0].clone());
    assert_eq!(decide::unrecorded(&traces, &process, &[], None), Err(why));
    let moved = decide::unrecorded(&traces, &process, &[], Some(ToldOfPlace::Moved));
    assert_eq!(moved, Ok(Verdict::TakeOver));
    let clone = decide::unrecorded(&traces, &process, &[], Some(ToldOfPlace::NewInstallation));
    assert_eq!(clone, Ok(Verdict::Clone));
    let itself = decide::unrecorded(&traces, &[], &process, Some(ToldOfPlace::NewInstallation));
    assert_eq!(itself, Err(PlaceWhy::RunsHere));
}

fn sum(byte: u8) -> Sum {
    Sum::try_from(hex::encode([byte; 16])).expect("sixteen bytes")
}

fn head(first: u8, seq: u64) -> Head {
    Head { first: Some(sum(first)), seq, sum: sum(100) }
}

#[test]
fn a_journal_is_used_only_when_it_is_the_one_that_was_there() {
    use JournalIs::{Damaged, Empty, Missing, Read};
    use ToldOfJournal::{New, Restored};
    let noted = head(1, 7);
    let read = |first, seq, same| Read { head: head(first, seq), same };
    let none: &[String] = &[];
    let trace: &[String] = &["stacks/process/stacks/shop/live/1".to_owned()];
    let (goes_on, anew) = (Ok(JournalVerdict::GoOn), Ok(JournalVerdict::BeginAnew));
    let restored = Ok(JournalVerdict::Restored);
    let cases = [
        ("a first start", None, Missing, none, None, goes_on),
        ("a first start that made nothing but the file", None, Empty { bytes: 0 }, none, None, goes_on),
        ("a first record that was torn", None, Empty { bytes: 80 }, none, None, goes_on),
        ("the folder is gone", Some(&noted), Missing, none, None, Err(JournalWhy::Lost)),
        ("of zero length", Some(&noted), Empty { bytes: 0 }, none, None, Err(JournalWhy::Lost)),
        ("NULs", Some(&noted), Empty { bytes: 900 }, none, None, Err(JournalWhy::Lost)),
        ("gone, with stacks of an older version", None, Missing, trace, None, Err(JournalWhy::Lost)),
        ("empty, with stacks of an older version", None, Empty { bytes: 0 }, trace, None, Err(JournalWhy::Lost)),
        ("nothing to restore", Some(&noted), Empty { bytes: 0 }, none, Some(Restored), Err(JournalWhy::Lost)),
        ("gone, and to begin anew", Some(&noted), Missing, trace, Some(New), anew),
        ("damaged, and to begin anew", Some(&noted), Damaged, none, Some(New), anew),
        ("damaged: it says so itself", Some(&noted), Damaged, none, None, goes_on),
        ("as it was", Some(&noted), read(1, 7, true), trace, None, goes_on),
        ("with more", Some(&noted), read(1, 9, true), trace, None, goes_on),
        ("of an older version", None, read(1, 9, true), trace, None, goes_on),
        ("needlessly restored", Some(&noted), read(1, 9, true), trace, Some(Restored), goes_on),
        ("good, and to begin anew", Some(&noted), read(1, 9, true), trace, Some(New), Err(JournalWhy::NotLost)),
        ("an older one", Some(&noted), read(1, 5, false), none, None, Err(JournalWhy::Older)),
        ("an older one, as was said", Some(&noted), read(1, 5, false), none, Some(Restored), restored),
        ("another one", Some(&noted), read(2, 50, false), none, None, Err(JournalWhy::Another)),
        ("another, shorter one", Some(&noted), read(2, 3, false), none, None, Err(JournalWhy::Another)),
        ("one that went another way", Some(&noted), read(1, 9, false), none, None, Err(JournalWhy::Forked)),
        ("another one, as was said", Some(&noted), read(2, 50, false), none, Some(Restored), restored),
    ];
    for (what, noted, is, traces, told, expected) in cases {
        assert_eq!(decide::journal(noted, &is, traces, told), expected, "{what}");
    }
}
