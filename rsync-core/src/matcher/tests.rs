// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::block::Layout;
use crate::patch;
use crate::strong::BlockSum;
use crate::token::{Collector, OwnedToken};
use proptest::prelude::*;

/// What the oracle says a target consists of: literal bytes one by one, blocks one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    Block(u32),
}

/// The search as its description says it, comparing the bytes themselves.
fn oracle(basis: &[u8], target: &[u8], length: usize) -> Vec<Piece> {
    let blocks: Vec<&[u8]> = basis.chunks(length).collect();
    let mut pieces = Vec::new();
    let mut next = usize::MAX;
    let mut position = 0;
    while position < target.len() {
        let rest = &target[position..];
        let fits = |block: &[u8]| {
            rest.starts_with(block) && (block.len() == length || block.len() == rest.len())
        };
        // A whole block goes before the short last one.
        let whole = |block: usize| {
            blocks
                .get(block)
                .is_some_and(|block| block.len() == length && fits(block))
        };
        let found = Some(next)
            .filter(|next| whole(*next))
            .or_else(|| (0..blocks.len()).find(|block| whole(*block)))
            .or_else(|| blocks.iter().position(|block| fits(block)));
        match found {
            Some(block) => {
                pieces.push(Piece::Block(block as u32));
                position += blocks[block].len();
                next = block + 1;
            }
            None => {
                pieces.push(Piece::Byte(rest[0]));
                position += 1;
            }
        }
    }
    pieces
}

struct Found {
    pieces: Vec<Piece>,
    tokens: Vec<OwnedToken>,
    digest: Digest,
    stats: MatchStats,
    longest_window: usize,
}

fn search(basis: &[u8], target: &[u8], layout: Layout, step: usize) -> Found {
    let signature = Signature::of(basis, layout, BlockSum::default()).unwrap();
    search_with(Matcher::new(signature), target, step)
}

/// With several threads that have little to do each.
fn shared(mut matcher: Matcher, threads: usize, segment: usize) -> Matcher {
    matcher.shares = Shares {
        threads,
        round: 3 * segment,
        segment,
    };
    matcher
}

fn search_with(mut matcher: Matcher, target: &[u8], step: usize) -> Found {
    let mut pieces = Vec::new();
    let mut collector = Collector::new();
    let mut longest_window = 0;
    let mut emit = |token: Token<'_>| {
        match token {
            Token::Data(data) => {
                assert!((1..=MAX_DATA).contains(&data.len()));
                pieces.extend(data.iter().copied().map(Piece::Byte));
            }
            Token::Block(block) => pieces.push(Piece::Block(block)),
        }
        collector.push(token);
    };
    for piece in target.chunks(step) {
        matcher.push(piece, &mut emit);
        longest_window = longest_window.max(matcher.window.len());
    }
    let (digest, stats) = matcher.finish(&mut emit);
    Found {
        pieces,
        tokens: collector.take(),
        digest,
        stats,
        longest_window,
    }
}

fn layout(basis: &[u8], length: u32) -> Layout {
    Layout::new(basis.len() as u64, Some(length))
        .unwrap()
        .full_strong()
}

/// Where each token starts in the target.
fn positions(tokens: &[Piece], basis: &[u8], length: usize) -> Vec<(usize, Piece)> {
    let mut position = 0;
    let mut list = Vec::new();
    for token in tokens {
        list.push((position, token.clone()));
        position += match token {
            Piece::Byte(_) => 1,
            Piece::Block(block) => basis.chunks(length).nth(*block as usize).unwrap().len(),
        };
    }
    list
}

#[test]
fn the_worked_example_comes_out() {
    let (basis, target) = (b"123abcdefg", b"123xxabc def");
    let found = search(basis, target, layout(basis, 3), target.len());
    let byte = |byte| Piece::Byte(byte);
    assert_eq!(
        positions(&found.pieces, basis, 3),
        [
            (0, Piece::Block(0)),
            (3, byte(b'x')),
            (4, byte(b'x')),
            (5, Piece::Block(1)),
            (8, byte(b' ')),
            (9, Piece::Block(2)),
        ]
    );
    let blocks = |first| OwnedToken::Blocks { first, count: 1 };
    let data = |data: &[u8]| OwnedToken::Data(data.to_vec());
    assert_eq!(
        found.tokens,
        [blocks(0), data(b"xx"), blocks(1), data(b" "), blocks(2)]
    );
    let stats = found.stats;
    assert_eq!(
        (
            stats.matches,
            stats.literal,
            stats.matched,
            stats.false_alarms
        ),
        (3, 3, 9, 0)
    );
}

#[test]
fn a_short_last_block_matches_only_at_the_end() {
    let basis = b"abcxy";
    let found = search(basis, b"xyxy", layout(basis, 3), 1);
    assert_eq!(
        found.pieces,
        [Piece::Byte(b'x'), Piece::Byte(b'y'), Piece::Block(1)]
    );
}

