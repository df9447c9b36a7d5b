// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ABI as the C compiler sees it, against its Rust mirrors: bindgen's, of this library, and the
//! module's own, `kmod/abi.rs`, which is compiled here with stand-ins for what it takes from the
//! `kernel` crate and from beside it.
#![cfg(not(loom))]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    mem::offset_of,
    path::{Path, PathBuf},
    process::Command,
};

use libflexsc::sys::bindings;

extern crate self as kernel;

#[path = "../../kmod/abi.rs"]
#[allow(
    dead_code,
    missing_docs,
    non_snake_case,
    clippy::undocumented_unsafe_blocks
)]
mod abi;

pub mod ioctl {
    #![allow(non_snake_case, missing_docs)]
    //! `asm-generic/ioctl.h`, as the kernel crate has it.
    const fn ioc(direction: u32, kind: u32, nr: u32, size: usize) -> u32 {
        (direction << 30) | ((size as u32) << 16) | (kind << 8) | nr
    }
    pub const fn _IO(kind: u32, nr: u32) -> u32 {
        ioc(0, kind, nr, 0)
    }
    pub const fn _IOW<T>(kind: u32, nr: u32) -> u32 {
        ioc(1, kind, nr, size_of::<T>())
    }
    pub const fn _IOWR<T>(kind: u32, nr: u32) -> u32 {
        ioc(3, kind, nr, size_of::<T>())
    }
}

pub mod prelude {
    //! What every file of the module imports.
    #[macro_export]
    #[allow(missing_docs)]
    macro_rules! static_assert {
        ($($condition:tt)*) => { const _: () = assert!($($condition)*); };
    }
    pub use static_assert;
}

pub mod transmute {
    //! Markers for what may be copied to and from user space.
    #![allow(missing_docs, clippy::missing_safety_doc)]
    pub unsafe trait AsBytes {}
    pub unsafe trait FromBytes {}
}

mod once {
    /// A word that others may write, of which only the layout counts here.
    #[repr(transparent)]
    #[allow(dead_code)]
    pub(crate) struct Once<T>(T);
}

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../kmod/uapi/flexsc.h");

/// Numbers by the names that C gives them, as "struct flexsc_entry", "flexsc_entry.ret",
/// "FLEXSC_DONE".
type Facts = BTreeMap<String, i128>;

macro_rules! size {
    ($facts:ident, $c:literal, $type:ty) => {
        $facts.insert(format!("struct {}", $c), size_of::<$type>() as i128);
    };
}

macro_rules! offset {
    ($type:ty, $field:ident) => {
        offset_of!($type, $field)
    };
    ($type:ty, $field:ident = $mine:ident) => {
        offset_of!($type, $mine)
    };
}

macro_rules! offsets {
    ($facts:ident, $c:literal, $type:ty, $($field:ident $(= $mine:ident)?),* $(,)?) => {
        size!($facts, $c, $type);
        $(
            let offset = offset!($type, $field $(= $mine)?);
            $facts.insert(format!("{}.{}", $c, stringify!($field)), offset as i128);
        )*
    };
}

macro_rules! constants {
    ($facts:ident, $from:path, $($c:ident = $mine:ident),* $(,)?) => {{
        use $from as from;
        $($facts.insert(stringify!($c).to_owned(), i128::from(from::$mine));)*
    }};
}

