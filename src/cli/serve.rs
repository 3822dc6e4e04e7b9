//! `serve`: the controller itself.

use std::{
    collections::HashMap,
    fs,
    io::{IsTerminal, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use futures_util::future::BoxFuture;
use secrecy::SecretSlice;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    access::{self, Access, file::Token, kept::Row, limits::Limits, links::Purpose, users::User},
    clock::Clock,
    descriptors, evidence,
    git::{Mirror, Mirrors},
    holder,
    http::{self, App, router, serve as serve_http},
    installation::{self, Told, ToldOfJournal, ToldOfPlace},
    intake::keys::Keys,
    journal::{self, Aside, Journal, Options},
    machine::{Millis, Name},
    notify::{self, Notifier},
    oidc::Provider,
    pipelines::{EnvironmentDefinition, Pipelines, Registry, frozen::Frozen, load},
    random,
    runner::{self, Board, HookLogs, Instances, Place},
    secrets::{self, Secrets, source},
    settings::{LogFormat, Settings},
    stacks, web_front,
};

/// The controller.
#[derive(clap::Args)]
pub struct Args {
    /// Its settings [default: pointsman.toml, or built-in defaults where there is none]
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// The state folder was moved here: it is the one installation, and the old place is not served any more
    #[arg(long)]
    moved: bool,
    /// The state folder is a copy: make an installation of its own of it, which touches nothing of the first
    #[arg(long, conflicts_with_all = ["moved", "new_journal", "restored"])]
    new_installation: bool,
    /// The journal is lost: begin anew beside what runs, which is left alone until something is deployed
    #[arg(long, conflicts_with = "restored")]
    new_journal: bool,
    /// An older journal or state folder was put back: go on from there
    #[arg(long)]
    restored: bool,
}

impl Args {
    fn told(&self) -> Told {
        let place = match (self.moved, self.new_installation) {
            (true, _) => Some(ToldOfPlace::Moved),
            (false, true) => Some(ToldOfPlace::NewInstallation),
            (false, false) => None,
        };
        let journal = match (self.new_journal, self.restored) {
            (true, _) => Some(ToldOfJournal::New),
            (false, true) => Some(ToldOfJournal::Restored),
            (false, false) => None,
        };
        Told { place, journal }
    }
}

/// How the process ends when the state file cannot be written any more: it must be read again.
const READ_AGAIN: u8 = 75;

/// What goes along, of the state folder, when the journal is copied before an upgrade: tokens, users, keys and frozen definitions.
const BESIDE: [&str; 6] = [Token::FILE, User::FILE, "token", "fingerprint-key", evidence::FILE, "definitions"];

/// Open files that the controller needs for other things than connections, and for each environment.
const FILES: usize = 128;
const FILES_EACH: usize = 8;

/// Runs until it is told to stop.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(args.config.as_deref()).map_err(super::mistakes)?;
    log(&settings)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(controller(settings, args.told()))
}

async fn controller(settings: Settings, told: Told) -> anyhow::Result<ExitCode> {
    let folder = fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.state);
    folder.with_context(|| format!("making {}", settings.state.display()))?;
    closed(&settings)?;
    let is_first = !settings.state.join("token").exists() && !settings.state.join("journal").exists();
    let pipelines = Arc::new(read_pipelines(&settings)?);
    let entered = enter(&settings, told)?;
    let (identity, locked) = (entered.record, entered.journal);
    let frozen = frozen(&settings, &pipelines)?;
    let secrets = secrets(&settings, &pipelines)?;
    let access = access(&settings, &secrets)?;
    let (journal, clock) = state_file(&settings, locked)?;
    let board = Board::default();
    let place = Place {
        state: &settings.state,
        clock: clock.clone(),
        board: board.clone(),
        secrets: secrets.clone(),
        mirrors: Mirrors::below(&settings.state),
    };
    let mirrors = mirrors(&pipelines, &place)?;
    let door = door(&settings, &secrets);
    let worlds = runner::open(&pipelines, &place).map_err(|mistakes| anyhow::anyhow!("{}", mistakes.join("\n")))?;
    let app = Arc::new(App {
        journal: journal.clone(),
        pipelines: pipelines.clone(),
        keys: webhook_keys(&pipelines)?,
        frozen,
        secrets,
        board,
        instances: Instances::of(&worlds),
        hook_logs: HookLogs::of(&worlds),
        clock: clock.clone(),
        access: access.clone(),
        limits: Limits::new(settings.server.limits, settings.server.proxies.clone()),
        answers: http::Answers::default(),
        door,
        pasts: http::Pasts::default(),
        glances: http::Glances::default(),
        chronicle: http::Chronicle::default(),
        signer: evidence::Key::of(&settings.state)?,
        mirrors,
    });
    let mut beside: Vec<_> = notifier(&settings, &app)?.into_iter().collect();
    let tls = own_tls(&settings, &mut beside)?;
    beside.extend([keeper(&settings, identity, &app), copies(&settings, &app), doors(&app)]);
    let (listener, address) = listen(&settings).await?;
    tracing::info!(%address, pipelines = pipelines.iter().len(), "serving");
    app.door.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    greet(&settings, &access, is_first, clock.host());

    let (stop, stopped) = watch::channel(false);
    let connections = connections_that_fit(&settings, pipelines.environments().count());
    let server = serve_http(listener, router(app), connections, tls, stopped.clone());
    let runner = runner::run(worlds, beside, journal.clone(), clock, stopped);
    let records = journal.follow();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let asked = async {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        stop.send_replace(true);
        std::future::pending::<()>().await;
    };
    let work = async { tokio::join!(server, runner) };
    tokio::select! {
        _ = work => { journal.close().await; Ok(ExitCode::SUCCESS) }
        reason = journal.dead() => { tracing::error!(%reason, "the state file cannot be written"); Ok(ExitCode::from(READ_AGAIN)) }
        () = asked => Ok(ExitCode::SUCCESS),
        () = journal::log(records) => Ok(ExitCode::SUCCESS),
    }
}

