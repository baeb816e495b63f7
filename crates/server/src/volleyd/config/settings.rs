//! All settings in force: what flags, environment and file add up to.

use volley_proto::Endpoint;

use super::environment::Environment;
use super::file::FileSettings;
use super::flags::Flags;
use super::layer::Entry;
use super::listener::{Listener, Section, has_fixed_port, repeated_endpoints};
use super::opening;
use super::origin::Origin;
use super::problem::Problem;
use super::table::{LISTEN, ListenerSettings, ProcessSettings, SectionSettings};
use super::valued::Valued;
use super::void;

/// Every setting with its value, and where that comes from.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) process: ProcessSettings,
    /// At least one.
    pub(crate) listeners: Vec<Listener>,
    /// What the log should say of them, odd but no error.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Takes each value from its flag, or else from the environment, the listener's section, the
    /// file's top level, the default.
    ///
    /// # Errors
    ///
    /// What can't be told from one source alone: an endpoint that two want to have, a directory
    /// that isn't there.
    pub(crate) fn resolve(
        flags: &Flags,
        environment: &Environment,
        file: &FileSettings,
    ) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let process = ProcessSettings::resolve(&[&flags.layer, &environment.layer, &file.top])
            .map_err(one)?;
        let mut listeners = Vec::new();
        let mut problems = Vec::new();
        for section in sections(flags, environment, file)? {
            let Section { endpoint, name, layer } = section;
            let layers = [&flags.layer, &environment.layer, &layer, &file.top];
            let settings = ListenerSettings::resolve(&layers).map_err(one)?;
            let own = SectionSettings::resolve(&[&layer]).map_err(one)?;
            let listener = Listener { endpoint, name, settings, own };
            problems.extend(void::problems(&listener, &layer));
            listeners.push(listener);
        }
        let mut warnings = environment.warnings.clone();
        warnings.extend(void_sections(&listeners, file));
        let settings = Self { process, listeners, warnings };
        problems.extend(opening::problems(
            &settings.listeners,
            &[&flags.layer, &environment.layer, &file.top],
        ));
        problems.extend(settings.admin_problem());
        let endpoints = settings.listeners.iter().map(|listener| &listener.endpoint);
        problems.extend(
            endpoints.filter_map(|endpoint| directory_problem(&endpoint.value, &endpoint.origin)),
        );
        problems.extend(settings.listeners.iter().filter_map(|listener| {
            let why = listener.refusal_of(&listener.endpoint.value)?;
            Some(Problem::forbidden(&listener.endpoint.origin, why))
        }));
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// What messages call one of these listeners; nothing where there is but one, without a name.
    pub(crate) fn title_of(&self, listener: &Listener) -> Option<String> {
        (self.listeners.len() > 1 || listener.name.is_some()).then(|| listener.title())
    }

    /// An admin endpoint that can't be had, as far as that can be told before it is bound.
    fn admin_problem(&self) -> Option<Problem> {
        let Valued { value: Some(admin), origin } = &self.process.admin else { return None };
        let endpoint = admin.endpoint();
        if let Some(problem) = directory_problem(endpoint, origin) {
            return Some(problem);
        }
        if !has_fixed_port(endpoint) {
            return None;
        }
        let listener = self.listeners.iter().find(|other| other.endpoint.value == *endpoint)?;
        let why = format!("{admin} is that of a listener ({})", listener.endpoint.origin);
        Some(Problem::new(origin, why))
    }
}

/// The directory of a Unix socket is not there.
fn directory_problem(endpoint: &Endpoint, origin: &Origin) -> Option<Problem> {
    let Endpoint::Unix(address) = endpoint else { return None };
    let directory = address.path()?.parent()?;
    // That of a name alone is the working directory, and empty.
    let is_missing = !directory.as_os_str().is_empty() && !directory.is_dir();
    let why = || format!("{endpoint}: there is no directory {}", directory.display());
    is_missing.then(|| Problem::new(origin, why()))
}

/// The listeners: those of the flags, or else of the environment, of the file, the default.
fn sections(
    flags: &Flags,
    environment: &Environment,
    file: &FileSettings,
) -> Result<Vec<Section>, Vec<Problem>> {
    let default = [Entry { text: LISTEN.default.to_owned(), origin: Origin::Default }];
    let entries: &[Entry] = if !flags.listen.is_empty() {
        &flags.listen
    } else if !environment.listen.is_empty() {
        &environment.listen
    } else if !file.listeners.is_empty() {
        return Ok(file.listeners.clone());
    } else {
        &default
    };
    let endpoints: Vec<Valued<Endpoint>> = entries
        .iter()
        .map(|entry| Valued::parse(&entry.text, &entry.origin).map_err(|problem| vec![problem]))
        .collect::<Result<_, _>>()?;
    let problems = repeated_endpoints(&endpoints.iter().collect::<Vec<_>>());
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(endpoints.into_iter().map(Section::plain).collect())
}

/// Flags or environment say where to listen, and the file does so too.
fn void_sections(listeners: &[Listener], file: &FileSettings) -> Option<String> {
    let in_force = listeners.first()?;
    let void = file.listeners.first()?;
    let origins = (&in_force.endpoint.origin, &void.endpoint.origin);
    let (by @ (Origin::Flag(_) | Origin::Variable(_)), Origin::File(place)) = origins else {
        return None;
    };
    let from = place.file_and_line();
    Some(format!("the listeners of the file, from {from} on, don't count: {by} is set"))
}
