//! A cloud whose Keystone speaks TLS, with a certificate that only its operators vouch for, and a password in a secure.yaml.

use std::{fs, path::Path, process::Command};

use pointsman::stacks::StackDriver;

use crate::support::{address, cloud::cloud, peers, project::Project, wire::Wire};

/// An nginx that ends the TLS of somebody else's service.
struct Terminator(std::process::Child);

impl Terminator {
    fn before(keystone: std::net::SocketAddr, at: std::net::SocketAddr, folder: &Path, more: &str) -> Option<Self> {
        let (nginx, openssl) = (peers::need("nginx")?, peers::need("openssl")?);
        let here = folder.display();
        let name = format!("subjectAltName=IP:{}", at.ip());
        let made = Command::new(openssl)
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=story",
                "-addext",
                &name,
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &format!("{here}/key.pem"), "-out", &format!("{here}/ca.pem")])
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{made:?}");
        let configuration = format!(
            "daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log {here}/error.log;\nevents {{}}\nhttp {{\n  access_log off;\n  \
             client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;\n  \
             uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;\n  server {{\n    listen {at} ssl;\n    ssl_certificate {here}/ca.pem;\n    \
             ssl_certificate_key {here}/key.pem;\n    {more}\n    location / {{ proxy_pass http://{keystone}; }}\n  }}\n}}\n"
        );
        fs::write(folder.join("nginx.conf"), configuration).expect("written");
        let arguments = ["-p".to_owned(), here.to_string(), "-c".to_owned(), format!("{here}/nginx.conf")];
        Some(Self(Command::new(nginx).args(arguments).spawn().expect("nginx starts")))
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_cloud_with_a_certificate_of_its_own_is_known_by_its_cacert() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = (address::own(), 5443).into();
    let Some(_terminator) = Terminator::before(cloud.keystone(), at, folder.path(), "") else { return };
    let entry = |cacert: &str| {
        format!(
            "clouds:\n  tls:\n    auth: {{auth_url: 'https://{at}/v3', username: demo, project_name: demo}}\n    {cacert}\n"
        )
    };
    let clouds = folder.path().join("clouds.yaml");
    fs::write(&clouds, entry(&format!("cacert: {}/ca.pem", folder.path().display()))).expect("written");
    let secure = "clouds:\n  tls:\n    auth: {password: demo-password}\n";
    fs::write(folder.path().join("secure.yaml"), secure).expect("written");
    let project = Project::asking_with(cloud, |_| format!("cloud = {{ name = \"tls\", file = {clouds:?} }}"));
    project.until("it listens", async || Wire::open(at).ok()).await;
    assert_eq!(project.until("it is let in", async || project.driver.observe().await.ok()).await, []);
    let (seen, _) = project.stand_up(&project.spec(1)).await;
    assert_eq!(seen.reach.addresses().len(), 1);
    project.tear_down(1).await;

    fs::write(&clouds, entry("region_name: RegionOne")).expect("written");
    let why = project.reopened().observe().await.expect_err("nobody vouches for it").to_string();
    assert!(why.contains("`cacert` vouch for its certificate?") && !why.contains("demo-password"), "{why}");
    println!("without it: {why}");
}

#[tokio::test]
async fn a_certificate_of_our_own_is_shown_and_one_that_nobody_vouches_for_is_taken_where_the_file_says_so() {
    let Some(cloud) = cloud() else { return };
    let _shared = cloud.in_use.read().await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = (address::own(), 5444).into();
    let wants_ours = format!("ssl_verify_client on; ssl_client_certificate {}/ca.pem;", folder.path().display());
    let Some(_terminator) = Terminator::before(cloud.keystone(), at, folder.path(), &wants_ours) else { return };
    let clouds = folder.path().join("clouds.yaml");
    let write = |more: &str| {
        let auth = format!("{{auth_url: 'https://{at}', username: demo, password: demo-password, project_name: demo}}");
        fs::write(&clouds, format!("clouds:\n  tls: {{auth: {auth}, {more}}}\n")).expect("written");
    };
    write("cacert: ca.pem, cert: ca.pem, key: key.pem");
    let project = Project::asking_with(cloud, |_| format!("cloud = {{ name = \"tls\", file = {clouds:?} }}"));
    project.until("it listens", async || Wire::open(at).ok()).await;
    assert_eq!(project.until("it is let in", async || project.driver.observe().await.ok()).await, []);
    assert_eq!(project.driver.settings_notes(), [""; 0]);

    write("cacert: ca.pem");
    let why = project.reopened().observe().await.expect_err("it shows no certificate").to_string();
    assert!(!why.contains("demo-password"), "{why}");
    for unverified in ["verify: no", "insecure: 'True', cacert: ca.pem"] {
        write(&format!("{unverified}, cert: ca.pem, key: key.pem"));
        let driver = project.reopened();
        assert_eq!(project.until("it is let in", async || driver.observe().await.ok()).await, []);
        let notes = driver.settings_notes().join("\n");
        assert!(notes.contains("clouds.yaml") && notes.contains("trusted with any certificate"), "{notes}");
    }
}