/// Listens, and notes where for commands on this host.
async fn listen(settings: &Settings) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(settings.server.listen).await;
    let listener = listener.with_context(|| {
        let address = settings.server.listen;
        let unknown = holder::listeners(address).is_empty();
        if unknown { format!("listening at {address}") } else { holder::in_use(address, None) }
    })?;
    let address = listener.local_addr()?;
    let place = settings.state.join("address");
    fs::write(&place, format!("{address}\n")).with_context(|| format!("writing {}", place.display()))?;
    Ok((listener, address))
}

/// The secrets of all pipelines, each of which can be read.
fn secrets(settings: &Settings, pipelines: &Pipelines) -> anyhow::Result<Secrets> {
    let joined = |all: Vec<secrets::Error>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Secrets::open(&settings.state, pipelines).map_err(|all| anyhow::anyhow!("{}", joined(all)))
}

/// Everybody who may ask; links that are good once are taken from now on.
fn access(settings: &Settings, secrets: &Secrets) -> anyhow::Result<Arc<Access>> {
    let keyed = access::Keyed::with(secrets.derived(access::PURPOSE));
    let access = Access::new(token(settings)?, keyed, &settings.state, settings.server.sessions);
    let openid = settings.server.oidc.as_ref().map(|oidc| oidc.mapping.clone());
    Ok(Arc::new(access.made_here(settings.server.token.is_none()).with_openid(openid)))
}

/// The ways in for people. The provider at which they sign in is asked nothing before somebody does, so that it holds up no start.
fn door(settings: &Settings, secrets: &Secrets) -> http::Door {
    let provider = |oidc| Provider::new(oidc, secrets.derived("sign-in by OpenID Connect"));
    let oidc = settings.server.oidc.clone().map(provider);
    http::Door::new(settings.server.public.clone()).at(settings.server.listen).with_oidc(oidc)
}

/// Says how the first user is added, where there is none. Who reads the log of an installation that is in use already is
/// not made an admin by it: the link itself is shown at the first start only.
fn greet(settings: &Settings, access: &Access, first: bool, now: Millis) {
    access.take_links(now);
    if !matches!(access.has_users(now), Ok(false)) {
        return;
    }
    match super::page::links(settings, &Purpose::Welcome) {
        Ok(links) if first => {
            let links = links.join(" or ");
            tracing::info!("nobody can sign in yet; add the first user within ten minutes: {links}");
        }
        _ => tracing::info!("nobody can sign in yet; `pointsman user welcome` prints a link to add the first user"),
    }
}

/// The definitions that releases are made with; those of the files are kept from now on.
fn frozen(settings: &Settings, pipelines: &Pipelines) -> anyhow::Result<Frozen> {
    let frozen = Frozen::below(&settings.state);
    for file in pipelines.environments().filter_map(|environment| environment.stack.file()) {
        frozen.freeze(&file.text)?;
    }
    Ok(frozen)
}

