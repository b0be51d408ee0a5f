//! `grovemq broker`, and `mosquitto` by its own name.

use crate::Call;
use crate::exit::Exit;
use crate::service::Service;
use crate::tree::tree;
use grovemq_broker::{Broker, Log};
use grovemq_config::{
    Config, Diagnostic, Inspection, Overlay, Setting, Severity, needs_restart, port_argument,
};
use nix::unistd::{Gid, Uid, User, initgroups, setgid, setuid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::ffi::{CString, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set in the environment of the process that `-d` leaves behind.
const DETACHED: &str = "GROVEMQ_DETACHED";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Arguments {
    config_file: Option<PathBuf>,
    overlay: Overlay,
    daemon: bool,
    test_config: bool,
}

enum Wish {
    Run(Arguments),
    Help,
    Version,
}

pub(crate) fn run(call: &Call) -> Exit {
    let title = if call.by_original_name { "mosquitto" } else { "grovemq" };
    match parse(&call.args) {
        Ok(Wish::Help) => crate::print(&help(&call.program)),
        Ok(Wish::Version) => {
            crate::print(&format!("{title} {}\nLicense MIT OR Apache-2.0.\n", env!("CARGO_PKG_VERSION")))
        }
        Ok(Wish::Run(arguments)) => serve(title, call, &arguments),
        Err(text) => {
            crate::complain(&text);
            if text.contains("Unknown option") {
                crate::complain(&format!("\n{}", help(&call.program)));
            }
            Exit::INVALID
        }
    }
}

fn parse(args: &[OsString]) -> Result<Wish, String> {
    let mut arguments = Arguments::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let shown = arg.to_string_lossy();
        match &*shown {
            "-c" | "--config-file" => {
                let file = args.next().ok_or("Error: -c argument given, but no config file specified.")?;
                arguments.config_file = Some(file.into());
            }
            "-p" | "--port" => {
                let port = args.next().ok_or("Error: -p argument given, but no port specified.")?;
                let port = port_argument(&port.to_string_lossy()).map_err(|e| e.to_string())?;
                arguments.overlay.ports.push(port);
            }
            "-d" | "--daemon" => arguments.daemon = true,
            "-v" | "--verbose" => arguments.overlay.verbose = true,
            "-q" | "--quiet" => arguments.overlay.quiet = true,
            "--test-config" => arguments.test_config = true,
            "--tls-keylog" => {
                let file = args.next();
                let file = file.ok_or("Error: --tls-keylog argument given, but no file specified.")?;
                arguments.overlay.tls_keylog = Some(file.into());
            }
            "-h" | "--help" => return Ok(Wish::Help),
            "--version" => return Ok(Wish::Version),
            _ => return Err(format!("Error: Unknown option '{shown}'.")),
        }
    }
    if arguments.test_config && arguments.config_file.is_none() {
        return Err("Error: --test-config needs a configuration file, given by -c.".into());
    }
    Ok(Wish::Run(arguments))
}

pub(crate) fn help(program: &str) -> String {
    format!(
        "Usage: {program} [-c config_file] [-d] [-h] [-p port] [-v]\n\n\
         GroveMQ's broker, for MQTT 5, 3.1.1 and 3.1.\n\n \
         -c, --config-file FILE  read this configuration\n \
         -d, --daemon            go to the background after starting\n \
         -h, --help              show this help\n \
         -p, --port PORT         listen on this port of this machine only; may be repeated; a\n                         \
                                 configuration that names its listeners is obeyed instead\n \
         -q, --quiet             log nothing\n \
         -v, --verbose           log everything, whatever the configuration says\n     \
             --test-config       check the configuration given by -c, then exit\n     \
             --tls-keylog FILE   write the secrets of TLS connections there, for analysis; whoever has\n                         \
                                 the file can read along\n     \
             --version           show the version\n\n\
         Without a configuration the broker listens on port 1883 of this machine only, for everybody on it.\n"
    )
}

fn serve(title: &str, call: &Call, arguments: &Arguments) -> Exit {
    if let (true, Some(file)) = (arguments.test_config, &arguments.config_file) {
        return crate::check::check(file, false);
    }
    let loaded = match load(arguments) {
        Ok(loaded) => loaded,
        Err(errors) => {
            for error in errors {
                crate::complain(&error.to_string());
            }
            return Exit::INVALID;
        }
    };
    if arguments.daemon && std::env::var_os(DETACHED).is_none() {
        return detach(call);
    }
    if std::env::var_os(DETACHED).is_some() {
        // a new session: the terminal's end is not ours
        nix::unistd::setsid().ok();
    }
    let log = match Log::start(&loaded.config.log) {
        Ok(log) => log,
        Err(text) => {
            crate::complain(&text);
            return Exit::FAILURE;
        }
    };
    let exit = serve_with(title, arguments, &loaded, &log);
    log.flush();
    exit
}

fn serve_with(title: &str, arguments: &Arguments, loaded: &Loaded, log: &Log) -> Exit {
    let config = &loaded.config;
    let version = env!("CARGO_PKG_VERSION");
    log.info(format!("{title} version {version} starting"));
    match &arguments.config_file {
        Some(file) => log.info(format!("Config loaded from {}.", file.display())),
        None => log.info("Using default config."),
    }
    warn(&loaded.warnings, log);
    if config.local_only {
        log.info(
            "Starting in local only mode. Connections will only be possible from clients running on this machine.",
        );
        log.info("Create a configuration file which defines a listener to allow remote access.");
        log.info("For more details see https://mosquitto.org/documentation/authentication-methods/");
    }
    // before the sockets: a signal that comes while they open is not lost
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, libc::SIGRTMIN()]);
    let prepare = || become_user(config.process.user.as_deref(), log).and_then(|()| write_pid(config));
    let mut broker = match Broker::start_after(config, log.clone(), prepare) {
        Ok(broker) => broker,
        Err(e) => {
            for line in e.to_string().lines() {
                log.error(line);
            }
            return Exit::from_code(e.exit_code().into());
        }
    };
    log.info(format!("{title} version {version} running"));
    let service = Service::new(log);
    service.ready(&broker.addresses());
    service.watch(broker.pulse());
    match signals {
        Ok(signals) => until_told(signals, arguments, loaded, &mut broker, &service, log),
        Err(e) => log.error(format!("Error: Unable to receive signals: {e}.")),
    }
    log.info(format!("{title} version {version} terminating"));
    service.stopping();
    broker.stop();
    if let Some(file) = &config.process.pid_file {
        std::fs::remove_file(file).ok();
    }
    Exit::OK
}

