//! x
use ringtap_xdp::*;
#[test]
fn loads() {
    let settings = Settings {
        ports: [5060].into_iter().collect(),
        take: Take::ALL,
        dedicated: false,
        queues: 4,
    };
    let mut p = match Program::load(&settings) {
        Ok(p) => p,
        Err(e) => panic!("{e}"),
    };
    println!("{:?}", p.test_run(&[0; 64], 10_000));
    println!("{:?}", p.counters());
    println!("{:?}", p.attach("lo", Mode::Auto));
}
