use super::*;

fn ms(values: &[u64]) -> Vec<Duration> {
    values.iter().copied().map(Duration::from_millis).collect()
}

#[test]
fn equal_samples_tell_nothing() {
    let times = ms(&[3, 1, 2, 2, 5, 8]);
    let comparison = Comparison::of(&times, &times);
    assert!((comparison.chance - 0.5).abs() < 1e-9, "{comparison}");
    assert!(comparison.z.abs() < 1e-9, "{comparison}");
}

#[test]
fn samples_without_overlap_tell_everything() {
    let (slow, fast) = (ms(&(100..200).collect::<Vec<_>>()), ms(&(0..100).collect::<Vec<_>>()));
    let comparison = Comparison::of(&slow, &fast);
    assert!((comparison.chance - 1.0).abs() < 1e-9, "{comparison}");
    assert!(comparison.z > 10.0, "{comparison}");
    assert!(Comparison::of(&fast, &slow).z < -10.0);
}
