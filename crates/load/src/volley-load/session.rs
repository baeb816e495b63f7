//! One run of the program: from the flags to the report and its outputs.

use std::time::SystemTime;

use volley_cli::Exit;
use volley_load::embedded::Embedded;
use volley_load::environment::cores;
use volley_load::plan::Plan;
use volley_load::report::Report;
use volley_load::run::{End, Outcome, Run};
use volley_load::verdict::Evidence;
use volley_proto::MaxFrame;

use crate::args::RunArgs;
use crate::failure::Failure;
use crate::observer::Observer;
use crate::setup;
use crate::signals::Signals;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The report, as far as there is one.
    pub(crate) report: Report,
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What else there is to tell on stderr, and how bad it is.
    pub(crate) errors: Vec<(String, Exit)>,
}

/// Runs what the flags ask for.
///
/// # Errors
///
/// When there is no plan, or no output can be opened: then there is nothing to report.
pub(crate) fn run(args: &RunArgs) -> Result<Ended, Failure> {
    let plan = setup::plan(args)?;
    let is_embedded = plan.targets.is_empty();
    let report = Report::of_nothing(&plan, is_embedded, SystemTime::now());
    let ended = match measure(args, plan, report.clone()) {
        Ok((report, exit)) => {
            let errors = report.error.clone().map(|error| (error, exit));
            Ended { report, exit, errors: errors.into_iter().collect() }
        }
        Err(failure) => {
            let (message, exit) = (failure.to_string(), failure.exit());
            let report = Report { error: Some(message.clone()), ..report };
            Ended { report, exit, errors: vec![(message, exit)] }
        }
    };
    let report = Report { exit_code: Some(ended.exit.code()), ..ended.report };
    Ok(Ended { report, ..ended })
}

/// Carries out a plan.
fn measure(args: &RunArgs, mut plan: Plan, report: Report) -> Result<(Report, Exit), Failure> {
    let is_embedded = plan.targets.is_empty();
    setup::check_limits(&plan, is_embedded, outputs(args))?;
    let server_threads = if is_embedded { setup::server_threads(&plan) } else { 0 };
    let embedded = if is_embedded { Some(start_server(&mut plan, server_threads)?) } else { None };
    let report =
        Report { plan: volley_load::report::PlanFigures::new(&plan, is_embedded), ..report };

    let run = Run::start(plan.clone()).map_err(|source| Failure::Setup { source })?;
    let signals = Signals::install(run.control()).map_err(|source| Failure::Setup { source })?;
    let mut observer = Observer::new(&plan, embedded.as_ref());
    let outcome = run.finish(&mut observer)?;
    let evidence = Evidence {
        plan: &plan,
        outcome: &outcome,
        server_cpu: observer.server_cpu(),
        server_threads,
        cores: cores(),
    };
    let report = report.of_run(&evidence, observer.recording, &args.fail_if);
    if let Some(embedded) = embedded {
        embedded.stop();
    }
    let exit = exit(&report, &outcome, signals.exit());
    Ok((report, exit))
}

fn start_server(plan: &mut Plan, threads: usize) -> Result<Embedded, Failure> {
    let max_frame = MaxFrame::new(u64::from(plan.longest().max(MaxFrame::DEFAULT.get())));
    let max_frame = max_frame.unwrap_or(MaxFrame::CEILING);
    let embedded =
        Embedded::start(threads, max_frame).map_err(|source| Failure::Embedded { source })?;
    plan.targets = vec![embedded.endpoint().clone()];
    Ok(embedded)
}

fn exit(report: &Report, outcome: &Outcome, signal: Option<Exit>) -> Exit {
    match (&outcome.end, signal) {
        (End::Stopped | End::Aborted, Some(signal)) if !report.complete => signal,
        (End::NotFramed(_), _) => Exit::Protocol,
        (End::Failed(_), _) => Exit::Failure,
        _ if report.passed() => Exit::Success,
        _ => Exit::Failure,
    }
}

fn outputs(args: &RunArgs) -> u64 {
    [&args.json, &args.hgrm, &args.hlog, &args.junit].into_iter().flatten().count() as u64
}
