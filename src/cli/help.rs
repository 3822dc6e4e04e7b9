//! What the commands say of themselves beyond one line: examples, exit codes, variables. Only texts.

/// What it is, for the manual.
pub(super) const ABOUT: &str = "\
Pointsman puts new versions of an application live without a gap and keeps the way back open: it creates a new stack beside the live one, checks it, moves all traffic to it at once, watches it, keeps the previous stack warm for a rollback of milliseconds, and then tears that down. `pointsman serve` is the controller; the other commands ask it.";

/// Text at the end of `pointsman --help`.
pub(super) const MAIN: &str = "\
Examples:
  pointsman init                            write the first pipeline
  pointsman serve                           run the controller
  pointsman deploy shop/qa --version v2 --artifact builds/v2 --watch
  pointsman promote shop/prod --watch
  pointsman rollback shop/prod --reason \"orders fail\" --watch

Exit codes with --watch: 0 live, 1 failed, 3 rolled back, 4 aborted, 5 awaiting approval or paused,
6 superseded, 124 timed out; 2 is a mistake in the command itself.
The variables that it reads are explained in `pointsman man`.";

/// Sections of the main page of the manual.
pub(super) const SECTIONS: [(&str, &str); 4] = [
    ("EXIT STATUS", EXIT),
    ("ENVIRONMENT", VARIABLES),
    (
        "FILES",
        "\
pointsman.toml          how the controller is run; found in the folder where a command is run
pipelines/NAME.toml     one application and its environments
state/                  the state file, the local token, the drivers' own folders
state/token             the token of commands on the controller's own host",
    ),
    (
        "EXAMPLES",
        "\
Write a first pipeline, check it, and run the controller:
    pointsman init
    pointsman check
    pointsman serve
Announce a build from a build server; the exit code says how it ended:
    POINTSMAN_TOKEN_FILE=/run/secrets/pointsman pointsman deploy shop/qa \\
        --server https://pointsman.example --version v17 --artifact builds/17 \\
        --idempotency-key \"$BUILD_TAG\" --watch --timeout 30m
Go back to the previous release:
    pointsman rollback shop/prod --reason \"orders fail\"",
    ),
];

/// The help of `down`.
pub(super) const DOWN: &str = "\
Stop the controller first: as long as it runs it starts again what is ended. Open requests may finish, and each
application has the grace period of its definition. Stacks of a cloud, and fronts that Pointsman does not run,
go on. Nothing is forgotten: `pointsman serve` starts all of it again.

Examples:
  pointsman down                            asks first
  pointsman down --yes                      for scripts";

const EXIT: &str = "\
0       done; with --watch: the release is live
1       failed, or the controller could not be asked, or it refused
2       a mistake in the command itself
3       with --watch: rolled back (0 of `rollback`, where that was asked for)
4       with --watch: aborted (0 of `abort`, where that was asked for)
5       with --watch: waits for an approval, or keeps its share of the users until somebody lets it go on
6       with --watch: superseded by a later build
75      of `serve`: the state file could not be written; start it again
78      of `serve`: the state folder may be a copy, or its journal is not its own; say what it is
124     with --watch: not ended within --timeout; the deployment goes on
130     with --watch: interrupted by Ctrl-C; the deployment goes on";

const VARIABLES: &str = "\
POINTSMAN_SERVER        the controller's address, as --server
POINTSMAN_TOKEN         the token; never an argument, which every user of the host could read
POINTSMAN_TOKEN_FILE    a file that holds the token
                        [default of both: the token in the state folder of the controller of this host]
POINTSMAN_CA_FILE       certificates in PEM: the only authorities trusted for an https:// server
                        [default: those that the system trusts]
COLUMNS                 how wide lines may be [default: as wide as the terminal]
NO_COLOR                not empty: no colours. Nor are there any where the output is not a terminal
USER, LOGNAME           who asks, for the history, where the token has no name of its own";