/// What bindgen and the ioctl numbers of `sys` say.
#[rustfmt::skip]
fn library() -> Facts {
    use bindings::*;
    let mut facts = Facts::new();
    offsets!(
        facts, "flexsc_entry", flexsc_entry, status, nr, flags, ret, args
    );
    offsets!(
        facts, "flexsc_counters", flexsc_counters, entries_w, entries_t, entries_c, handed_back,
        rejected, kicks, waits, wait_sleeps, drains, idle_sleeps, threads, thread_wakes,
        cancelled, __reserved
    );
    offsets!(
        facts, "flexsc_control", flexsc_control, magic, abi_version, features, entries, ring_mask,
        cpu, spin_us, __pad0, sub_tail, __pad1, sub_head, __pad2, comp_tail, __pad3, comp_head,
        __pad4, wakeup, __pad5, counters, __pad6
    );
    offsets!(
        facts, "flexsc_setup", flexsc_setup, flags, entries, cpu, spin_us, drains, threads,
        abi_version, __reserved0, features, map_size, sub_ring_off, comp_ring_off, entries_off,
        __reserved1
    );
    offsets!(
        facts, "flexsc_probe_call", flexsc_probe_call, nr, lanes, flags
    );
    offsets!(
        facts, "flexsc_probe", flexsc_probe, count, abi_version, features, calls
    );
    offsets!(
        facts, "flexsc_wait", flexsc_wait, min_complete, flags, timeout_ns
    );
    offsets!(
        facts, "flexsc_cancel", flexsc_cancel, index, flags, __reserved
    );
    offsets!(
        facts, "flexsc_restrict", flexsc_restrict, flags, count, calls, allowed, frozen, __reserved
    );
    constants!(
        facts, libflexsc::sys::bindings, FLEXSC_ABI_VERSION = FLEXSC_ABI_VERSION,
        FLEXSC_MAGIC = FLEXSC_MAGIC, FLEXSC_MIN_ENTRIES = FLEXSC_MIN_ENTRIES,
        FLEXSC_MAX_ENTRIES = FLEXSC_MAX_ENTRIES, FLEXSC_FREE = FLEXSC_FREE,
        FLEXSC_SUBMITTED = FLEXSC_SUBMITTED, FLEXSC_BUSY = FLEXSC_BUSY, FLEXSC_DONE = FLEXSC_DONE,
        FLEXSC_ENTRY_HANDED_BACK = FLEXSC_ENTRY_HANDED_BACK, FLEXSC_NR_NOP = FLEXSC_NR_NOP,
        FLEXSC_NEED_WAKEUP = FLEXSC_NEED_WAKEUP, FLEXSC_FEAT_LANE_W = FLEXSC_FEAT_LANE_W,
        FLEXSC_FEAT_LANE_T = FLEXSC_FEAT_LANE_T, FLEXSC_FEAT_LANE_C = FLEXSC_FEAT_LANE_C,
        FLEXSC_FEAT_POLL = FLEXSC_FEAT_POLL, FLEXSC_CPU_ANY = FLEXSC_CPU_ANY,
        FLEXSC_SPIN_DEFAULT = FLEXSC_SPIN_DEFAULT, FLEXSC_LANE_W = FLEXSC_LANE_W,
        FLEXSC_LANE_T = FLEXSC_LANE_T, FLEXSC_LANE_C = FLEXSC_LANE_C,
        FLEXSC_CALL_GATED = FLEXSC_CALL_GATED, FLEXSC_IOC_TYPE = FLEXSC_IOC_TYPE,
        FLEXSC_FEAT_RESTRICT = FLEXSC_FEAT_RESTRICT, FLEXSC_RESTRICT_MAX = FLEXSC_RESTRICT_MAX,
        FLEXSC_RESTRICT_CALLS = FLEXSC_RESTRICT_CALLS,
        FLEXSC_RESTRICT_FREEZE = FLEXSC_RESTRICT_FREEZE,
        FLEXSC_FEAT_TIMEOUT = FLEXSC_FEAT_TIMEOUT, FLEXSC_ENTRY_TIMEOUT = FLEXSC_ENTRY_TIMEOUT,
        FLEXSC_FEAT_LINK = FLEXSC_FEAT_LINK, FLEXSC_ENTRY_LINK = FLEXSC_ENTRY_LINK,
        FLEXSC_ENTRY_FILE = FLEXSC_ENTRY_FILE,
        FLEXSC_FEAT_POLL_FILE = FLEXSC_FEAT_POLL_FILE, FLEXSC_NR_POLL = FLEXSC_NR_POLL,
        FLEXSC_NR_OWN = FLEXSC_NR_OWN,
        FLEXSC_FEAT_MULTI = FLEXSC_FEAT_MULTI, FLEXSC_ENTRY_MULTI = FLEXSC_ENTRY_MULTI,
        FLEXSC_FEAT_CANCEL = FLEXSC_FEAT_CANCEL, FLEXSC_FEAT_ARM = FLEXSC_FEAT_ARM, FLEXSC_CANCEL_ALL = FLEXSC_CANCEL_ALL
    );
    constants!(
        facts, libflexsc::sys, FLEXSC_IOC_SETUP = IOC_SETUP, FLEXSC_IOC_PROBE = IOC_PROBE,
        FLEXSC_IOC_KICK = IOC_KICK, FLEXSC_IOC_WAIT = IOC_WAIT, FLEXSC_IOC_RESTRICT = IOC_RESTRICT, FLEXSC_IOC_CANCEL = IOC_CANCEL
    );
    facts
}