/// Obeys signals until one says to stop.
fn until_told(
    mut signals: Signals,
    arguments: &Arguments,
    start: &Loaded,
    broker: &mut Broker,
    service: &Service,
    log: &Log,
) {
    for signal in signals.forever() {
        match signal {
            SIGHUP => {
                log.info("Reloading config.");
                service.reloading();
                let reloaded = reload(arguments, start, broker, log);
                log.reopen();
                if reloaded {
                    service.ready(&broker.addresses());
                } else {
                    service.unchanged();
                }
            }
            SIGUSR1 => broker.save(),
            SIGUSR2 => drop(crate::print(&tree(broker.subscriptions()))),
            signal if signal == libc::SIGRTMIN() => log.reopen(),
            _ => return,
        }
    }
}

/// Takes over what the configuration says now; a wrong one changes nothing, and `false` comes back.
fn reload(arguments: &Arguments, start: &Loaded, broker: &mut Broker, log: &Log) -> bool {
    let applied = load(arguments)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
        .and_then(|loaded| broker.reload(&loaded.config).map(|()| loaded));
    match applied {
        Ok(loaded) => {
            warn(&loaded.warnings, log);
            warn(&needs_restart(&start.settings, &loaded.settings), log);
            true
        }
        Err(errors) => {
            let errors: Vec<String> = errors;
            for line in errors.iter().flat_map(|error| error.lines()) {
                log.error(line);
            }
            log.error("Error: Nothing was reloaded, the previous settings stay in force.");
            false
        }
    }
}

