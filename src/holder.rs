//! Who listens at an address of this host, as far as this user may see: which processes, and whether they are fronts or
//! controllers of Pointsman.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Lists the processes that hold the socket which listens at this address, or at all addresses with this port.
pub(crate) fn listeners(address: SocketAddr) -> Vec<i32> {
    let Some(inode) = listening_inode(address) else { return Vec::new() };
    let wanted = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let holds = |pid: &i32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
        open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target.to_str() == Some(&wanted))
    };
    pids.filter(holds).collect()
}

/// The inode of the socket that listens there, at this address or at all of them.
fn listening_inode(endpoint: SocketAddr) -> Option<String> {
    /// The state LISTEN.
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", endpoint.port());
    let own = hexadecimal(endpoint.ip());
    let of_all = |address: &str| address.bytes().all(|b| b == b'0');
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let address = fields.get(1)?.strip_suffix(&port)?;
        let there = (address == own || of_all(address)) && *fields.get(3)? == LISTEN;
        there.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    // A host without IPv6 has no second table.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    tables.into_iter().find_map(|table| table.lines().skip(1).find_map(inode))
}

/// An address as `/proc/net/tcp` shows it: words of four bytes in the host's order.
fn hexadecimal(ip: IpAddr) -> String {
    let bytes = match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let word = |word: &[u8]| match word.try_into() {
        Ok(word) => format!("{:08X}", u32::from_ne_bytes(word)),
        Err(_) => String::new(),
    };
    bytes.chunks(4).map(word).collect()
}

/// The name of a program, for people.
pub(crate) fn name(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.map_or_else(|_| "?".to_owned(), |name| name.trim().chars().filter(|c| !c.is_control()).collect())
}

/// Says who holds an address, and which command ends it where that is a front or a controller of Pointsman. `front`: the
/// folder of whoever asks, where that is a front.
pub(crate) fn in_use(address: SocketAddr, front: Option<&Path>) -> String {
    let holders = listeners(address);
    let Some(&pid) = holders.first() else {
        return format!("{address} is in use by a process that this user may not see");
    };
    let told = holders.iter().find_map(|pid| ours(*pid).map(|ours| (*pid, ours)));
    match told {
        Some((pid, Ours::Front(folder))) => {
            // What was there in the same folder was lost or replaced, so that one cannot be asked by its folder any more.
            let older = front.is_some_and(|own| own == folder);
            let whose = if older { "an older front of this installation" } else { "another front of Pointsman" };
            let end = if older || !folder.is_dir() {
                format!("kill {}", holders.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            } else {
                format!("pointsman front-run --end --folder {}", folder.display())
            };
            format!("{address} is in use by {whose}, pid {pid}, of the folder {}; `{end}` ends it", folder.display())
        }
        Some((pid, Ours::Controller(folder))) => format!(
            "{address} is in use by another controller, pid {pid}, which runs in {}; stop that one (`kill {pid}`), or let \
             this one listen elsewhere (`server.listen`)",
            folder.display()
        ),
        None => format!("{address} is in use by process {pid} ({})", name(pid)),
    }
}

/// A process of Pointsman, by its command line.
enum Ours {
    Front(PathBuf),
    Controller(PathBuf),
}

fn ours(pid: i32) -> Option<Ours> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&str> = line.split(|b| *b == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    if !name(pid).starts_with("pointsman") {
        return None;
    }
    match *words.get(1)? {
        "front" | "front-run" => {
            let folder = words.iter().position(|word| *word == "--folder").and_then(|place| words.get(place + 1))?;
            // A path that is not whole is meant from where that process runs.
            let within = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
            Some(Ours::Front(within.join(folder)))
        }
        "serve" => Some(Ours::Controller(fs::read_link(format!("/proc/{pid}/cwd")).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_holds_an_address_is_said_by_name_and_number() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("an address");
        let own = std::process::id();
        let said = in_use(address, None);
        assert!(said.starts_with(&format!("{address} is in use by process {own} (")), "{said}");
        drop(listener);
        assert_eq!(listeners(address), Vec::<i32>::new());
    }
}
