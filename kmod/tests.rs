// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of what needs no process: queues, records, the table of calls, sets of calls, and
//! times; those of the shared pages are in `tests_page.rs`.
//!
//! They run when the module is loaded into a kernel with `CONFIG_KUNIT=y`; for others they are
//! not compiled.

use kernel::prelude::*;

#[kunit_tests(flexsc_fifo)]
mod fifo {
    use crate::fifo::Fifo;
    use kernel::prelude::*;

    #[test]
    fn the_oldest_comes_out_first() -> Result {
        let mut fifo = Fifo::new(4)?;
        assert!(fifo.is_empty());
        // More often than the ring is long, so that it is wrapped around.
        for round in 0..9 {
            for at in 0..3 {
                fifo.push(round * 3 + at);
            }
            assert!(!fifo.is_empty());
            for at in 0..3 {
                assert_eq!(fifo.pop(), Some(round * 3 + at));
            }
            assert_eq!(fifo.pop(), None);
        }
        Ok(())
    }

    #[test]
    fn what_is_too_many_is_dropped() -> Result {
        let mut fifo = Fifo::new(2)?;
        for index in [7, 8, 9] {
            fifo.push(index);
        }
        assert_eq!(fifo.pop(), Some(7));
        assert_eq!(fifo.pop(), Some(8));
        assert!(fifo.is_empty());
        Ok(())
    }

    #[test]
    fn the_oldest_of_some_comes_out() -> Result {
        let mut fifo = Fifo::new(8)?;
        for index in 0..6 {
            fifo.push(index);
        }
        assert!(fifo.has(|index| index == 5) && !fifo.has(|index| index > 5));
        assert_eq!(fifo.pop_if(|index| index > 6), None);
        assert_eq!(fifo.pop_if(|index| index % 3 == 2), Some(2));
        assert_eq!(fifo.pop_if(|index| index % 3 == 2), Some(5));
        for index in [0, 1, 3, 4] {
            assert_eq!(fifo.pop(), Some(index));
        }
        assert!(fifo.is_empty());
        Ok(())
    }

    #[test]
    fn any_can_be_taken_out() -> Result {
        for gone in 0..5 {
            let mut fifo = Fifo::new(8)?;
            for index in 0..5 {
                fifo.push(index);
            }
            assert!(fifo.remove(gone));
            assert!(!fifo.remove(gone));
            for index in 0..5 {
                if index != gone {
                    assert_eq!(fifo.pop(), Some(index));
                }
            }
            assert!(fifo.is_empty());
        }
        Ok(())
    }
}

#[kunit_tests(flexsc_slots)]
mod slots {
    use crate::{
        clock::NEVER,
        slots::{
            InFlight,
            Place,
            Slots, //
        },
    };
    use kernel::prelude::*;

    #[test]
    fn an_entry_is_in_flight_once() -> Result {
        let in_flight = InFlight::new(64)?;
        assert!(in_flight.mark(0) && in_flight.mark(63));
        assert!(!in_flight.mark(0));
        assert_eq!(in_flight.count(), 2);
        in_flight.clear(0);
        assert!(in_flight.mark(0));
        for beyond in [64, 1 << 16, u32::MAX] {
            assert!(!in_flight.mark(beyond));
        }
        in_flight.clear(64);
        assert_eq!(in_flight.count(), 2);
        Ok(())
    }

    #[test]
    fn there_are_as_many_as_asked_for() -> Result {
        let mut slots = Slots::new(64)?;
        assert!(slots.get(63).is_some());
        assert!(slots.get(64).is_none());
        assert!(slots.take(64, Place::Running).is_none());
        slots.place(u16::MAX, Place::Queued);
        assert_eq!(slots.next_armed(64), None);
        assert_eq!(slots.next_armed(65), None);
        Ok(())
    }

    #[test]
    fn what_waits_is_found() -> Result {
        let mut slots = Slots::new(64)?;
        assert_eq!(slots.next_armed(0), None);
        slots.place(3, Place::Armed);
        slots.place(63, Place::Armed);
        slots.place(5, Place::Queued);
        assert_eq!(slots.next_armed(0), Some(3));
        assert_eq!(slots.next_armed(4), Some(63));
        let run = slots.take(3, Place::Running).ok_or(EINVAL)?;
        assert_eq!(run.index, 3);
        assert_eq!(slots.next_armed(0), Some(63));
        Ok(())
    }

