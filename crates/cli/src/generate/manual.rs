//! Manual pages, in the macros of man(7).

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, Command};
use roff::{Inline, Roff, bold, roman};

use super::markup::{ascii, marked, placeholders};
use super::section::{Entry, Section};
use super::with_flag;
use crate::Program;

/// When the words were last gone over. It is not today: a page is the same whenever it is made.
const DATE: &str = "2026-11-25";

/// How far texts are from the margin of their section, in the width of a letter.
const INDENT: &str = "7n";

/// Words up to this length stand in one column, and their meanings in another.
const SHORT: usize = 16;

/// What stands first behind the description.
const EXAMPLES: &str = "EXAMPLES";

/// What stands behind the options, in the order of man-pages(7); what is not among them goes first.
const ORDER: [&str; 5] = ["EXIT STATUS", "ENVIRONMENT", "FILES", "SIGNALS", "NOTES"];

/// The page of a program, or of a command of it.
pub(super) fn page(program: &Program, name: Option<&str>) -> String {
    let mut root = with_flag(program.command.clone());
    root.build();
    let mut command = match name.and_then(|name| root.find_subcommand(name)) {
        Some(command) => command.clone(),
        None => root.clone(),
    };
    let mut sections = sections(program, name, &command);
    let mut page = Page::new(program, &root, &mut command);
    if let Some(examples) = sections.iter().position(|section| section.title == EXAMPLES) {
        page.section(&sections.remove(examples));
    }
    if name.is_none() {
        page.commands(program);
    }
    page.options(&command);
    for section in &sections {
        page.section(section);
    }
    page.see_also(program, name);
    ascii(&page.roff.render())
}

/// All sections that are not the same in each page, in their order.
fn sections(program: &Program, name: Option<&str>, command: &Command) -> Vec<Section> {
    let helps = [command.get_before_help(), command.get_after_help()];
    let mut sections: Vec<_> =
        helps.into_iter().flatten().flat_map(|help| Section::read(&help.to_string())).collect();
    let own = if name.is_none() { &program.sections[..] } else { &[] };
    for section in own.iter().cloned().chain([environment(command)]) {
        match sections.iter_mut().find(|other| other.title == section.title) {
            Some(same) => same.entries.extend(section.entries),
            None => sections.push(section),
        }
    }
    let rank = |section: &Section| ORDER.iter().position(|title| *title == section.title);
    sections.sort_by_key(rank);
    sections
}

/// The variables that stand for flags, and the one that all programs heed.
fn environment(command: &Command) -> Section {
    let variables = command.get_arguments().filter_map(|arg| {
        let variable = arg.get_env()?.to_string_lossy().into_owned();
        let name = arg.get_long().map(|long| format!("--{long}"));
        let name = name.unwrap_or_else(|| placeholder(arg));
        Some((variable, format!("Stands for {name} where that is not given.")))
    });
    let no_colour = "If it is not empty, nothing is coloured.";
    let no_colour = ("NO_COLOR".to_owned(), no_colour.to_owned());
    Section::of_items("ENVIRONMENT", variables.chain([no_colour]))
}

/// A page that is being written.
struct Page {
    roff: Roff,
}

impl Page {
    /// With what it is, how it is called and what it does.
    fn new(program: &Program, root: &Command, command: &mut Command) -> Self {
        let mut page = Self { roff: Roff::new() };
        let name = page_name(command);
        let section = program.manual_section.to_string();
        let version = format!("Volley {}", root.get_version().unwrap_or_default());
        let title = [&*name.to_uppercase(), &section, DATE, &version, "Volley"];
        page.roff.control("TH", title);
        // Names of flags and of variables are not to be hyphenated, nor examples to be stretched.
        page.roff.control("nh", []).control("ad", ["l"]);
        page.heading("NAME");
        let about = command.get_about().map(StyledStr::to_string).unwrap_or_default();
        page.roff.text([roman(format!("{name} - {about}"))]);
        page.heading("SYNOPSIS");
        page.synopsis(&command.render_usage().to_string());
        page.heading("DESCRIPTION");
        let text = command.get_long_about().or(command.get_about()).map(StyledStr::to_string);
        let text = text.unwrap_or_default();
        // The first paragraph stands above, as its name.
        let text = text.split_once("\n\n").map_or(&*text, |(_, rest)| rest);
        page.paragraphs(text, "PP");
        page
    }

    fn heading(&mut self, title: &str) {
        self.roff.control("SH", [title]);
    }

    /// `volley send [OPTIONS] [FRAME]...`, or several of them.
    fn synopsis(&mut self, usage: &str) {
        let usage = usage.trim().trim_start_matches("Usage:");
        for (number, form) in usage.lines().enumerate() {
            if number > 0 {
                self.roff.control("br", []);
            }
            let form = form.trim();
            let (name, rest) = form.split_at(form.find(['[', '<']).unwrap_or(form.len()));
            let mut line = vec![bold(name)];
            line.extend(placeholders(rest));
            self.roff.text(line);
        }
    }

    /// Each behind this macro, but for the first.
    fn paragraphs(&mut self, text: &str, behind: &str) {
        for (number, paragraph) in text.split("\n\n").enumerate() {
            if number > 0 {
                self.roff.control(behind, []);
            }
            self.roff.text(marked(paragraph));
        }
    }

