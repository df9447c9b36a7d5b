// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the shared pages, and of who takes what from there; see `tests.rs`.

use kernel::prelude::*;

#[kunit_tests(flexsc_shared)]
mod shared {
    use crate::{
        abi,
        shared::{
            Counter,
            Posted,
            Shared,
            Word, //
        },
    };
    use kernel::{
        page::PAGE_SIZE,
        prelude::*, //
    };

    const FREE: u32 = 0;

    #[test]
    fn parts_do_not_overlap() -> Result {
        let mut entries = abi::MIN_ENTRIES;
        while entries <= abi::MAX_ENTRIES {
            let shared = KBox::pin_init(Shared::new(entries, 0, 0)?, GFP_KERNEL)?;
            let layout = shared.layout();
            // CAST: At most MAX_ENTRIES.
            let count = entries as usize;
            assert!(layout.sub_ring >= size_of::<abi::Control>());
            assert!(layout.comp_ring >= layout.sub_ring + count * size_of::<u32>());
            assert!(layout.entries >= layout.comp_ring + count * size_of::<u32>());
            assert!(layout.size >= layout.entries + count * size_of::<abi::Entry>());
            assert_eq!(layout.sub_ring % PAGE_SIZE, 0);
            assert_eq!(layout.comp_ring % PAGE_SIZE, 0);
            assert_eq!(layout.entries % PAGE_SIZE, 0);
            assert_eq!(layout.size % PAGE_SIZE, 0);
            assert_eq!(shared.entries(), entries);
            entries *= 2;
        }
        Ok(())
    }

    #[test]
    fn odd_numbers_of_entries_are_refused() {
        for entries in [
            0,
            1,
            63,
            65,
            abi::MIN_ENTRIES / 2,
            2 * abi::MAX_ENTRIES,
            u32::MAX,
        ] {
            assert!(Shared::new(entries, 0, 0).is_err());
        }
    }

    #[test]
    fn only_what_is_submitted_is_taken() -> Result {
        let shared = KBox::pin_init(Shared::new(64, 0, 0)?, GFP_KERNEL)?;
        let mut posted = Posted::none();
        for status in [FREE, abi::BUSY, abi::DONE, 4, u32::MAX] {
            shared.post(0, 5, status, 0x0001_0011, 77);
            assert!(!shared.take(5, &mut posted));
        }
        shared.post(0, 5, abi::SUBMITTED, 0x0001_0011, 77);
        assert!(shared.take(5, &mut posted));
        assert_eq!(posted.nr, 0x11);
        assert_eq!(posted.flags, 1);
        assert_eq!(posted.time, 77);
        // It is busy from then on.
        assert!(!shared.take(5, &mut posted));
        shared.finish(5, 0x11, 0, -7);
        assert!(!shared.take(5, &mut posted));
        Ok(())
    }

    #[test]
    fn positions_lie_in_the_rings() -> Result {
        let shared = KBox::pin_init(Shared::new(64, 0, 0)?, GFP_KERNEL)?;
        for position in [0, 63, 64, u32::MAX] {
            shared.post(position, position.wrapping_mul(3), FREE, 0, 0);
            assert_eq!(shared.submitted(position), position.wrapping_mul(3));
            assert_eq!(
                shared.submitted(position.wrapping_add(64)),
                position.wrapping_mul(3)
            );
            shared.complete(position, 1);
        }
        Ok(())
    }

    #[test]
    fn words_and_counters_keep_apart() -> Result {
        let shared = KBox::pin_init(Shared::new(64, 0, 0)?, GFP_KERNEL)?;
        let words = [
            Word::SubTail,
            Word::SubHead,
            Word::CompTail,
            Word::CompHead,
            Word::Wakeup,
        ];
        assert_eq!(shared.load(Word::Wakeup), abi::NEED_WAKEUP);
        for (value, word) in (1..).zip(words) {
            shared.store(word, value);
        }
        for (value, word) in (1..).zip(words) {
            assert_eq!(shared.load(word), value);
        }
        shared.count(Counter::Rejected, 5);
        shared.count(Counter::Rejected, -2);
        assert_eq!(shared.counted(Counter::Rejected), 3);
        assert_eq!(shared.counted(Counter::HandedBack), 0);
        assert_eq!(shared.counted(Counter::Kicks), 0);
        Ok(())
    }
}

