//! What people ask about the instances of stacks: what they wrote, without the secrets that are known. Must not change
//! anything.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::watch;

use super::{shared::within, world::World};
use crate::{
    hooks::Redactor,
    machine::{EnvironmentId, StackName},
    secrets::Secrets,
    stacks::{LogPage, Logs, LogsFrom, MadeFrom, StackDriver, StepError},
};

/// The longest line that is shown, in characters; of a longer one the beginning.
const LONGEST: usize = 8 << 10;

/// The instances of all environments, for those who only look. Clones share it.
#[derive(Clone, Default)]
pub struct Instances(Arc<HashMap<EnvironmentId, Of>>);

struct Of {
    driver: Arc<dyn StackDriver>,
    secrets: Secrets,
}

impl Instances {
    /// Returns the instances of these environments.
    pub fn of<'a>(worlds: impl IntoIterator<Item = &'a World>) -> Self {
        let one = |world: &World| {
            let of = Of { driver: world.stacks.driver().clone(), secrets: world.secrets.clone() };
            (world.id.clone(), of)
        };
        Self(Arc::new(worlds.into_iter().map(one).collect()))
    }

    /// Reads what a stack wrote, without the secrets of its pipeline as they are now.
    ///
    /// # Errors
    /// That nobody can read it, or not now, with the driver's reason.
    pub async fn logs(&self, name: &StackName, from: &LogsFrom) -> Result<Logs, StepError> {
        let of = self.of_environment(name)?;
        let page = match within(of.driver.call_limit(), of.driver.logs(name, from)).await? {
            Logs::Page(page) => page,
            other @ Logs::NotKept(_) => return Ok(other),
        };
        let (secrets, pipeline) = (of.secrets.clone(), name.environment.pipeline.clone());
        let clean = tokio::task::spawn_blocking(move || clean(page, &secrets.hidden(&pipeline)));
        let clean = clean.await.map_err(|error| StepError::Unavailable(format!("the task was cancelled: {error}")))?;
        Ok(Logs::Page(clean))
    }

    /// What a stack was made from, where its provider keeps that.
    ///
    /// # Errors
    /// That it cannot be had, or not now, with the driver's reason.
    pub async fn made_from(&self, name: &StackName) -> Result<Option<MadeFrom>, StepError> {
        let of = self.of_environment(name)?;
        within(of.driver.call_limit(), of.driver.made_from(name)).await
    }

    fn of_environment(&self, name: &StackName) -> Result<&Of, StepError> {
        let unknown = || StepError::Refused(format!("{} is in no pipeline file", name.environment));
        self.0.get(&name.environment).ok_or_else(unknown)
    }

    /// A bell that rings when that stack may have written more, where its driver tells.
    pub fn writes(&self, name: &StackName) -> Option<watch::Receiver<u64>> {
        self.0.get(&name.environment)?.driver.writes(name)
    }
}

fn clean(mut page: LogPage, secrets: &[secrecy::SecretString]) -> LogPage {
    let redactor = Redactor::of(secrets.iter().chain(&page.hidden));
    for line in &mut page.lines {
        line.text = redactor.clean(&line.text);
        if let Some((end, _)) = line.text.char_indices().nth(LONGEST) {
            let more = line.text[end..].chars().count();
            line.text.truncate(end);
            line.text += &format!("… ({more} characters more)");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::{LogLine, Spot, Stream};

    #[test]
    fn secrets_are_taken_out_before_a_line_is_cut() {
        let line = |text: String| LogLine { instance: 0, stream: Stream::Out, text, next: Spot::default() };
        let secret = "canary-value";
        let long = format!("{}{secret}", "x".repeat(LONGEST - 6));
        let page = LogPage {
            lines: vec![line(format!("password={secret}")), line("pin=own-secret".to_owned()), line(long)],
            hidden: vec!["own-secret".into()],
            ..LogPage::default()
        };
        let page = clean(page, &[secret.into()]);
        let texts: Vec<&str> = page.lines.iter().map(|line| &*line.text).collect();
        assert_eq!(texts[..2], ["password=[secret]", "pin=[secret]"]);
        assert!(texts[2].ends_with("x[secre… (2 characters more)"), "{}", &texts[2][LONGEST - 20..]);
    }
}
