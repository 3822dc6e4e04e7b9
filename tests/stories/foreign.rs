//! Whatever else may listen where the controller is looked for: no command takes its answer for one.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");

/// Answers every request with these bytes and keeps what was asked. Ends with the test's process.
fn answering(answer: &'static str) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = Arc::new(Mutex::new(String::new()));
    let ear = heard.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 8192];
            let Ok(length) = stream.read(&mut bytes) else { continue };
            ear.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, heard)
}

fn pointsman(arguments: &[&str], server: SocketAddr) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["--server", &format!("http://{server}")]).current_dir(folder.path());
    command.env("POINTSMAN_TOKEN", "pm_x").stdin(Stdio::null()).output().expect("it runs")
}

const COMMANDS: [&str; 19] = [
    "status",
    "status --json",
    "status shop/prod",
    "status shop/prod --watch",
    "why shop/prod",
    "why shop/prod --json",
    "history shop/prod",
    "history shop/prod --json",
    "hold shop/prod --reason x",
    "hold shop/prod --json",
    "resume shop/prod",
    "pin shop/prod --release 1",
    "veto shop/prod --release 1",
    "deploy shop/prod --version 1 --artifact x",
    "deploy shop/prod --version 1 --artifact x --watch --json",
    "promote shop/prod --yes",
    "approve shop/prod --number 3",
    "abort shop/prod --number 3 --watch",
    "rollback shop/prod --number 3 --watch",
];

const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: ";

#[test]
fn no_command_takes_an_answer_for_one_that_no_controller_gave() {
    let page = "text/html\r\ncontent-length: 26\r\n\r\n<html>Please sign in</html>";
    let ours = "pointsman-controller: 5f; version=0\r\ncontent-length: ";
    let answers = [
        format!("{HEAD}{page}"),
        format!("{HEAD}application/json\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{HEAD}application/json\r\n{ours}0\r\n\r\n"),
        format!("{HEAD}application/json\r\n{ours}2\r\n\r\n[]"),
        format!("{HEAD}application/json\r\n{ours}4\r\n\r\nnull"),
        format!("{HEAD}application/json\r\n{ours}15\r\n\r\n{{\"state\":\"live\"}}"),
        "HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: https://sso.example/\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
        "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nno"
            .to_owned(),
    ];
    for answer in answers {
        let answer: &'static str = Box::leak(answer.into_boxed_str());
        let (address, _) = answering(answer);
        for line in COMMANDS {
            let ended = pointsman(&line.split(' ').collect::<Vec<_>>(), address);
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(1), "{line}\n{answer}\n{ended:?}");
            assert!(said.contains(&format!("http://{address}/v1/")), "{line}\n{answer}\n{said}");
            assert!(said.contains("is not one of a Pointsman controller"), "{line}\n{answer}\n{said}");
            assert_eq!(String::from_utf8_lossy(&ended.stdout), "", "{line}\n{answer}");
        }
    }
}

#[test]
fn the_local_token_is_not_sent_to_a_port_that_does_not_prove_that_it_is_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims = "HTTP/1.1 200 OK\r\nconnection: close\r\npointsman-controller: 5f; version=0\r\ncontent-length: 76\r\n\r\n\
                  {\"proof\": \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}";
    for answer in [claims, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"] {
        let (address, heard) = answering(answer);
        fs::write(folder.path().join("pointsman.toml"), "state = \"state\"\n").expect("written");
        fs::create_dir_all(folder.path().join("state")).expect("made");
        fs::write(folder.path().join("state/token"), "the-local-token\n").expect("written");
        fs::write(folder.path().join("state/address"), format!("{address}\n")).expect("written");
        for more in [vec![], vec!["--server".to_owned(), format!("http://{address}")]] {
            let mut command = Command::new(PROGRAM);
            command.arg("status").args(more).current_dir(folder.path()).stdin(Stdio::null());
            let ended = command.env_remove("POINTSMAN_TOKEN").output().expect("it runs");
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            let heard = heard.lock().unwrap().clone();
            assert!(heard.contains("/v1/identity?nonce=") && !heard.contains("the-local-token"), "{heard}");
        }
    }
}
