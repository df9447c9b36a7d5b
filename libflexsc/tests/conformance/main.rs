// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each operation gives what the plain call gives: result, errno, and effect on the tree.
//!
//! Two directories are made alike; in one the operation runs through a context, in the other the C
//! library's function of that name.
#![cfg(not(loom))]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

#[macro_use]
mod twins;
mod attributes;
mod chains;
mod data;
mod ending;
mod model;
mod names;
mod opening;
mod polling;
mod sockets;
mod streams;

use attributes::{access, attributes, changing_attributes, times};
use chains::{
    cancelled_step_ends_those_after_it, chain_goes_on_after_a_step_that_is_handed_back,
    chain_in_the_order_of_its_operations, chain_longer_than_the_page,
    chain_of_futures_whose_outputs_nobody_wants, chain_stops_at_the_first_failure,
    file_of_the_chain_is_closed_at_its_end, file_of_the_chain_is_that_of_the_last_opener,
    limit_in_a_chain, open_fstat_read_close, operation_without_a_file_of_its_chain,
    queued_chain_that_nobody_wants_is_not_executed,
};
use data::{closing, copying, data, measuring, open_file, positions, vectored};
use ending::{
    cancel_all_ends_all_that_wait, cancel_of_a_finished_one_changes_nothing,
    cancelled_close_that_was_queued_closes, cancelled_operation_that_was_queued_has_no_effect,
    cancelled_read_gives_its_buffer_back, cancelled_write_gives_what_it_has_written,
    limit_of_nothing_executes_nothing, limit_that_is_not_reached_changes_nothing,
    limits_of_many_reads_are_kept, read_ends_at_its_time, sleep_ends_by_itself,
};
use model::file_against_a_model;
use names::{directories, links, names, renames};
use opening::{opening, opening_with_rules};
use polling::{
    cancelled_watch_ends_once, dropped_watch_does_not_hold_its_context,
    many_watches_beside_each_other, poll_ends_at_its_time, poll_of_no_file, poll_tells_a_hang_up,
    poll_tells_what_is_there, poll_waits_until_the_file_is_ready, signals_do_not_end_a_watch,
    two_watches_of_one_file, watch_for_futures, watch_of_a_file_that_is_always_ready,
    watch_of_no_file, watch_tells_a_hang_up, watch_tells_each_readiness,
    watch_that_is_not_looked_at_for_long,
};
use sockets::{
    broken_connection, calls_on_the_wrong_socket, cancelled_receive_takes_nothing, datagrams,
    idle_acceptors_hold_no_threads, idle_receivers_hold_no_threads, limits_of_sockets,
    long_sends_wait_for_room, options, receivers_of_one_socket_share_what_comes, sockets_are_made,
    stream_from_end_to_end,
};
use streams::{
    accept_waits_for_a_connection, broken_pipe_raises_no_signal, calls_of_sockets,
    long_write_to_a_socket_is_whole, nonblocking_file_does_not_wait,
    offset_means_nothing_to_a_stream, reads_share_the_position_of_their_file, segments_of_a_stream,
    socket_keeps_its_own_time_limit,
};

each_backend!(
    measuring,
    data,
    vectored,
    positions,
    open_file,
    copying,
    opening,
    opening_with_rules,
    closing,
    attributes,
    changing_attributes,
    times,
    names,
    links,
    renames,
    access,
    directories,
    file_against_a_model,
    cancel_of_a_finished_one_changes_nothing,
    read_ends_at_its_time,
    limit_of_nothing_executes_nothing,
    limit_that_is_not_reached_changes_nothing,
    limits_of_many_reads_are_kept,
    sleep_ends_by_itself,
    poll_tells_what_is_there,
    poll_tells_a_hang_up,
    poll_ends_at_its_time,
    poll_of_no_file,
    watch_tells_each_readiness,
    watch_tells_a_hang_up,
    watch_of_no_file,
    signals_do_not_end_a_watch,
    watch_for_futures,
    open_fstat_read_close,
    file_of_the_chain_is_closed_at_its_end,
    file_of_the_chain_is_that_of_the_last_opener,
    operation_without_a_file_of_its_chain,
    chain_stops_at_the_first_failure,
    chain_in_the_order_of_its_operations,
    chain_longer_than_the_page,
    chain_goes_on_after_a_step_that_is_handed_back,
    chain_of_futures_whose_outputs_nobody_wants,
    limit_in_a_chain,
    sockets_are_made,
    stream_from_end_to_end,
    calls_on_the_wrong_socket,
    datagrams,
    options,
    broken_connection,
    limits_of_sockets,
    nonblocking_file_does_not_wait,
    socket_keeps_its_own_time_limit,
    offset_means_nothing_to_a_stream,
    reads_share_the_position_of_their_file,
    segments_of_a_stream,
    calls_of_sockets,
);

/// Of what can be in progress: not plain calls.
mod posting {
    use super::{
        accept_waits_for_a_connection, broken_pipe_raises_no_signal, cancel_all_ends_all_that_wait,
        cancelled_close_that_was_queued_closes, cancelled_operation_that_was_queued_has_no_effect,
        cancelled_read_gives_its_buffer_back, cancelled_receive_takes_nothing,
        cancelled_step_ends_those_after_it, cancelled_watch_ends_once,
        cancelled_write_gives_what_it_has_written, dropped_watch_does_not_hold_its_context,
        idle_acceptors_hold_no_threads, idle_receivers_hold_no_threads, long_sends_wait_for_room,
        long_write_to_a_socket_is_whole, many_watches_beside_each_other,
        poll_waits_until_the_file_is_ready, queued_chain_that_nobody_wants_is_not_executed,
        receivers_of_one_socket_share_what_comes, two_watches_of_one_file,
        watch_of_a_file_that_is_always_ready, watch_that_is_not_looked_at_for_long,
    };

    each_backend!(posting:
        cancelled_read_gives_its_buffer_back,
        cancelled_write_gives_what_it_has_written,
        cancelled_operation_that_was_queued_has_no_effect,
        cancelled_close_that_was_queued_closes,
        cancel_all_ends_all_that_wait,
        poll_waits_until_the_file_is_ready,
        watch_of_a_file_that_is_always_ready,
        two_watches_of_one_file,
        many_watches_beside_each_other,
        cancelled_watch_ends_once,
        dropped_watch_does_not_hold_its_context,
        cancelled_step_ends_those_after_it,
        queued_chain_that_nobody_wants_is_not_executed,
        idle_receivers_hold_no_threads,
        idle_acceptors_hold_no_threads,
        cancelled_receive_takes_nothing,
        long_sends_wait_for_room,
        receivers_of_one_socket_share_what_comes,
        watch_that_is_not_looked_at_for_long,
        accept_waits_for_a_connection,
        long_write_to_a_socket_is_whole,
        broken_pipe_raises_no_signal,
    );
}