#[kunit_tests(flexsc_state)]
mod state {
    use crate::{
        abi,
        call::Verdict,
        cancel::Cancelled,
        clock,
        hand::{
            Begun,
            Grip,
            Hand, //
        },
        intake::{
            Source,
            HANDFUL, //
        },
        shared::{
            Counter,
            Shared,
            Word, //
        },
        slots::{
            InFlight,
            Run, //
        },
        state::{
            Leave,
            State, //
        },
    };
    use core::pin::Pin;
    use kernel::prelude::*;

    const NOP: u16 = 0xffff;
    const OPENAT: u16 = 257;
    const FREE: u32 = 0;

    /// A page without a process, drain items or threads.
    struct Page {
        shared: Pin<KBox<Shared>>,
        in_flight: InFlight,
        state: State,
        tail: u32,
    }

    fn source<'a>(shared: &'a Shared, in_flight: &'a InFlight) -> Source<'a> {
        Source {
            shared,
            in_flight,
            table: None,
        }
    }

    impl Page {
        fn new() -> Result<Self> {
            Ok(Self {
                shared: KBox::pin_init(Shared::new(64, 0, 0)?, GFP_KERNEL)?,
                in_flight: InFlight::new(64)?,
                state: State::new(64, 0, 0)?,
                tail: 0,
            })
        }

        /// Posts an entry as an application does.
        fn post(&mut self, index: u32, nr: u16, flags: u16, time: i64) {
            let word = u32::from(nr) | u32::from(flags) << 16;
            self.shared
                .post(self.tail, index, abi::SUBMITTED, word, time);
            self.tail = self.tail.wrapping_add(1);
            self.shared.store(Word::SubTail, self.tail);
        }

        fn pull(&mut self) {
            let source = source(&self.shared, &self.in_flight);
            self.state.pull_for_lanes(&source);
        }

        /// What of that which is queued a page worker begins, which is back from its call at once.
        fn begin_w(&mut self, run: &mut Run) -> bool {
            let begun = self.state.begin_w(run);
            if begun {
                let _ = self.state.enter_w();
                self.state.end_w();
            }
            begun
        }

        fn cancel(&mut self, index: u16) -> Cancelled {
            self.state.cancel(index, &self.in_flight)
        }

        fn expired(&mut self, now: i64, from: &mut u16) -> Option<(Run, Verdict)> {
            self.state.take_expired(now, from, &self.in_flight)
        }

        fn rejected(&self) -> i64 {
            self.shared.counted(Counter::Rejected)
        }

        /// Whether the application is asked to kick.
        fn unattended(&self) -> bool {
            self.shared.load(Word::Wakeup) == abi::NEED_WAKEUP
        }

        /// What a page worker gets, which is back from its call at once.
        fn next_w(&mut self) -> Option<u16> {
            let mut run = Run::none();
            self.begin_w(&mut run).then_some(run.index)
        }
    }

    #[test]
    fn entries_are_taken_in_order_each_for_its_lane() -> Result {
        let mut page = Page::new()?;
        for (index, nr) in [(9, NOP), (3, OPENAT), (63, NOP), (0, OPENAT)] {
            page.post(index, nr, 0, 0);
        }
        page.pull();
        page.state.start_drain(&page.shared);
        assert_eq!(page.shared.load(Word::SubHead), 4);
        assert_eq!(page.in_flight.count(), 4);
        assert_eq!(page.next_w(), Some(9));
        assert_eq!(page.next_w(), Some(63));
        assert_eq!(page.next_w(), None);
        assert_eq!(page.state.begin_t(0).map(|run| run.index), Some(3));
        assert_eq!(page.state.begin_t(0).map(|run| run.index), Some(0));
        assert!(!page.state.has_t() && !page.state.has_w());
        Ok(())
    }

    /// Fills a hand with what a page worker takes of what is posted.
    fn fill(page: &mut Page, grip: &mut Grip<'_>) -> bool {
        let source = source(&page.shared, &page.in_flight);
        // SAFETY: The hand and the state are the test's, which has no others.
        unsafe { grip.fill::<true>(&mut page.state, &source) }
    }

