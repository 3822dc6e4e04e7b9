//! What a certificate says of itself: from when and until when it is valid, and for whom. Must not read files or the clock.

use std::path::PathBuf;

use rustls::{client::verify_server_name, server::ParsedCertificate};
use rustls_pki_types::{CertificateDer, ServerName};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{
    machine::Millis,
    web_front::{FrontTrouble, builtin::settings::TlsFiles},
};

/// What there is to know about a chain that is served.
#[derive(Debug)]
pub(super) struct Certificate {
    file: PathBuf,
    warn_before: Millis,
    /// The time in which all of the chain is valid.
    valid: Result<(Millis, Millis), String>,
    /// Hosts that users go to and that it does not cover.
    uncovered: Vec<String>,
}

impl Certificate {
    /// Looks at a chain, the leaf first, that is to serve `files.names` and these hosts.
    pub(super) fn read(chain: &[CertificateDer<'_>], files: &TlsFiles, hosts: &[String]) -> Self {
        let hosts = files.names.iter().chain(hosts);
        let uncovered = chain.first().map(|leaf| hosts.filter(|host| !covers(leaf, host)).cloned().collect());
        Self {
            file: files.certificate.clone(),
            warn_before: files.warn_before,
            valid: validity(chain),
            uncovered: uncovered.unwrap_or_default(),
        }
    }

    /// Returns what is wrong with it at this time, the most pressing last.
    pub(super) fn trouble(&self, now: Millis) -> Vec<FrontTrouble> {
        let file = || self.file.clone();
        let mut trouble = Vec::new();
        trouble.extend(
            self.uncovered.iter().map(|host| FrontTrouble::CertificateNames { file: file(), host: host.clone() }),
        );
        match &self.valid {
            Err(why) => trouble.push(FrontTrouble::CertificateUnread { file: file(), why: why.clone() }),
            Ok((_, at)) if *at <= now => trouble.push(FrontTrouble::CertificateEnded { file: file(), at: *at }),
            Ok((at, _)) if *at > now => trouble.push(FrontTrouble::CertificateBegins { file: file(), at: *at }),
            Ok((_, at)) if at.since(now) <= self.warn_before => {
                trouble.insert(0, FrontTrouble::CertificateEnds { file: file(), at: *at });
            }
            Ok(_) => {}
        }
        trouble
    }
}

fn covers(leaf: &CertificateDer<'_>, host: &str) -> bool {
    let (Ok(leaf), Ok(name)) = (ParsedCertificate::try_from(leaf), ServerName::try_from(host)) else { return false };
    verify_server_name(&leaf, &name).is_ok()
}

/// Returns from when until when all of the chain is valid. A root in it does not count: clients have their own.
fn validity(chain: &[CertificateDer<'_>]) -> Result<(Millis, Millis), String> {
    let (mut begins, mut ends) = (Millis(0), Millis(u64::MAX));
    for (place, certificate) in chain.iter().enumerate() {
        let (_, read) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        if place > 0 && read.subject() == read.issuer() {
            continue;
        }
        let time = |seconds: i64| Millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
        begins = begins.max(time(read.validity().not_before.timestamp()));
        ends = ends.min(time(read.validity().not_after.timestamp()));
    }
    Ok((begins, ends))
}

/// Returns whether a certificate can cover this: a host name, or an address.
pub(in crate::web_front::builtin) fn is_host(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

    use super::*;
    use crate::text::parse_time;

    const DAY: u64 = 86_400_000;

    fn day(text: &str) -> Millis {
        parse_time(&format!("{text}T00:00:00.000Z")).unwrap()
    }

    /// Valid from 1 to 31 March 2026, both at midnight.
    fn march(names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2026, 3, 1), date_time_ymd(2026, 3, 31));
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn files(names: &[&str]) -> TlsFiles {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let (certificate, key) = ("c.pem".into(), "k.pem".into());
        TlsFiles { certificate, key, names, warn_before: Millis(21 * DAY) }
    }

    #[test]
    fn its_end_is_told_in_time_and_never_as_something_else() {
        let certificate = Certificate::read(&[march(&["a.test"])], &files(&["a.test"]), &[]);
        let (file, at) = (PathBuf::from("c.pem"), day("2026-03-31"));
        let ends = || vec![FrontTrouble::CertificateEnds { file: file.clone(), at }];
        let ended = || vec![FrontTrouble::CertificateEnded { file: file.clone(), at }];
        let begins = FrontTrouble::CertificateBegins { file: file.clone(), at: day("2026-03-01") };
        assert_eq!(certificate.trouble(day("2026-02-28")), [begins]);
        assert_eq!(certificate.trouble(day("2026-03-01")), [], "valid, and far from its end");
        assert_eq!(certificate.trouble(Millis(day("2026-03-10").0 - 1)), [], "21 days and a moment");
        assert_eq!(certificate.trouble(day("2026-03-10")), ends(), "21 days");
        assert_eq!(certificate.trouble(day("2026-03-22")), ends(), "9 days");
        assert_eq!(certificate.trouble(Millis(at.0 - 1)), ends());
        assert_eq!(certificate.trouble(at), ended(), "0 days");
        assert_eq!(certificate.trouble(day("2027-01-01")), ended());
    }

    #[test]
    fn hosts_that_it_does_not_cover_are_told() {
        let chain = [march(&["shop.test", "*.shop.test", "10.0.0.7"])];
        let wanted = ["shop.test", "www.shop.test", "10.0.0.7", "a.b.shop.test", "shop.example", "10.0.0.8"];
        let certificate = Certificate::read(&chain, &files(&wanted), &["candidate.shop.test".to_owned()]);
        let told = certificate.trouble(day("2026-03-02")).into_iter().map(|trouble| match trouble {
            FrontTrouble::CertificateNames { host, .. } => host,
            other => panic!("{other:?}"),
        });
        assert_eq!(told.collect::<Vec<_>>(), ["a.b.shop.test", "shop.example", "10.0.0.8"]);
    }

    #[test]
    fn the_first_of_the_chain_to_end_counts_but_no_root() {
        let authority = |name: &str, ends| {
            let mut parameters = CertificateParams::new(Vec::<String>::new()).unwrap();
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
            (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), ends);
            parameters
        };
        let root = authority("root", date_time_ymd(2026, 3, 5));
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let between = authority("between", date_time_ymd(2026, 3, 20));
        let between = between.signed_by(&KeyPair::generate().unwrap(), &root).unwrap();
        let chain = [march(&["a.test"]), between.der().clone(), root.as_ref().der().clone()];
        let told = Certificate::read(&chain, &files(&["a.test"]), &[]).trouble(day("2026-03-10"));
        assert_eq!(told, [FrontTrouble::CertificateEnds { file: "c.pem".into(), at: day("2026-03-20") }]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let told = Certificate::read(&[vec![1, 2, 3].into()], &files(&[]), &[]);
        assert!(matches!(&told.trouble(Millis(0))[..], [FrontTrouble::CertificateUnread { .. }]), "{told:?}");
    }
}
