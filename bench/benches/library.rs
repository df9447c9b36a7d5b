// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the library's own parts take, without the module: `cargo bench -p flexsc-bench`.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use libflexsc::{
    Backend, Batch, Context,
    backend::Options,
    op::Nop,
    page::{Executor, Region, Submitter},
    raw::{RawCall, RawContext},
    sys,
};
use rsync_core::{
    block::Layout,
    matcher::Matcher,
    rolling::Rolling,
    signature::Signature,
    strong::{Algorithm, BlockSum},
};

/// Entries posted at once.
const BATCHES: [usize; 3] = [1, 64, 256];
/// Bytes of a file in the benches of the delta engine.
const FILE: usize = 1 << 20;

fn threads() -> Backend {
    let options = Options::new();
    Backend::threads(&options).expect("a pool of threads can be had anywhere")
}

/// From posting to reaping over the pool: by number, and as typed operations, with tickets and in a batch.
fn post_and_reap(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("post and reap");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        let mut raw = RawContext::new(threads());
        group.bench_function(BenchmarkId::new("raw", batch), |bencher| {
            bencher.iter(|| {
                for token in 0..batch as u64 {
                    let nothing = RawCall::new(sys::NR_NOP.into(), [0; 6]);
                    // SAFETY: The call has no arguments.
                    unsafe { raw.post(nothing, token) };
                }
                raw.wait(batch, None);
                while let Some(done) = raw.next() {
                    black_box(done);
                }
            });
        });
        let context = Context::new(threads());
        group.bench_function(BenchmarkId::new("typed", batch), |bencher| {
            bencher.iter(|| context.run_all((0..batch).map(|_| Nop::new())));
        });
        let mut typed = Batch::new(&context);
        group.bench_function(BenchmarkId::new("batch", batch), |bencher| {
            bencher.iter(|| {
                for tag in 0..batch {
                    typed.push(Nop::new(), tag);
                }
                context.wait(batch);
                while let Some(done) = typed.next() {
                    black_box(done.tag);
                    drop(black_box(done.output.take::<Nop>()));
                }
            });
        });
    }
    group.finish();
}

/// Both sides of the page in one thread, so that no cache line moves: the protocol's own work.
fn page_protocol(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page");
    let region = Region::new(256).expect("there is memory for a page");
    let (mut submitter, executor) = (Submitter::new(region.clone()), Executor::new(region));
    executor.begin_poll();
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(
            BenchmarkId::new("push, take, complete, reap", batch),
            |bencher| {
                bencher.iter(|| {
                    for token in 0..batch as u32 {
                        // SAFETY: The executor below does not look at the arguments.
                        assert!(unsafe { submitter.push(sys::NR_NOP, &[0; 6], token) });
                    }
                    submitter.publish();
                    while let Some(entry) = executor.take() {
                        executor.complete(entry, 0, 0);
                    }
                    while let Some(done) = submitter.reap() {
                        black_box(done);
                    }
                });
            },
        );
    }
    group.finish();
}

/// Bytes that have no pattern, the same each time.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..FILE).map(|_| next()).collect()
}

/// What is computed of each block, and of each position.
fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksums");
    let (data, block) = (noise(1), 1024);
    group.throughput(Throughput::Bytes(FILE as u64));
    group.bench_function("rolling, by block", |bencher| {
        bencher.iter(|| {
            for window in data.chunks_exact(block) {
                black_box(Rolling::of(window).value());
            }
        });
    });
    group.bench_function("rolling, by byte", |bencher| {
        bencher.iter(|| {
            let mut rolling = Rolling::of(&data[..block]);
            for (&out, &new) in data.iter().zip(&data[block..]) {
                rolling.roll(out, new, block as u32);
                black_box(rolling.value());
            }
        });
    });
    for algorithm in Algorithm::ALL {
        let sum = BlockSum::new(algorithm, 1);
        group.bench_function(BenchmarkId::new("strong, by block", algorithm), |bencher| {
            bencher.iter(|| {
                for window in data.chunks_exact(block) {
                    black_box(sum.of(window));
                }
            });
        });
    }
    group.finish();
}

/// Signature and search, for a target that is the basis, that has a byte inserted, or nothing of it.
fn matcher(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matcher");
    let basis = noise(1);
    let layout = Layout::new(FILE as u64, None).expect("a layout for this size");
    let signature =
        || Signature::of(&basis, layout, BlockSum::default()).expect("layout and basis agree");
    let mut shifted = basis.clone();
    shifted.insert(FILE / 2, b'x');
    group.throughput(Throughput::Bytes(FILE as u64));
    group.bench_function("signature", |bencher| bencher.iter(signature));
    for (name, target) in [
        ("equal", &basis),
        ("a byte inserted", &shifted),
        ("nothing in common", &noise(2)),
    ] {
        group.bench_function(BenchmarkId::new("search", name), |bencher| {
            bencher.iter_batched(
                || Matcher::new(signature()),
                |mut matcher| {
                    let mut tokens = 0_u32;
                    let mut emit = |_: rsync_core::token::Token<'_>| tokens += 1;
                    matcher.push(target, &mut emit);
                    let (digest, stats) = matcher.finish(&mut emit);
                    (tokens, digest, stats)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    post_and_reap(&mut criterion);
    page_protocol(&mut criterion);
    checksums(&mut criterion);
    matcher(&mut criterion);
    criterion.final_summary();
}
