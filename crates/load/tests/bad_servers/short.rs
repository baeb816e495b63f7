//! Frames that are too short to say whose they are, and frames that are all the same.

use volley_load::measure::ledger::{Column, Loss};
use volley_load::plan::sizes::Sizes;
use volley_proto::ReplyKind;

use crate::scripted::Fault;
use crate::{Played, SHORT, WAYS, Way, for_each, play_with, share};

const AT: [u64; 3] = [10, 50, 51];

/// Frames of so many bytes. Only echoes: a receipt tells as much of a short frame as of a long one.
fn echoes(pipeline: u32) -> impl Iterator<Item = (Way, u32)> {
    let ways = WAYS.into_iter().filter(move |way| {
        way.reply == ReplyKind::Echo && (pipeline == 0 || way.pipeline == pipeline)
    });
    ways.flat_map(|way| [4, 8, 19].map(|size| (way, size)))
}

fn short(way: Way, size: u32, fault: Fault) -> Played {
    play_with(way, fault, &AT, |plan| {
        plan.sizes = Sizes::Fixed(size);
        plan.timeout = SHORT;
    })
}

#[test]
fn a_short_echo_that_is_wrong_is_corrupt() {
    for (way, size) in echoes(0) {
        let played = short(way, size, Fault::Change(|echo| echo[3] ^= 4));
        played.ends_with([(Column::Ok, 97), (Column::Corrupt, 3)]);
    }
}

#[test]
fn a_short_frame_without_a_reply_is_skipped() {
    for_each(&echoes(8).collect::<Vec<_>>(), |(way, size)| {
        let played = short(way, size, Fault::Drop);
        played.ends_with([(Column::Ok, 97), (Column::Lost(Loss::Skipped), 3)]);
    });
}

#[test]
fn a_short_echo_that_comes_more_than_once_is_a_duplicate() {
    for (way, size) in echoes(0) {
        for times in [2, 3] {
            let played = short(way, size, Fault::Repeat(times));
            played.ends_with([(Column::Ok, 97), (Column::Duplicate, 3)]);
        }
    }
}

#[test]
fn a_short_echo_that_comes_behind_a_later_one_is_reordered() {
    for (way, size) in echoes(8) {
        let played = short(way, size, Fault::Behind(2));
        played.ends_with([(Column::Ok, 97), (Column::Reordered, 3)]);
    }
}

#[test]
fn a_short_echo_on_another_connection_is_corrupt() {
    for (way, size) in echoes(1) {
        let played = play_with(way, Fault::Misroute, &[10], |plan| {
            share(plan);
            plan.sizes = Sizes::Fixed(size);
        });
        played.ends_with([(Column::Ok, 98), (Column::Corrupt, 2)]);
    }
}

#[test]
fn empty_frames_are_counted_with_their_receipts() {
    for way in WAYS.into_iter().filter(|way| way.reply == ReplyKind::Ack) {
        let empty = |fault| play_with(way, fault, &AT, |plan| plan.sizes = Sizes::Fixed(0));
        empty(Fault::Repeat(2)).ends_with([(Column::Ok, 97), (Column::Duplicate, 3)]);
        let wrong = Fault::Change(|receipt| receipt[5] ^= 1);
        empty(wrong).ends_with([(Column::Ok, 97), (Column::Corrupt, 3)]);
    }
}

#[test]
fn of_frames_that_are_all_the_same_a_wrong_echo_is_corrupt() {
    for way in WAYS.into_iter().filter(|way| way.reply == ReplyKind::Echo) {
        let played = play_with(way, Fault::Change(|echo| echo[3] ^= 4), &AT, |plan| {
            plan.payload = Some(b"the same each time".to_vec());
        });
        played.ends_with([(Column::Ok, 97), (Column::Corrupt, 3)]);
    }
}