    #[test]
    fn only_what_is_in_flight_is_cancelled() -> Result {
        let mut slots = Slots::new(64)?;
        let in_flight = InFlight::new(64)?;
        for index in 1..5 {
            assert!(in_flight.mark(index));
        }
        slots.place(1, Place::Running);
        slots.place(2, Place::Linked);
        slots.place(3, Place::Queued);
        slots.place(4, Place::Armed);
        // The caller of wait has executed it.
        slots.place(5, Place::Running);
        assert_eq!(slots.cancel_all(&in_flight), 4);
        for index in 0..64 {
            let cancelled = slots.get(index).is_some_and(|slot| slot.cancelled);
            assert_eq!(cancelled, (1..5).contains(&index));
        }
        Ok(())
    }

    #[test]
    fn times_end_with_the_entry() -> Result {
        let mut slots = Slots::new(64)?;
        assert_eq!(slots.earliest(), NEVER);
        for (index, deadline, wake) in [(7, 500, NEVER), (9, NEVER, 300)] {
            let slot = slots.get_mut(index).ok_or(EINVAL)?;
            slot.deadline = deadline;
            slot.wake = wake;
        }
        assert_eq!(slots.earliest(), 300);
        assert_eq!(slots.next_due(0, 299), None);
        assert_eq!(slots.next_due(0, 300), Some(9));
        assert_eq!(slots.next_due(0, 500), Some(7));
        assert_eq!(slots.next_due(10, i64::MAX - 1), None);
        slots.place(9, Place::Nowhere);
        slots.place(7, Place::Running);
        assert_eq!(slots.earliest(), 500);
        slots.place(7, Place::Nowhere);
        assert_eq!(slots.earliest(), NEVER);
        Ok(())
    }
}

#[kunit_tests(flexsc_calls)]
mod calls {
    use crate::{
        abi,
        call::{
            self,
            Verdict,
            CALLS, //
        },
    };

    #[test]
    fn the_table_is_in_order() {
        for pair in CALLS.windows(2) {
            assert!(pair[0].nr() < pair[1].nr());
        }
    }

    #[test]
    fn every_number_finds_its_own_call_or_none() {
        for nr in 0..=u16::MAX {
            let listed = CALLS.iter().any(|call| call.nr() == nr);
            let found = call::find(nr);
            assert_eq!(found.is_some(), listed);
            assert!(found.is_none_or(|call| call.nr() == nr));
        }
    }

    #[test]
    fn every_number_has_a_place_and_every_call_its_own() {
        for nr in 0..=u16::MAX {
            assert!(call::place(nr) < call::PLACES);
        }
        for (i, one) in CALLS.iter().enumerate() {
            for other in CALLS.iter().skip(i + 1) {
                assert_ne!(call::place(one.nr()), call::place(other.nr()));
            }
        }
    }

    #[test]
    fn a_caller_may_execute_every_call() {
        for call in CALLS {
            let probe = call.probe();
            let lanes = u32::from(probe.lanes);
            assert_eq!(probe.nr, call.nr());
            assert_eq!(lanes & abi::LANE_C, abi::LANE_C);
            assert_eq!(lanes & abi::LANE_T, abi::LANE_T);
            assert_eq!(probe.flags & !abi::CALL_GATED, 0);
        }
    }

    fn outcome(verdict: Verdict) -> Option<i64> {
        match verdict {
            Verdict::Did(ret) => Some(ret),
            _ => None,
        }
    }

    #[test]
    fn what_was_transferred_before_counts() {
        assert_eq!(outcome(Verdict::Did(5).after(0)), Some(5));
        assert_eq!(outcome(Verdict::Did(-11).after(0)), Some(-11));
        assert_eq!(outcome(Verdict::HandBack.after(0)), None);
        assert_eq!(outcome(Verdict::Did(5).after(100)), Some(105));
        // As of a plain call that is interrupted in the middle.
        assert_eq!(outcome(Verdict::Did(-4).after(100)), Some(100));
        assert_eq!(outcome(Verdict::Did(0).after(100)), Some(100));
        assert_eq!(outcome(Verdict::HandBack.after(100)), Some(100));
    }
}