/// What was found in a configuration that can be used, each with its own weight.
fn warn(findings: &[Diagnostic], log: &Log) {
    for finding in findings {
        for line in finding.to_string().lines() {
            match finding.severity {
                Severity::Notice => log.notice(line),
                Severity::Information => log.info(line),
                Severity::Warning | Severity::Error => log.warning(line),
            }
        }
    }
}

/// A configuration that can be used.
struct Loaded {
    config: Config,
    /// The lines it is made of.
    settings: Vec<Setting>,
    warnings: Vec<Diagnostic>,
}

fn load(arguments: &Arguments) -> Result<Loaded, Vec<Diagnostic>> {
    let (mut config, settings, mut warnings) = match &arguments.config_file {
        Some(file) => {
            let Inspection { config, settings, findings } = Config::inspect(file);
            let (errors, warnings): (Vec<_>, Vec<_>) =
                findings.into_iter().partition(|f| f.severity == Severity::Error);
            if !errors.is_empty() {
                return Err(errors);
            }
            (config, settings, warnings)
        }
        None => (Config::default(), Vec::new(), Vec::new()),
    };
    warnings.extend(config.overlay(&arguments.overlay).map_err(|e| vec![e])?);
    Ok(Loaded { config, settings, warnings })
}

/// Starts this program again without a terminal, and lets it go.
fn detach(call: &Call) -> Exit {
    let started = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        if call.by_original_name {
            std::os::unix::process::CommandExt::arg0(&mut command, "mosquitto");
        } else {
            command.arg("broker");
        }
        command
            .args(&call.args)
            .env(DETACHED, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    });
    match started {
        Ok(_) => Exit::OK,
        Err(e) => {
            crate::complain(&format!("Error: Unable to go to the background: {e}."));
            Exit::FAILURE
        }
    }
}

/// Gives up root's rights once the sockets are open. Without a `user` directive it is the user `mosquitto`, else
/// `nobody`, as in the original; who is not root stays who they are.
fn become_user(name: Option<&str>, log: &Log) -> Result<(), String> {
    if !Uid::effective().is_root() || name == Some("root") {
        return Ok(());
    }
    let find = |name: &str| User::from_name(name).ok().flatten();
    let user = match name {
        Some(name) => find(name).ok_or(format!("Error: Invalid user '{name}'."))?,
        None => match find("mosquitto").or_else(|| find("nobody")) {
            Some(user) => user,
            None => return Ok(()),
        },
    };
    let id = CString::new(user.name.clone()).unwrap_or_default();
    initgroups(&id, user.gid)
        .and_then(|()| setgid(Gid::from_raw(user.gid.as_raw())))
        .and_then(|()| setuid(user.uid))
        .map_err(|e| format!("Error: Unable to become user '{}': {}.", user.name, e.desc()))?;
    log.info(format!("Info: running as user: {}.", user.name));
    Ok(())
}

fn write_pid(config: &Config) -> Result<(), String> {
    let Some(file) = &config.process.pid_file else { return Ok(()) };
    std::fs::write(file, format!("{}\n", std::process::id()))
        .map_err(|e| format!("Error: Unable to write pid file {}: {e}.", Path::new(file).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &[&str]) -> String {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        match parse(&args) {
            Err(text) => text,
            Ok(_) => String::new(),
        }
    }

    #[test]
    fn errors_in_the_originals_words() {
        assert_eq!(error(&["-p"]), "Error: -p argument given, but no port specified.");
        assert_eq!(error(&["-p", "0"]), "Error: Invalid port specified (0).");
        assert_eq!(error(&["-c"]), "Error: -c argument given, but no config file specified.");
        assert_eq!(error(&["--tls-keylog"]), "Error: --tls-keylog argument given, but no file specified.");
        assert_eq!(error(&["--x"]), "Error: Unknown option '--x'.");
        assert_eq!(error(&["-p", "1884", "-v", "-c", "f", "-d", "-q"]), "");
    }
}
