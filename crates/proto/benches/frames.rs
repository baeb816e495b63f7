//! Nanoseconds per frame of the parser and of the receipt.
//!
//! `cargo bench -p volley-proto`
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use volley_proto::{HEAD_LEN, MaxFrame, Parsed, Receipt, crc32c, encode_data, parse};

/// Frames per batch: what one read brings in at a pipeline depth of 128.
const BATCH: u64 = 128;

fn parser(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(BATCH));
    for size in [0, 64, 1024, 16384] {
        let mut bytes = Vec::new();
        (0..BATCH).for_each(|_| encode_data(&vec![b'x'; size], &mut bytes));
        group.bench_with_input(BenchmarkId::from_parameter(size), &bytes, |b, bytes| {
            b.iter(|| {
                let mut rest = black_box(bytes.as_slice());
                let mut frames = 0;
                while let Ok(Parsed::Data(payload)) = parse(rest, MaxFrame::DEFAULT) {
                    frames += 1;
                    rest = &rest[HEAD_LEN + payload.len()..];
                }
                assert_eq!(frames, BATCH);
            });
        });
    }
    group.finish();
}

fn receipt(c: &mut Criterion) {
    let mut group = c.benchmark_group("receipt");
    group.throughput(Throughput::Elements(1));
    for size in [0, 64, 1024, 16384] {
        let payload = vec![b'x'; size];
        group.bench_with_input(BenchmarkId::from_parameter(size), &payload, |b, payload| {
            b.iter(|| {
                let crc32c = crc32c(black_box(payload));
                Receipt { crc32c, seq: 1, total: 64, received_at: 1 }.encode()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parser, receipt);
criterion_main!(benches);
