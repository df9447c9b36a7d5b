// SPDX-License-Identifier: MIT OR Apache-2.0
//! The delta algorithm: whatever basis, target and blocks, the tokens make the target of the basis again; and whatever
//! tokens come, putting them together ends with the target or an error.
#![no_main]

use libflexsc_fuzz::{Input, target};
use rsync_core::{
    block::Layout,
    matcher::Matcher,
    patch::{PatchError, apply},
    signature::Signature,
    strong::{Algorithm, BlockSum},
    token::{Collector, OwnedToken, Token},
};

target!(
    OUTCOMES = [
        "a block was found",
        "the short last block was found",
        "literal bytes",
        "a false alarm",
        "put together again",
        "tokens of others: put together",
        "tokens of others: no such block",
        "tokens of others: another digest",
    ],
    run
);

fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut byte = || input.next().unwrap_or(0);
    let length = 1 + u32::from(byte() % 24);
    let algorithm = Algorithm::ALL[usize::from(byte()) % Algorithm::ALL.len()];
    let seed = u32::from(byte() % 2);
    let full = byte() % 2 == 0;
    let edits = byte() % 8;
    let piece = 1 + usize::from(byte());
    // Few different bytes, so that sums agree by chance.
    let alphabet = [2, 4, 0][usize::from(byte() % 3)];
    let letter = |byte: u8| byte.checked_rem(alphabet).unwrap_or(byte);
    let (edits_at, rest) = input.0.split_at(input.0.len().min(3 * usize::from(edits)));
    let basis: Vec<u8> = rest.iter().map(|&byte| letter(byte)).collect();
    let mut target = basis.clone();
    for edit in edits_at.chunks_exact(3) {
        let at = usize::from(edit[0]).min(target.len());
        let end = (at + usize::from(edit[1] % 16)).min(target.len());
        target.splice(at..end, (0..edit[2] % 8).map(letter));
    }

    let Ok(layout) = Layout::new(basis.len() as u64, Some(length)) else {
        panic!("these blocks are neither long nor many");
    };
    let layout = if full { layout.full_strong() } else { layout };
    let signature = Signature::of(&basis, layout, BlockSum::new(algorithm, seed)).unwrap();
    let (mut matcher, mut collector) = (Matcher::new(signature), Collector::new());
    let mut emit = |token: Token<'_>| {
        match token {
            Token::Data(_) => OUTCOMES.reached("literal bytes"),
            Token::Block(block) if block + 1 == layout.count() && layout.remainder() != 0 => {
                OUTCOMES.reached("the short last block was found");
            }
            Token::Block(_) => OUTCOMES.reached("a block was found"),
        }
        collector.push(token);
    };
    for piece in target.chunks(piece) {
        matcher.push(piece, &mut emit);
    }
    let (digest, stats) = matcher.finish(&mut emit);
    assert_eq!(stats.literal + stats.matched, target.len() as u64);
    if stats.false_alarms > 0 {
        OUTCOMES.reached("a false alarm");
    }
    let tokens = collector.take();
    match apply(&basis, &layout, &tokens, &digest) {
        Ok(made) => {
            assert_eq!(made, target);
            OUTCOMES.reached("put together again");
        }
        // Two bytes of a strong checksum may agree by chance; then the digest does not.
        Err(error) => assert!(!full && error == PatchError::Digest, "{error}"),
    }

    // What somebody else could send.
    let foreign: Vec<_> = (edits_at.chunks_exact(3))
        .map(|edit| match edit[0] % 3 {
            0 => OwnedToken::Data(edit.to_vec()),
            1 => OwnedToken::Blocks {
                first: u32::from(edit[1] % 8),
                count: u32::from(edit[2] % 4),
            },
            _ => OwnedToken::Blocks {
                first: u32::from(edit[1]).wrapping_sub(128),
                count: u32::from(edit[2]).wrapping_sub(64),
            },
        })
        .collect();
    match apply(&basis, &layout, &foreign, &digest) {
        Ok(made) => {
            assert_eq!(made, target);
            OUTCOMES.reached("tokens of others: put together");
        }
        Err(PatchError::NoSuchBlock { blocks, .. }) => {
            assert_eq!(blocks, layout.count());
            OUTCOMES.reached("tokens of others: no such block");
        }
        Err(PatchError::Digest) => OUTCOMES.reached("tokens of others: another digest"),
        Err(error) => panic!("the basis is what it was: {error}"),
    }
}