/// How many connections the API may have: what is configured, as far as the open files that are allowed go.
fn connections_that_fit(settings: &Settings, environments: usize) -> usize {
    let (limit, wished) = (descriptors::raise_limit(), settings.server.connections);
    let others = FILES + FILES_EACH * environments;
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(others).max(16);
    if wished > room {
        let wanted = wished + others;
        tracing::warn!(
            "`connections` = {wished} needs {wanted} open files, but {limit} are allowed; {room} connections are served. \
             Raise the limit (LimitNOFILE in the unit, `ulimit -Hn` by hand)"
        );
    }
    wished.min(room)
}

/// The pipelines, all of them good; what people should know of them is logged.
fn read_pipelines(settings: &Settings) -> anyhow::Result<Pipelines> {
    let registry = Registry::all(&settings.state).with_own(own_files(settings));
    let loaded = load(&registry, &settings.pipelines);
    if !loaded.mistakes.is_empty() {
        return Err(super::mistakes(loaded.mistakes));
    }
    for environment in loaded.pipelines.environments() {
        for note in &environment.stack.notes {
            tracing::warn!(environment = %environment.id, "mind that {note}");
        }
    }
    Ok(loaded.pipelines)
}

/// Takes the rights of others away from the state folder, and says so.
fn closed(settings: &Settings) -> anyhow::Result<()> {
    for closed in access::folder::close(&settings.state)? {
        let (path, was) = (closed.path.display(), closed.was);
        tracing::warn!("{path} was open to others (mode {was:04o}) and can now be read by its owner only");
    }
    Ok(())
}

/// Files that no build may name, besides those of the pipelines.
fn own_files(settings: &Settings) -> Vec<std::path::PathBuf> {
    let source = settings.server.token.iter();
    source
        .filter_map(|source| match source {
            crate::pipelines::SecretSource::File(file) => Some(file.clone()),
            crate::pipelines::SecretSource::Env(_) => None,
        })
        .collect()
}

/// Looks whether the state folder is the one that it was, and makes what was moved with it its own.
fn enter(settings: &Settings, told: Told) -> anyhow::Result<installation::Entered> {
    let state = &settings.state;
    let stacks = state.join("stacks");
    let entered =
        installation::enter(state, told, || stacks::elsewhere(&stacks)).map_err(|error| match error.newer() {
            true => anyhow::anyhow!("{error}\n{}", super::way_back::from_newer(&state.join("journal"))),
            false => error.into(),
        })?;
    if entered.settle {
        stacks::settle(&stacks).with_context(|| format!("taking over the stacks in {}", stacks.display()))?;
    }
    entered.note(state)?;
    for news in &entered.news {
        tracing::warn!("{news}");
    }
    if let Some(left) = &entered.left {
        let fronts =
            web_front::leave(&left.join("fronts")).context("looking for fronts that still run in the former folder")?;
        tracing::info!(fronts, "the process that served users for {} is told to end", left.display());
    }
    Ok(entered)
}

/// The certificate of the controller itself, where it has one, and what reads it again.
fn own_tls(settings: &Settings, beside: &mut Vec<(String, runner::Beside)>) -> anyhow::Result<Option<Arc<http::Tls>>> {
    let Some(files) = &settings.server.tls else { return Ok(None) };
    let tls = Arc::new(http::Tls::open(files.clone()).context("`server.tls`")?);
    let followed = tls.clone();
    beside.push(("certificate".into(), Box::new(move |stop| Box::pin(followed.clone().follow(stop)))));
    Ok(Some(tls))
}

/// What writes down who failed to sign in, and when sessions were used.
fn doors(app: &Arc<App>) -> (String, runner::Beside) {
    let app = app.clone();
    ("sign-in".into(), Box::new(move |stop| Box::pin(http::write_down(app.clone(), stop))))
}

/// What shows that the copy from before an upgrade could not be made.
fn copies(settings: &Settings, app: &App) -> (String, runner::Beside) {
    let (folder, journal) = (settings.state.join("journal"), app.journal.clone());
    let (board, clock) = (app.board.clone(), app.clock.clone());
    let environments: Vec<_> = app.pipelines.environments().map(|environment| environment.id.clone()).collect();
    let show = move |stop| -> BoxFuture<'static, bool> {
        let shown = (board.clone(), clock.clone());
        Box::pin(super::way_back::watch_copies(folder.clone(), journal.clone(), shown, environments.clone(), stop))
    };
    ("before-level".into(), Box::new(show))
}

