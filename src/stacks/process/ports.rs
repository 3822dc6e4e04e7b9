//! Chooses the ports of a new stack: free now, promised to no other stack, and not the ones that were just given back.
//!
//! Must be called under the driver's lock.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::Path,
};

use super::{
    definition::Definition,
    folder::{Durable, StackFolder, replace},
};

/// One address for each instance. Goes on where the last one ended, so that a request that comes late to a stack that
/// is gone does not meet its successor.
///
/// # Errors
/// When the range has too few, in one sentence; or the folder cannot be read.
pub(super) fn allot(driver: &Path, definition: &Definition) -> io::Result<Vec<SocketAddr>> {
    let stacks = StackFolder::all(driver)?;
    let taken: BTreeSet<SocketAddr> =
        stacks.iter().filter_map(|(_, folder)| folder.spec().ok()).flat_map(|spec| spec.endpoints).collect();
    let (first, last) = (*definition.ports.start(), *definition.ports.end());
    let remembered = driver.join("last-port");
    let newest = std::fs::read_to_string(&remembered).ok().and_then(|text| text.trim().parse::<u16>().ok());
    let begin = newest.filter(|port| (first..last).contains(port)).map_or(first, |port| port + 1);
    let mut candidates = (begin..=last).chain(first..begin);
    let mut allotted = Vec::new();
    for instance in 0..definition.instances {
        let address = definition.addresses[usize::from(instance) % definition.addresses.len()];
        let free = candidates.find(|port| is_free(address, *port, &taken)).ok_or_else(|| {
            let count = definition.instances;
            io::Error::other(format!("no free port left on {address} in {first}-{last} ({count} needed, {} stacks have theirs): widen `ports`, or retire something", stacks.len()))
        })?;
        allotted.push(SocketAddr::new(address, free));
    }
    if let Some(newest) = allotted.last() {
        replace(&remembered, newest.port().to_string().as_bytes(), Durable::No)?;
    }
    Ok(allotted)
}

fn is_free(address: IpAddr, port: u16, taken: &BTreeSet<SocketAddr>) -> bool {
    let endpoint = SocketAddr::new(address, port);
    !taken.contains(&endpoint) && can_listen(endpoint).is_ok()
}

/// Whether somebody could listen there now.
pub(super) fn can_listen(endpoint: SocketAddr) -> io::Result<()> {
    TcpListener::bind(endpoint).map(drop)
}