/// Asking needs a way to the controller.
macro_rules! asking {
    ($text:literal) => {
        concat!(
            $text,
            "\n\nThe token comes from POINTSMAN_TOKEN, POINTSMAN_TOKEN_FILE or the state folder of this host's controller, ",
            "which is sent to this host only; never from an argument. An https:// server must be vouched for by an authority that the system trusts, or by ",
            "that of POINTSMAN_CA_FILE."
        )
    };
}

pub(super) const SERVE: &str = "\
Example:
  pointsman serve --config /etc/pointsman/pointsman.toml

Exit codes: 0 stopped by SIGTERM or SIGINT; 1 the files are wrong or the address is taken; 75 the state \
file could not be written and has to be read again: whoever runs it starts it again (`pointsman unit` does); 78 the state \
folder may be a copy, or its journal is not its own: say what it is by --moved, --new-installation, --restored or --new-journal, once. \
Fronts and stacks of processes go on without the controller; it finds them when it is back.";
pub(super) const DEMO: &str = "\
Example:
  pointsman demo --once      play it and end, with exit code 0 if no request was lost";
pub(super) const INIT: &str = "\
Example:
  pointsman init --name shop --command \"{artifact}/bin/shop --listen {address}:{port}\" \\
    --listen 127.0.0.1:8080 --check /healthz --environments qa,prod --yes

Nothing that exists is overwritten: if one of the files is there, none is written, and it is named.";
pub(super) const IMPORT: &str = "\
Example:
  pointsman import openstack-profile qa/profile.sh --name reporting --environment qa

Nothing of the file is executed: a line that would have to be is named with its number, and nothing is written then. The \
password goes into a file of its own that nobody else may read, never into the pipeline. Nothing that exists is overwritten.";
pub(super) const CHECK: &str = "\
Example:
  pointsman check pipelines/shop.toml

Needs no controller. Every mistake of every file is told at once, as file:line:column: what is wrong, and \
what would be accepted. Exit codes: 0 good, 1 there are mistakes.";
pub(super) const PLAN: &str = "\
Example:
  pointsman plan shop/prod
  pointsman plan shop/qa --version 1.4.0 --parameter flavor=m1.large
  pointsman plan shop/prod --offline

Needs no controller. Exit codes: 0 it can be deployed, or nobody could be asked; 1 there are mistakes, or the cloud would refuse it.";
pub(super) const SIMULATE: &str = "\
Examples:
  pointsman simulate shop/prod --slow-start 4m --check-fails-at 3m
  pointsman simulate shop/prod --front-silent-for 2m --nobody-answers
  pointsman simulate shop/prod --dies-at 5m --json
  pointsman simulate shop/prod --explore

All times count from the moment at which the deployment is asked for, which the output calls T. Needs no controller. \
Exit codes, as with --watch: 0 live, 1 failed, 3 rolled back, 4 aborted, 124 it would not end by itself. With --explore: 0 no \
promise breaks, 1 one does.";
pub(super) const JOURNAL: &str = "\
Examples:
  pointsman journal verify                        the state file of this folder
  pointsman journal verify evidence.jsonl --key 5f0c9a7b...   evidence, signed with this key
  pointsman journal key                           the public key of this installation

Needs no controller, and may be used while one runs. Exit codes: 0 good, 1 damaged.";
pub(super) const TOKEN: &str = "\
Example:
  (umask 077; pointsman token new jenkins --role deployer --only shop > jenkins.token)

Needs no controller, and may be used while one runs, which knows of the change at once.";
pub(super) const USER: &str = "\
Examples:
  pointsman user add alice --grant deployer=shop --grant approver=shop/prod
  pointsman user grant alice --grant admin
  pointsman user remove alice

Needs no controller, and may be used while one runs, which knows of the change at once. A password is asked for, or read from
a file; it is never an argument, which every user of the host could read. Programs get tokens: `pointsman token`.";
pub(super) const PAGE: &str = "\
Example:
  pointsman page