#[test]
fn the_block_that_follows_is_preferred_to_an_earlier_equal_one() {
    let basis = b"aaabbbaaaccc";
    let found = search(basis, b"bbbaaaccc", layout(basis, 3), 9);
    assert_eq!(found.tokens, [OwnedToken::Blocks { first: 1, count: 3 }]);
}

#[test]
fn equal_blocks_without_a_predecessor_give_the_first() {
    let basis = b"aaabbbaaa";
    let found = search(basis, b"xaaa", layout(basis, 3), 4);
    assert_eq!(found.pieces, [Piece::Byte(b'x'), Piece::Block(0)]);
}

#[test]
fn blocks_of_equal_rolling_sum_are_told_apart_and_counted() {
    // Both sums of "bcb" are those of "cac": a = 296, b = 3*98+2*99+98 = 3*99+2*97+99.
    let basis = b"bcb";
    assert_eq!(Rolling::of(b"bcb").value(), Rolling::of(b"cac").value());
    let found = search(basis, b"cac", layout(basis, 3), 3);
    assert_eq!(found.pieces.len(), 3);
    assert_eq!(
        (
            found.stats.false_alarms,
            found.stats.hash_hits,
            found.stats.matches
        ),
        (1, 1, 0)
    );
}

#[test]
fn a_long_chain_of_colliding_blocks_is_cut() {
    let mut basis = b"bcb".repeat(MAX_CHAIN);
    basis.extend_from_slice(b"cac");
    let found = search(&basis, b"cac", layout(&basis, 3), 3);
    assert_eq!(
        (found.stats.false_alarms, found.stats.matches),
        (MAX_CHAIN as u64, 0)
    );
    let basis = &basis[3..];
    let found = search(basis, b"cac", layout(basis, 3), 3);
    assert_eq!(found.stats.matches, 1);
}

/// The thread sees no block in the chain that it may look at, the search knows the block that follows.
#[test]
fn several_threads_do_not_hide_a_block_behind_a_long_chain() {
    let mut basis = b"bcb".repeat(MAX_CHAIN);
    basis.extend_from_slice(b"xyzcac");
    let target = b"aaaaaaaaxyzcacaaaaaaaa";
    let signature = Signature::of(&basis, layout(&basis, 3), BlockSum::default()).unwrap();
    let one = search_with(Matcher::new(signature.clone()), target, 64);
    assert_eq!(one.stats.matches, 2);
    let several = search_with(shared(Matcher::new(signature), 2, 4), target, 64);
    assert_eq!((several.tokens, several.stats), (one.tokens, one.stats));
}