    #[test]
    fn what_is_in_hand_is_begun_once_or_taken_back() -> Result {
        let mut page = Page::new()?;
        // CAST: `HANDFUL` is small.
        let more = HANDFUL as u32 + 3;
        for index in 0..more {
            // The first two are a thread's.
            page.post(index, if index < 2 { OPENAT } else { NOP }, 0, 0);
        }
        page.state.start_drain(&page.shared);
        let hand = KBox::new(Hand::new(), GFP_KERNEL)?;
        // SAFETY: There is no other.
        let mut grip = unsafe { hand.grip() };
        assert!(fill(&mut page, &mut grip) && grip.has_more() && !hand.is_closed());
        assert_eq!(page.state.sub_head(), HANDFUL as u32);
        assert!(grip.run(0).is_none());
        let begun = grip.begin_run().map(|(at, run)| (at, run.index));
        assert_eq!(begun, Some((0, 2)));
        assert!(matches!(grip.begin(), Begun::At(1)));
        assert!(grip.run(1).is_some_and(|run| run.index == 3) && grip.run(2).is_none());
        assert_eq!(hand.begun(), 2);
        let mut index = 4;
        // SAFETY: There is no lock, and nobody else.
        unsafe {
            hand.take_back(|run| {
                assert_eq!(run.index, index);
                index += 1;
            });
            hand.take_back(|_| assert!(false));
        }
        assert_eq!(usize::from(index), HANDFUL);
        assert!(matches!(grip.begin(), Begun::Nothing));
        assert!(!grip.has_more() && !hand.is_closed());
        grip.close();
        assert!(hand.is_closed());
        // What was not for it is queued.
        assert_eq!(page.next_w(), None);
        assert_eq!(page.state.begin_t(0).map(|run| run.index), Some(0));
        assert_eq!(page.state.begin_t(0).map(|run| run.index), Some(1));
        Ok(())
    }

    #[test]
    fn what_is_over_is_told_once_by_whom_it_is_left_to() -> Result {
        let mut page = Page::new()?;
        for index in [7, 8, 9] {
            page.post(index, NOP, 0, 0);
        }
        let hand = KBox::new(Hand::new(), GFP_KERNEL)?;
        // SAFETY: There is no other.
        let mut grip = unsafe { hand.grip() };
        assert!(fill(&mut page, &mut grip));
        let told = || {
            let mut told = [0; 3];
            let mut places = told.iter_mut();
            // SAFETY: There is no lock, and nobody else.
            unsafe {
                hand.tell(|index| {
                    if let Some(place) = places.next() {
                        *place = index;
                    }
                });
            }
            told
        };
        hand.look();
        assert!(matches!(grip.begin(), Begun::At(0)));
        assert_eq!(told(), [0; 3]);
        assert!(matches!(grip.begin(), Begun::At(1)));
        // Nobody has looked since one was begun.
        assert!(!hand.end_late(0));
        assert_eq!(told(), [7, 0, 0]);
        assert_eq!(told(), [0; 3]);
        assert!(matches!(grip.begin(), Begun::At(2)));
        hand.look();
        assert_eq!(told(), [0; 3]);
        // Who has looked may not come again.
        assert!(hand.end_late(1));
        assert_eq!(told(), [8, 0, 0]);
        // Of what is told by other means nobody tells.
        hand.pass_over(2);
        assert_eq!(told(), [0; 3]);
        Ok(())
    }

    #[test]
    fn what_was_begun_last_is_stopped() -> Result {
        let mut page = Page::new()?;
        for index in [7, 8] {
            page.post(index, NOP, 0, 0);
        }
        let hand = KBox::new(Hand::new(), GFP_KERNEL)?;
        // SAFETY: There is no other.
        let mut grip = unsafe { hand.grip() };
        assert!(fill(&mut page, &mut grip));
        // SAFETY: There is no lock, and nobody else.
        let stop = |which: u16| unsafe { hand.stop(|index| index == which) };
        assert!(!stop(7) && !stop(8));
        assert!(matches!(grip.begin(), Begun::At(0)));
        assert!(!stop(8) && !grip.was_stopped());
        assert!(stop(7) && stop(7));
        assert!(matches!(grip.begin(), Begun::Stopped));
        assert!(grip.was_stopped() && !grip.was_stopped());
        assert!(matches!(grip.begin(), Begun::At(1)));
        assert!(!stop(7) && stop(8));
        Ok(())
    }

