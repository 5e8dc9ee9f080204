//! Benchmarks: replay harness, workload generator, peers.
