//! One run of the program: from the flags to the report and its outputs.

use std::time::SystemTime;

use volley_cli::Exit;
use volley_load::embedded::Embedded;
use volley_load::output::files::{Outputs, PathOrStdout};
use volley_load::output::floor::FloorText;
use volley_load::output::table::Text;
use volley_load::plan::Plan;
use volley_load::report::environment::cores;
use volley_load::report::verdict::Evidence;
use volley_load::report::{PlanFigures, Report};
use volley_load::run::{End, Outcome, Run};
use volley_load::self_test;
use volley_proto::MaxFrame;

use crate::args::RunArgs;
use crate::failure::{Failure, output_exit};
use crate::live::Live;
use crate::observer::Observer;
use crate::setup;
use crate::signals::Signals;

/// What the program has to say when it is done.
#[derive(Debug)]
pub(crate) struct Ended {
    /// For stdout.
    pub(crate) text: String,
    /// For stderr.
    pub(crate) errors: Vec<String>,
    /// For the shell.
    pub(crate) exit: Exit,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        let exit = failure.exit();
        Self { text: String::new(), errors: vec![failure.to_string()], exit }
    }
}

/// Measures the generator itself.
pub(crate) fn self_test(args: &RunArgs) -> Ended {
    let threads = args.threads.map_or_else(setup::default_threads, u32::from);
    // A signal ends the program: there is nothing to be written before.
    match self_test::measure(threads) {
        Ok(floor) => {
            let is_sound = floor.closed.iter().chain(&floor.paced).all(|trial| trial.failed == 0);
            let exit = if is_sound { Exit::Success } else { Exit::Failure };
            Ended { text: FloorText(&floor).to_string(), errors: Vec::new(), exit }
        }
        Err(error) => Failure::from(error).into(),
    }
}

/// Runs what the flags ask for.
pub(crate) fn run(args: &RunArgs) -> Ended {
    match plan_and_run(args) {
        Ok(ended) => ended,
        Err(failure) => failure.into(),
    }
}

/// # Errors
///
/// When there is no plan, or no output can be opened: then there is nothing to report.
fn plan_and_run(args: &RunArgs) -> Result<Ended, Failure> {
    let plan = setup::plan(args)?;
    let report = Report::of_nothing(&plan, plan.targets.is_empty(), SystemTime::now());
    let paths = setup::paths(args);
    let mut outputs = Outputs::open(&paths, &unfinished(&report))?;
    let (report, mut exit) = match measure(args, plan, report.clone(), &mut outputs) {
        Ok(done) => done,
        Err(failure) => (Report { error: Some(failure.to_string()), ..report }, failure.exit()),
    };
    let report = Report { exit_code: Some(exit.code()), ..report };
    let is_json = paths.json == Some(PathOrStdout::Stdout);
    let mut json = Vec::new();
    let mut errors: Vec<_> = report.error.iter().cloned().collect();
    for error in outputs.finish(&report, &mut json) {
        // What went wrong before says more than an output that could not be written.
        exit = if exit == Exit::Success { output_exit(&error) } else { exit };
        errors.push(error.to_string());
    }
    let text = Text(&report);
    if is_json {
        errors.extend(text.failure());
        return Ok(Ended { text: String::from_utf8_lossy(&json).into_owned(), errors, exit });
    }
    Ok(Ended { text: text.to_string(), errors, exit })
}

/// What is true of a run that ends without another word.
fn unfinished(report: &Report) -> Report {
    Report { error: Some("the run has not ended, or was killed".to_owned()), ..report.clone() }
}

/// Carries out a plan.
fn measure(
    args: &RunArgs,
    mut plan: Plan,
    report: Report,
    outputs: &mut Outputs,
) -> Result<(Report, Exit), Failure> {
    let is_embedded = plan.targets.is_empty();
    setup::check_limits(&plan, is_embedded, setup::paths(args).count())?;
    let server_threads = if is_embedded { setup::server_threads(&plan) } else { 0 };
    let embedded = if is_embedded { Some(start_server(&mut plan, server_threads)?) } else { None };
    let report = Report { plan: PlanFigures::new(&plan, is_embedded), ..report };

    let run = Run::start(plan.clone()).map_err(|source| Failure::Setup { source })?;
    let signals = Signals::install(run.control()).map_err(|source| Failure::Setup { source })?;
    let live = (!args.quiet).then(Live::new);
    let mut observer = Observer::new(&plan, embedded.as_ref(), outputs, live);
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
    let embedded = Embedded::start(threads, max_frame, plan.framing)
        .map_err(|source| Failure::Embedded { source })?;
    plan.targets = vec![embedded.endpoint().clone()];
    Ok(embedded)
}

fn exit(report: &Report, outcome: &Outcome, signal: Option<Exit>) -> Exit {
    match (&outcome.end, signal) {
        (End::Stopped | End::Aborted, Some(signal)) if !report.complete => signal,
        (End::NotFramed(_), _) => Exit::Protocol,
        (End::Unreachable(_), _) => Exit::Unavailable,
        (End::Failed(_), _) => Exit::Failure,
        _ if report.passed() => Exit::Success,
        _ => Exit::Failure,
    }
}
