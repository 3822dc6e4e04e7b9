//! What a person is told to do about records that cannot be read: which are good, which would be lost, and how to go on
//! without losing the file that may still hold them. Must not change anything.

use std::{io, path::Path};

use super::{
    problem::Problem,
    read, record,
    storage::{Storage, numbers, segment_name, snapshot_name},
};

/// What there is before and after the place from which nothing can be read.
struct Survey {
    /// The last good record; 0 when there is none.
    good: u64,
    /// How many lines follow, the damaged one with them.
    lost: u64,
    /// The highest number of a record that one of them shows.
    last: Option<u64>,
    /// Files that begin after it.
    later: Vec<String>,
}

/// Adds to a problem what can be done about it. `folder`: where the files are, as commands name it.
pub(super) fn advise(problem: Problem, storage: &dyn Storage, folder: &Path) -> Problem {
    if !problem.ends_the_records() {
        return problem;
    }
    match survey(&problem, storage) {
        Ok(survey) => {
            let advice = words(&problem, &survey, folder);
            problem.advised(advice)
        }
        // What is said without looking is true as well.
        Err(_) => problem,
    }
}

fn survey(problem: &Problem, storage: &dyn Storage) -> io::Result<Survey> {
    let (segments, snapshots) = numbers(&storage.names()?);
    let own = segments.iter().copied().find(|number| segment_name(*number) == problem.file);
    let mut survey = Survey { good: 0, lost: 0, last: None, later: Vec::new() };
    for number in segments {
        let content = read::all(storage.reader(&segment_name(number)))?;
        let cut = match own {
            Some(own) if number < own => content.len(),
            Some(own) if number == own => usize::try_from(problem.offset).unwrap_or(content.len()).min(content.len()),
            Some(_) | None => 0,
        };
        let (good, lost) = content.split_at(cut);
        let of = |part: &[u8]| part.split(|b| *b == b'\n').filter_map(record::seq).max();
        survey.good = survey.good.max(of(good).unwrap_or(0));
        survey.last = survey.last.max(of(lost));
        survey.lost += lost.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count() as u64;
        if own.is_some_and(|own| number > own) {
            survey.later.push(segment_name(number));
        }
    }
    let later = snapshots.into_iter().filter(|number| own.is_some_and(|own| *number > own));
    survey.later.extend(later.map(snapshot_name));
    Ok(survey)
}

fn words(problem: &Problem, survey: &Survey, folder: &Path) -> String {
    let (file, folder) = (&problem.file, folder.display());
    let Survey { good, lost, last, later } = survey;
    if *good == 0 {
        return format!(
            "no record of it can be read; nothing was changed. Put a backup of {folder} in its place and start with \
             `pointsman serve --restored`; without a backup, `pointsman serve --new-journal` keeps these files aside and begins anew"
        );
    }
    let first = good + 1;
    let last = last.map_or(good + lost, |last| last.max(first));
    let which = if last == first { format!("record {first}") } else { format!("records {first} to {last}") };
    let rest = later.iter().fold(String::new(), |rest, name| format!("{rest} {folder}/{name}"));
    let rest = if rest.is_empty() { rest } else { format!(" && rm{rest}") };
    format!(
        "records 1 to {good} are good, {which} ({lost} lines) cannot be trusted; nothing was changed. Best: put a backup of \
         {folder} that has more in its place. Without one, keep the folder and go on with the good part, which forgets {which}: \
         `cp -a {folder} {folder}.damaged && head --bytes={offset} {folder}.damaged/{file} > {folder}/{file}{rest}`. \
         After either, start with `pointsman serve --restored`",
        offset = problem.offset
    )
}
