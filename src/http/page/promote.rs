//! The page that shows what a promotion would change, and takes the confirmation: what was shown is what is done.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{
    Visitor,
    frame::{Fields, Frame},
    others::Others,
    page as answer,
    words::filters,
};
use crate::{
    access::Role,
    http::{App, Problem, changes, changes::Changes, place::Place, responses::GateName},
    machine::EnvironmentId,
    pipelines::Tier,
};

/// Page that shows what a promotion would change.
#[derive(Template)]
#[template(path = "promote.html")]
struct Page {
    frame: Frame,
    id: EnvironmentId,
    tier: Option<Tier>,
    view: Changes,
    fields: Fields,
    /// Why whoever looks may not confirm it.
    not_for: Option<String>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    visitor: Visitor,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let seq = app.journal.state(&definition.id).seq().0;
    let (view, shown) = changes::of(&app, &definition, &visitor.caller).await?;
    let name = match &view.to {
        Some(to) => format!("Promote {} to {}", to.number, definition.id),
        None => format!("Promote to {}", definition.id),
    };
    let address = format!("/environments/{}/promote", definition.id);
    let frame = Frame::new(&name, address, app.clock.now()).at(&visitor, &definition.id);
    let fields = Fields::new(&shown, seq, &visitor);
    let not_for = Others::of(&app, &visitor, &definition.id).not_for(Role::Deployer);
    answer(&Page { frame, id: definition.id.clone(), tier: definition.tier(), view, fields, not_for })
}

impl Page {
    /// How many people wrote the commits.
    fn authors(&self) -> usize {
        let commits = self.view.commits.iter().flatten();
        commits.map(|commit| &commit.author).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// The lines of the definition that change.
    fn lines(&self) -> usize {
        let all = self.view.definition.lines();
        all.filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---")).count()
    }

    fn diff(&self) -> Vec<(&'static str, &str)> {
        let class = |line: &str| match line.as_bytes().first() {
            Some(b'+') => "is",
            Some(b'-') => "was",
            _ => "same",
        };
        self.view.definition.lines().skip(2).map(|line| (class(line), line)).collect()
    }
}

impl GateName {
    /// What a gate is called for people.
    pub(super) fn for_people(self) -> &'static str {
        match self {
            Self::BeforeProvisioning => "before a stack is made",
            Self::BeforeCutover => "before the cutover",
        }
    }
}
