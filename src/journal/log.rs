//! The log is the journal's records, one line each with the ids, so that log and journal cannot disagree.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::record::Record;

/// Logs every record until the journal is closed. A log that cannot keep up says how many records it left out; they
/// are in the journal.
pub async fn log(mut records: Receiver<Arc<Record>>) {
    loop {
        match records.recv().await {
            Ok(record) => line(&record),
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "records not logged; see `pointsman history`"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn line(record: &Record) {
    let event = serde_json::to_value(&record.event).expect("an event serialises: it was written as JSON");
    let kind = event.get("kind").and_then(|kind| kind.as_str()).unwrap_or("?");
    let deployment = event.get("number").and_then(serde_json::Value::as_u64);
    let text = |key: &str| event.get(key).and_then(|text| text.as_str());
    let (reason, hook) = (text("reason"), text("hook"));
    let Record { seq, environment, by, .. } = record;
    tracing::info!(seq, %environment, deployment, hook, %by, reason, "{environment} {kind}");
}