/// What the module's mirror says; it leaves padding out, and what it does not use.
#[rustfmt::skip]
fn module() -> Facts {
    let mut facts = Facts::new();
    // Reads and writes `nr` and `flags` as one word.
    offsets!(
        facts, "flexsc_entry", abi::Entry, status, nr = word, ret, args
    );
    offsets!(
        facts, "flexsc_counters", abi::Counters, entries_w, entries_t, entries_c, handed_back,
        rejected, kicks, waits, wait_sleeps, drains, idle_sleeps, threads, thread_wakes,
        cancelled
    );
    offsets!(
        facts, "flexsc_control", abi::Control, magic, abi_version, features, entries, ring_mask,
        cpu, spin_us, sub_tail, sub_head, comp_tail, comp_head, wakeup, counters
    );
    offsets!(
        facts, "flexsc_setup", abi::Setup, flags, entries, cpu, spin_us, drains, threads,
        abi_version, __reserved0 = reserved0, features, map_size, sub_ring_off, comp_ring_off,
        entries_off, __reserved1 = reserved1
    );
    offsets!(facts, "flexsc_probe_call", abi::ProbeCall, nr, lanes, flags);
    offsets!(
        facts, "flexsc_probe", abi::Probe, count, abi_version, features, calls
    );
    offsets!(
        facts, "flexsc_wait", abi::Wait, min_complete, flags, timeout_ns
    );
    offsets!(
        facts, "flexsc_cancel", abi::Cancel, index, flags, __reserved = reserved
    );
    offsets!(
        facts, "flexsc_restrict", abi::Restrict, flags, count, calls, allowed, frozen,
        __reserved = reserved
    );
    constants!(
        facts, abi, FLEXSC_ABI_VERSION = ABI_VERSION, FLEXSC_MAGIC = MAGIC,
        FLEXSC_MIN_ENTRIES = MIN_ENTRIES, FLEXSC_MAX_ENTRIES = MAX_ENTRIES,
        FLEXSC_SUBMITTED = SUBMITTED, FLEXSC_BUSY = BUSY, FLEXSC_DONE = DONE,
        FLEXSC_ENTRY_TIMEOUT = ENTRY_TIMEOUT, FLEXSC_ENTRY_LINK = ENTRY_LINK,
        FLEXSC_ENTRY_FILE = ENTRY_FILE, FLEXSC_ENTRY_MULTI = ENTRY_MULTI,
        FLEXSC_ENTRY_HANDED_BACK = ENTRY_HANDED_BACK, FLEXSC_NR_OWN = NR_OWN, FLEXSC_NR_POLL = NR_POLL,
        FLEXSC_NEED_WAKEUP = NEED_WAKEUP, FLEXSC_CPU_ANY = CPU_ANY,
        FLEXSC_SPIN_DEFAULT = SPIN_DEFAULT, FLEXSC_LANE_W = LANE_W, FLEXSC_LANE_T = LANE_T,
        FLEXSC_LANE_C = LANE_C, FLEXSC_CALL_GATED = CALL_GATED, FLEXSC_IOC_SETUP = IOC_SETUP,
        FLEXSC_IOC_PROBE = IOC_PROBE, FLEXSC_IOC_KICK = IOC_KICK, FLEXSC_IOC_WAIT = IOC_WAIT,
        FLEXSC_IOC_RESTRICT = IOC_RESTRICT, FLEXSC_RESTRICT_CALLS = RESTRICT_CALLS,
        FLEXSC_RESTRICT_FREEZE = RESTRICT_FREEZE, FLEXSC_RESTRICT_MAX = RESTRICT_MAX,
        FLEXSC_IOC_CANCEL = IOC_CANCEL, FLEXSC_CANCEL_ALL = CANCEL_ALL
    );
    facts
}

