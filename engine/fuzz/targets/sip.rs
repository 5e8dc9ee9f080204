//! libFuzzer on [`ringtap_fuzz_bodies::sip`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtap_fuzz_bodies::sip::run(data));
