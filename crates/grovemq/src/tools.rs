//! From the command lines of `pub`, `sub`, `rr` and the other tools of the table to what they do.

use crate::bench::{self, Benching};
use crate::capture::{self, Capturing};
use crate::colour;
use crate::exit::Exit;
use crate::flags::high::{Publishing, Subscribing};
use crate::flags::{self, Complaint, Low, Parsed, Tool};
use crate::probe::{self, Probing};
use crate::record::{self, Recording};
use crate::replay::{self, Replaying};
use crate::top::{self, Topping};
use crate::{Call, publish, subscribe};

/// `pub`, `mosquitto_pub`
pub(crate) fn run_pub(call: &Call) -> Exit {
    let low = match parse(Tool::Pub, call) {
        Ok(low) => low,
        Err(exit) => return exit,
    };
    match Publishing::new(low) {
        Ok(Some(plan)) => {
            plan.session.warn();
            publish::run(&plan)
        }
        Ok(None) => {
            crate::complain("Error: Both topic and message must be supplied.");
            crate::print(&flags::help(Tool::Pub, &call.program));
            Exit::FAILURE
        }
        Err(complaint) => refuse(&complaint, call),
    }
}

/// `sub`, `mosquitto_sub`
pub(crate) fn run_sub(call: &Call) -> Exit {
    run_subscriber(Tool::Sub, call, Subscribing::new)
}

/// `rr`, `mosquitto_rr`
pub(crate) fn run_rr(call: &Call) -> Exit {
    run_subscriber(Tool::Rr, call, Subscribing::responding)
}

/// `record`
pub(crate) fn run_record(call: &Call) -> Exit {
    run_planned(Tool::Record, call, Recording::new, record::run)
}

/// `replay`
pub(crate) fn run_replay(call: &Call) -> Exit {
    run_planned(Tool::Replay, call, Replaying::new, replay::run)
}

/// `probe`
pub(crate) fn run_probe(call: &Call) -> Exit {
    run_planned(Tool::Probe, call, Probing::new, probe::run)
}

/// `bench`
pub(crate) fn run_bench(call: &Call) -> Exit {
    run_planned(Tool::Bench, call, Benching::new, bench::run)
}

/// `capture`
pub(crate) fn run_capture(call: &Call) -> Exit {
    run_planned(Tool::Capture, call, Capturing::new, capture::run)
}

/// `top`
pub(crate) fn run_top(call: &Call) -> Exit {
    run_planned(Tool::Top, call, Topping::new, top::run)
}

fn run_planned<P>(
    tool: Tool,
    call: &Call,
    plan: fn(Low) -> Result<P, Complaint>,
    run: fn(&P) -> Exit,
) -> Exit {
    match parse(tool, call).map(plan) {
        Ok(Ok(plan)) => run(&plan),
        Ok(Err(complaint)) => refuse(&complaint, call),
        Err(exit) => exit,
    }
}

fn run_subscriber(tool: Tool, call: &Call, plan: fn(Low) -> Result<Subscribing, Complaint>) -> Exit {
    let low = match parse(tool, call) {
        Ok(low) => low,
        Err(exit) => return exit,
    };
    match plan(low) {
        Ok(plan) => {
            plan.session.warn();
            subscribe::run(&plan)
        }
        Err(complaint) => refuse(&complaint, call),
    }
}

/// The options of a tool's command line, and those of its file. The exit code where there is nothing more to do.
pub(crate) fn parse(tool: Tool, call: &Call) -> Result<Low, Exit> {
    let told = |text: &str| {
        let printed = crate::print(text);
        // The original takes a question for a failure.
        if call.by_original_name { Exit::FAILURE } else { printed }
    };
    let parsed = flags::file::options(tool, &call.args)
        .and_then(|defaults| flags::parse(tool, &[defaults, call.args.clone()].concat()));
    match parsed {
        Ok(Parsed::Run(mut low)) => {
            if call.by_original_name {
                // the original has none
                low.colour.get_or_insert(colour::When::Never);
            }
            Ok(*low)
        }
        Ok(Parsed::Help) => Err(told(&flags::help(tool, &call.program))),
        Ok(Parsed::Version) => {
            Err(told(&format!("{} version {} (GroveMQ)\n", call.program, env!("CARGO_PKG_VERSION"))))
        }
        Err(complaint) => Err(refuse(&complaint, call)),
    }
}

fn refuse(complaint: &Complaint, call: &Call) -> Exit {
    crate::complain(&format!("{}\n\nUse '{} --help' to see usage.", complaint.0, call.program));
    Exit::FAILURE
}
