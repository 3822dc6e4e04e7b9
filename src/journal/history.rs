//! What happened: records read back from the segments, newest segment first. Parses only lines that may be wanted.

use std::io;

use super::{
    read,
    record::{self, Record},
    storage::{Storage, numbers, segment_name},
};
use crate::machine::EnvironmentId;

/// The last records up to number `newest`, of one environment or of all, oldest first. Lines beyond `newest` are being
/// written and are not looked at.
pub(super) fn last(
    storage: &dyn Storage,
    environment: Option<&EnvironmentId>,
    last: usize,
    newest: u64,
) -> io::Result<Vec<Record>> {
    let wanted = environment.map(|environment| format!("\"environment\":\"{environment}\"").into_bytes());
    let (segments, _) = numbers(&storage.names()?);
    let mut found = Vec::new();
    for number in segments.into_iter().rev() {
        if found.len() >= last {
            break;
        }
        let name = segment_name(number);
        let content = read::all(storage.reader(&name))?;
        let whole = content.iter().rposition(|&b| b == b'\n').map_or(0, |feed| feed + 1);
        for line in content[..whole].rsplit(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            if found.len() >= last {
                break;
            }
            // The text may also stand in a reason: the parsed record decides.
            if wanted.as_ref().is_some_and(|text| !contains(line, text)) {
                continue;
            }
            let record = record::parse(line).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
            if record.seq <= newest && environment.is_none_or(|wanted| *wanted == record.environment) {
                found.push(record);
            }
        }
    }
    found.reverse();
    Ok(found)
}

/// The environment stands near the start of a line, so this ends early.
fn contains(line: &[u8], text: &[u8]) -> bool {
    line.windows(text.len()).any(|window| window == text)
}
