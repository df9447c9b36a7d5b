// SPDX-License-Identifier: MIT OR Apache-2.0
//! `flexsc.h`: clean in both languages, and what the library says it is.

use std::{
    collections::BTreeSet,
    fs,
    mem::offset_of,
    path::{Path, PathBuf},
};

use flexsc::{
    attr::{self, flexsc_attr},
    call::{self, flexsc_call},
    completion::{self, flexsc_completion},
    stats::flexsc_stats,
};
use libtest_mimic::{Failed, Trial};

use crate::{
    Outcome,
    tools::{self, Tool},
    tree::{here, scratch},
    trial,
};

pub(crate) fn add(trials: &mut Vec<Trial>) {
    for (language, tool, file) in [
        ("c99", Tool::Cc, "alone.c"),
        ("cxx17", Tool::Cxx, "alone.cpp"),
    ] {
        trials.push(trial(
            format!("header::compiles_as_{language}"),
            &[tool],
            move || compiles(file, "#include <flexsc.h>\nint main(void) { return 0; }\n"),
        ));
    }
    for (language, tool, file) in [("c", Tool::Cc, "both.c"), ("cxx", Tool::Cxx, "both.cpp")] {
        let name = format!("header::stands_beside_that_of_the_device_in_{language}");
        trials.push(trial(name, &[tool], move || {
            compiles(file, &beside_the_device())
        }));
    }
    trials.push(trial(
        "header::has_the_layout_and_the_numbers_of_the_library",
        &[Tool::Cc],
        || compiles("layout.c", &layout()),
    ));
    trials.push(trial(
        "header::has_the_version_of_the_library",
        &[],
        version,
    ));
    trials.push(trial(
        "header::prepares_each_call_of_the_table",
        &[],
        each_call_of_the_table,
    ));
}

/// The functions that the header declares.
pub(crate) fn functions() -> Result<BTreeSet<String>, Failed> {
    let code = code()?;
    // A name is declared where a parenthesis follows it; macros have none.
    let declared = code
        .match_indices('(')
        .filter_map(|(at, _)| {
            let before = &code[..at];
            let begin = before.rfind(|c: char| !c.is_alphanumeric() && c != '_')? + 1;
            Some(before[begin..].to_owned())
        })
        .filter(|name| name.starts_with("flexsc_"))
        .collect();
    Ok(declared)
}

/// The header without its comments.
pub(crate) fn code() -> Result<String, Failed> {
    let text = fs::read_to_string(header())?;
    let mut code = String::new();
    for (i, part) in text.split("/*").enumerate() {
        code += match i {
            0 => part,
            _ => part.split_once("*/").ok_or("a comment does not end")?.1,
        };
    }
    Ok(code)
}

fn header() -> PathBuf {
    here().join("include/flexsc.h")
}

fn compiles(name: &str, text: &str) -> Outcome {
    let source = scratch("header")?.join(name);
    fs::write(&source, text)?;
    let mut compiler = tools::compiler(&source);
    tools::run(
        compiler
            .arg("-fsyntax-only")
            .arg("-I")
            .arg(here().join("include"))
            .arg(&source),
    )?;
    Ok(())
}

fn beside_the_device() -> String {
    let device = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kmod/uapi/flexsc.h");
    format!(
        "#include <flexsc.h>\n#include \"{}\"\nint main(void) {{ struct flexsc_wait wait; (void)wait; \
         return flexsc_wait(NULL, FLEXSC_ENTRY_LINK, 0); }}\n",
        device.display()
    )
}

/// A source that does not compile unless all of it is so.
fn layout() -> String {
    let mut text =
        "#include <flexsc.h>\n#define SAME(name, is) typedef char name[(is) ? 1 : -1]\n".to_owned();
    for (i, (fact, value)) in facts().iter().enumerate() {
        text += &format!("SAME(fact_{i}, {fact} == {value});\n");
    }
    text + "int main(void) { return 0; }\n"
}

