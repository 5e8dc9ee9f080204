//! libFuzzer on [`ringtap_fuzz_bodies::classify`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtap_fuzz_bodies::classify::run(data));
