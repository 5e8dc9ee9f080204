//! libFuzzer on [`ringtap_fuzz_bodies::tracker`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtap_fuzz_bodies::tracker::run(data));
