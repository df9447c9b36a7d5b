// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random steps against a vector of bytes.

use std::fs;

use libflexsc::{backend::Kind, op};
use proptest::prelude::*;

use crate::common::{Dir, context};

/// What may be done to a file.
#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Read(u64, usize),
    Truncate(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..5000u64, proptest::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(at, data)| Step::Write(at, data)),
        (0..6000u64, 0..400usize).prop_map(|(at, len)| Step::Read(at, len)),
        (0..6000u64).prop_map(Step::Truncate),
    ];
    proptest::collection::vec(step, 1..30)
}

pub(crate) fn file_against_a_model(kind: Kind) {
    let context = context(kind);
    let dir = Dir::new();
    dir.write("file", b"");
    proptest!(ProptestConfig::with_cases(64), |(steps in steps())| {
        let file = dir.open("file");
        prop_assert_eq!(context.run(op::Ftruncate::new(file.clone(), 0)), Ok(()));
        let mut model: Vec<u8> = Vec::new();
        for step in steps {
            match step {
                Step::Write(at, data) => {
                    let end = at as usize + data.len();
                    if !data.is_empty() {
                        model.resize(model.len().max(end), 0);
                        model[at as usize..end].copy_from_slice(&data);
                    }
                    let (count, _) = context.run(op::Pwrite::new(file.clone(), data.clone(), at));
                    prop_assert_eq!(count, Ok(data.len()));
                }
                Step::Read(at, len) => {
                    let start = (at as usize).min(model.len());
                    let expected = &model[start..(start + len).min(model.len())];
                    let (count, buf) = context.run(op::Pread::new(file.clone(), vec![0; len], at));
                    prop_assert_eq!(&buf[..count.unwrap()], expected);
                }
                Step::Truncate(len) => {
                    model.resize(len as usize, 0);
                    prop_assert_eq!(context.run(op::Ftruncate::new(file.clone(), len)), Ok(()));
                }
            }
        }
        prop_assert_eq!(fs::read(dir.join("file")).unwrap(), model);
    });
}
