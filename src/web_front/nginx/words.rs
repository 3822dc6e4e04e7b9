//! What went wrong on nginx's host, in sentences: what failed, the cause in the peer's words, and the next step. Must not
//! touch any host.

use super::settings::Settings;
use crate::{machine::StackName, program::Ran, stacks::StepError};

/// A file system that takes no more.
const FULL: [&str; 3] = ["No space left on device", "Disk quota exceeded", "Read-only file system"];

fn has(ran: &Ran, words: &[&str]) -> bool {
    words.iter().any(|word| ran.err.contains(word))
}

/// A step of the script failed.
pub(super) fn trouble(settings: &Settings, ran: &Ran) -> StepError {
    let (host, nginx, why) = (settings.host(), settings.nginx_text(), ran.why());
    if let Some(refused) = sudo(settings, ran) {
        return refused;
    }
    if has(ran, &FULL) && ran.status != Some(65) {
        return full(settings, &why);
    }
    match ran.status {
        Some(65) if has(ran, &["ot found", "o such file or directory"]) && !has(ran, &["nginx: "]) => {
            StepError::Refused(format!(
                "`{nginx}` cannot be run on {host} ({why}): install nginx, or name the command as front.nginx"
            ))
        }
        Some(65) => {
            let why = ran.err.lines().map(str::trim).find(|line| line.contains("[emerg]")).unwrap_or(&why);
            StepError::Refused(format!(
                "nginx on {host} refuses its configuration, so it was not reloaded and the former include is back: \
                 {why}; see `{nginx} -t`"
            ))
        }
        Some(66) if has(ran, &["nginx.pid", "invalid PID", "o such process", "No such file"]) => not_running(settings),
        Some(66) => StepError::Unavailable(format!("nginx on {host} cannot be told to reload: {why}")),
        Some(69) => StepError::Refused(format!(
            "on {host} {why}, which Pointsman needs there: install it (util-linux has `flock`; on Alpine \
             `apk add flock coreutils`)"
        )),
        Some(77) => StepError::Refused(format!(
            "on {host}: {why}; make the folders with `setup.sh` of web_front/nginx, with OWNER as the user that signs in"
        )),
        Some(75) => others(settings, &format!(": {why}")),
        _ => StepError::Unavailable(format!("on {host}: {why}")),
    }
}

fn sudo(settings: &Settings, ran: &Ran) -> Option<StepError> {
    let (host, nginx, why) = (settings.host(), settings.nginx_text(), ran.why());
    let user = settings.ssh.as_ref().and_then(|ssh| ssh.user.as_deref()).unwrap_or("USER");
    if has(ran, &["sudo: not found", "sudo: command not found"]) {
        return Some(StepError::Refused(format!("there is no sudo on {host}: install it, or set front.sudo = false")));
    }
    if has(ran, &["you must have a tty", "no tty present"]) {
        return Some(StepError::Refused(format!(
            "sudo on {host} wants a terminal ({why}): write `Defaults:{user} !requiretty` into /etc/sudoers.d/pointsman"
        )));
    }
    has(ran, &["sudo: ", "not in the sudoers file", "is not allowed to execute"]).then(|| {
        StepError::Refused(format!(
            "sudo refuses `{nginx}` on {host} ({why}): allow {user} `{nginx} -t` and `{nginx} -s reload` with NOPASSWD in \
             /etc/sudoers.d"
        ))
    })
}

/// The disk takes no more.
pub(super) fn full(settings: &Settings, why: &str) -> StepError {
    StepError::Unavailable(format!(
        "{} cannot write to its disk ({why}); what nginx serves was not changed: make room there, see `df {} {}`",
        settings.host(),
        settings.folder,
        settings.include
    ))
}

/// Says that others change the front at the same time.
pub(super) fn others(settings: &Settings, why: &str) -> StepError {
    StepError::Unavailable(format!("on {} others change the front at the same time{why}", settings.host()))
}

/// nginx's master does not run.
pub(super) fn not_running(settings: &Settings) -> StepError {
    StepError::Unavailable(format!(
        "nginx does not run on {}: start it there (`systemctl start nginx`); `{} -t` says what keeps it from starting",
        settings.host(),
        settings.nginx_text()
    ))
}

/// Says that nothing answers at the read-back.
pub(super) fn silent(settings: &Settings) -> StepError {
    let (host, at) = (settings.host(), settings.read_back);
    let forwards = if settings.ssh.is_none() { "" } else { ", or sshd there has `AllowTcpForwarding no`" };
    StepError::Unavailable(format!(
        "nothing answers at nginx's read-back {at} on {host}: nginx does not run there, or its configuration has no \
         `include {};` in http{forwards}",
        settings.include
    ))
}

/// The read-back answers with a status that the include does not give.
pub(super) fn guarded(status: u16, settings: &Settings) -> String {
    let why = match status {
        401 => {
            "something in nginx's http {} asks for a password there, such as auth_jwt or a Lua script: set it in the \
                server of the site instead"
                .to_owned()
        }
        403 => format!(
            "nginx's user must be able to read {}, and nothing in http {{}} may refuse 127.0.0.1",
            settings.folder
        ),
        429 | 503 => {
            "a limit in nginx's http {} holds for the read-back: set it in the server of the site instead".to_owned()
        }
        _ => format!(
            "what stands in nginx's http {{}} changes its answers; and nginx's user must read {}",
            settings.folder
        ),
    };
    format!("it answers with status {status}: {why}")
}