#[test]
fn a_target_far_longer_than_the_window_is_not_kept() {
    const LENGTH: u32 = 4096;
    let basis: Vec<u8> = (0..40_000u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect();
    let mut target = vec![0x55; 400_000];
    target.extend_from_slice(&basis);
    let layout = layout(&basis, LENGTH);
    let found = search(&basis, &target, layout, 1000);
    assert!(found.longest_window <= 2 * (LENGTH as usize + MAX_DATA) + 1000);
    assert!(found.stats.matched >= 9 * u64::from(LENGTH));
    assert_eq!(
        patch::apply(&basis, &layout, &found.tokens, &found.digest).unwrap(),
        target
    );
}

/// Pieces of a small alphabet and copies of stretches of a basis: enough structure for matches of every kind.
fn basis_and_target() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let byte = prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()];
    (
        proptest::collection::vec(byte.clone(), 0..400),
        proptest::collection::vec((0usize..400, 0usize..120, byte), 0..8),
    )
        .prop_map(|(basis, edits)| {
            let mut target = Vec::new();
            for (start, length, byte) in edits {
                let start = start.min(basis.len());
                target.extend_from_slice(&basis[start..(start + length).min(basis.len())]);
                target.push(byte);
            }
            (basis, target)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn tokens_are_the_oracles((basis, target) in basis_and_target(), length in 1u32..40, step in 1usize..200) {
        let layout = layout(&basis, length);
        let found = search(&basis, &target, layout, step);
        prop_assert_eq!(&found.pieces, &oracle(&basis, &target, length as usize));
        prop_assert_eq!(found.digest, BlockSum::default().of(&target));
        let blocks = found.pieces.iter().filter(|piece| matches!(piece, Piece::Block(_))).count() as u64;
        prop_assert_eq!(found.stats.matches, blocks);
        prop_assert_eq!(found.stats.literal + found.stats.matched, target.len() as u64);
        prop_assert_eq!(patch::apply(&basis, &layout, &found.tokens, &found.digest).unwrap(), target);
    }

    #[test]
    fn tokens_do_not_depend_on_the_pieces((basis, target) in basis_and_target(), length in 1u32..40, step in 1usize..200) {
        let layout = layout(&basis, length);
        let (whole, pieces) = (search(&basis, &target, layout, usize::MAX), search(&basis, &target, layout, step));
        prop_assert_eq!(whole.tokens, pieces.tokens);
        prop_assert_eq!(whole.stats, pieces.stats);
    }

    // Few bytes that differ make blocks that are found anywhere, so that threads often skip where the search does not.
    #[test]
    fn several_threads_find_and_count_what_one_does(
        (basis, target) in basis_and_target(),
        repeated in 1usize..6,
        length in 1u32..40,
        (step, threads, segment) in (1usize..200, 2usize..4, 1usize..80),
        (in_place, full) in any::<(bool, bool)>(),
    ) {
        let (basis, target) = (basis.repeat(repeated), target.repeat(repeated));
        let layout = Layout::new(basis.len() as u64, Some(length)).unwrap();
        let layout = if full { layout.full_strong() } else { layout };
        let signature = Signature::of(&basis, layout, BlockSum::default()).unwrap();
        let matcher = || match in_place {
            true => Matcher::in_place(signature.clone()),
            false => Matcher::new(signature.clone()),
        };
        let one = search_with(matcher(), &target, step);
        let several = search_with(shared(matcher(), threads, segment), &target, step);
        prop_assert_eq!(one.tokens, several.tokens);
        prop_assert_eq!(one.stats, several.stats);
        prop_assert_eq!(one.digest, several.digest);
    }

    #[test]
    fn shortened_sums_give_the_target_back_or_fail_its_digest(
        (basis, target) in basis_and_target(), length in 1u32..40,
    ) {
        let layout = Layout::new(basis.len() as u64, Some(length)).unwrap();
        let found = search(&basis, &target, layout, 64);
        match patch::apply(&basis, &layout, &found.tokens, &found.digest) {
            Ok(patched) => prop_assert_eq!(patched, target),
            Err(error) => prop_assert_eq!(error, patch::PatchError::Digest),
        }
    }

    #[test]
    fn an_equal_file_is_all_blocks(basis in proptest::collection::vec(any::<u8>(), 0..2000), length in 1u32..800) {
        let found = search(&basis, &basis, layout(&basis, length), 333);
        prop_assert_eq!(found.stats.literal, 0);
        prop_assert_eq!(found.stats.matched, basis.len() as u64);
    }
}

/// What is there after tokens were followed from the start of the basis on, each of them written over it.
fn applied_in_place(basis: &[u8], layout: &Layout, tokens: &[OwnedToken]) -> Vec<u8> {
    let mut file = basis.to_vec();
    let mut at = 0;
    for token in tokens {
        let bytes = match token {
            OwnedToken::Data(data) => data.clone(),
            OwnedToken::Blocks { first, count } => {
                let range = patch::range(layout, *first, *count).unwrap();
                file[range.start as usize..range.end as usize].to_vec()
            }
        };
        file.resize(file.len().max(at + bytes.len()), 0);
        file[at..at + bytes.len()].copy_from_slice(&bytes);
        at += bytes.len();
    }
    file.truncate(at);
    file
}

proptest! {
    #[test]
    fn no_block_is_taken_that_was_overwritten(
        parts in proptest::collection::vec((0u8..4, 0usize..40), 0..40),
        order in proptest::collection::vec((0usize..40, any::<bool>()), 0..40),
        length in 1u32..9,
        piece in 1usize..50,
    ) {
        let part = |(byte, length): &(u8, usize)| -> Vec<u8> {
            (0..*length).map(|at| byte + (at % 3) as u8).collect()
        };
        let basis: Vec<u8> = parts.iter().flat_map(part).collect();
        let pick = |(index, changed): &(usize, bool)| {
            let mut bytes = parts.get(*index).map(part).unwrap_or_default();
            if *changed {
                bytes.push(9);
            }
            bytes
        };
        let target: Vec<u8> = order.iter().flat_map(pick).collect();
        let layout = Layout::new(basis.len() as u64, Some(length)).unwrap();
        let layout = layout.full_strong();
        let signature = Signature::of(&basis, layout, BlockSum::default()).unwrap();
        let (mut matcher, mut collector) = (Matcher::in_place(signature), Collector::new());
        for piece in target.chunks(piece) {
            matcher.push(piece, &mut |token| collector.push(token));
        }
        matcher.finish(&mut |token| collector.push(token));
        let tokens = collector.take();
        prop_assert_eq!(applied_in_place(&basis, &layout, &tokens), target);
    }
}

#[test]
fn a_block_that_has_not_moved_stays_where_it_is() {
    let basis = [7; 64];
    let layout = Layout::new(64, Some(8)).unwrap();
    let signature = Signature::of(&basis, layout, BlockSum::default()).unwrap();
    let mut matcher = Matcher::in_place(signature);
    let mut blocks = Vec::new();
    let mut emit = |token: Token<'_>| {
        if let Token::Block(block) = token {
            blocks.push(block);
        }
    };
    matcher.push(&[&[1; 8][..], &[7; 24]].concat(), &mut emit);
    matcher.finish(&mut emit);
    assert_eq!(blocks, [1, 2, 3]);
}
