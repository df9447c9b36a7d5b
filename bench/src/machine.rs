// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the figures are of.

use std::{fs, path::Path, process::Command};

use crate::{backend::Kind, case::Places, cpu::Cpus};

/// What is known of the machine, those given by `NAME=VALUE` first.
pub(crate) fn facts(places: &Places, cpus: Cpus, given: &[String]) -> Vec<(String, String)> {
    let mut facts: Vec<_> = given
        .iter()
        .filter_map(|fact| fact.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let used = match cpus.there {
        Some(there) => format!("{} posts, {there} executes", cpus.here),
        None => format!("{} alone", cpus.here),
    };
    let mut add = |name: &str, value: Option<String>| {
        facts.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("processor", field("/proc/cpuinfo", "model name"));
    add(
        "kernel",
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .ok()
            .map(trimmed),
    );
    add("CPUs", Some(used));
    add("mitigations", mitigations());
    add("tmpfs", file_system(&places.tmpfs));
    add("disk", file_system(&places.disk));
    facts
}

/// Who can be measured here by default: all, but the pool only where there is no module.
pub(crate) fn backends() -> Vec<Kind> {
    let module = has_module();
    Kind::ALL
        .into_iter()
        .filter(|kind| match kind {
            Kind::Module | Kind::Caller => module,
            Kind::Threads => !module,
            _ => true,
        })
        .collect()
}

/// Whether the module is loaded.
pub(crate) fn has_module() -> bool {
    Path::new(libflexsc::sys::DEVICE).exists()
}

fn trimmed(text: String) -> String {
    text.trim().to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(trimmed(line.split_once(':')?.1.to_owned()))
}

/// Those that are at work, by the names of what they are against.
fn mitigations() -> Option<String> {
    let mut active: Vec<_> = fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let state = fs::read_to_string(entry.path()).ok()?;
            let by = state.trim().strip_prefix("Mitigation: ")?;
            Some(format!("{} ({by})", entry.file_name().to_string_lossy()))
        })
        .collect();
    active.sort();
    Some(match active.is_empty() {
        true => "none".to_owned(),
        false => active.join(", "),
    })
}

fn file_system(path: &Path) -> Option<String> {
    let output = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(path)
        .output()
        .ok()?;
    let kind = trimmed(String::from_utf8(output.stdout).ok()?);
    Some(format!("{} ({kind})", path.display()))
}
