//! Asks every node of a load balancer, as a user would, which stack answers: a change of a rule reaches one node after the other. Must
//! not use the read-back.

use std::{fs, net::SocketAddr, time::Duration};

use http::HeaderName;
use reqwest::{Certificate, Client};

use super::settings::Public;
use crate::{
    machine::StackName,
    outgoing::{self, root_cause},
    stacks::StepError,
    web_front::Route,
};

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest time that a check may take; its own limit is shorter.
const LONGEST: Duration = Duration::from_secs(300);

/// Returns the stack that all nodes show, of those that get users by one of these orders. Under a split one node is asked, as one
/// user of many would.
pub(super) async fn ask(public: &Public, header: &HeaderName, orders: &[&Route]) -> Result<StackName, StepError> {
    let users = orders.iter().flat_map(|route| route.target.iter().chain(route.split.as_ref().map(|s| &s.target)));
    let known: Vec<&StackName> = users.map(|target| &target.stack).collect();
    let mut nodes = nodes(public).await?;
    if orders.first().is_some_and(|newest| newest.split.is_some()) {
        nodes.truncate(1);
    }
    let mut shown: Option<&StackName> = None;
    for node in nodes {
        let said = ask_node(public, header, node).await?;
        let stack = known.iter().copied().find(|stack| stack.to_string() == said);
        let stack = stack.ok_or_else(|| {
            StepError::Unavailable(format!("node {node} of the load balancer leads to {said:?}; it is asked again"))
        })?;
        if let Some(other) = shown.filter(|other| *other != stack) {
            return Err(StepError::Unavailable(format!(
                "node {node} of the load balancer leads to {stack}, and another one to {other} still; they are asked again"
            )));
        }
        shown = Some(stack);
    }
    let none = || StepError::Unavailable(format!("{} leads to no address", public.url));
    shown.cloned().ok_or_else(none)
}

/// The addresses of the nodes: those of the settings, or those that the name leads to now.
async fn nodes(public: &Public) -> Result<Vec<SocketAddr>, StepError> {
    if !public.nodes.is_empty() {
        return Ok(public.nodes.clone());
    }
    let (Some(host), Some(port)) = (public.url.host_str(), public.url.port_or_known_default()) else {
        return Err(StepError::Refused(format!("front.public.url {} names no host", public.url)));
    };
    let found = tokio::time::timeout(ANSWER, tokio::net::lookup_host((host, port))).await;
    let late =
        |_| StepError::Unavailable(format!("{host}: no answer of the name service within {} s", ANSWER.as_secs()));
    let found = found.map_err(late)?.map_err(|why| StepError::Unavailable(format!("{host}: {why}")))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

async fn ask_node(public: &Public, header: &HeaderName, node: SocketAddr) -> Result<String, StepError> {
    let client = client(public, ANSWER, Some(node))?;
    let answer = client.get(public.url.clone()).timeout(ANSWER).send().await;
    let answer = answer.map_err(|why| {
        StepError::Unavailable(format!("node {node} of the load balancer does not answer: {}", root_cause(&why)))
    })?;
    let said = answer.headers().get(header).and_then(|value| value.to_str().ok());
    said.map(str::to_owned).ok_or_else(|| {
        let status = answer.status().as_u16();
        StepError::Unavailable(format!(
            "at {} (node {node}) no stack says its name in {header}, but status {status} comes: does the application answer \
             there with what POINTSMAN_STACK tells it, without a sign-in?",
            public.url
        ))
    })
}

/// Returns a client that finds the front, at this node if one is named, and believes its certificate.
pub(super) fn client(public: &Public, connect: Duration, node: Option<SocketAddr>) -> Result<Client, StepError> {
    let mut client = outgoing::client()
        .user_agent("pointsman")
        .no_proxy()
        .pool_max_idle_per_host(0)
        .tls_danger_accept_invalid_certs(public.insecure_tls)
        .connect_timeout(connect)
        .timeout(LONGEST);
    if let (Some(node), Some(host)) = (node, public.url.host_str()) {
        client = client.resolve(host, node);
    }
    if let Some(path) = &public.ca {
        let unread = |why: String| StepError::Refused(format!("front.public.ca {}: {why}", path.display()));
        let pem = fs::read(path).map_err(|error| unread(error.to_string()))?;
        let list = Certificate::from_pem_bundle(&pem).map_err(|error| unread(error.to_string()))?;
        client = client.tls_certs_only(list);
    }
    client.build().map_err(|error| StepError::Refused(format!("front.public: {error}")))
}