    #[test]
    fn the_caller_takes_a_handful_and_what_is_over_is_not_cancelled() -> Result {
        let mut page = Page::new()?;
        // CAST: `HANDFUL` is small.
        let count = HANDFUL as u32;
        for index in 0..count + 2 {
            page.post(index, OPENAT, 0, 0);
        }
        let mut handful = core::array::from_fn(|_| Run::none());
        let source = source(&page.shared, &page.in_flight);
        let mut pull = |state: &mut State| state.pull_for_caller(&source, &mut handful);
        assert_eq!(pull(&mut page.state), Some(HANDFUL));
        assert_eq!(page.shared.load(Word::SubHead), count);
        page.in_flight.clear(0);
        let cancelled = page.state.cancel(0, &page.in_flight);
        assert!(matches!(cancelled, Cancelled::None));
        assert!(page.in_flight.begin(1));
        let cancelled = page.state.cancel(1, &page.in_flight);
        assert!(matches!(cancelled, Cancelled::Running));
        for _ in 0..2 {
            let cancelled = page.state.cancel(2, &page.in_flight);
            assert!(matches!(cancelled, Cancelled::Later));
        }
        assert!(!page.in_flight.begin(2) && page.in_flight.begin(3));
        assert_eq!(page.state.cancel_all(&page.in_flight), count - 1);
        assert!(!page.in_flight.begin(4));
        assert_eq!(pull(&mut page.state), Some(2));
        assert_eq!(pull(&mut page.state), None);
        assert_eq!(u32::from(handful[1].index), count + 1);
        Ok(())
    }

    #[test]
    fn a_time_limit_ends_what_a_caller_has_in_hand() -> Result {
        let mut page = Page::new()?;
        page.post(1, OPENAT, abi::ENTRY_TIMEOUT, 1_000_000);
        page.post(2, OPENAT, 0, 0);
        page.post(3, OPENAT, abi::ENTRY_TIMEOUT, 1_000_000);
        let mut handful = core::array::from_fn(|_| Run::none());
        let source = source(&page.shared, &page.in_flight);
        assert_eq!(page.state.pull_for_caller(&source, &mut handful), Some(3));
        let cancelled = page.state.cancel(3, &page.in_flight);
        assert!(matches!(cancelled, Cancelled::Later));
        let (later, mut from) = (clock::now() + 1_000_000, 0);
        let expired = page.state.take_expired(later, &mut from, &page.in_flight);
        assert!(expired.is_none());
        let cancelled = page.state.cancel(1, &page.in_flight);
        assert!(matches!(cancelled, Cancelled::Running));
        assert!(!page.in_flight.begin(1) && page.in_flight.begin(2));
        for (index, errno) in [(1, ETIME), (3, ECANCELED)] {
            // CAST: From the type of an errno.
            let errno = i64::from(errno.to_errno());
            assert!(matches!(page.state.withdrawn(index), Verdict::Did(ret) if ret == errno));
        }
        Ok(())
    }

    #[test]
    fn what_is_no_posted_entry_is_rejected() -> Result {
        let mut page = Page::new()?;
        page.post(5, NOP, 0, 0);
        page.pull();
        // One that is in flight, some that are none, and one that is not submitted.
        page.post(5, NOP, 0, 0);
        for index in [64, 69, 1 << 16, u32::MAX] {
            page.post(index, NOP, 0, 0);
        }
        page.shared.post(page.tail, 6, FREE, 0, 0);
        page.shared.store(Word::SubTail, page.tail + 1);
        page.pull();
        assert_eq!(page.rejected(), 6);
        assert_eq!(page.in_flight.count(), 1);
        page.state.start_drain(&page.shared);
        assert_eq!(page.next_w(), Some(5));
        assert_eq!(page.next_w(), None);
        Ok(())
    }

    #[test]
    fn more_than_the_ring_holds_is_rejected_at_once() -> Result {
        for ahead in [65, 1000, u32::MAX] {
            let mut page = Page::new()?;
            page.shared.store(Word::SubTail, ahead);
            page.pull();
            assert_eq!(page.shared.load(Word::SubHead), ahead);
            assert_eq!(page.rejected(), i64::from(ahead));
            assert!(!page.state.ring_ready(&page.shared));
        }
        Ok(())
    }

