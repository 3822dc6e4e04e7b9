//! A browser on the controller's own host, as the router sees it: it keeps cookies, says where a form comes from, and reads pages.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header, request::Builder};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{
    super::{authentication::Peer, identity::Local},
    kit::Shop,
};
use crate::{
    access::{Grant, kept, password::PasswordHash, users::User},
    machine::Millis,
};

pub const PASSWORD: &str = "correct horse battery";

/// A page as it came.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    /// Where it leads.
    pub fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |location| location.to_str().unwrap())
    }

    /// The value of a hidden field.
    pub fn hidden(&self, name: &str) -> &str {
        let field = self.text.split(&format!("name=\"{name}\" value=\"")).nth(1).expect("the field");
        field.split('"').next().unwrap()
    }
}

pub struct Browser<'s> {
    shop: &'s Shop,
    pub peer: IpAddr,
    pub host: &'static str,
    pub cookies: Mutex<Vec<(String, String)>>,
}

impl<'s> Browser<'s> {
    pub fn of(shop: &'s Shop) -> Self {
        Self { shop, peer: Ipv4Addr::LOCALHOST.into(), host: "127.0.0.1:7070", cookies: Mutex::default() }
    }

    /// A request of it, without what says where it comes from.
    pub fn request(&self, method: &str, path: &str) -> Builder {
        let local: SocketAddr = "127.0.0.1:7070".parse().unwrap();
        let request =
            Request::builder().method(method).uri(path).header("host", self.host).header("accept", "text/html");
        let request = request.extension(Peer(self.peer)).extension(Some(Local(local)));
        let cookies: Vec<_> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    pub async fn send(&self, request: Request<Body>) -> Page {
        let (parts, body) = self.shop.router.clone().oneshot(request).await.unwrap().into_parts();
        for set in parts.headers.get_all(header::SET_COOKIE) {
            let (pair, terms) = set.to_str().unwrap().split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            // That of a sign-in that was begun is to come back from another site.
            let site = if name.contains("oidc") { "Lax" } else { "Strict" };
            assert!(terms.contains(&format!("Path=/; HttpOnly; SameSite={site}")), "{terms}");
            let mut cookies = self.cookies.lock().unwrap();
            cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        if !text.is_empty() && parts.headers[header::CONTENT_TYPE].as_bytes().starts_with(b"text/html") {
            let policy = parts.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{policy}");
            assert_eq!(parts.headers[header::CACHE_CONTROL], "no-store");
        }
        Page { status: parts.status, headers: parts.headers, text }
    }

    pub async fn get(&self, path: &str) -> Page {
        self.send(self.request("GET", path).header("sec-fetch-site", "none").body(Body::empty()).unwrap()).await
    }

    /// Makes a request from a page of another site, with what a browser sends then.
    pub async fn come_from_elsewhere(&self, path: &str) -> Page {
        let cookies = std::mem::take(&mut *self.cookies.lock().unwrap());
        let (sent, kept) = cookies.into_iter().partition(|(name, _)| name.contains("oidc"));
        *self.cookies.lock().unwrap() = sent;
        let request = self.request("GET", path).header("sec-fetch-site", "cross-site").body(Body::empty()).unwrap();
        let page = self.send(request).await;
        let mut cookies = self.cookies.lock().unwrap();
        for (name, value) in kept {
            if !cookies.iter().any(|(known, _)| *known == name) {
                cookies.push((name, value));
            }
        }
        drop(cookies);
        page
    }

    /// Sends a form of our own pages.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(form(self.request("POST", path).header("sec-fetch-site", "same-origin"), fields)).await
    }

    pub async fn sign_in(&self, user: &str, password: &str) -> Page {
        self.post("/sign-in", &[("user", user), ("password", password), ("then", "/"), ("press", "")]).await
    }

    /// The text that forms of its session carry.
    pub fn csrf(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let (_, secret) =
            cookies.iter().find(|(name, _)| !name.contains("press") && !name.contains("oidc")).expect("a session");
        crate::access::sessions::csrf(secret.as_bytes())
    }

    /// Whether it is signed in, by what the API answers.
    pub async fn is_in(&self) -> bool {
        self.get("/v1/environments").await.status == StatusCode::OK
    }
}

pub fn form(request: Builder, fields: &[(&str, &str)]) -> Request<Body> {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(fields);
    request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(text.finish())).unwrap()
}

/// Adds a user with [`PASSWORD`].
pub fn user(shop: &Shop, name: &str, grants: &[&str]) {
    let grants: Vec<Grant> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
    let password = PasswordHash::of(PASSWORD.as_bytes()).unwrap();
    kept::add(shop.folder(), User { name: name.into(), password, grants: grants.into(), created: Millis(1) }).unwrap();
}