#[kunit_tests(flexsc_restrict)]
mod restrict {
    use crate::{
        abi,
        call::CALLS,
        restrict::{
            add,
            Bits,
            CallSet,
            Restriction, //
        },
    };
    use kernel::prelude::*;

    #[test]
    fn sets_only_become_smaller() {
        let set = CallSet::all();
        assert!(CALLS.iter().all(|call| set.contains(call.nr())));
        let mut first = Bits::default();
        for call in CALLS.iter().step_by(2) {
            assert!(add(&mut first, call.nr()));
        }
        set.narrow(&first);
        for (at, call) in CALLS.iter().enumerate() {
            assert_eq!(set.contains(call.nr()), at % 2 == 0);
        }
        let mut second = Bits::default();
        for call in CALLS.iter().skip(1).step_by(2) {
            add(&mut second, call.nr());
        }
        set.narrow(&second);
        assert!(!CALLS.iter().any(|call| set.contains(call.nr())));
    }

    #[test]
    fn every_call_has_a_place_of_its_own() {
        for one in CALLS {
            let mut bits = Bits::default();
            add(&mut bits, one.nr());
            let set = CallSet::all();
            set.narrow(&bits);
            for call in CALLS {
                assert_eq!(set.contains(call.nr()), call.nr() == one.nr());
            }
        }
    }

    #[test]
    fn numbers_without_a_call_have_no_place() {
        let mut bits = Bits::default();
        for nr in 0..=u16::MAX {
            let listed = CALLS.iter().any(|call| call.nr() == nr);
            if !listed {
                assert!(!add(&mut bits, nr));
            }
        }
        assert!(bits == Bits::default());
    }

    fn request(flags: u32) -> abi::Restrict {
        abi::Restrict {
            flags,
            count: 0,
            calls: 0,
            allowed: 0,
            frozen: 0,
            reserved: [0; 2],
        }
    }

    #[test]
    fn requests_with_garbage_are_refused() -> Result {
        let restriction = Restriction::new()?;
        let mut wrong = [
            request(4),
            request(u32::MAX),
            request(0),
            request(0),
            request(abi::RESTRICT_CALLS),
        ];
        wrong[2].reserved[1] = 1;
        wrong[3].count = 1;
        wrong[4].count = abi::RESTRICT_MAX + 1;
        for request in &mut wrong {
            assert_eq!(restriction.restrict(request), Err(EINVAL));
        }
        assert!(!restriction.is_frozen());
        assert!(CALLS.iter().all(|call| restriction.allows(call.nr())));
        Ok(())
    }

    #[test]
    fn a_frozen_set_is_final() -> Result {
        let restriction = Restriction::new()?;
        let mut ask = request(0);
        restriction.restrict(&mut ask)?;
        assert_eq!(ask.frozen, 0);
        // CAST: The table is short.
        assert_eq!(ask.allowed, CALLS.len() as u32);
        let mut freeze = request(abi::RESTRICT_FREEZE);
        restriction.restrict(&mut freeze)?;
        assert_eq!(freeze.frozen, 1);
        assert_eq!(restriction.restrict(&mut freeze), Err(EPERM));
        let mut narrow = request(abi::RESTRICT_CALLS);
        assert_eq!(restriction.restrict(&mut narrow), Err(EPERM));
        // Asking is still allowed.
        restriction.restrict(&mut ask)?;
        assert_eq!(ask.frozen, 1);
        Ok(())
    }
}

#[kunit_tests(flexsc_clock)]
mod clock {
    use crate::clock::{
        after,
        now,
        NEVER, //
    };

    #[test]
    fn no_time_that_is_asked_for_is_never() {
        let start = now();
        assert!(after(0) >= start);
        assert!(after(1_000_000_000) >= start + 1_000_000_000);
        assert_eq!(after(i64::MAX), NEVER - 1);
        assert_eq!(after(NEVER - 1), NEVER - 1);
        // What is over is over now, not long ago: the clock is not set back.
        assert!(after(-1) >= start && after(i64::MIN) >= start);
    }
}
