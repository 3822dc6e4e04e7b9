//! The page of all environments.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};

use super::{
    Visitor,
    frame::{Frame, Here},
    live::Part,
    page as answer, part, title,
    words::filters,
};
use crate::http::{
    App, Problem,
    glances::Glance,
    overview::{Row, Show, Sort, Wanted},
};

/// All environments, as a page.
#[derive(Template)]
#[template(path = "overview.html", blocks = ["summary", "needs", "chips", "lines", "pages"])]
pub(super) struct Page {
    frame: Frame,
    glance: Arc<Glance>,
    wanted: Wanted,
}

struct Chip {
    word: &'static str,
    icon: &'static str,
    colour: &'static str,
    count: usize,
    address: String,
    here: bool,
}

/// Pipelines that have the same environments, in the same order.
struct Table<'a> {
    names: Vec<&'a str>,
    rows: Vec<&'a Row>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    answer(&Page::of(&app, &visitor, wanted).await)
}

/// The parts that may change, of a page that somebody follows: made once for all who follow the same.
pub(super) async fn parts(app: &App, visitor: &Visitor, wanted: &Wanted) -> Result<Arc<Vec<Part>>, Problem> {
    let page = Page::of(app, visitor, wanted.clone()).await;
    page.glance.parts(|| page.parts())
}

impl Page {
    async fn of(app: &App, visitor: &Visitor, wanted: Wanted) -> Self {
        let view = app.glances.of(app, &visitor.caller, &wanted).await;
        let needed = view.view.needed;
        let name = if needed == 0 { "Overview".to_owned() } else { format!("{needed} need you") };
        let address = address(&wanted);
        let stream = Some(address.replacen('/', "/live", 1));
        let frame = Frame::new(&name, address, view.at).of(visitor);
        let frame = Frame { stream, here: Here::Overview, ..frame };
        Self { frame, glance: view, wanted }
    }

    /// Returns the parts that may change, by name.
    fn parts(&self) -> Result<Vec<Part>, Problem> {
        Ok(vec![
            title(&self.frame),
            part("summary", &self.as_summary())?,
            part("needs", &self.as_needs())?,
            part("chips", &self.as_chips())?,
            part("lines", &self.as_lines())?,
            part("pages", &self.as_pages())?,
        ])
    }

    fn moving(&self) -> usize {
        self.glance.view.counts.get(&Show::Moving).copied().unwrap_or(0)
    }

    fn sorts(&self) -> [(&'static str, &'static str, bool); 3] {
        let is = |sort| self.wanted.sort.unwrap_or(Sort::Needs) == sort;
        [
            ("needs", "Needs you, then name", is(Sort::Needs)),
            ("changed", "Last change", is(Sort::Changed)),
            ("name", "Name", is(Sort::Name)),
        ]
    }

    fn show_value(&self) -> Option<String> {
        self.wanted.show.map(|show| query(&Wanted { show: Some(show), ..Wanted::default() }).replace("show=", ""))
    }

    fn chips(&self) -> Vec<Chip> {
        let to = |show: Option<Show>| address(&Wanted { show, page: None, ..self.wanted.clone() });
        let all = Chip {
            word: "All",
            icon: "",
            colour: "",
            count: self.glance.view.environments_in_all,
            address: to(None),
            here: self.wanted.show.is_none(),
        };
        let some = Show::ALL.iter().map(|(show, word)| {
            let (icon, colour) = match show {
                Show::Healthy => ("live", "go"),
                Show::Needs => ("wait", "wait"),
                Show::Moving => ("move", "move"),
                Show::Down => ("down", "stop"),
                Show::Drift => ("drift", "wait"),
                Show::Held => ("hold", "rest"),
                Show::Pinned => ("pin", "rest"),
                Show::Unseen => ("stale", "blind"),
                Show::Behind => ("", ""),
            };
            let count = self.glance.view.counts.get(show).copied().unwrap_or(0);
            let here = self.wanted.show == Some(*show);
            Chip { word, icon, colour, count, address: to(Some(*show)), here }
        });
        // What nobody has is left out, as long as nobody asks for it.
        std::iter::once(all).chain(some.filter(|chip| chip.count > 0 || chip.here)).collect()
    }

    fn tables(&self) -> Vec<Table<'_>> {
        let mut tables: Vec<Table<'_>> = Vec::new();
        for row in &self.glance.view.pipelines {
            let names: Vec<&str> = row.environments.iter().map(|cell| &*cell.name).collect();
            match tables.iter_mut().find(|table| table.names == names) {
                Some(table) => table.rows.push(row),
                None => tables.push(Table { names, rows: vec![row] }),
            }
        }
        tables
    }

    #[expect(clippy::unused_self, reason = "the template asks it")]
    fn next_is_behind(&self, row: &Row, at: &usize) -> bool {
        row.environments.get(at + 1).is_some_and(|next| next.behind > 0)
    }

    fn page_address(&self, page: usize) -> String {
        address(&Wanted { page: u32::try_from(page).ok(), ..self.wanted.clone() })
    }
}

fn query(wanted: &Wanted) -> String {
    serde_urlencoded::to_string(wanted).expect("words and numbers make a query")
}

fn address(wanted: &Wanted) -> String {
    let query = query(wanted);
    if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
}
