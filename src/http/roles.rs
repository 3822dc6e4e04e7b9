//! The role that a request takes: declared where its route is made, and found by the route. A route for which nothing
//! was said is refused to everybody. Must not know what the routes do.

use std::collections::HashMap;

use axum::response::{IntoResponse, Response};
use http::{Method, header};
use utoipa_axum::router::UtoipaMethodRouter;

use super::Problem;
use crate::access::Role;

/// The roles that routes take, by the method and the route with its parameters by name.
#[derive(Debug, Default)]
pub(super) struct Roles(HashMap<String, Vec<(Method, Role)>>);

impl Roles {
    /// Notes that these routes take this role, and hands them on.
    pub(super) fn need<S>(&mut self, role: Role, routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S> {
        for (path, item) in &routes.1.paths {
            let methods = [(Method::GET, item.get.is_some()), (Method::POST, item.post.is_some())];
            for (method, _) in methods.into_iter().filter(|(_, there)| *there) {
                self.note(role, method, path);
            }
        }
        routes
    }

    /// Notes that this method of a route takes this role.
    pub(super) fn note(&mut self, role: Role, method: Method, path: &str) {
        self.0.entry(path.to_owned()).or_default().push((method, role));
    }

    /// Returns the role that a request takes.
    ///
    /// # Errors
    /// Its answer, where nothing was said of this method or of this route.
    pub(super) fn of(&self, method: &Method, path: &str) -> Result<Role, Response> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let Some(known) = self.0.get(path) else {
            tracing::error!(path, "a route was made without saying which role it takes; it is refused to everybody");
            return Err(Problem::new(500, "a defect of pointsman: nobody may ask for this; report it").into_response());
        };
        let role = known.iter().find(|(known, _)| known == method).map(|(_, role)| *role);
        role.ok_or_else(|| {
            let names =
                known.iter().map(|(method, _)| if method == Method::GET { "GET,HEAD" } else { method.as_str() });
            let allow = [(header::ALLOW, names.collect::<Vec<_>>().join(","))];
            (allow, Problem::new(405, "this address does not take this method")).into_response()
        })
    }

    /// Lists all of them: method, route, role.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&Method, &str, Role)> {
        self.0.iter().flat_map(|(path, methods)| methods.iter().map(|(method, role)| (method, path.as_str(), *role)))
    }
}