    #[test]
    fn who_leaves_last_asks_to_be_kicked() -> Result {
        let mut page = Page::new()?;
        assert!(page.unattended() && !page.state.attended());
        page.state.start_drain(&page.shared);
        assert!(!page.unattended() && page.state.attended());
        page.state.start_drain(&page.shared);
        assert!(page.state.others_active());
        assert!(matches!(page.state.leave(&page.shared), Leave::Gone));
        assert!(!page.unattended());
        // Something is posted at the last moment.
        page.post(0, NOP, 0, 0);
        assert!(matches!(page.state.leave(&page.shared), Leave::Stay));
        assert!(!page.unattended() && page.state.attended());
        page.pull();
        assert!(matches!(page.state.leave(&page.shared), Leave::Gone));
        assert!(page.unattended() && !page.state.attended());
        Ok(())
    }

    #[test]
    fn a_busy_worker_is_queued_again_unless_another_is() -> Result {
        let mut page = Page::new()?;
        page.state.start_drain(&page.shared);
        page.state.start_drain(&page.shared);
        assert!(page.state.make_way());
        assert!(page.state.attended() && !page.unattended());
        assert!(!page.state.make_way());
        assert!(page.state.attended() && !page.unattended());
        // The one that is queued begins, and leaves.
        page.state.start_drain(&page.shared);
        assert!(!page.state.others_active());
        assert!(matches!(page.state.leave(&page.shared), Leave::Gone));
        assert!(page.unattended() && !page.state.attended());
        Ok(())
    }

    #[test]
    fn an_entry_is_cancelled_where_it_is() -> Result {
        let mut page = Page::new()?;
        page.post(1, NOP, 0, 0);
        page.post(2, OPENAT, 0, 0);
        page.post(3, OPENAT, 0, 0);
        page.pull();
        for index in [1, 2] {
            assert!(matches!(page.cancel(index), Cancelled::Taken(run) if run.index == index));
            assert!(matches!(page.cancel(index), Cancelled::None));
        }
        assert!(!page.state.has_w());
        assert!(page.state.begin_t(0).is_some_and(|run| run.index == 3));
        assert!(matches!(page.cancel(3), Cancelled::Running));
        assert!(matches!(page.cancel(64), Cancelled::None));
        assert!(matches!(page.cancel(u16::MAX), Cancelled::None));
        Ok(())
    }

    #[test]
    fn what_has_no_effect_yet_is_begun_again_unless_cancelled() -> Result {
        let mut page = Page::new()?;
        page.post(7, NOP, 0, 0);
        page.pull();
        page.state.start_drain(&page.shared);
        let mut run = Run::none();
        assert!(page.begin_w(&mut run));
        let end = |state: &mut State, run: &mut Run| {
            state.end(run, Verdict::ToThread, false, false, EINTR)
        };
        assert!(end(&mut page.state, &mut run).is_none() && page.state.has_t());
        let mut run = page.state.begin_t(0).ok_or(EINVAL)?;
        assert!(matches!(page.cancel(7), Cancelled::Running));
        // CAST: From the type of an errno.
        let errno = i64::from(EINTR.to_errno());
        let over = end(&mut page.state, &mut run);
        assert!(matches!(over, Some(Verdict::Did(ret)) if ret == errno));
        assert!(!page.state.has_t());
        Ok(())
    }

    #[test]
    fn a_time_limit_ends_what_is_queued() -> Result {
        let mut page = Page::new()?;
        page.post(1, OPENAT, abi::ENTRY_TIMEOUT, 1_000_000);
        page.post(2, OPENAT, 0, 1);
        page.post(3, OPENAT, abi::ENTRY_TIMEOUT, i64::MAX);
        page.pull();
        let (start, mut from) = (clock::now(), 0);
        assert!(page.expired(i64::MIN, &mut from).is_none());
        from = 0;
        let expired = page.expired(start + 1_000_000, &mut from);
        // CAST: From the type of an errno.
        let errno = i64::from(ETIME.to_errno());
        assert!(
            matches!(expired, Some((run, Verdict::Did(ret))) if run.index == 1 && ret == errno)
        );
        assert!(page.expired(start + 1_000_000, &mut from).is_none());
        assert_eq!(page.state.begin_t(0).map(|run| run.index), Some(2));
        Ok(())
    }
}