/// The script was sent, and something else answered.
pub(super) fn never_began(settings: &Settings, ran: &Ran) -> StepError {
    let host = settings.host();
    let who = settings
        .ssh
        .as_ref()
        .and_then(|ssh| ssh.user.clone())
        .map_or_else(|| "the user".to_owned(), |u| format!("`{u}`"));
    let said: Vec<_> = [&ran.out, &ran.err].into_iter().flat_map(|text| text.lines()).map(str::trim).collect();
    let said = said.into_iter().filter(|line| !line.is_empty()).take(3).collect::<Vec<_>>().join(" / ");
    let said = crate::text::excerpt(&said);
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if ran.status.is_none() {
        return StepError::Unavailable(format!("on {host} the shell of {who} was killed before it ran anything"));
    }
    if any(&["not currently available", "currently not available", "nologin"]) {
        return StepError::Refused(format!(
            "{who} may not run commands on {host} ({said}): its login shell is nologin; give it one there: \
             `chsh -s /bin/sh USER`"
        ));
    }
    if any(&["assword has expired", "change your password", "assword change required", "account has expired"]) {
        return StepError::Refused(format!(
            "the account of {who} on {host} has run out ({said}): renew it there: `chage -M -1 -E -1 USER`"
        ));
    }
    if any(&["sh: not found", "sh: command not found", "sh: No such file"]) {
        return StepError::Refused(format!("on {host} there is no `sh` in the PATH of {who} ({said})"));
    }
    let said = if said.is_empty() { format!("nothing, and ended with {}", ran.ended()) } else { format!("\"{said}\"") };
    StepError::Refused(format!(
        "{host} did not run the script that it was sent; it answered {said}: look for `command=` in the user's \
         authorized_keys, `ForceCommand` in sshd_config, and a login script that ends the session"
    ))
}

/// A site leaves browsers without what keeps them with a version.
pub(super) fn no_cookie(settings: &Settings, place: &str) -> String {
    format!(
        "{place} on {} tells browsers no bucket, so under a split each request of a user goes to either version: write its lines \
         for cookies (web_front/nginx/README.md), for example `add_header Set-Cookie $pointsman_{}_cookie always;`, or set \
         front.sticky = \"address\"",
        settings.host(),
        settings.name
    )
}

/// nginx cannot share users.
pub(super) fn draws_nothing(settings: &Settings) -> StepError {
    StepError::Refused(format!(
        "nginx on {} was built without split_clients (`--without-http_split_clients_module`), so it cannot send a share of the \
         users to a second stack",
        settings.host()
    ))
}

/// Both slots have users.
pub(super) fn both_taken(candidate: &StackName, split: &StackName) -> StepError {
    StepError::Refused(format!(
        "nginx has two slots, and {split} has a share of the users in one of them: {candidate} can be made known when all \
         users are at one stack"
    ))
}

/// A cache beside the front does not tell stacks apart.
pub(super) fn caches(settings: &Settings, place: &str) -> String {
    format!(
        "in {place} on {} pages are cached by a key that older releases share, and their pages come back: write \
         `proxy_cache_key $scheme$pointsman_{}_release$request_uri;`",
        settings.host(),
        settings.name
    )
}

/// A site beside the front does not lead by the preview.
pub(super) fn no_preview(settings: &Settings, place: &str) -> String {
    format!(
        "{place} on {} has no lines of the preview, so nobody reaches the candidate there, nor do checks with `via = \"front\"`: \
         add those of web_front/nginx/site.conf with `$pointsman_{}_preview`",
        settings.host(),
        settings.name
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_trouble_has_a_sentence_of_its_own_with_the_next_step() {
        let text = "include = '/etc/nginx/pointsman/shop.conf'\nread_back = '127.0.0.1:8099'\nsudo = true\n\
                    ssh = { host = 'web1', user = 'deploy' }";
        let settings = Settings::read(&text.parse().unwrap(), Path::new("/")).unwrap();
        let ran = |status, out: &str, err: &str| Ran { status, out: out.to_owned(), err: err.to_owned() };
        let cases = [
            (Some(1), "sudo: sorry, you must have a tty to run sudo", "Defaults:deploy !requiretty", true),
            (Some(1), "deploy is not in the sudoers file.", "NOPASSWD", true),
            (Some(1), "cat: write error: No space left on device", "df /var/lib/pointsman/shop", false),
            (Some(2), "sh: cannot create x: Read-only file system", "make room", false),
            (Some(69), "there is no flock", "apk add flock", true),
            (Some(77), "deploy must not write to /x", "OWNER", true),
            (Some(75), "somebody else has been at /x for 5 s", "others change the front", false),
            (Some(66), "kill() failed (3: No such process)", "systemctl start nginx", false),
        ];
        for (status, err, wanted, refused) in cases {
            let error = trouble(&settings, &ran(status, "", err));
            assert!(error.to_string().contains(wanted), "{error}");
            assert_eq!(matches!(error, StepError::Refused(_)), refused, "{error}");
        }
        let cases = [
            (Some(1), "This account is currently not available.\n", "chsh -s /bin/sh"),
            (Some(1), "Your password has expired.\nPassword change required", "chage"),
            (Some(0), "hello\n", "did not run the script that it was sent; it answered \"hello\""),
            (Some(1), "", "answered nothing, and ended with exit status 1"),
        ];
        for (status, out, wanted) in cases {
            let error = never_began(&settings, &ran(status, out, ""));
            assert!(matches!(error, StepError::Refused(_)) && error.to_string().contains(wanted), "{error}");
            assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