/// Sizes, offsets and numbers: an expression of C, and its value in the library.
pub(crate) fn facts() -> Vec<(String, usize)> {
    let mut facts: Vec<(String, usize)> = Vec::new();
    macro_rules! layout {
        ($name:ident { $($field:ident),* $(,)? }) => {
            let name = stringify!($name);
            // All fields, none forgotten.
            #[allow(unused)]
            fn complete(given: $name) {
                let $name { $($field),* } = given;
            }
            facts.push((format!("sizeof(struct {name})"), size_of::<$name>()));
            $(facts.push((
                format!("offsetof(struct {name}, {})", stringify!($field)),
                offset_of!($name, $field),
            ));)*
        };
    }
    {
        layout!(flexsc_attr {
            backend,
            flags,
            entries,
            cpu,
            threads,
            drains,
            idle_spin_us,
            wait_spin_us,
            close_timeout_ms,
            reserved,
        });
    }
    {
        layout!(flexsc_call {
            user_data,
            args,
            timeout_ns,
            nr,
            flags,
            reserved
        });
    }
    {
        layout!(flexsc_completion {
            user_data,
            res,
            flags,
            reserved
        });
    }
    {
        layout!(flexsc_stats {
            submitted,
            queued,
            entries_w,
            entries_t,
            entries_c,
            handed_back,
            rejected,
            kicks,
            waits,
            wait_sleeps,
            spun,
            drains,
            idle_sleeps,
            threads,
            thread_wakes,
        });
    }
    for (name, value) in [
        ("FLEXSC_ATTR_CPU", attr::FLEXSC_ATTR_CPU),
        ("FLEXSC_ATTR_IDLE_SPIN", attr::FLEXSC_ATTR_IDLE_SPIN),
        ("FLEXSC_ATTR_WAIT_SPIN", attr::FLEXSC_ATTR_WAIT_SPIN),
        ("FLEXSC_LINK", call::FLEXSC_LINK),
        ("FLEXSC_FILE", call::FLEXSC_FILE),
        ("FLEXSC_TIMEOUT", call::FLEXSC_TIMEOUT),
        ("FLEXSC_MULTI", call::FLEXSC_MULTI),
        ("FLEXSC_MORE", completion::FLEXSC_MORE),
    ] {
        facts.push((name.to_owned(), value as usize));
    }
    facts
}

fn version() -> Outcome {
    let text = fs::read_to_string(header())?;
    let line = format!("#define FLEXSC_VERSION \"{}\"", env!("CARGO_PKG_VERSION"));
    if text.lines().any(|other| other == line) {
        Ok(())
    } else {
        Err(format!("flexsc.h has no line {line}").into())
    }
}

/// docs/abi.md has all calls that may be posted.
fn each_call_of_the_table() -> Outcome {
    let text = fs::read_to_string(here().join("../../docs/abi.md"))?;
    let table = text
        .split("\n## Calls\n")
        .nth(1)
        .ok_or("no table of calls")?;
    let declared = functions()?;
    let mut count = 0;
    for line in table.lines().take_while(|line| !line.starts_with("## ")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(number), Some(call)) = (cells.next(), cells.next()) else {
            continue;
        };
        if number.parse::<u32>().is_err() && !number.starts_with("FLEXSC_NR_") {
            continue;
        }
        count += 1;
        // As the C library calls them.
        let function = match call {
            "pread64" => "pread",
            "pwrite64" => "pwrite",
            "fadvise64" => "fadvise",
            "newfstatat" => "fstatat",
            same => same,
        };
        if !declared.contains(&format!("flexsc_prep_{function}")) {
            return Err(format!("flexsc.h has no flexsc_prep_{function}").into());
        }
    }
    if count < 70 {
        return Err(format!("docs/abi.md lists {count} calls only").into());
    }
    Ok(())
}
