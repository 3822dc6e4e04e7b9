//! Server-sent events, as they come. Must not know what they are about.

use std::time::Duration;

use serde_json::Value;

use super::answer::ClientError;
use crate::outgoing::root_cause;

/// The controller says something at least every 15 s: after so long it is gone.
const SILENCE: Duration = Duration::from_secs(45);
/// The longest event, in bytes.
const LONGEST: usize = 1 << 20;

/// A stream of events.
pub struct Events {
    response: reqwest::Response,
    base: String,
    buffer: Vec<u8>,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    /// Where it is in the stream, for whoever comes again.
    pub id: Option<String>,
    /// Data of the event.
    pub data: Value,
}

impl Events {
    pub(super) fn of(response: reqwest::Response, base: String) -> Self {
        Self { response, base, buffer: Vec::new() }
    }

    /// The next event; none at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Heard>, ClientError> {
        let broken = |why: String| ClientError::Unreachable { base: self.base.clone(), why };
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(heard) = read(&String::from_utf8_lossy(&event)) {
                    return Ok(Some(heard));
                }
                continue;
            }
            if self.buffer.len() > LONGEST {
                return Err(broken(format!("an event is longer than {LONGEST} bytes")));
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| broken(format!("silent for {} s", SILENCE.as_secs())))?;
            match chunk.map_err(|error| broken(root_cause(&error)))? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// An event with data; comments are none.
fn read(text: &str) -> Option<Heard> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_start());
    let data = serde_json::from_str(field("data:")?).ok()?;
    Some(Heard { id: field("id:").map(str::to_owned), data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_an_id_and_data_and_a_comment_has_nothing() {
        let heard = read("id: 5.0out-1a-40\nevent: line\ndata: {\"text\": \"a: b\"}\n\n").expect("an event");
        assert_eq!(heard.id.as_deref(), Some("5.0out-1a-40"));
        assert_eq!(heard.data["text"], "a: b");
        assert_eq!((read(":\n\n"), read("id: 7\n\n")), (None, None));
    }
}
