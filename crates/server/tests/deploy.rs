//! What stands in deploy/ for containers: whether it fits together, and names nothing that the
//! daemon does not know.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::exit_of;
use serde::Deserialize;
use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path))
        .unwrap()
}

/// The objects of the manifests, by their kind.
fn object(kind: &str) -> Value {
    let text = read("kubernetes/volleyd.yaml");
    let mut objects = yaml_serde::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap());
    objects.find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn pod() -> Value {
    object("Deployment").pointer("/spec/template/spec").unwrap().clone()
}

fn container() -> Value {
    let pod = pod();
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    containers[0].clone()
}

/// The value of a variable of the container.
fn variable(name: &str) -> String {
    let container = container();
    let variables = container["env"].as_array().unwrap();
    let variable = variables.iter().find(|variable| variable["name"] == name).unwrap();
    variable["value"].as_str().unwrap().to_owned()
}

fn seconds(duration: &str) -> u64 {
    volley_cli::parse_duration(duration).unwrap().as_secs()
}

#[test]
fn a_pod_is_given_more_time_than_its_end_takes() {
    let grace = pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
    let takes = seconds(&variable("VOLLEYD_DRAIN_DELAY")) + seconds(&variable("VOLLEYD_DRAIN"));
    // A lingering close comes on top.
    assert!(grace >= takes + 5, "{grace} s for {takes} s");
}

#[test]
fn a_pod_is_known_as_not_ready_before_it_stops_accepting() {
    let probe = &container()["readinessProbe"];
    assert_eq!(probe["httpGet"]["path"], "/readyz");
    let [every, failures] =
        ["periodSeconds", "failureThreshold"].map(|name| probe[name].as_u64().unwrap());
    assert!(every * failures < seconds(&variable("VOLLEYD_DRAIN_DELAY")));
}

#[test]
fn the_buffers_leave_room_in_the_memory() {
    let container = container();
    let limit = container.pointer("/resources/limits/memory").unwrap().as_str().unwrap();
    let bytes = |text: &str| volley_cli::parse_bytes(text).unwrap();
    // Kubernetes leaves out the B.
    assert!(bytes(&variable("VOLLEYD_MAX_BUFFERED")) <= bytes(&format!("{limit}B")) / 2);
}

#[test]
fn the_objects_mean_the_same_pods_and_ports() {
    let deployment = object("Deployment");
    let labels = deployment.pointer("/spec/template/metadata/labels").unwrap();
    let selectors = [
        ("Deployment", "/spec/selector/matchLabels"),
        ("Service", "/spec/selector"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
    ];
    for (kind, place) in selectors {
        assert_eq!(object(kind).pointer(place), Some(labels), "{kind}");
    }
    let container = container();
    let ports: Vec<_> = container["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
        .collect();
    let port = |variable: String| variable.rsplit(':').next().unwrap().parse().unwrap();
    let expected =
        [("volley", port(variable("VOLLEYD_LISTEN"))), ("admin", port(variable("VOLLEYD_ADMIN")))];
    assert_eq!(ports, expected);
    assert_eq!(object("Service").pointer("/spec/ports/0/targetPort").unwrap(), "volley");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "admin", "{probe}");
    }
}

#[test]
fn the_container_may_do_nothing_but_serve() {
    let (pod, container) = (pod(), container());
    for (place, expected) in [
        ("/securityContext/runAsNonRoot", Value::from(true)),
        ("/securityContext/runAsUser", Value::from(65532)),
        ("/securityContext/seccompProfile/type", Value::from("RuntimeDefault")),
        ("/automountServiceAccountToken", Value::from(false)),
    ] {
        assert_eq!(pod.pointer(place), Some(&expected), "{place}");
    }
    for (place, expected) in [
        ("/securityContext/allowPrivilegeEscalation", Value::from(false)),
        ("/securityContext/readOnlyRootFilesystem", Value::from(true)),
        ("/securityContext/capabilities/drop/0", Value::from("ALL")),
    ] {
        assert_eq!(container.pointer(place), Some(&expected), "{place}");
    }
    let image = read("container/Containerfile");
    let last = image.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n") && last.contains("\nUSER 65532:65532\n"), "{last}");
    // There is no shell that could run anything in it.
    for line in last.lines() {
        let runs = ["RUN", "CMD", "ENTRYPOINT"].iter().any(|word| line.trim().starts_with(word));
        assert!(!runs || line.contains(" [\""), "{line}");
    }
}

#[test]
fn nothing_is_named_that_the_daemon_does_not_know() {
    let files = [
        "container/Containerfile",
        "kubernetes/volleyd.yaml",
        "systemd/volleyd.service",
        "systemd/volleyd.socket",
    ];
    let help = exit_of(&["--help"], &[]).1;
    let known = words(&help);
    let mut named = BTreeSet::new();
    for file in files {
        for line in read(file).lines().filter(|line| !is_of_another_program(line)) {
            named.extend(words(line));
        }
    }
    assert!(named.len() > 5, "{named:?}");
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Whether the flags in it are for others.
fn is_of_another_program(line: &str) -> bool {
    let others = ["apk", "cargo", "docker", "COPY", "RUN", "HEALTHCHECK", "/volley\"", "systemctl"];
    others.iter().any(|other| line.contains(other)) || line.trim().starts_with("--mount")
}

/// The daemon's flags and variables in it.
fn words(text: &str) -> BTreeSet<String> {
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_ours = |word: &&str| {
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix("VOLLEYD_"));
        name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
    };
    text.split(|c| !is_in_word(c)).filter(is_ours).map(str::to_owned).collect()
}