/// Returns the task that notes how far the journal is.
fn keeper(settings: &Settings, identity: installation::Record, app: &App) -> (String, runner::Beside) {
    let (state, journal, clock) = (settings.state.clone(), app.journal.clone(), app.clock.clone());
    let keep = move |stop| -> BoxFuture<'static, bool> {
        Box::pin(installation::keep(state.clone(), identity.clone(), journal.clone(), clock.clone(), stop))
    };
    ("installation".into(), Box::new(keep))
}

/// The journal, and a clock that never goes behind it.
fn state_file(settings: &Settings, locked: journal::Locked) -> anyhow::Result<(Journal, Clock)> {
    let beside = BESIDE.map(str::to_owned).to_vec();
    let options = Options { aside: Some(Aside { state: settings.state.clone(), beside }), ..Options::default() };
    let (journal, opened) = locked.begin(options)?;
    tracing::info!(records = opened.records, environments = opened.environments, "state file read");
    if let Some(torn) = &opened.torn {
        let (file, bytes) = (&torn.file, torn.bytes);
        tracing::warn!(file, bytes, "the last line had no end and was dropped: it was never acknowledged");
    }
    for problem in &opened.ignored {
        tracing::warn!(%problem, "a snapshot was not used; it can be removed");
    }
    for problem in &opened.missing {
        tracing::warn!(%problem, "the state is complete without it, the history is not");
    }
    let last = journal.history(None, 1)?.last().map_or(Millis(0), |record| record.at);
    Ok((journal, Clock::not_before(last)))
}

/// What tells of trouble, where a program is named for it.
fn notifier(settings: &Settings, app: &App) -> anyhow::Result<Option<(String, runner::Beside)>> {
    let of = |environment: &EnvironmentDefinition| {
        let program = environment.on_trouble.as_ref().unwrap_or(&settings.on_trouble);
        (!program.words.is_empty()).then(|| (environment.id.clone(), program.clone()))
    };
    let programs: HashMap<_, _> = app.pipelines.environments().filter_map(|environment| of(environment)).collect();
    let file = settings.state.join("notify").join("on_trouble.json");
    if programs.is_empty() {
        notify::forget(&file).with_context(|| format!("removing {}", file.display()))?;
        return Ok(None);
    }
    let (journal, board, clock) = (app.journal.clone(), app.board.clone(), app.clock.clone());
    let notifier = Arc::new(Notifier { programs, file, journal, board, clock, secrets: app.secrets.clone() });
    Ok(Some(("on_trouble".into(), Box::new(move |stop| Box::pin(notifier.clone().run(stop))))))
}

/// The mirror of each pipeline's source; those that no pipeline reads any more are removed.
fn mirrors(pipelines: &Pipelines, place: &Place<'_>) -> anyhow::Result<HashMap<Name, Mirror>> {
    let mut mirrors = HashMap::new();
    for pipeline in pipelines.iter() {
        let mirror = runner::mirror(pipeline, &place.mirrors);
        let mirror = mirror.map_err(|why| anyhow::anyhow!("{}: {why}", pipeline.file.display()))?;
        mirrors.extend(mirror.map(|mirror| (pipeline.name.clone(), mirror)));
    }
    if let Err(error) = place.mirrors.sweep() {
        let folder = place.state.join("git");
        tracing::warn!(%error, "{}: mirrors that no pipeline reads any more cannot be removed", folder.display());
    }
    Ok(mirrors)
}

fn webhook_keys(pipelines: &Pipelines) -> anyhow::Result<HashMap<Name, Keys>> {
    let mut all = HashMap::new();
    let mut wrong = Vec::new();
    for pipeline in pipelines.iter().filter(|p| !p.webhook.secrets.is_empty()) {
        match Keys::read(&pipeline.webhook.secrets) {
            Ok(keys) => drop(all.insert(pipeline.name.clone(), keys)),
            Err(errors) => wrong.extend(errors.iter().map(|e| format!("{}: {e}", pipeline.file.display()))),
        }
    }
    if wrong.is_empty() { Ok(all) } else { bail!("{}", wrong.join("\n")) }
}

/// The token that is configured, or the one that was made at the first start.
fn token(settings: &Settings) -> anyhow::Result<SecretSlice<u8>> {
    if let Some(source) = &settings.server.token {
        return Ok(source::read_token(source)?);
    }
    let path = settings.state.join("token");
    if !path.exists() {
        make_token(&path).with_context(|| format!("making the token {}", path.display()))?;
    }
    Ok(source::read_token(&crate::pipelines::SecretSource::File(path))?)
}

fn make_token(path: &Path) -> std::io::Result<()> {
    let token = random::hex_of(32)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

fn log(settings: &Settings) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log.filter).context("`log.filter`")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|error| anyhow::anyhow!(error))
}