    fn section(&mut self, section: &Section) {
        self.heading(&section.title);
        let terms = section.entries.iter().filter_map(|entry| match entry {
            Entry::Item { term, .. } => Some(&**term),
            _ => None,
        });
        let width = width(terms);
        for (number, entry) in section.entries.iter().enumerate() {
            // What has no macro of its own needs one to begin with, but behind a heading.
            if number > 0 && !matches!(entry, Entry::Item { .. }) {
                self.roff.control("PP", []);
            }
            match entry {
                Entry::Paragraph(text) => drop(self.roff.text(marked(text))),
                Entry::Lines(lines) => self.lines(lines),
                Entry::Item { term, meaning } => self.item(&width, vec![bold(term)], meaning),
            }
        }
    }

    /// Lines to be typed, each as it is.
    fn lines(&mut self, lines: &[String]) {
        self.roff.control("nf", []);
        for line in lines {
            self.roff.text([bold(line)]);
        }
        self.roff.control("fi", []);
    }

    fn item(&mut self, width: &str, term: Vec<Inline>, meaning: &str) {
        self.roff.control("TP", [width]).text(term).text(marked(meaning));
    }

    /// The commands, with the pages that tell more.
    fn commands(&mut self, program: &Program) {
        if program.command.has_subcommands() {
            self.heading("COMMANDS");
        }
        for command in program.command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let about = command.get_about().map(StyledStr::to_string).unwrap_or_default();
            let page = format!("{}-{}", program.command.get_name(), command.get_name());
            self.item(INDENT, reference(&page, program.manual_section), &about);
        }
    }

    /// The flags under their headings, those without one first.
    fn options(&mut self, command: &Command) {
        let arguments = || command.get_arguments().filter(|arg| !arg.is_hide_set());
        let mut headings = vec![None];
        for heading in arguments().map(Arg::get_help_heading) {
            if !headings.contains(&heading) {
                headings.push(heading);
            }
        }
        self.heading("OPTIONS");
        for heading in headings {
            if let Some(heading) = heading {
                self.roff.control("SS", [heading]);
            }
            let mut arguments: Vec<_> =
                arguments().filter(|arg| arg.get_help_heading() == heading).collect();
            arguments.sort_by_key(|arg| !arg.is_positional());
            arguments.into_iter().for_each(|arg| self.option(arg));
        }
    }

    fn option(&mut self, arg: &Arg) {
        self.roff.control("TP", [INDENT]).text(term(arg));
        let help = arg.get_long_help().or(arg.get_help()).map(StyledStr::to_string);
        let help = help.unwrap_or_default();
        let (summary, rest) = match help.split_once("\n\n") {
            Some((summary, rest)) => (summary, Some(rest)),
            None => (&*help, None),
        };
        let mut summary = summary.to_owned();
        let default: Vec<_> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if arg.get_action().takes_values() && !default.is_empty() {
            let _ = write!(summary, " [default: {}]", default.join(" "));
        }
        let values = arg.get_possible_values();
        let values: Vec<_> = values.iter().filter(|value| !value.is_hide_set()).collect();
        let are_told = values.iter().any(|value| value.get_help().is_some());
        if !values.is_empty() && !are_told {
            let names: Vec<_> = values.iter().map(|value| value.get_name()).collect();
            let _ = write!(summary, " [possible values: {}]", names.join(", "));
        }
        self.roff.text(marked(&summary));
        if let Some(rest) = rest {
            self.roff.control("IP", []);
            self.paragraphs(rest, "IP");
        }
        if are_told {
            self.roff.control("RS", []);
            let width = width(values.iter().map(|value| value.get_name()));
            for value in values {
                let help = value.get_help().map(StyledStr::to_string).unwrap_or_default();
                self.item(&width, vec![bold(value.get_name())], &help);
            }
            self.roff.control("RE", []);
        }
    }

    fn see_also(&mut self, program: &Program, name: Option<&str>) {
        let root = program.command.get_name();
        let commands = program.command.get_subcommands().filter(|command| !command.is_hide_set());
        let commands = commands.map(|command| Some(command.get_name()));
        let family = [None].into_iter().chain(commands);
        let family = family.filter(|other| *other != name).map(|name| {
            let page = name.map_or(root.to_owned(), |name| format!("{root}-{name}"));
            reference(&page, program.manual_section)
        });
        let others = program.see_also.iter().filter_map(|page| {
            let (page, section) = page.strip_suffix(')')?.split_once('(')?;
            Some(reference(page, section.parse().ok()?))
        });
        let references: Vec<_> = family.chain(others).collect();
        self.heading("SEE ALSO");
        self.roff.text(references.join(&roman(", ")));
        if !program.documents.is_empty() {
            let documents = program.documents.join(" and ");
            let text = format!("{documents}, which come with the program and say more.");
            self.roff.control("PP", []).text([roman(text)]);
        }
    }
}

/// `volley-send`.
fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// `volley-send(1)`.
fn reference(page: &str, section: u8) -> Vec<Inline> {
    vec![bold(page), roman(format!("({section})"))]
}

/// How far meanings are from the margin, so that they stand beside their terms if those are short.
fn width<'a>(terms: impl Iterator<Item = &'a str>) -> String {
    match terms.map(|term| term.chars().count()).max() {
        Some(longest @ 1..=SHORT) => format!("{}n", longest + 2),
        _ => INDENT.to_owned(),
    }
}

/// An argument as it is typed.
fn term(arg: &Arg) -> Vec<Inline> {
    let shown = arg.to_string();
    let Some(long) = arg.get_long().map(|long| format!("--{long}")) else {
        return placeholders(&shown);
    };
    let mut term = Vec::new();
    if let Some(short) = arg.get_short() {
        term.extend([bold(format!("-{short}")), roman(", ")]);
    }
    term.push(bold(&*long));
    term.extend(placeholders(shown.strip_prefix(&*long).unwrap_or_default()));
    term
}

/// What stands for the value of an argument.
fn placeholder(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().to_string(), ToString::to_string)
}
