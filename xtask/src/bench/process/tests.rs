use super::*;

#[test]
fn processor_time_is_found_behind_any_program_name() {
    let stat = "42 (we (ir) x) S 7 42 42 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 4 0 1 1 1";
    assert_eq!(cpu_ticks(stat).unwrap(), 300);
    assert_eq!(field(stat, 1).unwrap(), 7);
}

#[test]
fn memory_is_the_proportional_size_in_bytes() {
    assert_eq!(pss("5555 [rollup]\nRss:  90 kB\nPss:            12 kB\nPss_Dirty: 3 kB\n").unwrap(), 12 * 1024);
    assert!(pss("Rss: 90 kB").is_err());
}
