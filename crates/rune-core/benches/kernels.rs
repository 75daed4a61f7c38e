//! Every kernel by itself, without Python: `cargo bench`. What Python sees of them is in `bench/kernels`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use rune_core::{pii, rate::Limiter, regex, repair, secrets, sql};

const QUERY: &str = "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.uid = u.id \
                     WHERE u.name = 'bob' AND o.total > 10 OR 1=1 -- x\nORDER BY o.total DESC LIMIT 10";
const PROSE: &str = "The quick brown fox jumps over the lazy dog: 42 times, said Ada, and her number was gone. ";
const FOUND: &str = "Call +49 30 1234567 or ada@example.org, password=correct4horse. ";
const ITEM: &str = "{id: 7, 'name': 'item 7', ok: True, \"v\": [7, 7.5, None], \"t\": \"some text some text\"}, ";

fn kernels(criterion: &mut Criterion) {
    let clean = PROSE.repeat(120);
    let dirty = [PROSE.repeat(8), FOUND.to_owned()].concat().repeat(14);
    let broken = ["[", &ITEM.repeat(120)].concat();
    let mut group = criterion.benchmark_group("kernels");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, text) in [("clean", &clean), ("dirty", &dirty)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("pii/{name}"), |bencher| {
            bencher.iter(|| pii::scan(black_box(text.as_bytes()), pii::EVERYTHING));
        });
        group.bench_function(format!("secrets/{name}"), |bencher| {
            bencher.iter(|| secrets::scan(black_box(text.as_bytes()), u16::MAX));
        });
    }
    let word = regex::Filter::new(r"(?-u:\b)[A-Z]{3,5}-[0-9]+", None, false, vec![]).expect("a pattern");
    group.throughput(Throughput::Bytes(clean.len() as u64));
    group.bench_function("regex/clean", |bencher| bencher.iter(|| word.sub(black_box(clean.as_bytes()))));
    group.throughput(Throughput::Bytes(broken.len() as u64));
    group.bench_function("repair/broken", |bencher| bencher.iter(|| repair::repair(black_box(broken.as_bytes()))));
    group.throughput(Throughput::Bytes(QUERY.len() as u64));
    group.bench_function("sql", |bencher| {
        bencher.iter(|| sql::check(black_box(QUERY.as_bytes()), sql::Dialect::Generic));
    });
    group.throughput(Throughput::Elements(1));
    let mut limiter = Limiter::new(1e9, 1e9);
    group.bench_function("rate", |bencher| bencher.iter(|| limiter.take(black_box("caller"), 1.0, 0.0)));
    group.finish();
}

#[allow(missing_docs)]
mod group {
    criterion::criterion_group!(benches, super::kernels);
}
criterion::criterion_main!(group::benches);