/// What the header itself names: structures, their fields, constants.
fn names_in_header() -> BTreeSet<String> {
    let text = fs::read_to_string(HEADER).unwrap();
    let mut names = BTreeSet::new();
    let mut inside = None;
    for line in text.lines() {
        let code = line.split("/*").next().unwrap().trim();
        let mut words = code.split_whitespace();
        match (words.next(), words.next()) {
            (Some("#define"), Some(name)) if name.starts_with("FLEXSC_") => {
                names.insert(name.to_owned());
            }
            (Some("struct"), Some(name)) if code.ends_with('{') => {
                names.insert(format!("struct {name}"));
                inside = Some(name.to_owned());
            }
            (Some("};"), None) => inside = None,
            (Some(_), Some(_)) => {
                let Some(outer) = &inside else { continue };
                let Some(declared) = code.strip_suffix(';') else {
                    continue;
                };
                let name = declared
                    .split('[')
                    .next()
                    .unwrap()
                    .split_whitespace()
                    .last()
                    .unwrap();
                names.insert(format!("{outer}.{name}"));
            }
            _ => {}
        }
    }
    names
}

/// What the C compiler says about each of the names.
fn compiler(names: &BTreeSet<String>) -> Facts {
    let mut program = format!("#include <stddef.h>\n#include <stdio.h>\n#include {HEADER:?}\n");
    program.push_str("int main(void)\n{\n");
    for name in names {
        let value = match (name.split_once('.'), name.starts_with("struct ")) {
            (Some((outer, field)), _) => format!("offsetof(struct {outer}, {field})"),
            (None, true) => format!("sizeof({name})"),
            (None, false) => name.clone(),
        };
        program.push_str(&format!(
            "\tprintf(\"%s\\t%lld\\n\", \"{name}\", (long long)({value}));\n"
        ));
    }
    program.push_str("\treturn 0;\n}\n");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, binary) = (dir.join("layout.c"), dir.join("layout"));
    fs::write(&source, program).unwrap();
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let made = Command::new(&cc)
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&binary, &source])
        .output()
        .unwrap_or_else(|error| panic!("{cc:?} cannot be run ({error}): install gcc, or set CC"));
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let output = Command::new(&binary).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let (name, value) = line.split_once('\t').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn mirrors_agree_with_the_compiler() {
    let names = names_in_header();
    let c = compiler(&names);
    assert_eq!(c.keys().cloned().collect::<BTreeSet<_>>(), names);

    // Of the library's mirror all names are compared, of the module's those that it has.
    let library = library();
    for (name, value) in &c {
        assert_eq!(library.get(name), Some(value), "{name} in sys");
    }
    let module = module();
    for (name, value) in &module {
        assert_eq!(c.get(name), Some(value), "{name} in kmod/abi.rs");
    }
    assert!(
        module.len() > 70,
        "only {} names of kmod/abi.rs are compared",
        module.len()
    );
    let features = [
        "LANE_W",
        "LANE_T",
        "LANE_C",
        "POLL",
        "CANCEL",
        "RESTRICT",
        "ARM",
        "POLL_FILE",
        "TIMEOUT",
        "LINK",
        "MULTI",
    ];
    let features: i128 = features
        .iter()
        .map(|name| c[&format!("FLEXSC_FEAT_{name}")])
        .sum();
    assert_eq!(i128::from(abi::FEATURES), features);
}

/// `FLEXSC_BINDGEN=/usr/bin/bindgen cargo test -p libflexsc --test layout`
#[test]
fn committed_bindings_are_what_bindgen_makes() {
    let Some(bindgen) = std::env::var_os("FLEXSC_BINDGEN") else {
        let line = "SKIP committed_bindings_are_what_bindgen_makes bindgen: FLEXSC_BINDGEN does not name bindgen 0.71.1\n";
        // What a test prints by the macros is kept to itself, unless it fails.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let arguments = fs::read_to_string(root.join("bindgen.args")).unwrap();
    let made = Command::new(bindgen)
        .args(arguments.lines())
        .arg(HEADER)
        .output()
        .expect("bindgen runs");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let committed = fs::read_to_string(root.join("src/sys/bindings.rs")).unwrap();
    assert_eq!(String::from_utf8(made.stdout).unwrap(), committed);
}