Whoever can read the local token is an admin, and signs in as local:NAME by this link, with the name of USER. With `server.public` \
in pointsman.toml it leads there, otherwise to this host.";
pub(super) const COMPLETION: &str = "\
Examples:
  source <(pointsman completion bash)
  pointsman completion zsh > ~/.zfunc/_pointsman
  pointsman completion fish > ~/.config/fish/completions/pointsman.fish";
pub(super) const MAN: &str = "\
Examples:
  pointsman man | man -l -
  pointsman man --dir /usr/local/share/man/man1";
pub(super) const UNIT: &str = "\
Example:
  pointsman unit | sudo tee /etc/systemd/system/pointsman.service

The unit says how it is installed. It keeps fronts and stacks of processes running while the controller is \
stopped, upgraded or started again.";
pub(super) const DEPLOY: &str = asking!(
    "Example:
  pointsman deploy shop/qa --version v17 --artifact builds/17 --build 17 --idempotency-key \"$BUILD_TAG\" --watch

Sent again with the same --idempotency-key it is the same deployment.
Exit codes with --watch: 0 live, 1 failed, 3 rolled back, 4 aborted, 5 awaiting approval or paused at a share of the users, 6 superseded by a \
later build, 124 not ended within --timeout (the deployment goes on)."
);
pub(super) const ADOPT: &str = asking!(
    "Example:
  pointsman adopt reporting/qa reporting_qa_41 --output instance_ip --watch

It must pass the environment's checks, and nothing of it is changed. Once it was found good it is torn down like any other \
when its time is over; an adoption that fails leaves it alone. Exit codes: as `deploy`."
);
pub(super) const PROMOTE: &str = asking!(
    "Example:
  pointsman promote shop/prod --watch
  pointsman promote shop/prod 1.4.2 --yes       refused when another one is live in the environment before

What would change is shown first, and what was shown is what is promoted: if something else is live by then, \
nothing is recorded and the difference is shown. Exit codes: as `deploy`; 2 nothing was promoted because it was not confirmed."
);
pub(super) const ROLLBACK: &str = asking!(
    "Example:
  pointsman rollback shop/prod --reason \"orders fail\" --watch
  pointsman rollback shop/prod 1.4.1 --watch    refused when it would go elsewhere

While the previous stack is warm this is one cutover. It holds the environment, so that nothing automatic \
undoes it, and vetoes the release; `pointsman resume` lets automatic deployments go on. What it does not undo (hooks that \
are one way) is said first, and asked about at a terminal.
Exit codes with --watch: 0 the previous stack has the traffic, 1 failed, 124 not ended within --timeout; 2 nothing was rolled back because it was not confirmed."
);
pub(super) const RESTART: &str = asking!(
    "Examples:
  pointsman restart shop/prod --reason \"it leaks memory\"
  pointsman restart shop/prod 1                 only instance 1

Only what is live, and not while users are being moved or a deployment is watched. With one instance users wait at the \
built-in front until it is back. It follows to the end; Ctrl-C ends only the following.
Exit codes: 0 every instance was started again and passes, 1 one did not come back, and the others were left running."
);
pub(super) const ABORT: &str = asking!(
    "Example:
  pointsman abort shop/prod --reason \"wrong build\" --watch

Never touches what is live. Exit codes with --watch: 0 aborted, otherwise how the deployment ended."
);
pub(super) const APPROVE: &str = asking!(
    "Example:
  pointsman approve shop/prod --watch

Exit codes with --watch: as `deploy`."
);
pub(super) const PROCEED: &str = asking!(
    "Examples:
  pointsman proceed shop/prod                   the next share of the users, as soon as it is seen good
  pointsman proceed shop/prod --watch

Ends a pause too. What is live and watched counts as soon as it is seen good. Exit codes with --watch: as `deploy`."
);
pub(super) const PAUSE: &str = asking!(
    "Examples:
  pointsman pause shop/prod --for 2h --reason \"orders look odd\"
  pointsman pause shop/prod --for 30m --otherwise approve

It keeps the share of the users that it has until `pointsman proceed` or `pointsman abort`. Without an answer in time all \
users go back, or it goes on with --otherwise approve. Exit code with --watch: 5, as at a gate."
);
pub(super) const HOLD: &str = asking!(
    "Example:
  pointsman hold shop/prod --reason \"the database is being moved\"

People can still deploy, promote and roll back."
);
pub(super) const RESUME: &str = asking!(
    "Example:
  pointsman resume shop/prod"
);
pub(super) const MAINTENANCE: &str = asking!(
    "Examples:
  pointsman maintenance shop/prod on --reason \"the database is being moved\"
  pointsman maintenance shop/prod on --hold --reason \"a restart of two seconds\"
  pointsman maintenance shop/prod off

Users get the page of the front, 503 with Retry-After, until it is turned off: nothing automatic does that. Who has the \
preview gets through, and deployments go on behind the page. With --hold the built-in front first holds requests for as long as \
its settings say. Once it is off, users get what is live as soon as that is seen good."
);
pub(super) const BUILDS: &str = asking!(
    "Example:
  pointsman builds reset shop --reason 'the job was made again'"
);
pub(super) const STACK: &str = asking!(
    "Examples:
  pointsman stack list
  pointsman stack list shop/prod
  pointsman stack adopt shop/prod 7 --reason 'was live before the restore'
  pointsman stack retire shop/prod 7 --reason 'left from before the restore'

After an older journal was put back, stacks that were made since are in no record of it. They are left alone, and listed as
strangers. Exit codes of `adopt` with --watch: as `deploy`."
);
pub(super) const PIN: &str = asking!(
    "Examples:
  pointsman pin shop/prod 1.4.2
  pointsman pin shop/prod --lift"
);
pub(super) const VETO: &str = asking!(
    "Examples:
  pointsman veto shop/prod 1.4.2 --reason \"loses orders\"
  pointsman veto shop/prod 1.4.2 --lift

A release is named by its version, or by its number with --release where several have the same version."
);
pub(super) const STATUS: &str = asking!(
    "Examples:
  pointsman status                      all environments on one screen
  pointsman status shop                 those of one pipeline
  pointsman status shop/prod            one of them
  pointsman status shop/prod --watch    the deployment under way there, step by step

Exit codes with --watch: as `deploy`; 0 when nothing is under way."
);
pub(super) const WHY: &str = asking!(
    "Example:
  pointsman why shop/prod"
);
pub(super) const HISTORY: &str = asking!(
    "Examples:
  pointsman history shop/prod               one entry for each deployment
  pointsman history shop/prod 1.4.2         only those of one release
  pointsman history shop/prod --records     every record of the state file"
);
pub(super) const EVIDENCE: &str = asking!(
    "Examples:
  pointsman evidence shop/prod 7 --output evidence.jsonl
  pointsman journal verify evidence.jsonl

Takes the role viewer. The file holds no secrets and no lines of other deployments."
);
pub(super) const LOGS: &str = asking!(
    "Examples:
  pointsman logs shop/prod                     the last lines of the live stack
  pointsman logs shop/prod --follow            and what comes, also from the next live stack
  pointsman logs shop/prod --failed            of the last deployment that failed
  pointsman logs shop/prod --stack 5 --instance 1 --lines 1000
  pointsman logs shop/prod --hook migrate --follow
                                               what a hook writes while it runs, to its end

Each line begins with the instance and its stream, `out` or `err`; between streams there is no order. Lines of a hook stand \
alone, in their order. What is said about lines goes to standard error. Takes the role deployer. Exit codes: 0, also when the \
stack that is followed is gone or the hook is over, however it ended; 130 after Ctrl-C."
);
