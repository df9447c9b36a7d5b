// SPDX-License-Identifier: MIT OR Apache-2.0

//! That the backend that was asked for makes the calls, and not the command itself in its place.

mod common;

use common::{BACKENDS, Scratch, flexsync};
use serde_json::Value;
use std::fs;

/// Figures of a run that copies 300 files, or finds that nothing has changed.
struct Figures(Value);

impl Figures {
    fn of(scratch: &Scratch, backend: &str) -> Self {
        let dst = format!("dst-{backend}");
        let arguments = ["-a", "--no-W", "--stats-json", "figures", "src/", &dst];
        flexsync(scratch.path(), backend, &arguments).expect(0);
        let figures = fs::read_to_string(scratch.join("figures")).unwrap();
        Self(serde_json::from_str(&figures).unwrap())
    }

    #[track_caller]
    fn get(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name}"))
    }
}

#[test]
fn the_backend_makes_the_calls() {
    let scratch = Scratch::new();
    for number in 0..300 {
        scratch.write(&format!("src/{}/{number}", number / 30), [b'x'; 3000]);
    }
    for &backend in BACKENDS.iter() {
        for files in [300, 0] {
            let figures = Figures::of(&scratch, backend);
            let what = format!("{backend}, {}", figures.0);
            assert_eq!(figures.0["backend"], backend, "{what}");
            assert_eq!(figures.get("transferred"), files, "{what}");
            let [workers, threads, caller, back] =
                ["entries_w", "entries_t", "entries_c", "handed_back"]
                    .map(|name| figures.get(name));
            // A file is opened, made, written, given its attributes and its name, and closed.
            let least = 300 + 6 * files;
            match backend {
                "direct" => assert!(caller >= least && workers + threads + back == 0, "{what}"),
                // One call in a hundred may be a plain one. What the module executes in the caller is none.
                "module" => {
                    let posted = workers + threads + caller;
                    assert!(posted >= least && back * 100 <= posted, "{what}");
                }
                _ => assert!(workers + threads >= least && caller + back == 0, "{what}"),
            }
        }
    }
}
