//! The report and its schema.

use std::path::PathBuf;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::write;
use crate::output::{histogram, sample};
use crate::report::{self, Report};

fn schema_path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/report.schema.json"))
}

/// The schema that the types give.
fn schema() -> Value {
    // What is written always has every field, also one that is null.
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Report>().to_value();
    schema["title"] = json!("Report of volley-load");
    schema["properties"]["version"]["const"] = json!(report::VERSION);
    schema
}

/// Tells whether a report keeps to the schema in `docs`.
pub(crate) fn validator() -> Validator {
    let text = std::fs::read_to_string(schema_path()).unwrap();
    jsonschema::draft202012::new(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn written(report: &Report) -> Value {
    let mut out = Vec::new();
    write(report, &mut out).unwrap();
    assert!(out.ends_with(b"\n}\n"));
    serde_json::from_slice(&out).unwrap()
}

fn assert_valid(value: &Value) {
    let errors: Vec<_> = validator().iter_errors(value).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn the_schema_in_docs_is_that_of_the_types() {
    let schema = schema();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(schema_path(), format!("{schema:#}\n")).unwrap();
    }
    let found = std::fs::read_to_string(schema_path()).unwrap_or_default();
    assert!(
        serde_json::from_str::<Value>(&found).is_ok_and(|found| found == schema),
        "docs/report.schema.json is not what the types of the report give. To write it anew: \
         UPDATE_SCHEMA=1 cargo test -p volley-load the_schema_in_docs"
    );
}

#[test]
fn reports_of_all_kinds_keep_to_the_schema() {
    let full = sample::full();
    let without_warmup = Report { warmup: None, ..full.clone() };
    let without_bad_replies = Report { bad_replies: Vec::new(), ..full.clone() };
    let failed = Report { error: Some("ended by a signal".to_owned()), ..full.clone() };
    for report in [full, without_warmup, without_bad_replies, failed, sample::empty()] {
        assert_valid(&written(&report));
    }
}

#[test]
fn a_figure_that_is_not_finite_is_null() {
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut report = sample::full();
        report.plan.connect_rate = Some(float);
        report.run.replies_per_second = Some(float);
        report.run.sent_per_second = Some(float);
        report.run.planned_per_second = Some(float);
        report.thresholds[0].value = Some(float);
        let limit = report.limit.as_mut().unwrap();
        (limit.generator_busy, limit.server_busy) = (Some(float), Some(float));
        let value = written(&report);
        let figures = [
            "/plan/connect_rate",
            "/run/replies_per_second",
            "/run/sent_per_second",
            "/run/planned_per_second",
            "/thresholds/0/value",
            "/limit/generator_busy",
            "/limit/server_busy",
        ];
        for figure in figures {
            assert_eq!(value.pointer(figure), Some(&Value::Null), "{figure}");
        }
        assert_valid(&value);
    }
}

/// The paths of everything in a value, as JSON pointers.
fn paths(value: &Value, at: &str, paths: &mut Vec<String>) {
    if !at.is_empty() {
        paths.push(at.to_owned());
    }
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(n, v)| (n.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in inner {
        self::paths(value, &format!("{at}/{name}"), paths);
    }
}

/// A value of another type.
fn mistyped(value: &Value) -> Value {
    match value {
        Value::String(_) => json!(1),
        _ => json!("text"),
    }
}

#[test]
fn what_misses_a_field_or_mistakes_its_type_does_not_keep_to_the_schema() {
    let validator = validator();
    let valid = written(&Report { error: Some("some".to_owned()), ..sample::full() });
    let mut all = Vec::new();
    paths(&valid, "", &mut all);
    assert!(all.len() > 200, "{}", all.len());
    for path in all {
        let mut wrong = valid.clone();
        let field = wrong.pointer_mut(&path).unwrap();
        *field = mistyped(field);
        assert!(!validator.is_valid(&wrong), "{path} of another type is valid");

        let mut wrong = valid.clone();
        let (outer, name) = path.rsplit_once('/').unwrap();
        if let Some(fields) = wrong.pointer_mut(outer).unwrap().as_object_mut() {
            fields.remove(name).unwrap();
            assert!(!validator.is_valid(&wrong), "without {path} it is valid");
        }
    }
}

#[test]
fn the_schema_is_of_one_version_and_lets_fields_be_added_to_it() {
    let mut value = written(&sample::full());
    value["run"]["of_a_later_day"] = json!(1);
    assert_valid(&value);
    value["version"] = json!(report::VERSION + 1);
    assert!(!validator().is_valid(&value));
    value["version"] = json!(report::VERSION);
    value["run"]["unsent"] = json!(-1);
    assert!(!validator().is_valid(&value), "a count below 0 is valid");
}

#[test]
fn the_histogram_can_be_decoded_and_says_the_same() {
    let report = sample::full();
    let value = written(&report);
    let timing = &value["run"]["response"];
    let histogram = histogram::decode(timing["histogram"].as_str().unwrap());
    assert_eq!(histogram, *report.run.response.histogram.histogram());
    assert_eq!(timing["count"], json!(histogram.len()));
    assert_eq!(timing["p99_ns"], json!(histogram.value_at_quantile(0.99)));
}
