use super::*;

#[test]
fn a_share_of_the_latencies_is_read_off_the_sorted_list() {
    let latencies = Latencies::of((1..=100).rev().map(Duration::from_millis).collect());
    assert_eq!(latencies.below(0.0), Duration::from_millis(1));
    assert_eq!(latencies.below(0.5), Duration::from_millis(51));
    assert_eq!(latencies.below(0.99), Duration::from_millis(100));
    assert_eq!(latencies.below(1.0), Duration::from_millis(100));
}

#[test]
fn nothing_measured_is_zero() {
    assert_eq!(Latencies::of(Vec::new()).below(0.5), Duration::ZERO);
}
